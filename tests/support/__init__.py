"""What tests of several files share: models, genomes, folders, and comparisons by hand."""
