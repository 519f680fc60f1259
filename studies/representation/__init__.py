"""What can be read linearly from each stream of a model, and how alike the streams are."""
