"""The history: one SQLite file, which survives restarts and forgets for good what is deleted."""

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ecg_ramba.errors import UserError

VERSION = 1
_SCHEMA = """
CREATE TABLE recordings (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  note TEXT NOT NULL DEFAULT '',
  status TEXT NOT NULL,
  facts TEXT NOT NULL
);
CREATE INDEX by_status ON recordings (status);
"""
_JSON = ("format", "uploaded", "bytes", "progress", "error", "understood", "questions", "preview", "summary")
_HIDDEN = ("files", "kind", "answers", "sha256", "model")
"""Kept with an item and not shown: what a job needs to go on, and the digests."""
_FIELDS = frozenset((*_JSON, *_HIDDEN))

UNFINISHED = ("queued", "running")


class Store:
    """Items by id. Every method is one transaction and may be called from any thread."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA busy_timeout = 5000")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"{path} is no history of this program ({error}); name another place with --state"
            ) from error
        if version not in (0, VERSION):
            raise UserError(f"{path} was written by another version ({version}) of this program; name another --state")
        self._db.create_function("folded", 1, lambda text: text.casefold(), deterministic=True)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def add(self, id: str, name: str, status: str, **facts) -> dict:
        """Enter an item; returns it."""
        whole = {
            "format": "unknown",
            "uploaded": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "bytes": 0,
            "progress": None,
            "error": "",
            "understood": None,
            "questions": [],
            "preview": None,
            "summary": None,
        } | _checked(facts)
        with self._transaction() as db:
            db.execute(
                "INSERT INTO recordings (id, name, status, facts) VALUES (?, ?, ?, ?)",
                (id, name, status, json.dumps(whole)),
            )
            return _item(_row(db, id))

    def get(self, id: str) -> dict | None:
        """An item as the page gets it; None where there is none."""
        with self._lock:
            row = _row(self._db, id)
        return None if row is None else _item(row)

    def hidden(self, id: str) -> dict | None:
        """What is kept with an item and not shown: files, kind, answers, digests."""
        with self._lock:
            row = _row(self._db, id)
        if row is None:
            return None
        facts = json.loads(row[4])
        return {k: facts.get(k) for k in _HIDDEN}

    def change(self, id: str, *, status: str | None = None, note: str | None = None, **facts) -> dict | None:
        """Change fields of an item; returns it, or None where it is gone."""
        _checked(facts)
        with self._transaction() as db:
            row = _row(db, id)
            if row is None:
                return None
            whole = json.loads(row[4]) | facts
            changed = (row[2] if note is None else note, row[3] if status is None else status, json.dumps(whole), id)
            db.execute("UPDATE recordings SET note = ?, status = ?, facts = ? WHERE id = ?", changed)
            return _item(_row(db, id))

    def search(self, text: str, offset: int, limit: int) -> tuple[int, list[dict]]:
        """How many items have the text in name or note, whatever its case, and some of them, newest first."""
        where, values = "", []
        if text.strip():
            where = "WHERE instr(folded(name), ?) OR instr(folded(note), ?)"
            values = [text.strip().casefold()] * 2
        with self._lock:
            (total,) = self._db.execute(f"SELECT count(*) FROM recordings {where}", values).fetchone()
            rows = self._db.execute(
                f"SELECT id, name, note, status, facts FROM recordings {where} ORDER BY seq DESC LIMIT ? OFFSET ?",
                [*values, limit, offset],
            ).fetchall()
        return total, [_item(row) for row in rows]

    def ids(self, *statuses: str) -> list[str]:
        """Ids of the items in one of these states (all without any), oldest first."""
        marks = ", ".join("?" * len(statuses))
        where = f"WHERE status IN ({marks})" if statuses else ""
        with self._lock:
            rows = self._db.execute(f"SELECT id FROM recordings {where} ORDER BY seq", statuses).fetchall()
        return [id for (id,) in rows]

    def delete(self, id: str) -> bool:
        """Delete an item so that nothing of it stays in the file; False where there was none."""
        with self._transaction() as db:
            found = db.execute("DELETE FROM recordings WHERE id = ?", (id,)).rowcount > 0
        self._forget()
        return found

    def delete_all(self) -> None:
        """Delete every item."""
        with self._transaction() as db:
            db.execute("DELETE FROM recordings")
        self._forget()

    def _forget(self) -> None:
        """What was deleted is overwritten in the file (secure_delete), and then leaves the log as well."""
        with self._lock:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _checked(facts: Mapping) -> Mapping:
    unknown = set(facts) - _FIELDS
    if unknown:
        raise AssertionError(f"an item has no {', '.join(sorted(unknown))}")
    return facts


def _row(db: sqlite3.Connection, id: str):
    return db.execute("SELECT id, name, note, status, facts FROM recordings WHERE id = ?", (id,)).fetchone()


def _item(row) -> dict:
    id, name, note, status, facts = row
    known = json.loads(facts)
    return {"id": id, "name": name, "status": status, "note": note} | {k: known[k] for k in _JSON}
