"""Networks compared on window sets: trainings, scores, tests and tables."""
