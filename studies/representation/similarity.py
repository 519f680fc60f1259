"""How alike two representations of the same units are: debiased linear CKA, with the unbiased HSIC under weights.

CKA: Kornblith et al. 2019, "Similarity of neural network representations revisited". Unbiased HSIC: Song et al. 2012,
JMLR 13, equation 5, a U-statistic over four different units; with it CKA of unrelated representations is 0 on average
however few units there are, where the plain one tends to 1 (Nguyen, Raghu and Kornblith 2021).

A bootstrap draws subjects with replacement, and two copies of one unit are as alike as can be. Here a draw is a weight
on each unit and the four units of every term are different, so that copies never meet.
"""

import numpy as np

LEAST = 10
"""Fewest subjects for a similarity."""


def gram(x: np.ndarray) -> np.ndarray:
    """Linear kernel (n, n) of columns with mean 0 and together variance 1, diagonal 0; constant columns say nothing."""
    x = np.asarray(x, dtype=np.float64)
    x = x - x.mean(0)
    spread = np.sqrt((x**2).sum() / max(1, len(x)))
    x = x / spread if spread > 0 else x
    out = x @ x.T
    np.fill_diagonal(out, 0.0)
    return out


def hsic(k: np.ndarray, l: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Unbiased HSIC of two kernels for each column of weights.

    Parameters
    ----------
    k, l : (n, n) arrays
        Symmetric, diagonal 0.
    weights : (n, D) array, optional
        How often each unit is drawn; by default one column of ones.

    Returns
    -------
    (D,) array
        NaN where fewer than four units have weight.
    """
    w = np.ones((len(k), 1)) if weights is None else np.asarray(weights, dtype=np.float64)
    both = k * l
    kw, lw = k @ w, l @ w
    both_w, both_w2 = both @ w, both @ w**2
    # sums over two, three and four different units; a unit that stands in both kernels stands for itself once
    pairs = (w * both_w).sum(0)
    triples = (w * (kw * lw - both_w2)).sum(0)
    shared = (w**2 * (kw * lw - both_w2)).sum(0)
    fours = (w * kw).sum(0) * (w * lw).sum(0) - 4 * shared - 2 * (w**2 * both_w2).sum(0)
    s1, s2, s3, s4 = ((w**p).sum(0) for p in (1, 2, 3, 4))
    n2 = s1**2 - s2
    n3 = s1**3 - 3 * s1 * s2 + 2 * s3
    n4 = s1**4 - 6 * s1**2 * s2 + 3 * s2**2 + 8 * s1 * s3 - 6 * s4
    enough = (w > 0).sum(0) >= 4
    n2, n3, n4 = (np.where(enough, n, np.nan) for n in (n2, n3, n4))
    return pairs / n2 - 2 * triples / n3 + fours / n4


def cka(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Debiased linear CKA of two representations (n, d1) and (n, d2); (D,), NaN where one of them is constant."""
    return cka_of(gram(x), gram(y), weights)


def cka_of(k: np.ndarray, l: np.ndarray, weights=None, own_k=None, own_l=None) -> np.ndarray:
    """The same from kernels; ``own_k`` and ``own_l``: the HSIC of each with itself, where it is known."""
    own_k = hsic(k, k, weights) if own_k is None else own_k
    own_l = hsic(l, l, weights) if own_l is None else own_l
    scale = np.where((own_k > 0) & (own_l > 0), own_k * own_l, np.nan)
    return hsic(k, l, weights) / np.sqrt(scale)
