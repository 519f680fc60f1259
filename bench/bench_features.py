"""Reading, heart-rate variability and MiniRocket beside the stock calls that they replace, on synthetic recordings."""

import numpy as np
import pytest

from bench.machine import facts
from ecg_ramba.data.synthetic import CohortConfig, synthesize
from ecg_ramba.data.wfdb_header import read_header
from ecg_ramba.data.wfdb_io import read_waveform
from ecg_ramba.features.minirocket import MiniRocket
from ecg_ramba.features.rhythm import rhythm_features
from ecg_ramba.signal import SignalConfig, band_pass

RECORDS, WINDOWS = 8, 16


@pytest.fixture(scope="module")
def headers(tmp_path_factory):
    """Headers of twelve-lead recordings of 10 s at 500 Hz."""
    folder = tmp_path_factory.mktemp("records") / "cohort"
    synthesize(folder, CohortConfig(source=RECORDS, third=1, subjects=1))
    return sorted((folder / "synthetic-source").rglob("*.hea"))


@pytest.fixture(scope="module")
def segments(headers):
    """Their signals, (records, 12, 5000) in mV, filtered."""
    signals = [band_pass(read_waveform(read_header(path)).signal, SignalConfig()) for path in headers]
    return np.stack(signals).astype(np.float32)


def timed(benchmark, group: str, function, count: int):
    """One call on ``count`` things; what it is divided by to compare is in ``extra_info``."""
    benchmark.group = group
    benchmark.extra_info |= facts() | {"count": count, "data": "synthetic"}
    rounds = 1 if benchmark.disabled else 15
    return benchmark.pedantic(function, warmup_rounds=0 if benchmark.disabled else 2, rounds=rounds, iterations=1)


@pytest.mark.parametrize("reader", ["ours", "wfdb"])
def test_read(benchmark, headers, reader):
    """From files to physical units."""
    import wfdb

    def read():
        if reader == "wfdb":
            return [wfdb.rdrecord(str(path.with_suffix(""))).p_signal.T for path in headers]
        return [read_waveform(read_header(path)).signal for path in headers]

    found = timed(benchmark, "read", read, len(headers))
    assert all(signal.shape == (12, 5000) for signal in found)


@pytest.mark.parametrize("by", ["ours", "neurokit2"])
def test_variability(benchmark, segments, by):
    """R peaks of one lead, and statistics in the time domain."""
    import neurokit2 as nk

    leads = np.ones(12, dtype=bool)

    def measured():
        if by == "ours":
            return [rhythm_features(segment, leads, 5000) for segment in segments]
        peaks = [nk.ecg_peaks(segment[1], sampling_rate=500)[0] for segment in segments]
        return [nk.hrv_time(p, sampling_rate=500).to_numpy() for p in peaks]

    found = timed(benchmark, "heart-rate variability", measured, len(segments))
    assert len(found) == len(segments)


@pytest.mark.parametrize("by", ["ours", "sktime"])
def test_minirocket(benchmark, segments, by):
    """9,996 features of windows of twelve leads, with equally many threads."""
    import numba
    from sktime.transformations.rocket import MiniRocketMultivariate

    windows = np.ascontiguousarray(np.tile(segments[..., :2500], (-(-WINDOWS // len(segments)), 1, 1))[:WINDOWS])
    fitted = MiniRocket.fit(windows, seed=0)
    threads = numba.get_num_threads()
    stock = MiniRocketMultivariate(num_kernels=10_000, random_state=0, n_jobs=threads).fit(windows)

    def features():
        return fitted.transform(windows, threads=threads) if by == "ours" else stock.transform(windows).to_numpy()

    found = timed(benchmark, "MiniRocket", features, len(windows))
    assert found.shape == (len(windows), 9996)
