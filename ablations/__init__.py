"""The named variants of ECG-RAMBA and what runs them."""
