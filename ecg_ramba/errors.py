"""Errors a user can act on: each carries one line that says what is wrong and what to do next.

The command line prints the message without a traceback and exits with a non-zero status; from Python they
are ordinary exceptions. Our own mistakes stay ``AssertionError`` and keep their traceback.
"""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right: a path, an option, a file. The message says what and how."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not there: the nearest known one, and all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return UserError(f"no {what} is called {name!r}; {hint}there are: {', '.join(known)}")


def first_line(error: BaseException) -> str:
    """An error's kind and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


class PlugInWarning(UserWarning):
    """A plug-in that cannot be used and is left out; the message names it and says why."""


class RecordError(UserError):
    """A recording that cannot be used.

    Parameters
    ----------
    path : str or Path
        The file at fault.
    cause : str
        What is wrong with it, in words.
    """

    def __init__(self, path, cause: str):
        super().__init__(f"{path}: {cause}")
        self.path = str(path)
        self.cause = cause

    def __reduce__(self):
        return RecordError, (self.path, self.cause)


class CheckpointError(UserError):
    """A model file that is damaged, foreign, or carries anything but tensors and plain values."""


class LeakageError(UserError):
    """Something of a target or of a held-out fold was about to reach a fit."""
