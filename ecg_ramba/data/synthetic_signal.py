"""Waveforms of the synthetic cohort: heartbeats as sums of Gaussians on a dipole, and what a site adds to them.

Synthetic throughout. It tests the suite and says nothing of patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, sosfilt

from ecg_ramba.data.leads import LEADS, to_twelve

TILE_S = 10.0
"""Seconds of a segment; the rhythm plant is laid out within each."""

SLOW, FAST = 1.3, 0.72
"""RR intervals of a slow and of a fast stretch, as multiples of the middle stretch's."""

JITTER = 0.03
"""Standard deviation of an RR interval, as a part of it: the same everywhere."""

HUM_HZ = 25.0
"""Frequency of the source site's artefact: inside the pass band, so that filtering leaves it."""

WANDER_HZ = (0.6, 1.1)
"""Band of the wander that filtering leaves."""

SWELL, SWELL_S = 0.6, 2.5
"""Standard deviation of the logarithm of the wander's envelope, and seconds between its turning points."""

_V_ANGLES = np.deg2rad([115, 94, 75, 50, 25, 0])
_DIPOLE = {
    "I": (1.0, 0.0, 0.0),
    "II": (0.5, np.sqrt(0.75), 0.0),
    **{f"V{i + 1}": (np.cos(a), 0.15, np.sin(a)) for i, a in enumerate(_V_ANGLES)},
}
"""Directions of the leads that are not derived: left, down, forward."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A recording place and its peculiarities.

    ``leads`` as written to file; ``rate`` in Hz; ``heart_rate`` mean and standard deviation in beats per minute;
    ``gain`` multiplies the heart's potentials; ``noise`` (white) and ``wander`` (in the pass band) are standard
    deviations in mV, ``drift`` (below it) an amplitude.
    """

    name: str
    leads: tuple[str, ...]
    rate: int
    heart_rate: tuple[float, float]
    gain: float
    noise: float
    wander: float
    drift: float


@dataclass(frozen=True, kw_only=True)
class Person:
    """One subject: everything that is drawn without looking at a label."""

    nn: float
    axis: float
    amplitude: float
    t_wave: float
    p_wave: float
    noise: float
    wander: float


def draw_person(site: Site, rng: np.random.Generator) -> Person:
    """A subject of a site: RR interval in seconds, electrical axis, amplitudes, how noisy the recording is."""
    mean, sd = site.heart_rate
    return Person(
        nn=60 / np.clip(rng.normal(mean, sd), mean - 2 * sd, mean + 2 * sd),
        axis=np.deg2rad(rng.uniform(35, 65)),
        amplitude=site.gain * rng.lognormal(0, 0.15),
        t_wave=rng.uniform(0.45, 0.65),
        p_wave=rng.uniform(0.08, 0.15),
        noise=site.noise * rng.lognormal(0, 0.3),
        wander=site.wander * rng.lognormal(0, 0.35),
    )


def beat_times(pattern: Sequence[tuple[float, float]], nn: float, rng: np.random.Generator) -> np.ndarray:
    """Times of the R peaks.

    Parameters
    ----------
    pattern : sequence of (float, float)
        For each 10 s tile the factor of the RR interval in its first and in its last 2.5 s; the 5 s between have 1.
    nn : float
        RR interval in seconds where the factor is 1.
    rng : numpy.random.Generator
        Phase and jitter.

    Returns
    -------
    (n,) float64 array
        Seconds, from before 0 to after the end. A window of 5 s never holds both ends of a tile.
    """
    times = [-rng.uniform(0, 1) * nn * pattern[0][0]]
    while times[-1] < TILE_S * len(pattern):
        tile, phase = divmod(max(times[-1], 0.0), TILE_S)
        first, last = pattern[int(tile)]
        factor = first if phase < TILE_S / 4 else last if phase >= TILE_S * 3 / 4 else 1.0
        times.append(times[-1] + nn * factor * (1 + JITTER * rng.standard_normal()))
    return np.array(times)


def beats(times: np.ndarray, person: Person, site: Site, seconds: float, *, wide: bool, inverted: bool) -> np.ndarray:
    """The heart alone: (leads, samples) float64 in mV, in the leads that are not derived.

    Parameters
    ----------
    times : (n,) float array
        R peaks in seconds.
    person, site : Person, Site
        Amplitudes, axis, leads and rate.
    seconds : float
        Length.
    wide : bool
        The wide QRS complex.
    inverted : bool
        The inverted T wave.
    """
    axis, size = person.axis, person.amplitude
    main = np.array([np.cos(axis), np.sin(axis), -0.35])
    repolarisation = np.array([0.6, 0.75, 0.3]) * person.t_wave * (-1 if inverted else 1)
    waves = [  # direction and height, centre and width in seconds
        (np.array([0.5, 0.85, 0.1]) * person.p_wave, -0.16, 0.020),
        (main * (0.85 if wide else 1.0), 0.0, 0.012),
        (repolarisation, 0.27, 0.045),
    ]
    if wide:  # slurred, with a steep upstroke, so that R peaks are found as well as in a narrow complex
        waves.append((main * 0.65, 0.038, 0.030))
    else:
        waves.append((np.array([-0.2, -0.1, 0.6]) * 0.15, -0.030, 0.010))
        waves.append((np.array([-0.2, -0.3, -0.8]) * 0.35, 0.032, 0.012))
    n = round(seconds * site.rate)
    directions = np.array([_DIPOLE[lead] for lead in base_leads(site)])
    out = np.zeros((len(directions), n))
    for vector, centre, width in waves:
        reach = int(np.ceil(4.5 * width * site.rate))
        course = np.zeros(n)
        for t in times + centre:
            middle = round(t * site.rate)
            i = np.arange(max(middle - reach, 0), min(middle + reach + 1, n))
            course[i] += np.exp(-0.5 * ((i / site.rate - t) / width) ** 2)
        out += np.outer(directions @ vector, course)
    return out * size


def disturbance(person: Person, site: Site, seconds: float, rng: np.random.Generator, *, hum: bool) -> np.ndarray:
    """What the site adds: white noise, wander inside the pass band, drift below it, an offset, and hum where asked for.

    The wander outweighs the beats in a lead's standard deviation, and swells and fades within seconds. Without that the
    z-score over the recording would tell any single window how many beats the whole recording has.
    """
    n, leads = round(seconds * site.rate), len(base_leads(site))
    lead_in = 5 * site.rate
    sos = butter(2, WANDER_HZ, btype="bandpass", fs=site.rate, output="sos")
    unit = np.sqrt(site.rate / (2 * (WANDER_HZ[1] - WANDER_HZ[0])))
    wander = sosfilt(sos, rng.standard_normal((leads, n + lead_in)), axis=1)[:, lead_in:] * unit
    t = np.arange(n) / site.rate
    knots = np.arange(0, seconds + SWELL_S, SWELL_S)
    wander *= np.interp(t, knots, np.exp(SWELL * rng.standard_normal(len(knots))))
    drift = np.sin(2 * np.pi * (rng.uniform(0.05, 0.15, (leads, 1)) * t + rng.uniform(0, 1, (leads, 1))))
    offset = rng.normal(0, 0.2, (leads, 1))
    out = person.noise * rng.standard_normal((leads, n)) + person.wander * wander + site.drift * drift + offset
    if hum:
        weight = rng.uniform(0.6, 1.4, (leads, 1)) * 0.08 * site.gain
        out += weight * np.sin(2 * np.pi * (HUM_HZ * t + rng.uniform(0, 1)))
    return out


def base_leads(site: Site) -> tuple[str, ...]:
    """The leads that are generated; the other limb leads follow from I and II."""
    return tuple(lead for lead in _DIPOLE if lead in site.leads)


def recorded(signal: np.ndarray, site: Site) -> np.ndarray:
    """All leads of the site, in the order of its files, from those of :func:`base_leads`."""
    twelve, _ = to_twelve(signal, base_leads(site))
    return twelve[[LEADS.index(lead) for lead in site.leads]]
