"""TF-MoDISco motifs of attributions."""
