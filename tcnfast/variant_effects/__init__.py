"""The parts of variant scoring: records, alleles in their context, effects, what is written."""
