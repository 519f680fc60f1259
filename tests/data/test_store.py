"""The prepared store: the same content wherever it is made, made again when a file changes, whole or absent."""

import errno
import importlib
import os
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ecg_ramba.data import build
from ecg_ramba.data.registry import datasets
from ecg_ramba.data.store import prepare
from ecg_ramba.data.synthetic import CohortConfig, synthesize
from ecg_ramba.errors import UserError
from ecg_ramba.signal import SignalConfig, preprocess

NAME = "synthetic-third"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """WFDB files of a few synthetic records."""
    folder = tmp_path_factory.mktemp("store") / "cohort"
    synthesize(folder, CohortConfig(source=1, third=6, subjects=1))
    return folder / NAME


@pytest.fixture
def dataset():
    return datasets()[NAME]


def test_holds_what_preprocessing_gives(files, dataset, tmp_path):
    made = prepare(dataset, files, tmp_path)
    for i, header in enumerate(dataset.find(files)):
        record = dataset.read(header)
        cut = preprocess(record)
        row = made.records.iloc[i]
        assert row["record"] == record.record
        assert set(row["labels"]) == record.labels
        assert row["signal_digest"] == record.signal_digest
        span = slice(row["first_segment"], row["first_segment"] + row["n_segments"])
        assert np.array_equal(made.segments[span], cut.signal)
        assert (made.leads[span] == cut.leads).all()


def test_content_does_not_depend_on_place_time_or_workers(files, dataset, tmp_path, monkeypatch):
    first = prepare(dataset, files, tmp_path / "a")
    copy = tmp_path / "elsewhere"
    shutil.copytree(files, copy)
    for path in copy.iterdir():
        path.touch()
    monkeypatch.setattr(build, "CHUNK", 2)
    monkeypatch.setattr(build, "IN_PROCESS", 0)
    second = prepare(dataset, copy, tmp_path / "b", workers=2)
    assert second.digest == first.digest
    assert np.array_equal(second.segments, first.segments)
    assert np.array_equal(second.rhythm, first.rhythm, equal_nan=True)


def test_other_preprocessing_or_other_labels_are_other_content(files, dataset, tmp_path):
    first = prepare(dataset, files, tmp_path)
    assert prepare(dataset, files, tmp_path, SignalConfig(high=30.0)).digest != first.digest
    copy = tmp_path / "copy"
    shutil.copytree(files, copy)
    header = next(copy.glob("*.hea"))
    header.write_text(header.read_text().replace("#Dx: ", "#Dx: 270492004,"))
    changed = prepare(dataset, copy, tmp_path)
    assert changed.digest != first.digest
    assert any("IAVB" in labels for labels in changed.records["labels"])


def test_a_store_is_opened_again_and_an_incomplete_one_made_again(files, dataset, tmp_path):
    first = prepare(dataset, files, tmp_path)
    calls = []
    again = prepare(dataset, files, tmp_path, progress=lambda *a: calls.append(a))
    assert not calls
    pd.testing.assert_frame_equal(again.records, first.records)
    segments = first.folder / "segments.f32"
    segments.write_bytes(segments.read_bytes()[:-4])
    assert prepare(dataset, files, tmp_path, progress=lambda *a: calls.append(a)).digest == first.digest
    assert calls


def test_damage_is_found_by_its_checksum_and_the_store_is_made_again(files, dataset, tmp_path):
    first = prepare(dataset, files, tmp_path)
    wanted = np.array(first.segments)
    content = bytearray((first.folder / "segments.f32").read_bytes())
    content[len(content) // 2] ^= 1
    (first.folder / "segments.f32").write_bytes(content)
    said = []
    again = prepare(dataset, files, tmp_path, say=said.append)
    assert np.array_equal(again.segments, wanted)
    assert said == [f"{first.folder} is damaged (its checksums are not those of its files); it is made again"]


class Stopped(BaseException):
    """What a test stops a build with: as Ctrl-C, nothing catches it."""


@pytest.fixture
def in_parts(monkeypatch):
    """Each recording a chunk and a part of its own."""
    monkeypatch.setattr(build, "CHUNK", 1)
    monkeypatch.setattr(build, "PART_BYTES", 1)


def contents(store):
    return {p.name: p.read_bytes() for p in store.iterdir()}


@pytest.mark.parametrize("operation", ["fsync", "replace", "rename"])
def test_stopped_at_any_moment_it_goes_on_from_there(files, dataset, tmp_path, monkeypatch, in_parts, operation):
    wanted = contents(prepare(dataset, files, tmp_path / "whole").folder)
    real, calls, stop_at, read = getattr(os, operation), [], [0], []

    def once(*arguments):
        calls.append(None)
        if len(calls) == stop_at[0]:
            raise Stopped
        return real(*arguments)

    def counted(header):
        read.append(header)
        return type(dataset).read(dataset, header)

    monkeypatch.setattr(dataset, "read", counted, raising=False)
    monkeypatch.setattr(os, operation, once)
    for moment in range(1, 100):
        calls.clear()
        read.clear()
        stop_at[0] = moment
        place = tmp_path / f"{moment}"
        try:
            prepare(dataset, files, place)
            break
        except Stopped:
            stop_at[0], before = 0, len(read)
        made = prepare(dataset, files, place)
        assert contents(made.folder) == wanted
        assert len(read) <= 7, "what was finished is not read again"
        assert before + 6 > len(read) or before <= 1
        assert [p.name for p in (place / "prepared").iterdir() if not p.name.endswith(".lock")] == [made.folder.name]
    assert moment > 1


PREPARING = """
import sys
from pathlib import Path
from ecg_ramba.data import build
from ecg_ramba.data import build
from ecg_ramba.data.registry import datasets
from ecg_ramba.data.store import prepare

build.CHUNK = build.PART_BYTES = 1
made = prepare(datasets()[sys.argv[1]], Path(sys.argv[2]), Path(sys.argv[3]), say=print)
print(made.digest)
"""


def preparing(files, place):
    arguments = [sys.executable, "-c", PREPARING, NAME, str(files), str(place)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def test_a_killed_build_is_continued(files, dataset, tmp_path, in_parts):
    wanted = prepare(dataset, files, tmp_path / "whole")
    process = preparing(files, tmp_path)
    while process.poll() is None and len(list(tmp_path.glob("prepared/.*.parts/*.json"))) < 2:
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = []
    made = prepare(dataset, files, tmp_path, progress=lambda *a: done.append(a))
    assert done[0][0] >= 2
    assert done[-1] == (6, 6)
    assert contents(made.folder) == contents(wanted.folder)


def test_two_at_once_make_one_store(files, dataset, tmp_path):
    wanted = prepare(dataset, files, tmp_path / "whole")
    both = [preparing(files, tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=120)[0].splitlines() for process in both]
    assert [lines[-1] for lines in said] == [wanted.digest] * 2
    assert len(list(tmp_path.glob(f"prepared/{NAME}*"))) == 1


def test_a_full_disk_loses_nothing_that_is_finished(files, dataset, tmp_path, monkeypatch, in_parts):
    real, calls = os.fsync, []

    def full(handle):
        calls.append(None)
        if len(calls) > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="No space left on device; choose another place or free some space"):
            prepare(dataset, files, tmp_path)
    done = []
    prepare(dataset, files, tmp_path, progress=lambda *a: done.append(a))
    assert 1 < done[0][0] < 6


def test_what_the_disk_cannot_hold_is_not_begun(files, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    with pytest.raises(UserError, match=r"6 prepared recordings take about 0\.0 GB and .* has 0\.0 GB free"):
        prepare(dataset, files, tmp_path)


def test_a_worker_that_dies_is_said_and_what_is_finished_is_kept(files, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "CHUNK", 1)
    monkeypatch.setattr(build, "IN_PROCESS", 0)
    (tmp_path / "dying_reader.py").write_text("import os\n\n\ndef read(header):\n    os._exit(9)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(dataset, "read", importlib.import_module("dying_reader").read, raising=False)
    with pytest.raises(UserError, match="a worker process that prepared synthetic-third died"):
        prepare(dataset, files, tmp_path, workers=2)


def test_what_cannot_be_used_is_listed_with_its_cause_and_the_rest_goes_on(files, dataset, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(files, copy)
    broken = sorted(copy.glob("*.mat"))[2]
    broken.write_bytes(b"")
    made = prepare(dataset, copy, tmp_path)
    assert len(made.records) == 5
    (refused,) = made.refused
    assert refused["file"] == f"{broken.stem}.hea"
    assert refused["cause"] == "the signal file is empty (0 bytes)"
    index = pd.read_parquet(made.folder / "records.parquet")
    assert list(index["record"]) == sorted(path.stem for path in copy.glob("*.hea"))
    assert index["refused"].notna().tolist() == [path.stem == broken.stem for path in sorted(copy.glob("*.hea"))]
    for path in copy.glob("*.mat"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="no recording of synthetic-third can be used"):
        prepare(dataset, copy, tmp_path)
