"""Scores, intervals, tables and figures: a function of the stored predictions; imports no torch."""
