"""Competitors: one file a model, all with one signature."""
