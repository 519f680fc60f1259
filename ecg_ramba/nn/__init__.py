"""The network: selective state spaces, ECG-RAMBA and its parts."""
