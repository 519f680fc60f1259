"""Timings: `pytest --benchmark-only`."""
