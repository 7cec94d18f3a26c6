"""Scores of a model with intervals, and the report of them."""
