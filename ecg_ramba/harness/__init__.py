"""One protocol for every model: splits, training, prediction, runs, tracking."""
