"""Principal components of groups of features from streamed moments: exact, in bounded memory, deterministic."""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

RANK_TOLERANCE = 1e-10
"""A component whose variance is a smaller part of its group's largest carries rounding errors only; it becomes zero."""

LARGE_GROUP = 2000
"""Features from which on few components, or those of few rows, are found without the whole decomposition."""


def allocate(sizes: np.ndarray, total: int, limit: np.ndarray) -> np.ndarray:
    """Components of each group: in proportion to its size, at least one, at most ``limit``, ``total`` in all.

    The group that is furthest behind its share gets the next one, ties by order. ``total`` is exceeded only where there
    are more groups than that, and missed only where the limits forbid it.
    """
    sizes, limit = np.asarray(sizes), np.asarray(limit)
    total = min(max(total, len(sizes)), int(limit.sum()))
    share = sizes / sizes.sum() * total
    given = np.clip(np.floor(share).astype(int), 1, limit)
    while given.sum() > total:  # the ones that every group gets were taken from somebody
        given[np.argmax(np.where(given > 1, given - share, -np.inf))] -= 1
    while given.sum() < total:
        given[np.argmax(np.where(given < limit, share - given, -np.inf))] += 1
    return given


class GroupedMoments:
    """Sums and products of features, added up batch by batch, for a principal component analysis of each group.

    Parameters
    ----------
    groups : sequence of slice
        Columns of each group.
    features : int
        Columns in all.
    rows : int
        Rows to come. Of a large group with fewer rows than features the rows are kept in place of the products.
    """

    def __init__(self, groups: Sequence[slice], features: int, rows: int):
        self.groups = tuple(groups)
        self.count = 0
        self.sum = np.zeros(features)
        sizes = [g.stop - g.start for g in self.groups]
        self.kept = [np.empty((rows, s)) if s >= LARGE_GROUP and rows <= LARGE_GROUP else None for s in sizes]
        self.products = [np.zeros((s, s)) if k is None else None for s, k in zip(sizes, self.kept, strict=True)]

    def add(self, rows: np.ndarray) -> None:
        """Add ``rows`` (n, features)."""
        rows = rows.astype(np.float64)
        with one_blas_thread():
            for group, products, kept in zip(self.groups, self.products, self.kept, strict=True):
                if kept is None:
                    products += rows[:, group].T @ rows[:, group]
                else:
                    kept[self.count : self.count + len(rows)] = rows[:, group]
        self.count += len(rows)
        self.sum += rows.sum(axis=0)

    @property
    def mean(self) -> np.ndarray:
        """Means (features,) of the rows that were added."""
        return self.sum / self.count

    def components(self, number: Sequence[int]) -> np.ndarray:
        """Loadings scaled to unit variance (ddof 0) over the rows that were added.

        Parameters
        ----------
        number : sequence of int
            Components of each group.

        Returns
        -------
        (features, max(number)) float32 array
            A group's rows hold its loadings, largest variance first, the largest loading of each positive; zero beyond
            its number and its rank.
        """
        mean = self.mean
        out = np.zeros((len(mean), max(number)), dtype=np.float32)
        with one_blas_thread():
            for group, products, kept, k in zip(self.groups, self.products, self.kept, number, strict=True):
                if kept is None:
                    covariance = products / self.count - np.outer(mean[group], mean[group])
                    variance, loadings = _largest(covariance, int(k))
                else:
                    variance, loadings = _of_rows(kept[: self.count] - mean[group], int(k))
                largest = np.abs(loadings).argmax(axis=0)
                loadings = loadings * np.sign(loadings[largest, np.arange(k)])
                real = variance > max(RANK_TOLERANCE * variance[0], 1e-14)
                out[group, :k] = np.where(real, loadings / np.sqrt(np.where(real, variance, 1)), 0)
        return out


def _largest(covariance: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` largest eigenvalues, largest first, and their vectors.

    Few components of a large group are found by Lanczos iteration from a fixed start, to machine precision: seconds
    where the whole decomposition of 9,996 features takes minutes.
    """
    from scipy.linalg import eigh
    from scipy.sparse.linalg import eigsh

    size = len(covariance)
    if size >= LARGE_GROUP and k * 10 <= size:
        variance, loadings = eigsh(covariance, k, which="LA", v0=np.ones(size))
        order = np.argsort(variance, kind="stable")
        variance, loadings = variance[order], loadings[:, order]
    else:
        variance, loadings = eigh(covariance, subset_by_index=(size - k, size - 1))
    return variance[::-1], loadings[:, ::-1]


def _of_rows(centred: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The same from the centred rows themselves, of which there are fewer than features."""
    _, scale, loadings = np.linalg.svd(centred, full_matrices=False)
    return scale[:k] ** 2 / len(centred), loadings[:k].T


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Run matrix products on one thread, so that the result does not depend on how many there are."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield
