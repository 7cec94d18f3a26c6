"""Peak files of any lab to a dataset folder, and what is drawn from it."""
