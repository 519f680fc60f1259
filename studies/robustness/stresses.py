"""Stresses: what may go wrong with a recording before any model sees it, as pure functions Record -> Record.

A stress acts on the signal as recorded, in its own units and at its own rate, before resampling, filtering and scaling.
What it draws at random is drawn from (base seed, family, data set, record), so it depends on no other recording, and
the levels of a family (20, 10, 5 dB) are one and the same disturbance at different strengths.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ecg_ramba.data.leads import LEADS, PRECORDIAL
from ecg_ramba.data.record import Record
from ecg_ramba.errors import unknown_name
from ecg_ramba.keys import seed_for
from ecg_ramba.signal import resample
from studies.robustness.noise import DoesNotApply, changed, muscle, noisy, powerline, wander, white

CONTROL = "identity"
"""The stress that changes nothing."""


@dataclass(frozen=True, kw_only=True)
class Stress:
    """One line of the study.

    Parameters
    ----------
    name : str
        As typed after ``--stress`` and as in the CSV.
    title : str
        As printed.
    group : str
        Heading it stands under: noise, leads, sampling, amplitude, electrodes, time.
    family : str
        What its random draws are named after; the levels of a family share them.
    apply : callable
        ``apply(record, rng)`` returns another Record, or raises :class:`DoesNotApply`.
    level : float
        Its strength: dB for noise, else NaN.
    moved : float
        Seconds by which the recording begins later.
    default : bool
        Whether it runs unasked.
    """

    name: str
    title: str
    group: str
    family: str
    apply: Callable[[Record, np.random.Generator], Record]
    level: float = float("nan")
    moved: float = 0.0
    default: bool = True


def stressed(stress: Stress, record: Record, base_seed: int) -> Record:
    """The recording under a stress; the same for the same seed, whatever other recordings there are.

    Raises
    ------
    DoesNotApply
        If it cannot be stressed so, for example because it lacks the leads.
    """
    seed = seed_for(base_seed, "stress", stress.family, record.source, record.record)
    return stress.apply(record, np.random.Generator(np.random.PCG64(seed)))


def identity(record: Record, rng: np.random.Generator) -> Record:
    """The recording itself."""
    return record


def only_leads(record: Record, rng: np.random.Generator, names: Sequence[str]) -> Record:
    """The recording as if only these leads had been recorded; limb leads that follow from them are derived later."""
    kept = [i for i, lead in enumerate(record.leads) if lead in names]
    wanted = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
    if not kept:
        raise DoesNotApply(f"it has no lead {wanted}" if len(names) == 1 else f"it has none of {wanted}")
    if len(kept) == len(record.leads):
        raise DoesNotApply(f"it has no lead besides {wanted}")
    return changed(record, record.signal[kept], leads=tuple(record.leads[i] for i in kept))


def random_leads(record: Record, rng: np.random.Generator, count: int) -> Record:
    """Only so many leads, drawn from those that the recording has."""
    there = sorted(record.leads, key=LEADS.index)
    if len(there) <= count:
        raise DoesNotApply(f"it has {len(there)} leads, and {count} would be kept")
    return only_leads(record, rng, [there[i] for i in rng.permutation(len(there))[:count]])


def sampled(record: Record, rng: np.random.Generator, rate: float) -> Record:
    """The recording as if sampled at a lower rate (polyphase, with its anti-aliasing filter)."""
    if record.rate <= rate:
        raise DoesNotApply(f"it has {record.rate:g} samples per second already")
    signal = record.signal.astype(np.float64)
    offset = np.median(signal, axis=1, keepdims=True)  # else the filter would ring at both ends
    return changed(record, resample(signal - offset, record.rate, rate) + offset, rate=rate)


def scaled(record: Record, rng: np.random.Generator, factor: float) -> Record:
    """All leads times a factor."""
    return changed(record, factor * record.signal.astype(np.float64))


def one_scaled(record: Record, rng: np.random.Generator, factor: float) -> Record:
    """One lead, drawn from those that the recording has, times a factor."""
    chosen = sorted(record.leads, key=LEADS.index)[rng.integers(len(record.leads))]
    factors = np.where(np.array(record.leads) == chosen, factor, 1.0)
    return changed(record, factors[:, None] * record.signal.astype(np.float64))


def arms_swapped(record: Record, rng: np.random.Generator) -> Record:
    """Electrodes of the right and the left arm exchanged.

    Exact for potentials: I is inverted, II and III change places, and so do aVR and aVL; aVF and, since Wilson's
    central terminal is the mean of the three limbs, V1 to V6 stay. What a new lead needs and the recording lacks
    follows from I and II.
    """
    if record.units != "mV":
        raise DoesNotApply("its leads are standardised one by one, so they no longer follow from each other")
    old = dict(zip(record.leads, record.signal.astype(np.float64), strict=True))
    if {"I", "II"} <= set(old):
        one, two = old["I"], old["II"]
        derived = {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2}
        old = derived | old
    takes = {"I": ("I", -1.0), "II": ("III", 1.0), "III": ("II", 1.0), "aVR": ("aVL", 1.0), "aVL": ("aVR", 1.0)}
    wanted = [takes.get(lead, (lead, 1.0)) for lead in record.leads]
    if all(name == lead and sign == 1 for (name, sign), lead in zip(wanted, record.leads, strict=True)):
        raise DoesNotApply("it has no lead that depends on the arms")
    if lacking := [name for name, _ in wanted if name not in old]:
        raise DoesNotApply(f"it has no lead {lacking[0]}, nor I and II to derive it from")
    return changed(record, np.stack([sign * old[name] for name, sign in wanted]))


def rolled(record: Record, rng: np.random.Generator, seconds: float) -> Record:
    """The recording begun later: its first seconds are put behind its end, so that its length stays."""
    return changed(record, np.roll(record.signal, -round(seconds * record.rate), axis=1))


def shortened(record: Record, rng: np.random.Generator, seconds: float) -> Record:
    """The first seconds of the recording."""
    samples = int(np.ceil(seconds * record.rate))
    if record.signal.shape[1] <= samples:
        raise DoesNotApply(f"it is not longer than {seconds:g} s")
    return changed(record, record.signal[:, :samples])


def saturated(record: Record, rng: np.random.Generator, share: float = 0, millivolts: float = 0) -> Record:
    """Each lead clipped at a distance from its median: the quantile ``share`` of its own distances, or millivolts."""
    if millivolts and record.units != "mV":
        raise DoesNotApply(f"its units are {record.units}, not mV")
    signal = record.signal.astype(np.float64)
    middle = np.median(signal, axis=1, keepdims=True)
    away = signal - middle
    most = millivolts or np.quantile(np.abs(away), share, axis=1, keepdims=True)
    return changed(record, middle + np.clip(away, -most, most))


_LIMB, _CHEST = LEADS[: PRECORDIAL.start], LEADS[PRECORDIAL]
_NOISES = (
    ("white", "white noise", white, True),
    ("wander", "baseline wander", wander, True),
    ("muscle", "muscle noise", muscle, True),
    ("mains50", "powerline noise, 50 Hz", partial(powerline, hertz=50), True),
    ("mains60", "powerline noise, 60 Hz", partial(powerline, hertz=60), False),
)
DECIBELS = (20, 10, 5)
"""Signal-to-noise ratios."""


def _noise(name: str, title: str, noise: Callable, default: bool) -> list[Stress]:
    return [
        Stress(
            name=f"{name}-{level}db",
            title=f"{title}, {level} dB",
            group="noise",
            family=name,
            apply=partial(noisy, noise=noise, decibel=level),
            level=float(level),
            default=default,
        )
        for level in DECIBELS
    ]


def _plain(name: str, title: str, group: str, apply: Callable, moved: float = 0.0) -> Stress:
    return Stress(name=name, title=title, group=group, family=name, apply=apply, moved=moved)


STRESSES: dict[str, Stress] = {
    stress.name: stress
    for stress in (
        _plain(CONTROL, "nothing changed (control)", "control", identity),
        *(level for noise in _NOISES for level in _noise(*noise)),
        _plain("leads-3", "three leads, drawn at random", "leads", partial(random_leads, count=3)),
        _plain("leads-limb", "limb leads alone", "leads", partial(only_leads, names=_LIMB)),
        _plain("leads-chest", "V1 to V6 alone", "leads", partial(only_leads, names=_CHEST)),
        *(_plain(f"lead-{n}", f"lead {n} alone", "leads", partial(only_leads, names=(n,))) for n in LEADS),
        _plain("rate-250", "sampled at 250 Hz", "sampling", partial(sampled, rate=250.0)),
        _plain("rate-100", "sampled at 100 Hz", "sampling", partial(sampled, rate=100.0)),
        _plain("gain-1.2", "all leads times 1.2", "amplitude", partial(scaled, factor=1.2)),
        _plain("gain-0.8", "all leads times 0.8", "amplitude", partial(scaled, factor=0.8)),
        _plain("gain-one", "one lead times 0.5", "amplitude", partial(one_scaled, factor=0.5)),
        _plain("clip-p95", "clipped at each lead's 95th percentile", "amplitude", partial(saturated, share=0.95)),
        _plain("clip-1mv", "clipped at 1 mV", "amplitude", partial(saturated, millivolts=1.0)),
        _plain("arms-swapped", "right and left arm exchanged", "electrodes", arms_swapped),
        _plain("shift-0.5s", "begun 0.5 s later", "time", partial(rolled, seconds=0.5), moved=0.5),
        _plain("shift-1.25s", "begun 1.25 s later", "time", partial(rolled, seconds=1.25), moved=1.25),
        _plain("first-5s", "the first 5 s", "time", partial(shortened, seconds=5.0)),
    )
}
"""All stresses by name, in the order of tables."""


def choose_stresses(names: Sequence[str] = ()) -> tuple[Stress, ...]:
    """The stresses to run: the default ones, or those named (by a family or a group, all of it); the control always.

    Raises
    ------
    UserError
        For an unknown name, with the nearest known one and all of them.
    """
    wanted = {CONTROL}
    for name in names or [s.name for s in STRESSES.values() if s.default]:
        found = {s.name for s in STRESSES.values() if name in (s.name, s.family, s.group)}
        if not found:
            raise unknown_name("stress", name, STRESSES)
        wanted |= found
    return tuple(s for s in STRESSES.values() if s.name in wanted)
