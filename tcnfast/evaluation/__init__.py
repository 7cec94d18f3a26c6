"""Scores of a model, their intervals, and the report about them."""
