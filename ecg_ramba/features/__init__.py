"""Features of a window: MiniRocket morphology, heart-rate variability, and what is fitted on a training fold."""
