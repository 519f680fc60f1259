"""The server without its web part: uploads become recordings, recordings are read, measured and predicted."""

import logging
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecg_ramba import __version__
from ecg_ramba.dashboard.events import Events
from ecg_ramba.dashboard.filtering import Filtered
from ecg_ramba.dashboard.grouping import Group, group
from ecg_ramba.dashboard.jobs import Jobs, forget_sent
from ecg_ramba.dashboard.limited import call
from ecg_ramba.dashboard.model_client import ModelProcess
from ecg_ramba.dashboard.settings import Settings
from ecg_ramba.dashboard.store import UNFINISHED, Store
from ecg_ramba.dashboard.training import Training, has_models
from ecg_ramba.dashboard.uploads import Sent, shown_name
from ecg_ramba.errors import UserError
from ecg_ramba.files import check_writable
from ecg_ramba.locks import locked

NOTICE = "A research tool, not a medical device."

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Uploaded:
    """Items that an upload became, and sentences on files that none was made of."""

    items: list[dict]
    skipped: list[str]


class Room:
    """Everything behind the web server. Its methods may be called from any thread."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.events = Events()
        # Of the processes that are started here, unless somebody says otherwise: a thread for each core would make
        # every one of these small computations wait for whatever else the machine does.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        check_writable(settings.state)
        os.chmod(settings.state, 0o700)
        self._held = open(settings.state / "lock", "ab")  # noqa: SIM115  held as long as the room is open
        if locked(self._held) is False:
            self._held.close()
            raise UserError(f"another server uses {settings.state}; end it, or name another place with --state DIR")
        self.store = Store(settings.state / "history.sqlite")
        settings.recordings.mkdir(exist_ok=True)
        self.jobs = Jobs(self)
        self.filtered = Filtered(settings)
        self.training = Training(settings.state, self.tell_state, self._use)
        self._lock = threading.Lock()
        self.models: ModelProcess | None = None

    def open(self) -> None:
        """Load the models, clear what an interrupted upload left, and go on with what was not finished.

        Raises
        ------
        UserError
            If the models cannot be loaded.
        """
        shutil.rmtree(self.settings.incoming, ignore_errors=True)
        self.settings.incoming.mkdir()
        self.filtered.clear()
        known = set(self.store.ids())
        for folder in self.settings.recordings.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
        self.jobs.warm_up()
        folder = self.settings.models or (self.training.models if has_models(self.training.models) else None)
        self.models = ModelProcess(folder, self.settings.worker_mb)
        self.models.start()
        if self.models.facts is None and self.training.interrupted:
            self.training.start()
        for id in self.store.ids(*UNFINISHED):
            self.jobs.go_on(id)
        self._predict_again()

    def close(self) -> None:
        """Stop; what is not finished goes on at the next start."""
        self.training.close()
        if self.models is not None:
            self.models.close()
        self.jobs.close()
        self.store.close()
        self._held.close()

    # ------------------------------------------------------------------ state

    def state(self) -> dict:
        """What the page shows of the server."""
        s = self.settings
        return {
            "version": __version__,
            "notice": NOTICE,
            "models": self.models.facts if self.models else None,
            "training": self.training.state(),
            "limits": {"upload_mb": s.upload_mb, "files": s.files, "hours": s.hours},
        }

    def tell_state(self) -> None:
        """Tell every page the state."""
        self.events.send("state", self.state())

    def _use(self, folder: Path) -> None:
        """Take models that were trained just now."""
        new = ModelProcess(folder, self.settings.worker_mb)
        new.start()
        with self._lock:
            old, self.models = self.models, new
        old.close()
        for id in self.store.ids(*UNFINISHED):
            if (self.folder(id) / "signal.json").is_file():
                self.jobs.analyse(id)
        self._predict_again()

    def _predict_again(self) -> None:
        """Have what is finished predicted by the models that are loaded now, if it was not by these."""
        facts = self.models.facts
        if facts is None:
            return
        for id in reversed(self.store.ids("done")):
            if (self.store.hidden(id) or {}).get("model") != facts["digest"]:
                self.jobs.analyse(id)

    # ---------------------------------------------------------------- uploads

    def new_folder(self) -> Path:
        """An empty folder for the files of one request."""
        return Path(tempfile.mkdtemp(dir=self.settings.incoming))

    def grouped(self, files: Sequence[Sent], folder: Path):
        """Recordings that files make up; archives are unpacked below ``folder``."""
        s, left = self.settings, [self.settings.files, self.settings.unpacked_mb]

        def unpack(sent: Sent) -> list[Sent]:
            place = Path(tempfile.mkdtemp(dir=folder))
            asked = {"path": str(sent.path), "folder": str(place), "most_files": left[0], "most_mb": left[1]}
            made = call("ecg_ramba.dashboard.formats.archive:unpack", asked, s.reader)
            left[0] -= len(made)
            left[1] -= sum(Path(m["path"]).stat().st_size for m in made) >> 20
            return [Sent(shown_name(m["name"]), Path(m["path"])) for m in made]

        return group(files, unpack)

    def take(self, files: Sequence[Sent], folder: Path) -> Uploaded:
        """Make items of the files of an upload, which are moved away, and begin to read them."""
        found = self.grouped(files, folder)
        items = []
        for one in found.recordings:
            id = f"r_{secrets.token_hex(8)}"
            items.append(self._enter(id, one))
        return Uploaded(items, found.skipped)

    def _enter(self, id: str, one: Group) -> dict:
        folder = self.folder(id)
        folder.mkdir()
        size = sum(path.stat().st_size for path in one.files.values())
        places = {}
        for i, (sent, path) in enumerate(one.files.items()):
            places[sent] = f"sent{i}"
            # Two headers of an archive may name one signal file: each gets its own link to it.
            (folder / places[sent]).hardlink_to(path)
        common = {
            "format": {"zip": "unknown", "HDF5": "MATLAB"}.get(one.kind, one.kind),
            "bytes": size,
            "files": places,
            "kind": one.kind,
            "answers": {},
        }
        if one.refused:
            item = self.store.add(id, one.name, "refused", error=one.refused, **common)
            forget_sent(folder)
        else:
            progress = {"stage": "reading", "done": 0, "total": 1}
            item = self.store.add(id, one.name, "queued", progress=progress, **common)
            self.jobs.read(id)
        self.events.send("item", item)
        return item

    # ----------------------------------------------------------------- folders

    def folder(self, id: str) -> Path:
        """A recording's folder; ``id`` is one of the history's, never a client's word."""
        return self.settings.recordings / id

    def delete(self, id: str) -> bool:
        """Delete a recording, with everything that is known of it."""
        if not self.store.delete(id):
            return False
        self.clear(id)
        self.events.send("deleted", {"id": id})
        return True

    def clear(self, id: str) -> None:
        """Remove a recording's files."""
        shutil.rmtree(self.folder(id), ignore_errors=True)
        self.filtered.clear(id)

    def delete_everything(self) -> None:
        """Delete every recording."""
        ids = self.store.ids()
        self.store.delete_all()
        for id in ids:
            self.clear(id)
            self.events.send("deleted", {"id": id})

    def changed(self, id: str, **facts) -> dict | None:
        """Change an item and tell the pages; of one that is gone, clear what a job has written since."""
        item = self.store.change(id, **facts)
        if item is None:
            self.clear(id)
        else:
            self.events.send("item", item)
        return item
