"""Motif files, p-values, motif hits and motif similarity."""
