"""Optuna searches of models' settings, fold by fold, on an inner part of the source's training subjects.

Each outer fold has a study of its own that sees that fold's training part alone: four fifths of its subjects train,
one fifth validates. So neither a target nor anything held out can steer a choice, and the best configuration of each
fold is used for that fold. Every model gets the same number of trials.
"""
