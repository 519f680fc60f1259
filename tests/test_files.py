"""Files are whole or absent, and damage is noticed."""

import hashlib
import json
import shutil
from itertools import pairwise

import pytest

from ecg_ramba import files
from ecg_ramba.errors import UserError
from ecg_ramba.files import (
    MARKER,
    Span,
    building,
    check_space,
    is_complete,
    mark_complete,
    read_json,
    write_atomic,
    write_json,
    write_text,
)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(temporary):
        temporary.write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_atomic(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_there_only_when_complete(tmp_path):
    folder = tmp_path / "cell"

    def fail():
        with building(folder) as temporary:
            (temporary / "x").write_text("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with building(folder) as temporary:
        (temporary / "x").write_text("whole")
    assert is_complete(folder)


@pytest.mark.parametrize("damage", ["change", "shorten", "remove", "marker", "no marker"])
def test_damage_is_noticed_and_repaired(tmp_path, damage):
    folder = tmp_path / "cell"
    with building(folder) as temporary:
        (temporary / "x").write_text("whole")
    match damage:
        case "change":
            (folder / "x").write_text("whale")
        case "shorten":
            (folder / "x").write_text("w")
        case "remove":
            (folder / "x").unlink()
        case "marker":
            (folder / MARKER).write_text('{"files": ')
        case "no marker":
            (folder / MARKER).unlink()
    assert not is_complete(folder)
    with building(folder) as temporary:
        (temporary / "x").write_text("again")
    assert is_complete(folder)
    assert (folder / "x").read_text() == "again"


def test_a_complete_folder_is_not_replaced(tmp_path):
    folder = tmp_path / "cell"
    for text in ("first", "second"):
        with building(folder) as temporary:
            (temporary / "x").write_text(text)
    assert (folder / "x").read_text() == "first"


def test_json_that_is_missing_or_damaged_is_named(tmp_path):
    with pytest.raises(UserError, match=r"a\.json is not there"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match=r"a\.json is damaged"):
        read_json(tmp_path / "a.json")
    write_json(tmp_path / "a.json", {"b": 1, "a": [2]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [2], "b": 1}


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_text(blocker / "a.txt", "x")


@pytest.mark.parametrize("damage", ["none", "first", "last", "longer", "shorter", "no spans"])
def test_a_large_file_is_checked_span_by_span(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(files, "PIECE", 3)
    content = bytearray(range(50))
    ends = [0, 7, 20, 20, 50]
    spans = [Span(b, hashlib.sha256(content[a:b]).hexdigest()) for a, b in pairwise(ends)]
    (tmp_path / "x").write_bytes(content)
    (tmp_path / "y").write_text("small")
    mark_complete(tmp_path, {"x": [] if damage == "no spans" else spans})
    match damage:
        case "first":
            content[0] ^= 1
        case "last":
            content[-1] ^= 1
        case "longer":
            content.append(0)
        case "shorter":
            content.pop()
    (tmp_path / "x").write_bytes(content)
    assert is_complete(tmp_path) == (damage == "none")


def test_space_is_asked_for_before_it_is_used(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    check_space(tmp_path, free * 0.9, "things")
    with pytest.raises(
        UserError, match=r"things take about .* GB and .* GB free; free some space, or name another disk"
    ):
        check_space(tmp_path, free * 2.0, "things")
