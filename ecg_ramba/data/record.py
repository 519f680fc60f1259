"""One recording as its publisher made it: signal in millivolts, leads by name, labels with what is unknown."""

from dataclasses import dataclass, field

import numpy as np

from ecg_ramba.keys import array_digest


@dataclass(frozen=True, kw_only=True)
class Episode:
    """A stretch of one rhythm.

    ``start`` and ``end`` are in seconds from the first sample (end exclusive); ``rhythm`` is the annotation's text
    without its bracket, for example ``AFIB``.
    """

    start: float
    end: float
    rhythm: str


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What is wrong with a recording's signal, found without judging it.

    ``dead_leads``: leads that are constant over the whole recording. ``peak_mv``: largest absolute deviation from a
    lead's median, in the record's units. ``einthoven``: standard deviation of I + III - II as
    a part of that of II: rounding in a sound recording, NaN where one of the three is absent, II is constant, or the
    units are no potentials.
    """

    dead_leads: tuple[str, ...] = ()
    peak_mv: float = 0.0
    einthoven: float = float("nan")


@dataclass(frozen=True, kw_only=True)
class Record:
    """A recording and everything its publisher says of it.

    Parameters
    ----------
    signal : (n_leads, n_samples) float32 array
        Potentials in ``units``.
    leads : tuple of str
        Standard lead names of the rows.
    rate : float
        Samples per second.
    units : str
        ``mV``, or ``SD`` for derived signals that were standardised by someone else.
    source : str
        Data set it was loaded as, for example ``chapman``.
    record : str
        Its name within that data set.
    subject : str
        Subject within the publisher's release; where unknown, the record's own name (``subject_known`` False).
    publisher, publisher_id : str
        Identity across copies: PTB-XL record 1 is ("ptbxl", "1") in the original, the derived and the challenge form.
    hospital : str
        Site within the source ("" where there is one or it is not said).
    codes : tuple of str
        Diagnoses as published (SNOMED codes, SCP codes, LUDB text).
    labels : frozenset of str
        Those of the paper's 27 classes that the diagnoses map to, before merging.
    labelled : bool
        False where the record has no diagnosis at all: unlabelled, not negative.
    superclasses : frozenset of str
        PTB-XL's diagnostic superclasses (NORM, MI, STTC, CD, HYP); empty elsewhere.
    episodes : tuple of Episode, or None
        Rhythm episodes; None where the source annotates none.
    paced : bool
        A paced rhythm: kept, and counted beside AF scores because paced rhythm is regular.
    strat_fold : int
        The publisher's own fold (PTB-XL: 1 to 10), 0 elsewhere.
    age : float
        Years; NaN where it is not known.
    sex : str
        ``male``, ``female`` or "".
    device : str
        The recorder's name, as published; "" where it is not.
    warnings : tuple of str
        Repairs made while reading, in words.
    """

    signal: np.ndarray
    leads: tuple[str, ...]
    rate: float
    units: str = "mV"
    source: str
    record: str
    subject: str
    subject_known: bool = True
    publisher: str
    publisher_id: str
    hospital: str = ""
    codes: tuple[str, ...] = ()
    labels: frozenset[str] = frozenset()
    labelled: bool = True
    superclasses: frozenset[str] = frozenset()
    episodes: tuple[Episode, ...] | None = None
    paced: bool = False
    strat_fold: int = 0
    age: float = float("nan")
    sex: str = ""
    device: str = ""
    quality: Quality = field(default_factory=Quality)
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.signal.shape[1] / self.rate

    @property
    def signal_digest(self) -> str:
        """SHA-256 of the samples and the lead names: equal for exact copies under any record or patient id."""
        return array_digest(self.signal.astype("<f4", copy=False), np.array(self.leads))
