"""Results at a URL: pieces travel whole or not at all, whoever uploads them, and whatever the service does."""

import json
import os
import pickle
import threading
import time
import uuid
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from ecg_ramba.errors import UserError
from ecg_ramba.files import MARKER, building, check_writable, fetched, is_complete, mark_complete, whole
from ecg_ramba.render import listing
from ecg_ramba.shared import claims, places, service
from ecg_ramba.shared.pieces import NOTE, publish, publish_files
from ecg_ramba.shared.places import SharedPath, shared_folder


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(service, "PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(claims, "CLAIM_S", 0.2)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """``machine(name)``: this process goes on as on that machine, in a cache of its own."""

    def be(name):
        monkeypatch.setenv("ECG_RAMBA_CACHE", str(tmp_path / name))

    be("one")
    return be


@pytest.fixture(params=["file", "memory"])
def url(request, tmp_path, machine):
    store = MemoryFileSystem()
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    return f"file://{tmp_path}/bucket/runs" if request.param == "file" else "memory://bucket/runs"


def piece(url, text="whole", name="cells/key"):
    folder = shared_folder(url) / name
    with building(folder) as temporary:
        (temporary / "model").write_text(text)
        (temporary / "log").write_text(f"log of {text}")
    return folder


def at(url, name):
    return fsspec.core.url_to_fs(f"{url}/{name}")


def read(url, name):
    store, path = at(url, name)
    return store.cat_file(path).decode()


def write(url, name, text):
    store, path = at(url, name)
    store.pipe_file(path, text.encode())


def test_a_piece_of_one_machine_is_fetched_by_another(url, machine):
    piece(url)
    assert read(url, "cells/key/model") == "whole"
    machine("two")
    folder = shared_folder(url) / "cells" / "key"
    assert not folder.exists()
    assert (fetched(folder) / "model").read_text() == "whole"
    assert is_complete(folder)
    with pytest.raises(UserError, match="other is not there"):
        fetched(folder.with_name("other"))


def test_a_path_is_the_same_place_on_another_machine(url, machine, tmp_path):
    folder = shared_folder(url) / "cells" / "key"
    sent = pickle.dumps(folder)
    places._urls.clear()
    machine("two")
    got = pickle.loads(sent)
    assert isinstance(got, SharedPath)
    assert got.is_relative_to(tmp_path / "two")
    assert places.shown(got) == f"{url}/cells/key"


@pytest.mark.parametrize("damage", ["change", "shorten", "remove", "marker", "no marker", "escape"])
@pytest.mark.filterwarnings("ignore:.*is damaged")
def test_damage_at_the_url_is_found_and_repaired(url, machine, damage, tmp_path):
    piece(url)
    store, path = at(url, "cells/key")
    match damage:
        case "change":
            write(url, "cells/key/model", "whale")
        case "shorten":
            write(url, "cells/key/model", "w")
        case "remove":
            store.rm_file(f"{path}/model")
        case "marker":
            write(url, f"cells/key/{MARKER}", '{"files": ')
        case "no marker":
            store.rm_file(f"{path}/{MARKER}")
        case "escape":
            marker = json.loads(read(url, f"cells/key/{MARKER}"))
            marker["files"]["../../../out"] = marker["files"]["model"]
            write(url, f"cells/key/{MARKER}", json.dumps(marker))
    machine("two")
    assert not is_complete(shared_folder(url) / "cells" / "key")
    piece(url, "again")
    machine("three")
    assert (fetched(shared_folder(url) / "cells" / "key") / "model").read_text() == "again"
    assert not list(tmp_path.rglob("out"))


def test_the_first_marked_is_kept(url, machine):
    piece(url, "first")
    machine("two")
    piece(url, "second")
    assert read(url, "cells/key/model") == "first"
    assert whole(shared_folder(url) / "cells" / "key")


def test_many_that_upload_different_contents_at_once_leave_one_of_them_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "CLAIM_S", 30)
    url = f"file://{tmp_path}/bucket"
    # the file system's own writes are several steps; S3's are one
    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.pipe_file", in_one_step)
    folders = []
    for name in "abcdef":
        monkeypatch.setenv("ECG_RAMBA_CACHE", str(tmp_path / name))
        folder = shared_folder(url) / "cells" / "key"
        folders.append(folder)
        folder.mkdir(parents=True)
        (folder / "model").write_text(name)
        (folder / "log").write_text(name)
        mark_complete(folder)
    threads = [threading.Thread(target=publish, args=(f,)) for f in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    there = tmp_path / "bucket" / "cells" / "key"
    assert whole(there)
    assert (there / "model").read_text() == (there / "log").read_text()


def in_one_step(self, path, value, mode="overwrite", **kwargs):
    place = Path(self._strip_protocol(path))
    temporary = place.with_name(f".{uuid.uuid4().hex}")
    temporary.write_bytes(value)
    if mode == "create":
        try:
            os.link(temporary, place)  # fails if there is something
        finally:
            temporary.unlink()
    else:
        temporary.replace(place)


def test_a_dead_upload_is_taken_over(url):
    write_dead = json.dumps({"claimed": "by the dead"})
    store, path = at(url, f"cells/key/{MARKER}")
    store.makedirs(store._parent(path), exist_ok=True)
    store.pipe_file(path, write_dead.encode())
    assert not is_complete(shared_folder(url) / "cells" / "key")
    piece(url)
    assert json.loads(read(url, f"cells/key/{MARKER}"))["files"]


def test_what_could_not_be_uploaded_is_kept_and_uploaded_later(machine, monkeypatch):
    url = "memory://away/runs"
    original = MemoryFileSystem.pipe_file

    def away(self, *a, **k):
        raise ConnectionError("gone away")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", away)
    with pytest.raises(UserError, match=r"the service failed 3 times \(ConnectionError: gone away\); what is finished"):
        piece(url)
    folder = shared_folder(url) / "cells" / "key"
    assert whole(folder)
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", original)
    assert is_complete(folder)
    assert (folder / NOTE).exists()
    assert read(url, "cells/key/model") == "whole"


def test_a_failure_or_two_are_overcome(machine, monkeypatch):
    original, calls = MemoryFileSystem.pipe_file, []

    def stutters(self, *a, **k):
        calls.append(a)
        if len(calls) % 3:
            raise ConnectionError("try again")
        return original(self, *a, **k)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", stutters)
    piece("memory://stutters/runs")
    assert read("memory://stutters/runs", "cells/key/log") == "log of whole"


@pytest.mark.parametrize(
    ("url", "said"),
    [("nothing://x/y", "nothing"), ("file:///proc/nowhere/runs", "cannot be written"), ("memory://x", "")],
)
def test_a_url_that_cannot_be_written_is_said_at_once(machine, url, said):
    began = time.monotonic()
    if said:
        with pytest.raises(UserError, match=said):
            check_writable(shared_folder(url))
    else:
        check_writable(shared_folder(url))
    assert time.monotonic() - began < 10


def test_a_service_that_hangs_is_given_up(machine, monkeypatch):
    monkeypatch.setattr(service, "PROBE_S", 0.2)
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", lambda self, *a, **k: time.sleep(5))
    began = time.monotonic()
    with pytest.raises(UserError, match="no answer within"):
        check_writable(shared_folder("memory://hangs"))
    assert time.monotonic() - began < 2


def test_a_folder_of_results_is_uploaded_and_prepared_data_is_not(url, tmp_path):
    folder = shared_folder(url) / "suites" / "key"
    (folder / "report").mkdir(parents=True)
    for name in ("manifest.json", "suite.json", "report/report.md", ".hidden"):
        (folder / name).write_text(name)
    publish_files(folder)
    publish_files(tmp_path)
    store, path = at(url, "suites/key")
    assert sorted(p[len(path) :].lstrip("/") for p in store.find(path)) == [
        "manifest.json",
        "report/report.md",
        "suite.json",
    ]
    piece(url, name="cache/synthetic/cohort")
    store, path = at(url, "cache")
    assert not store.exists(path)


def test_a_report_is_named_here_and_at_its_url(machine):
    machine("one")
    report = shared_folder("memory://named/runs") / "studies" / "pooling"
    named = listing([report / "pooling.html", report / "figure.png"]).splitlines()
    assert named[1].strip() == str(report / "pooling.html")
    assert named[-1].strip() == "the same at memory://named/runs/studies/pooling"
    assert "the same at" not in listing([Path("runs/pooling.html")])
