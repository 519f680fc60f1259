"""Reading, heart-rate variability, MiniRocket and components beside the stock calls, on synthetic recordings."""

import numpy as np
import pytest

from bench.machine import facts
from ecg_ramba.data.synthetic import CohortConfig, synthesize
from ecg_ramba.data.wfdb_header import read_header
from ecg_ramba.data.wfdb_io import read_waveform
from ecg_ramba.features.components import GroupedMoments, allocate
from ecg_ramba.features.minirocket import MiniRocket
from ecg_ramba.features.rhythm import rhythm_features
from ecg_ramba.signal import SignalConfig, WindowView, band_pass

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
    """From files to physical units, one recording in memory at a time.

    Both are called before either is timed: how the C library hands out large arrays depends on those it had before, and
    costs as much as the reading. In a run it has had larger ones.
    """
    import wfdb

    def ours(path):
        return read_waveform(read_header(path)).signal

    def stock(path):
        return wfdb.rdrecord(str(path.with_suffix(""))).p_signal.T

    assert all(ours(path).shape == stock(path).shape == (12, 5000) for path in headers)
    chosen = ours if reader == "ours" else stock
    assert (
        timed(benchmark, "read", lambda: sum(chosen(path).shape[1] for path in headers), len(headers)) == 5000 * RECORDS
    )


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


@pytest.mark.parametrize("by", ["ours", "scikit-learn"])
def test_components(benchmark, by):
    """Components of MiniRocket features: exact for each dilation group, or of all by random projection."""
    from sklearn.decomposition import PCA

    count, wanted = (256, 32) if benchmark.disabled else (4096, 512)
    sizes = np.array([1260, 1176, 1092, 1008, *[420] * 12, 420])
    ends = np.cumsum(sizes).tolist()
    groups = [slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    rng = np.random.default_rng(0)
    features = rng.random((count, ends[-1]), dtype=np.float32)

    def found():
        if by == "scikit-learn":
            return PCA(wanted, svd_solver="randomized", random_state=0).fit(features).components_.T
        moments = GroupedMoments(groups, ends[-1], count)
        for start in range(0, count, 64):
            moments.add(features[start : start + 64])
        return moments.components(allocate(sizes, wanted, np.minimum(sizes, count - 1)))

    benchmark.group = "principal components"
    benchmark.extra_info |= facts() | {"count": count, "data": "synthetic"}
    rounds = 1 if benchmark.disabled else 3
    loadings = benchmark.pedantic(found, rounds=rounds, iterations=1)
    assert loadings.shape[0] == ends[-1]


@pytest.mark.parametrize("by", ["windows", "file in order"])
def test_stored_windows(benchmark, segments, tmp_path, by):
    """Random windows of a prepared store that is in memory, beside reading as many bytes of it in order."""
    copies = 1 if benchmark.disabled else 64
    content = np.tile(segments, (copies, 1, 1))
    content.tofile(tmp_path / "segments.f32")
    stored = np.memmap(tmp_path / "segments.f32", dtype="<f4", mode="r", shape=content.shape)
    rng = np.random.default_rng(0)
    at = rng.integers(len(content), size=2 * len(content))  # as many bytes as the file has
    view = WindowView(stored, at, rng.choice([0, 1250, 2500], len(at)))

    def read():
        if by == "windows":
            return sum(view[i : i + 45].nbytes for i in range(0, len(at), 45))
        with open(tmp_path / "segments.f32", "rb", buffering=0) as file:
            return sum(len(piece) for piece in iter(lambda: file.read(1 << 22), b""))

    assert timed(benchmark, "stored windows", read, len(at)) == content.nbytes
