"""Motif files, p-values, the one engine of motif hits, and motif similarity."""

MOTIF_FILE = "MEME, JASPAR, TRANSFAC or HOMER file, or bundled ones by name, as jaspar"
P_VALUE = 1e-4  # of a hit, at most, where nothing else is asked for
