"""Where trials are kept: a journal file for processes of one machine, PostgreSQL for many machines.

Whoever runs a trial may be killed. In PostgreSQL a running trial beats like a heart, and one that has stopped is known
by that. A journal has no such thing: there whoever runs trials holds a lock file that the system lets go when it dies.
"""

import contextlib
import datetime
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from ecg_ramba.errors import UserError, first_line
from ecg_ramba.files import explained
from ecg_ramba.harness.tracking import shown
from ecg_ramba.locks import locked

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

HEARTBEAT_S, GRACE_S = 5, 20
"""Seconds between two heartbeats, and after how many without one a trial is taken for dead."""
CONNECT_S = 5
OWNER = "owner"
"""User attribute of a trial: who runs it."""
NAMELESS = datetime.timedelta(minutes=1)
"""A trial without an owner for so long was begun by a process that died at that very moment."""


def open_storage(url: str | None, folder: Path) -> "BaseStorage":
    """The place that keeps trials.

    Parameters
    ----------
    url : str or None
        ``postgresql://USER:PASSWORD@HOST/DATABASE``; None: a journal file.
    folder : Path
        Of the search; its journal is ``trials.journal`` in it.

    Raises
    ------
    UserError
        If no database answers within a few seconds, or the address is of another kind.
    """
    from optuna.exceptions import OptunaError
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if url is None:
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            return JournalStorage(JournalFileBackend(str(folder / "trials.journal")))
    check_storage(url)
    from sqlalchemy.exc import SQLAlchemyError

    engine = {"pool_pre_ping": True, "connect_args": {"connect_timeout": CONNECT_S}}
    address = "postgresql+psycopg" + url[url.index("://") :]
    try:
        return RDBStorage(address, engine_kwargs=engine, heartbeat_interval=HEARTBEAT_S, grace_period=GRACE_S)
    except RuntimeError:
        raise UserError(
            f"--storage {shown(url)}: the database holds another program's, or another version's, tables; give trials "
            "a database of their own (MLflow's cannot be shared)"
        ) from None
    except (OptunaError, SQLAlchemyError, ImportError) as error:
        raise UserError(f"--storage {shown(url)}: Optuna cannot use it ({first_line(error)})") from None


def check_storage(url: str) -> None:
    """Refuse an address of another kind, or one at which nothing listens.

    Raises
    ------
    UserError
        Saying what to write or to start.
    """
    try:
        parts = urlparse(url)
        kind, host, port = parts.scheme.split("+")[0], parts.hostname, parts.port or 5432
    except ValueError:
        kind = ""
    if kind not in ("postgresql", "postgres"):
        raise UserError(
            f"--storage {shown(url)} is no postgresql://USER:PASSWORD@HOST/DATABASE; without --storage trials are kept "
            "in a journal file, which serves all processes of one machine"
        )
    try:
        import psycopg  # noqa: F401 - asked for here, where its absence can be explained
    except ImportError:
        raise UserError("--storage postgresql://… needs psycopg: pip install -e .[postgres]") from None
    if host:  # without one it is a socket file
        try:
            socket.create_connection((host, port), CONNECT_S).close()
        except OSError as error:
            raise UserError(
                f"--storage {shown(url)}: no database answers ({error.strerror or error}); start it, or leave "
                "--storage away"
            ) from None


@contextlib.contextmanager
def trial_owner(folder: Path) -> Iterator[str]:
    """A name under which this process runs trials; whoever asks :func:`is_alive` learns when it has died."""
    place = folder / "running"
    with explained(place):
        place.mkdir(parents=True, exist_ok=True)
        name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        with open(place / name, "w") as file:
            locked(file)
            try:
                yield name
            finally:
                (place / name).unlink(missing_ok=True)


def is_alive(folder: Path, owner: str) -> bool:
    """Whether the process of that name still runs, on this machine; taken for granted where files have no locks."""
    try:
        with open(folder / "running" / owner, "r+") as file:
            return locked(file) is not True
    except FileNotFoundError:
        return False


def reap(study: "Study", folder: Path, beats: bool) -> int:
    """Give up the running trials whose process has died; how many they were.

    Known by the heartbeat where the storage ``beats``, in a journal by the owner's lock.
    """
    from optuna.storages import fail_stale_trials
    from optuna.trial import TrialState

    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if beats:
        fail_stale_trials(study)
        left = {t.number for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))}
        return sum(t.number not in left for t in running)
    dead, now = 0, datetime.datetime.now()
    for trial in running:
        owner = trial.user_attrs.get(OWNER)
        nameless = owner is None and now - trial.datetime_start > NAMELESS
        if nameless or (owner is not None and not is_alive(folder, owner)):
            with contextlib.suppress(ValueError):  # somebody else was faster
                study.tell(trial.number, state=TrialState.FAIL)
                dead += 1
    return dead
