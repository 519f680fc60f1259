"""Accuracy and cost against token length, Mamba against attention."""
