"""One page about a model and what was run with it."""
