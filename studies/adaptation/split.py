"""Which subjects of a target test, and which lend their labels: drawn from the recordings' identities alone.

A subject here is a group of :func:`ecg_ramba.harness.splits.groups_of`: records of one person, or of the same samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.harness.splits import groups_of, make_folds
from ecg_ramba.keys import array_digest, digest, seed_for


@dataclass(frozen=True)
class TargetSplit:
    """The two sides of one target, the same for every share, draw and variant.

    Parameters
    ----------
    name : str
        Of the data set.
    record : (n,) str array
        Names of its recordings.
    group : (n,) int array
        Subject of each.
    test : (n,) bool array
        Recordings of the test subjects.
    order : (draws, m) int array
        The other subjects, in a random order a draw: a share takes the first ones, so that shares are nested.
    """

    name: str
    record: np.ndarray
    group: np.ndarray
    test: np.ndarray
    order: np.ndarray

    @property
    def subjects(self) -> int:
        """Subjects of the whole target."""
        return int(self.group.max()) + 1

    @property
    def test_subjects(self) -> int:
        """Subjects that test."""
        return len(np.unique(self.group[self.test]))

    @property
    def key(self) -> str:
        """Content key."""
        return digest([self.name, self.record.tolist(), array_digest(self.group, self.test, self.order)])

    def count(self, share: float) -> int:
        """Subjects that a share in per cent amounts to: at least one, none for 0.

        Raises
        ------
        UserError
            If so many are not left beside the test subjects.
        """
        if share == 0:
            return 0
        wanted = max(1, int(share * self.subjects / 100 + 0.5))
        if wanted > self.order.shape[1]:
            most = int(100 * self.order.shape[1] / self.subjects)
            raise UserError(
                f"--shares {share:g}: {wanted} of the {self.subjects} subjects of {self.name}, and only "
                f"{self.order.shape[1]} are no test subjects; ask for {most} at most"
            )
        return wanted

    def adapting(self, share: float, draw: int) -> np.ndarray:
        """(n,) bool: recordings whose labels a share and draw may use."""
        return np.isin(self.group, self.order[draw, : self.count(share)])


def split_target(records: pd.DataFrame, labels: np.ndarray, name: str, draws: int, seed: int) -> TargetSplit:
    """Halve a target, stratified on the rarest label as the source's folds are, and order the other half.

    Parameters
    ----------
    records : DataFrame
        Its recordings, with ``record``, ``subject`` and ``signal_digest``.
    labels : (n, classes) bool array
        They balance the two halves and decide nothing else; the order of the other half does not depend on them.
    name : str
    draws : int
        Orders to draw.
    seed : int
        Base seed.

    Raises
    ------
    UserError
        If the subjects cannot be halved.
    """
    try:
        fold = make_folds(records, labels, 2, seed_for(seed, name, "adaptation", "test"))
    except LeakageError:
        raise
    except UserError as error:
        raise UserError(f"{name} cannot be halved into subjects that test and subjects that adapt: {error}") from error
    group, test = groups_of(records), fold == 1
    pool = np.unique(group[~test])
    rngs = [np.random.default_rng(seed_for(seed, name, "adaptation", "draw", d)) for d in range(draws)]
    order = np.stack([rng.permutation(pool) for rng in rngs])
    return TargetSplit(name, records["record"].to_numpy(str), group, test, order)


def check_apart(records: pd.DataFrame, test: np.ndarray, adapting: np.ndarray) -> None:
    """Refuse a subject or a signal on both sides.

    Raises
    ------
    LeakageError
        Naming the recordings.
    """
    for column, what in (("subject", "subject"), ("signal_digest", "signal")):
        values = records[column].to_numpy()
        shared = set(values[test]) & set(values[adapting])
        if shared:
            key = min(shared)
            names = ", ".join(records["record"].to_numpy()[values == key])
            raise LeakageError(f"test and adaptation share a {what} (records {names}); the split must be made again")


def conditions(shares: Sequence[float], draws: int) -> list[tuple[float, int]]:
    """(share, draw) pairs, zero-shot first and once."""
    return [(0.0, 0), *((s, d) for s in sorted(set(shares)) if s > 0 for d in range(draws))]
