"""What the reading room says of a recording: measurements, warnings, predictions, saliency, filters, the PDF.

Nothing here knows of a server: each part takes a recording (and fold models) and returns what is shown.
"""
