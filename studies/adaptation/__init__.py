"""Few-shot target access, a study apart from zero-shot: what labels of a few target subjects are worth.

Half of a target's subjects test, drawn once; of the others 1, 5 and 10 % of all subjects lend their labels, in several
draws, each share within the next. Two ways to use them: a map of each class's unit score (``calibrate``), and the last
linear layer of each fold's network (``head``). Nothing is chosen on the test subjects, and 0 % is the zero-shot score.
"""
