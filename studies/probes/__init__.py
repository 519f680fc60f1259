"""What the studies that read a model from inside share: samples, activations, linear probes and their folds."""
