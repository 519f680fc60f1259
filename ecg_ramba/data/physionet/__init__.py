"""PhysioNet: what it publishes, and how it is fetched."""
