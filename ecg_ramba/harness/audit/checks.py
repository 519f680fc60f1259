"""One line of an audit: a claim, and whether what is stored bears it out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ecg_ramba.evaluation.suite import Suite

PASS, FAIL, UNCHECKED = "PASS", "FAIL", "NOT CHECKED"
MOST = 5
"""Violations that are named; the others are counted."""


@dataclass(frozen=True)
class Check:
    """A line of the checklist.

    ``part``: what it is about; ``claim``: what should be so; ``detail``: what was counted, what is wrong, or why it was
    not checked.
    """

    part: str
    claim: str
    status: str
    detail: str


@dataclass(frozen=True)
class Stored:
    """What a run stored, as far as it is there.

    Parameters
    ----------
    suite : Suite
    people : DataFrame or None
        records.parquet.
    held_out : dict of str to int, or None
        splits.json: held-out fold of each recording of the source.
    cells : list of dict, or None
        cells.json: variant, fold, seed and key of each trained cell.
    rows : list of dict
        variants.json as it stands.
    content : dict
        splits.json as it stands; {} without it.
    """

    suite: Suite
    people: pd.DataFrame | None
    held_out: dict[str, int] | None
    cells: list[dict] | None
    rows: list[dict] = field(repr=False)
    content: dict[str, Any] = field(repr=False)

    @property
    def source(self) -> pd.DataFrame:
        """Recordings of the source; only where there is records.parquet."""
        return self.people[self.people["role"] == "source"]

    @property
    def targets(self) -> pd.DataFrame:
        """Recordings of the targets; only where there is records.parquet."""
        return self.people[self.people["role"] == "target"]


def judge(part: str, claim: str, problems: Sequence[str], counted: str) -> Check:
    """PASS with what was counted, or FAIL with the first violations."""
    if not problems:
        return Check(part, claim, PASS, counted)
    more = [f"and {len(problems) - MOST} more"] if len(problems) > MOST else []
    return Check(part, claim, FAIL, "; ".join([*problems[:MOST], *more]))


def unchecked(part: str, claim: str, why: str) -> Check:
    """NOT CHECKED, and why."""
    return Check(part, claim, UNCHECKED, why)


def plural(n: int, what: str) -> str:
    """``1 subject``, ``2 subjects``."""
    return f"{n:,} {what}{'s' * (n != 1)}"
