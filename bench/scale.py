"""``python -m bench scale``: tens of thousands of recordings through prepare and one fold's features.

The recordings are synthetic, in Chapman's form (12 leads, 10 s, 500 Hz, WFDB), each with samples of its own. Measured
are time, anonymous memory (RssAnon: what cannot be given back to the disk) of this process and its workers together,
and the same work done with the stock calls on a few recordings, extrapolated.
"""

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.machine import facts
from ecg_ramba.data.registry import dataset
from ecg_ramba.data.store import Prepared, prepare
from ecg_ramba.data.synthetic import CODES, SOURCE, CohortConfig, synthesize
from ecg_ramba.data.synthetic_files import write_snomed
from ecg_ramba.errors import UserError
from ecg_ramba.files import building, is_complete
from ecg_ramba.harness.cells import Cell
from ecg_ramba.harness.config import SuiteConfig
from ecg_ramba.harness.contexts import make_context
from ecg_ramba.harness.executors.jobs import Executor
from ecg_ramba.harness.feature_jobs import compute_features
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.variants import REFERENCE, all_variants
from ecg_ramba.signal import SEGMENT, SignalConfig, WindowView, without_precordial

DIFFERENT = 64
"""Recordings that are synthesized; the others are these, moved in time, with noise of their own."""

TARGET = "synthetic-third"
BATCH = 45


def write_recordings(folder: Path, number: int, progress: Progress) -> Path:
    """Write a source of ``number`` recordings and a small target; what is there already is used again.

    Raises
    ------
    UserError
        If there are more than a record's name can count.
    """
    if not DIFFERENT <= number <= 99_999:
        raise UserError(f"--records {number}: from {DIFFERENT} to 99999")
    place = folder / f"recordings-{number}"
    if is_complete(place):
        return place
    small = folder / "small"
    synthesize(small, CohortConfig(source=DIFFERENT, third=30, subjects=1))
    reader = dataset(SOURCE.name)
    records = [reader.read(path) for path in reader.find(small / SOURCE.name)]
    with building(place) as temporary, progress.stage("write recordings", unit="recordings") as report:
        shutil.copytree(small / TARGET, temporary / TARGET)
        (temporary / SOURCE.name).mkdir()
        for i in range(number):
            rng, record = np.random.default_rng(i), records[i % DIFFERENT]
            signal = np.roll(record.signal, int(rng.integers(SEGMENT)), axis=1)
            signal = signal + rng.normal(scale=0.01, size=signal.shape).astype(np.float32)
            codes = ",".join(CODES[name] for name in sorted(record.labels)) or CODES["SNR"]
            write_snomed(temporary / SOURCE.name, f"SYNS{i + 1:05d}", signal, SOURCE, codes, 60, "Female")
            report(i + 1, number)
    return place


class Watched:
    """What :func:`watch` has seen."""

    peak_mb = 0.0


@contextlib.contextmanager
def watch(every_s: float = 0.05) -> Iterator[Watched]:
    """Look at the anonymous memory of this process and of those that it started, all together, all the time."""
    seen, ended = Watched(), threading.Event()

    def look() -> None:
        while not ended.wait(every_s):
            seen.peak_mb = max(seen.peak_mb, anonymous_mb())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
        seen.peak_mb = max(seen.peak_mb, anonymous_mb())


def anonymous_mb() -> float:
    """RssAnon of this process and of all that descend from it, MiB (Linux)."""
    parents, sizes = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, KeyError):  # it may end while it is looked at
                lines = (folder / "status").read_text().splitlines()
                status = dict(line.split(":", 1) for line in lines if ":" in line)
                parents[int(folder.name)] = int(status["PPid"])
                sizes[int(folder.name)] = int(status["RssAnon"].split()[0]) / 1024
    ours, total = {os.getpid()}, 0.0
    while ours:
        total += sum(sizes.get(pid, 0.0) for pid in ours)
        ours = {pid for pid, parent in parents.items() if parent in ours}
    return total


def measure(folder: Path, number: int, executor: Executor, compare: int, progress: Progress) -> dict:
    """Do the work once and say what it took.

    Parameters
    ----------
    folder : Path
        Holds the recordings, and the results until the end.
    number : int
        Recordings of the source.
    executor : Executor
        Where jobs run.
    compare : int
        Recordings for the stock calls; 0 leaves them out.
    progress : Progress

    Returns
    -------
    dict
        Seconds and MiB of each stage, and the machine.
    """
    recordings = write_recordings(folder, number, progress)
    out = folder / f"work-{number}"
    shutil.rmtree(out, ignore_errors=True)
    suite = SuiteConfig(source=SOURCE.name, targets=(TARGET,))
    found: dict = {"synthetic": True, "records": number, "workers": executor.workers, "machine": facts()}
    with watch() as seen, _timed(found, "prepare_s"):
        with progress.stage("prepare", unit="recordings") as report:
            data = [prepare(dataset(SOURCE.name), recordings / SOURCE.name, out, SignalConfig(), executor.here, report)]
        data.append(prepare(dataset(TARGET), recordings / TARGET, out))
    found["prepare_mb"] = seen.peak_mb
    with watch() as seen, _timed(found, "open_s"):
        prepare(dataset(SOURCE.name), recordings / SOURCE.name, out)
    with watch() as seen, _timed(found, "features_s"):
        context, _ = make_context(suite, data, out)
        config = all_variants()[REFERENCE].configuration(suite.profile)
        cell = Cell(variant=REFERENCE, model="ecg_ramba", config=config, fold=1, seed=0)
        compute_features(context, [cell], executor, progress)
    found["features_mb"] = seen.peak_mb
    found |= read_windows(data[0], context.source_table.at, context.source_table.start)
    found["windows"] = len(context.source_table)
    if compare:
        found["stock_s"] = stock_seconds(recordings / SOURCE.name, compare, executor.here, progress) * number
        found["ratio"] = found["stock_s"] / (found["prepare_s"] + found["features_s"])
    shutil.rmtree(out)
    return found


@contextlib.contextmanager
def _timed(found: dict, name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    found[name] = time.perf_counter() - began


def read_windows(data: Prepared, at: np.ndarray, start: np.ndarray, batches: int = 200) -> dict:
    """Bytes a second of random batches of windows, from the disk and from memory, and of the file read in order."""
    view = WindowView(data.segments, at, start)
    rng = np.random.default_rng(0)
    rows = [np.sort(rng.choice(len(view), min(BATCH, len(view)), replace=False)) for _ in range(batches)]
    path = data.folder / "segments.f32"
    found = {}
    for name in ("cold", "warm"):
        if name == "cold":
            _forget(path)
        began = time.perf_counter()
        size = sum(view[row].nbytes for row in rows)
        found[f"windows_{name}_mb_s"] = size / 1e6 / (time.perf_counter() - began)
    _forget(path)
    began, size = time.perf_counter(), 0
    with open(path, "rb", buffering=0) as file:
        while (piece := file.read(1 << 22)) and size < 1 << 30:
            size += len(piece)
    found["disk_in_order_mb_s"] = size / 1e6 / (time.perf_counter() - began)
    return found


def _forget(path: Path) -> None:
    """Ask the system to drop what it holds of a file in memory."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def stock_seconds(folder: Path, number: int, threads: int, progress: Progress) -> float:
    """Seconds a recording by the stock calls: wfdb, scipy lead by lead, neurokit2, sktime on each window.

    Windows are transformed as often as in a run: with all leads, without V1 to V6, and once more the four in five that
    a fold is fitted on. Components are left out, in favour of the stock calls.
    """
    import neurokit2 as nk
    import wfdb
    from scipy.signal import butter, sosfiltfilt
    from sktime.transformations.rocket import MiniRocketMultivariate

    headers = sorted(folder.glob("*.hea"))[:number]
    config = SignalConfig()
    sos = butter(config.order, [config.low, config.high], "bandpass", fs=config.rate, output="sos")
    took, stock = 0.0, None
    with progress.stage("stock calls", unit="recordings") as report:
        for done in range(0, len(headers), 16):
            began = time.perf_counter()
            windows = []
            for path in headers[done : done + 16]:
                signal = wfdb.rdrecord(str(path.with_suffix(""))).p_signal.T
                filtered = np.stack([sosfiltfilt(sos, lead) for lead in signal])
                peaks, _ = nk.ecg_peaks(filtered[1], sampling_rate=500)
                nk.hrv_time(peaks, sampling_rate=500)
                scaled = (filtered - filtered.mean(1, keepdims=True)) / filtered.std(1, keepdims=True)
                windows += [scaled[:, s : s + 2500] for s in (0, 1250, 2500)]
            batch = np.stack(windows).astype(np.float32)
            if stock is None:  # the first batch fits and compiles, and is not counted
                stock = MiniRocketMultivariate(10_000, random_state=0, n_jobs=threads).fit(batch)
                stock.transform(batch)
                continue
            stock.transform(batch)
            stock.transform(without_precordial(batch))
            stock.transform(batch[: len(batch) * 4 // 5])
            took += time.perf_counter() - began
            report(done + len(windows) // 3, len(headers))
    return took / max(1, len(headers) - 16)
