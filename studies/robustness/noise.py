"""Noise as it gets into recordings: white, baseline wander, muscle, powerline, each at a signal-to-noise ratio.

The ratio is ``10 log10(mean((x - median(x))^2) / mean(noise^2))`` over the whole recording, for each lead by itself;
the noise is scaled so that it is met exactly, and is independent between leads.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from ecg_ramba.data.base import quality_of
from ecg_ramba.data.record import Record

WANDER_HZ, MUSCLE_HZ = (0.05, 1.0), (20.0, 150.0)
MAINS = ((1, 1.0), (2, 1 / 2), (3, 1 / 3))
"""Harmonics of powerline noise and their amplitudes."""


class DoesNotApply(Exception):
    """A recording that a stress cannot act on; the message says why."""


def white(record: Record, rng: np.random.Generator) -> np.ndarray:
    """White Gaussian noise (leads, samples)."""
    return rng.standard_normal(record.signal.shape)


def wander(record: Record, rng: np.random.Generator) -> np.ndarray:
    """Baseline wander (leads, samples): Gaussian, power density 1/f from 0.05 to 1 Hz."""
    return _shaped(record, rng, WANDER_HZ, lambda f: 1 / f)


def muscle(record: Record, rng: np.random.Generator) -> np.ndarray:
    """Muscle noise (leads, samples): Gaussian, flat power density from 20 to 150 Hz, or to half the record's rate."""
    return _shaped(record, rng, MUSCLE_HZ, np.ones_like)


def powerline(record: Record, rng: np.random.Generator, hertz: float) -> np.ndarray:
    """Powerline noise (leads, samples): the fundamental with its second and third harmonics at 1/2 and 1/3 of its
    amplitude, those below half the recording's rate, each with a random phase in each lead."""
    if record.rate <= 2 * hertz:
        raise DoesNotApply(f"{hertz:g} Hz is not below half its rate of {record.rate:g} samples per second")
    time = np.arange(record.signal.shape[1]) / record.rate
    phases = rng.uniform(0, 2 * np.pi, (len(MAINS), len(record.leads), 1))
    return sum(
        amplitude * np.sin(2 * np.pi * harmonic * hertz * time + phase)
        for (harmonic, amplitude), phase in zip(MAINS, phases, strict=True)
        if 2 * harmonic * hertz < record.rate
    )


def _shaped(record: Record, rng: np.random.Generator, band: tuple[float, float], density) -> np.ndarray:
    """Gaussian noise whose power density within a band is that of a function of frequency; nothing outside."""
    samples = record.signal.shape[1]
    spectrum = np.fft.rfft(rng.standard_normal(record.signal.shape), axis=1)
    hertz = np.fft.rfftfreq(samples, 1 / record.rate)
    inside = (hertz >= band[0]) & (hertz <= band[1])
    if not inside.any():
        raise DoesNotApply(f"{band[0]:g} to {band[1]:g} Hz cannot be in it: {record.rate:g} samples per second")
    weight = np.zeros(len(hertz))
    weight[inside] = np.sqrt(density(hertz[inside]))
    return np.fft.irfft(spectrum * weight, samples, axis=1)


def noisy(record: Record, rng: np.random.Generator, noise: Callable, decibel: float) -> Record:
    """The recording with noise at a signal-to-noise ratio in each lead; a constant lead stays as it is."""
    signal = record.signal.astype(np.float64)
    power = np.mean((signal - np.median(signal, axis=1, keepdims=True)) ** 2, axis=1)
    added = noise(record, rng)
    factor = np.sqrt(power / np.mean(added**2, axis=1) / 10 ** (decibel / 10))
    return changed(record, signal + factor[:, None] * added)


def changed(record: Record, signal: np.ndarray, **changes) -> Record:
    """The recording with another signal (and leads or rate), float32; what is said of its quality follows."""
    signal = signal.astype(np.float32)
    leads = changes.get("leads", record.leads)
    quality = quality_of(signal, leads, record.units)
    return dataclasses.replace(record, signal=signal, quality=quality, **changes)
