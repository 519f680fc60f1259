"""What a folder of recordings is good for: labels, people, signal quality, and what would leak."""
