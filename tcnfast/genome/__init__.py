"""Coordinates and sequence: FASTA, .2bit, codes, intervals, peaks against windows."""
