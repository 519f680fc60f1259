"""The history: what is entered stays, what is deleted is gone from the disk."""

import sqlite3
import threading

import pytest

from ecg_ramba.dashboard.store import Store
from ecg_ramba.errors import UserError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history.sqlite"


def test_items_survive_and_come_newest_first(path):
    store = Store(path)
    for i in range(5):
        store.add(f"r_{i}", f"rec{i}", "queued", bytes=i, files={"a": "sent0"}, kind="CSV")
    store.change("r_3", status="done", summary={"group": "AF"}, note="check again")
    store.close()
    store = Store(path)
    total, items = store.search("", 0, 2)
    assert (total, [i["id"] for i in items]) == (5, ["r_4", "r_3"])
    assert items[1]["summary"] == {"group": "AF"}
    assert "files" not in items[1]
    assert store.hidden("r_3")["files"] == {"a": "sent0"}
    assert store.ids("queued") == ["r_0", "r_1", "r_2", "r_4"]
    assert store.search("", 2, 10)[1][0]["id"] == "r_2"


def test_search_in_name_and_note_whatever_the_case(path):
    store = Store(path)
    store.add("r_1", "Ärztin 100%", "done")
    store.add("r_2", "other", "done")
    store.change("r_2", note="Vorhofflimmern, STRASSE_1")
    assert [i["id"] for i in store.search("ärztIN", 0, 9)[1]] == ["r_1"]
    assert [i["id"] for i in store.search("straße_1", 0, 9)[1]] == ["r_2"]
    assert store.search("100_", 0, 9)[0] == 0  # no wildcard
    assert store.search("0%", 0, 9)[0] == 1
    assert store.search("'; DROP TABLE recordings; --", 0, 9)[0] == 0
    assert store.search("", 0, 9)[0] == 2


def test_deleted_for_good(path):
    store = Store(path)
    secret = "a-note-that-nobody-else-may-read"
    for i in range(50):
        store.add(f"r_{i}", f"name-of-{i}-{secret}", "done", error=secret * 20)
        store.change(f"r_{i}", note=secret)
    files = list(path.parent.iterdir())
    assert any(secret.encode() in f.read_bytes() for f in files)
    assert store.delete("r_7")
    assert not store.delete("r_7")
    assert store.get("r_7") is None
    store.delete_all()
    assert not any(secret.encode() in f.read_bytes() for f in path.parent.iterdir())
    assert store.search("", 0, 9) == (0, [])


def test_a_change_of_what_is_gone_is_nothing(path):
    store = Store(path)
    assert store.change("r_1", status="done") is None
    assert store.get("r_1") is None
    assert store.hidden("r_1") is None


def test_from_many_threads(path):
    store = Store(path)

    def work(n):
        for i in range(20):
            store.add(f"r_{n}_{i}", "x", "queued")
            store.change(f"r_{n}_{i}", status="done")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert store.search("", 0, 1)[0] == 160
    assert store.ids("queued") == []


def test_a_file_that_is_no_history(path):
    path.write_bytes(b"something else entirely " * 100)
    with pytest.raises(UserError, match="no history"):
        Store(path)
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="another version"):
        Store(path)
