"""Rhythm of a 10 s segment: heart-rate variability in the time domain and on the Poincaré plot, and its quality.

R peaks come from neurokit2 (Makowski et al., Behavior Research Methods 53, 2021) on lead II, else I. The statistics are
neurokit2's (``hrv_time``, ``hrv_nonlinear``), computed here on one small array; figures that need minutes (LF/HF,
SDANN) or a histogram are left out, because 10 s do not define them. What cannot be measured is NaN.
"""

import warnings

import numpy as np

VARIABILITY_NAMES = (
    "mean_nn", "sdnn", "rmssd", "sdsd", "cvnn", "cvsd",
    "median_nn", "mad_nn", "mcv_nn", "iqr_nn", "prc20_nn", "prc80_nn", "min_nn", "max_nn", "range_nn",
    "sdnn_rmssd", "pnn50", "pnn20",
    "sd1", "sd2", "sd1_sd2", "ellipse",
    "mean_hr", "sd_hr", "min_hr", "max_hr",
)  # fmt: skip
"""RR statistics in ms (``pnn..`` in percent), the Poincaré ellipse (ms, ms^2), heart rate in beats per minute."""

QUALITY_NAMES = ("beats", "coverage", "plausible_nn", "plausible_step")
"""Beats found in 10 s; share of the time between first and last beat; share of RR intervals of 300 to 2000 ms; share of
successive intervals that differ by less than a factor of two. None looks at the shape of a beat."""

RHYTHM_NAMES: tuple[str, ...] = VARIABILITY_NAMES + QUALITY_NAMES
"""The columns of :func:`rhythm_features`, in order."""

PLAUSIBLE_MS = (300.0, 2000.0)
"""RR intervals outside are missed or invented beats (200 and 30 beats per minute)."""

_MAD_SCALE = 1.4826  # makes the median absolute deviation of a normal law its standard deviation; neurokit2's figure
_BEATS = len(VARIABILITY_NAMES)


def rhythm_features(segment: np.ndarray, leads: np.ndarray, valid: int, rate: float = 500.0) -> np.ndarray:
    """Heart-rate variability and signal quality of one segment.

    Parameters
    ----------
    segment : (12, 5000) array
        Filtered signal in standard lead order.
    leads : (12,) bool array
        Leads present.
    valid : int
        Samples inside the recording; the padding after them is not looked at.
    rate : float
        Samples per second.

    Returns
    -------
    (R,) float64 array
        :data:`RHYTHM_NAMES`; NaN where not measurable, all NaN without leads I and II.
    """
    out = np.full(len(RHYTHM_NAMES), np.nan)
    if not (leads[0] or leads[1]):
        return out
    row = 1 if leads[1] else 0
    peaks = r_peaks(segment[row, :valid], rate)
    nn = np.diff(peaks) / rate * 1000
    out[:_BEATS] = variability(nn)
    seconds = valid / rate
    out[_BEATS] = len(peaks) / seconds * 10
    out[_BEATS + 1] = nn.sum() / 1000 / seconds
    if len(nn):
        out[_BEATS + 2] = np.mean((nn >= PLAUSIBLE_MS[0]) & (nn <= PLAUSIBLE_MS[1]))
    if len(nn) > 1:
        out[_BEATS + 3] = np.mean(np.abs(np.log2(nn[1:] / nn[:-1])) < 1)
    return out


def r_peaks(signal: np.ndarray, rate: float = 500.0) -> np.ndarray:
    """Sample numbers of the R peaks of one filtered lead, by neurokit2's own method; empty where there are none."""
    from neurokit2 import ecg_findpeaks

    signal = np.asarray(signal, dtype=np.float64)
    if signal.size < rate or np.ptp(signal) == 0:
        return np.empty(0, dtype=np.int64)
    with warnings.catch_warnings():
        # a signal without a whole QRS complex averages an empty list inside neurokit2: no peaks is the right answer
        warnings.simplefilter("ignore", RuntimeWarning)
        found = ecg_findpeaks(signal, sampling_rate=int(rate), method="neurokit")
    return np.asarray(found["ECG_R_Peaks"], dtype=np.int64)


def variability(nn: np.ndarray) -> np.ndarray:
    """Statistics of RR intervals.

    Parameters
    ----------
    nn : (n,) float array
        Intervals in ms, in order of time.

    Returns
    -------
    (V,) float64 array
        :data:`VARIABILITY_NAMES`. One interval gives location and rate, two give spread and RMSSD, three the rest;
        a ratio whose denominator is zero is NaN.
    """
    v = dict.fromkeys(VARIABILITY_NAMES, np.nan)
    n = len(nn)
    if n == 0:
        return np.array(list(v.values()))
    ordered = np.sort(nn)
    p20, p25, median, p75, p80 = _quantiles(ordered, np.array([0.2, 0.25, 0.5, 0.75, 0.8]))
    mean, low, high = nn.mean(), ordered[0], ordered[-1]
    v |= {"mean_nn": mean, "median_nn": median, "prc20_nn": p20, "prc80_nn": p80, "min_nn": low, "max_nn": high}
    v |= {"mean_hr": 60_000 / mean, "min_hr": 60_000 / high, "max_hr": 60_000 / low}
    if n > 1:
        steps = np.diff(nn)
        absolute = np.abs(steps)
        sdnn, rmssd = nn.std(ddof=1), np.sqrt(np.mean(steps**2))
        mad = _MAD_SCALE * _quantiles(np.sort(np.abs(nn - median)), np.array([0.5]))[0]
        v |= {"sdnn": sdnn, "rmssd": rmssd, "cvnn": sdnn / mean, "cvsd": rmssd / mean}
        v |= {"mad_nn": mad, "mcv_nn": mad / median, "iqr_nn": p75 - p25, "range_nn": high - low}
        v |= {"sdnn_rmssd": _ratio(sdnn, rmssd), "sd_hr": (60_000 / nn).std(ddof=1)}
        # neurokit2 divides by the number of intervals, not of differences
        v |= {"pnn50": 100 * np.mean(absolute > 50) * (n - 1) / n, "pnn20": 100 * np.mean(absolute > 20) * (n - 1) / n}
    if n > 2:
        sdsd = steps.std(ddof=1)
        sd1, sd2 = sdsd / np.sqrt(2), (nn[:-1] + nn[1:]).std(ddof=1) / np.sqrt(2)
        v |= {"sdsd": sdsd, "sd1": sd1, "sd2": sd2, "sd1_sd2": _ratio(sd1, sd2), "ellipse": np.pi * sd1 * sd2}
    return np.array(list(v.values()))


def _quantiles(ordered: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Quantiles of sorted values by linear interpolation: ``np.quantile`` without its overhead on ten values."""
    at = q * (len(ordered) - 1)
    below = at.astype(int)
    above = np.minimum(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 else np.nan
