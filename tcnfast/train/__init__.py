"""Training: options, losses, epochs, checkpoints; from a trained network to a model folder."""
