"""Three ways of looking at recordings, each with fewer ways to tell sites apart without looking at hearts.

``as recorded``      a recording as it is: all its leads, the mean over its segments
``matched``          one whole 10 s segment a recording, the first, on the leads that all data sets have
``labels matched``   the same, weighted so that every site has each label set at the same share
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecg_ramba.data.leads import LEADS, PRECORDIAL
from ecg_ramba.data.store import Prepared
from ecg_ramba.harness.cells import Context
from ecg_ramba.keys import seed_for
from studies.probes.samples import Samples, choose_records, held_out_folds, joined, make_samples

AS_RECORDED, MATCHED, LABELS_MATCHED = "as recorded", "matched", "labels matched"
MODES = (AS_RECORDED, MATCHED, LABELS_MATCHED)


@dataclass(frozen=True, eq=False)
class View:
    """All units in one way of looking.

    Parameters
    ----------
    data : tuple of Prepared
        The data sets, the source first.
    parts : tuple of Samples
        The units of each.
    everything : Samples
        All of them in that order.
    limb : bool
        Whether V1 to V6 are left out.
    left_out : tuple of dict
        For each data set: why -> how many recordings are no unit.
    """

    data: tuple[Prepared, ...]
    parts: tuple[Samples, ...]
    everything: Samples
    limb: bool
    left_out: tuple[dict[str, int], ...]

    @property
    def leads(self) -> tuple[str, ...]:
        """The leads that are looked at."""
        return LEADS[: PRECORDIAL.start] if self.limb else LEADS

    def units_of(self, place: int, fold: int) -> np.ndarray:
        """Units of a data set that a fold's model was not trained on, numbered within it."""
        return np.flatnonzero((self.parts[place].fold == fold) | (self.parts[place].fold < 0))

    def offset(self, place: int) -> int:
        """Number of a data set's first unit among all."""
        return sum(len(p) for p in self.parts[:place])


def make_views(context: Context, records: int, least: int) -> dict[str, View]:
    """The view of every mode; the two matched ones share theirs.

    Parameters
    ----------
    context : Context
        Of the suite.
    records : int
        Most recordings of a data set, whole subjects drawn at random.
    least : int
        A data set of fewer subjects takes no part in any comparison, and no leads are left out for its sake.
    """
    data = (context.source, *context.targets)
    chosen = [choose_records(d, records, seed_for("shortcuts", d.name)) for d in data]
    made = {}
    for kind in ("record", "first"):
        found = [
            make_samples(d, context.truth.space, rows, held_out_folds(context, place), kind)
            for place, (d, rows) in enumerate(zip(data, chosen, strict=True))
        ]
        made[kind] = [f[0] for f in found], [dict(f[1]) for f in found]
    matched = _on_common_leads(data, *made["first"], least)
    parts, left_out = made["record"]
    return {
        AS_RECORDED: View(data, tuple(parts), joined(parts), False, tuple(left_out)),
        MATCHED: matched,
        LABELS_MATCHED: matched,
    }


def _on_common_leads(
    data: Sequence[Prepared], parts: list[Samples], left_out: list[dict[str, int]], least: int
) -> View:
    """Limb leads alone where a recording has no V1 to V6 at all; recordings that lack one of the rest are left out."""
    taking = [i for i, part in enumerate(parts) if len(np.unique(part.subject)) >= least]
    limb = any(not data[i].leads[parts[i].at][:, PRECORDIAL].any(1).all() for i in taking)
    needed = slice(0, PRECORDIAL.start) if limb else slice(0, len(LEADS))
    for i in taking:
        d, part = data[i], parts[i]
        whole = d.leads[part.at][:, needed].all(1)
        parts[i] = part.take(np.flatnonzero(whole))
        if not whole.all():
            left_out[i]["recordings that lack one of the leads"] = int((~whole).sum())
    return View(tuple(data), tuple(parts), joined(parts), limb, tuple(left_out))


def counts(views: dict[str, View]) -> pd.DataFrame:
    """What takes part of each data set, and why the rest does not: a row a mode and data set."""
    rows = []
    for mode in (AS_RECORDED, MATCHED):
        view = views[mode]
        for data, part, why in zip(view.data, view.parts, view.left_out, strict=True):
            about = "; ".join(f"{n} {reason}" for reason, n in why.items())
            rows.append(
                {"mode": mode, "dataset": data.name, "recordings": len(data.records), "used": len(part)}
                | {"subjects": len(np.unique(part.subject)), "left_out": about}
            )
    return pd.DataFrame(rows)
