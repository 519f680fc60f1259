"""Named studies: Optuna search."""
