"""What a model is made of besides its layers: its folder, its thresholds, ensembles, passes."""
