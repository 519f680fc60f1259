"""The reading room: a local web page for people who read ECGs, and the server behind it.

Every number it shows is computed from the uploaded signal by the loaded models. A research tool, not a medical device.
"""
