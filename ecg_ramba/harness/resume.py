"""Training that was stopped in the middle goes on from its last saved step and ends with the same weights."""

import pickle
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ecg_ramba.errors import UserError
from ecg_ramba.files import write_atomic
from ecg_ramba.harness.together import Group

EVERY_S = 60.0
"""Seconds between two saves, at least."""
SHARE = 0.02
"""Share of the time that saving may take."""


class Saved:
    """The place of an unfinished training's state.

    Parameters
    ----------
    path : Path
        Its name says what is trained, by what code, on what, by how many processes: another training never finds it.
    every_s : float
        Seconds between two saves, at least.
    share : float
        Of the time saving takes no more than this: where it would, it is done less often.
    """

    def __init__(self, path: Path, every_s: float = EVERY_S, share: float = SHARE):
        self.path = path
        self._every_s, self._share = every_s, share
        self._next = time.monotonic() + every_s

    def load(self, device: str) -> dict | None:
        """What was saved last; None where nothing was.

        Raises
        ------
        UserError
            If the file is damaged.
        """
        if not self.path.is_file():
            return None
        try:
            return torch.load(self.path, map_location=device, weights_only=True)
        except torch.OutOfMemoryError:
            raise
        except (pickle.UnpicklingError, EOFError, KeyError, ValueError, RuntimeError) as error:
            raise UserError(f"{self.path} is damaged ({type(error).__name__}); delete it and run again") from error

    def save(self, state: Callable[[], dict], together: Group) -> None:
        """Save if it is time to; all processes that train together call this at the same steps."""
        began = time.monotonic()
        if not together.agree(began >= self._next):
            return
        content = state()
        if together.first:
            write_atomic(self.path, lambda p: torch.save(content, p))
        now = time.monotonic()
        self._next = now + max(self._every_s, (now - began) / self._share)

    def forget(self) -> None:
        """Nothing is unfinished any more."""
        self.path.unlink(missing_ok=True)
