"""How often the 95 % intervals of the evaluation hold the truth, by simulation."""
