"""The prepared store: the same content wherever it is made, made again when a file changes, whole or absent."""

import shutil

import numpy as np
import pandas as pd
import pytest

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
    monkeypatch.setattr("ecg_ramba.data.store.CHUNK", 2)
    monkeypatch.setattr("ecg_ramba.data.store.IN_PROCESS", 0)
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


def test_what_cannot_be_used_is_listed_with_its_cause_and_the_rest_goes_on(files, dataset, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(files, copy)
    broken = sorted(copy.glob("*.mat"))[2]
    broken.write_bytes(b"")
    made = prepare(dataset, copy, tmp_path)
    assert len(made.records) == 5
    (refused,) = made.refused
    assert broken.stem in refused["file"]
    assert refused["cause"]
    for path in copy.glob("*.mat"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="no recording of synthetic-third can be used"):
        prepare(dataset, copy, tmp_path)
