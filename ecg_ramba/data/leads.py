"""The twelve standard leads: their order, their names in real files, and the limb leads that follow from I and II."""

from functools import lru_cache

import numpy as np

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""The order of leads everywhere in this project (PhysioNet's)."""

PRECORDIAL = slice(6, 12)
"""Rows V1 to V6 of a twelve-lead array."""

_CANONICAL = {name.lower(): name for name in LEADS}


@lru_cache(maxsize=1024)
def canonical_lead(name: str) -> str | None:
    """The standard spelling of a lead name in any case (``AVR`` -> ``aVR``); None if it is none of the twelve."""
    return _CANONICAL.get(name.strip().lower())


def to_twelve(signal: np.ndarray, leads: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Put leads in standard order and derive missing limb leads from I and II.

    Einthoven: III = II - I. Goldberger: aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2.
    They hold for potentials, so this comes before any scaling per lead. V1 to V6 cannot be derived and stay absent.

    Parameters
    ----------
    signal : (n_leads, n_samples) array
        Potentials, all in one unit.
    leads : tuple of str
        Lead names of the rows, standard spelling, no name twice.

    Returns
    -------
    twelve : (12, n_samples) array, same dtype
        Absent leads are zero.
    present : (12,) bool array
        Which leads were measured or derived.
    """
    twelve = np.zeros((len(LEADS), signal.shape[1]), dtype=signal.dtype)
    present = np.zeros(len(LEADS), dtype=bool)
    for row, name in enumerate(leads):
        i = LEADS.index(name)
        twelve[i], present[i] = signal[row], True
    if present[0] and present[1]:
        one, two = twelve[0], twelve[1]
        derived = {2: two - one, 3: -(one + two) / 2, 4: one - two / 2, 5: two - one / 2}
        for i, values in derived.items():
            if not present[i]:
                twelve[i], present[i] = values, True
    return twelve, present
