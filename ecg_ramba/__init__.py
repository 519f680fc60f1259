"""ECG-RAMBA bench: which parts of an ECG model make it generalise to hospitals it never saw."""

__version__ = "0.1.0"
