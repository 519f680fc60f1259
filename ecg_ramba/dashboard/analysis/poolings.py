"""The rules on offer by which windows become a recording's score; light, since the server names them too."""

from ecg_ramba.evaluation.pooling import Pooling

POOLINGS: dict[str, Pooling] = {
    "power-mean-3": Pooling(),
    "max": Pooling(rule="max"),
    "mean": Pooling(rule="mean"),
    "power-mean-2": Pooling(q=2.0),
    "power-mean-5": Pooling(q=5.0),
    "power-mean-8": Pooling(q=8.0),
    "geometric": Pooling(rule="geometric"),
}
"""The pooling rules on offer, the protocol's first."""

DEFAULT_POOLING = "power-mean-3"
