"""Why a model calls a site: attributions of a logit to the bases of its window, and motifs."""
