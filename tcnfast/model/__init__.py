"""Networks and their folders: TCN, ensembles, thresholds, calibration and its metrics."""
