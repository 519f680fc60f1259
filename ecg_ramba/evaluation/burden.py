"""How much of a recording is atrial fibrillation, and how little of it a pooled score can still reach.

At a threshold of 0.5 a power mean with exponent q cannot call a record positive whose share of positive windows is
below ``0.5 ** q``, even if every window is called right: 12.5 % at q = 3, 50 % for the mean. Their number belongs
beside the sensitivity.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecg_ramba.evaluation.pooling import Pooling
from ecg_ramba.evaluation.suite import Suite

AF_CLASS = "AF|AFL"
HOW = (
    "AF burden of a record: share of its 10 s segments inside AF or flutter, from the labels of the segment task; "
    "a segment that crosses an episode's border (absent from, or unknown in, those labels) counts one half."
)


@dataclass(frozen=True)
class Burden:
    """AF burden of the AF-positive records of one data set.

    ``share``: (n,) burden of each positive record, NaN where no segment of it is labelled.
    """

    task: str
    dataset: str
    share: np.ndarray

    def below(self, pooling: Pooling) -> int:
        """Positive records that this pooling cannot reach at a threshold of 0.5."""
        return int((self.share < pooling.burden_limit).sum())


def _record_share(rows: pd.DataFrame) -> pd.Series:
    """Burden by record from one segment task's label rows of the AF class."""
    state = np.where(rows["known"], rows["positive"].astype(float), 0.5)
    frame = pd.DataFrame({"record": rows["record"].to_numpy(), "segment": rows["segment"].to_numpy(), "state": state})
    by = frame.groupby("record", sort=True)
    # Segments are numbered from 0 without gaps, so a number that is missing was left out for crossing a border.
    # One missing at the very end cannot be seen from the labels.
    total = by["segment"].max() + 1
    return (by["state"].sum() + 0.5 * (total - by.size())) / total


def af_burdens(suite: Suite) -> list[Burden]:
    """The burden of every data set that has both a record task and a segment task for ``AF|AFL``."""
    out = []
    af = suite.labels[suite.labels["cls"] == AF_CLASS]
    for task in suite.tasks:
        segments = [t for t in suite.tasks if t.dataset == task.dataset and t.unit == "segment"]
        if task.unit != "record" or not segments or AF_CLASS not in {s.name for s in task.scores}:
            continue
        rows = af[af["task"] == task.name]
        positive = np.sort(rows["record"][rows["positive"] & rows["known"]].unique())
        share = _record_share(af[af["task"] == segments[0].name]).reindex(positive).to_numpy(float)
        out.append(Burden(task.name, task.dataset, share))
    return out
