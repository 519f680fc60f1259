"""Trained models on recordings that were stressed as recorded, everything computed again."""
