"""Which factors act together."""
