"""Files that the system will not open: named with the cause, counted, and the rest goes on."""

import builtins
import os
from pathlib import Path

import pytest

from ecg_ramba.data.check import check
from ecg_ramba.data.registry import dataset
from ecg_ramba.data.store import prepare

DENIED = ("E00001.mat", "E00002.hea")


@pytest.fixture
def denied(tmp_path, files, monkeypatch):
    """Four recordings of which two cannot be opened; tests may run as a user to whom nothing is denied."""
    for i in range(4):
        files.write_record(tmp_path / "georgia", f"E0000{i}", files.ecg(12, 5000, seed=i))
    real = builtins.open

    def refusing(path, *args, **kwargs):
        if isinstance(path, (str, os.PathLike)) and Path(path).name in DENIED:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", refusing)
    return tmp_path


def test_the_load_report_names_each(denied):
    found = check(denied, None)
    assert found.records == 2
    assert sorted(Path(r.file).name for r in found.refused) == sorted(DENIED)
    assert all("Permission denied" in r.cause for r in found.refused)


def test_prepare_goes_on_with_the_rest(denied, tmp_path):
    data = prepare(dataset("georgia"), denied / "georgia", tmp_path / "cache")
    assert data.records["record"].tolist() == ["E00000", "E00003"]
    assert len(data.refused) == len(DENIED)
    assert all("Permission denied" in r["cause"] for r in data.refused)
