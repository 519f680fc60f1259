"""Embeddings of windows by a frozen model from elsewhere: TorchScript, or what a Python function returns.

Both run code of whoever made them, so nothing is loaded here that the user has not named. Nothing is fitted: an
embedding depends on its window alone, which is checked.
"""

from __future__ import annotations

import importlib
import importlib.util
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_ramba.data.leads import LEADS
from ecg_ramba.errors import CheckpointError, LeakageError, UserError, first_line
from ecg_ramba.files import sha256_file
from ecg_ramba.keys import digest
from ecg_ramba.signal import WINDOW, SignalConfig, WindowView, resample, without_precordial

if TYPE_CHECKING:
    import torch

VERSION = 1
STORED_RATE = SignalConfig().rate

BATCH = 64
"""Windows embedded at a time."""

ALONE = 16
"""Windows that are embedded a second time, each by itself and by a freshly loaded model."""

SAME = 1e-2
"""How far the two may be apart, in root mean squares of the embedding: what another batch size does to rounding."""


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """A frozen model and what it is given; plain values, so that it is part of keys and checkpoints.

    Parameters
    ----------
    name : str
        As messages call it.
    weights : str
        TorchScript file; with ``python`` the file whose path that function gets. "" for none.
    python : str
        ``package.module:function``, which returns a callable of a (B, leads, samples) float32 tensor. "" for none.
    sha256 : str
        :func:`fingerprint` of the two.
    rate : float
        Samples per second that it is given.
    leads : tuple of str
        Order of its leads; those a recording lacks are zero.
    window : int
        Stored samples that it reads at a time, at 500 Hz: a window of 5 s, or a whole segment of 10 s.
    samples : int
        Samples that it is given: those of the window at its rate, cut or followed by zeros to this length.
    output : {"embedding", "logits"}
        What its (B, D) values are. They are treated alike.
    overlap : mapping
        Data set -> ``none``, ``pretraining`` or ``unknown``, with words after a colon: what its pretraining saw of it.
    """

    name: str = ""
    weights: str = ""
    python: str = ""
    sha256: str = ""
    rate: float = STORED_RATE
    leads: tuple[str, ...] = LEADS
    window: int = WINDOW
    samples: int = WINDOW
    output: str = "embedding"
    overlap: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Digest of what decides its embeddings: where its file lies does not."""
        return digest([VERSION, self.sha256, self.python, self.rate, self.leads, self.window, self.samples])


def samples_of_window(rate: float, window: int = WINDOW) -> int:
    """Samples of a window of so many stored samples after resampling to ``rate``."""
    return resample(np.zeros((1, window), np.float32), STORED_RATE, rate).shape[1]


def fingerprint(weights: str, python: str) -> str:
    """SHA-256 (hex) of what will run: the weights file, the source of the Python function's module, or both.

    What that module imports is not covered.

    Raises
    ------
    UserError
        If a file or module is not there.
    """
    parts = []
    if python:
        module = python.partition(":")[0]
        try:
            found = importlib.util.find_spec(module)
        except Exception as error:  # the packages above it are imported, and may fail in any way
            raise UserError(f"the module {module} cannot be found ({first_line(error)})") from error
        if found is None or not found.origin or not Path(found.origin).is_file():
            raise UserError(f"the module {module} cannot be found; install it, or run where it lies")
        parts.append(sha256_file(Path(found.origin)))
    if weights:
        try:
            parts.append(sha256_file(Path(weights)))
        except OSError as error:
            raise UserError(f"the weights {weights} cannot be read ({error.strerror})") from None
    return parts[0] if len(parts) == 1 else digest(parts)


def check_unchanged(embedder: Embedder) -> None:
    """Raise CheckpointError unless the embedder's files are those of its SHA-256; one that names none passes."""
    if not (embedder.weights or embedder.python):
        return
    whose = f"foundation model {embedder.name!r}"
    try:
        now = fingerprint(embedder.weights, embedder.python)
    except UserError as error:
        raise CheckpointError(f"{whose}: {error}; put it back (SHA-256 {embedder.sha256[:16]})") from None
    if now != embedder.sha256:
        what = " and ".join(filter(None, (embedder.python, embedder.weights)))
        raise CheckpointError(
            f"{whose}: {what} has the SHA-256 {now[:16]}, not the {embedder.sha256[:16]} of what was used in training; "
            "put that back, or run again"
        )


def check_described(embedder: Embedder) -> None:
    """Raise UserError unless the embedder names a file or a function: the default configuration does not."""
    if not (embedder.weights or embedder.python):
        raise UserError(
            "foundation_probe is a probe on a model of yours; describe that: nox -s ablations -- --foundation FILE.toml"
        )


def load_embedder(embedder: Embedder, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The callable, in evaluation mode on a device.

    Raises
    ------
    UserError
        If none is described, its files have changed, or it cannot be loaded.
    """
    import torch

    check_described(embedder)
    check_unchanged(embedder)
    what = embedder.python or embedder.weights
    try:
        if embedder.python:
            module, _, function = embedder.python.partition(":")
            make = getattr(importlib.import_module(module), function)
            model = make(Path(embedder.weights)) if embedder.weights else make()
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is, and is what such models come as
                model = torch.jit.load(embedder.weights, map_location=device)
    except (Exception, SystemExit) as error:  # someone else's code or file may fail in any way
        raise UserError(f"foundation model {embedder.name!r}: {what} cannot be loaded ({_why(error)})") from error
    if not callable(model):
        raise UserError(f"foundation model {embedder.name!r}: {what} returns a {type(model).__name__}, not a callable")
    return model.to(device).eval() if isinstance(model, torch.nn.Module) else model


def model_input(windows: np.ndarray, embedder: Embedder) -> np.ndarray:
    """What the model gets of stored windows (N, 12, window): its leads, rate, length; (N, leads, samples) float32."""
    chosen = windows[:, [LEADS.index(lead) for lead in embedder.leads]]
    n, leads, length = chosen.shape
    made = resample(chosen.reshape(n * leads, length), STORED_RATE, embedder.rate).reshape(n, leads, -1)
    out = np.zeros((n, leads, embedder.samples), dtype=np.float32)
    kept = min(embedder.samples, made.shape[2])
    out[:, :, :kept] = made[:, :, :kept]
    return out


def embed(model: Callable, embedder: Embedder, windows: np.ndarray, device: str) -> np.ndarray:
    """Embeddings (N, D) float32 of stored windows (N, 12, window).

    Raises
    ------
    UserError
        If the model fails, or returns anything but a finite (N, D) float tensor.
    """
    import torch

    x = model_input(windows, embedder)
    whose = f"foundation model {embedder.name!r}"
    try:
        with torch.no_grad():
            out = model(torch.from_numpy(x).to(device))
    except Exception as error:
        raise UserError(f"{whose} failed on an input of shape {x.shape} ({_why(error)})") from error
    if not isinstance(out, torch.Tensor) or not out.is_floating_point():
        kind = f"a tensor of {out.dtype}" if isinstance(out, torch.Tensor) else f"a {type(out).__name__}"
        raise UserError(f"{whose} returns {kind}; a (B, D) float tensor is needed, one row a window")
    if out.ndim != 2 or len(out) != len(x) or not out.shape[1]:
        raise UserError(f"{whose} returns the shape {tuple(out.shape)} for an input of {x.shape}; (B, D) is needed")
    values = out.float().cpu().numpy()
    bad = ~np.isfinite(values).all(1)
    if bad.any():
        blank = (windows[bad] == 0).all(2).any()
        hint = "; some of them have leads that are absent, and so zero" if blank else ""
        raise UserError(f"{whose} returns NaN or infinity for {bad.sum()} of {len(x)} windows{hint}")
    return values


def embeddings(embedder: Embedder, view: WindowView, limb: bool, device: str) -> Iterator[np.ndarray]:
    """Embeddings of all windows, a batch (n, D) float32 at a time; with ``limb`` V1-V6 are zero first.

    Raises
    ------
    UserError
        As :func:`embed`, and if D is not always the same.
    """
    model, width = load_embedder(embedder, device), 0
    for first in range(0, len(view), BATCH):
        part = embed(model, embedder, _leads(view[first : first + BATCH], limb), device)
        width = width or part.shape[1]
        if part.shape[1] != width:
            raise UserError(
                f"foundation model {embedder.name!r} returns {part.shape[1]} values a window, and {width} before"
            )
        yield part


def check_alone(embedder: Embedder, view: WindowView, limb: bool, device: str, found: np.ndarray) -> None:
    """Raise LeakageError unless embeddings (N, D) are what a fresh copy of the model says of windows one by one.

    A model that reads the statistics of its batch, or of what it saw before, would read those of a target.
    """
    some = np.linspace(len(view) - 1, 0, min(ALONE, len(view))).astype(int)
    model, together = load_embedder(embedder, device), np.asarray(found[some], np.float64)
    alone = np.concatenate([embed(model, embedder, _leads(view[[i]], limb), device) for i in some])
    if alone.shape != together.shape or np.abs(alone - together).max() > SAME * np.sqrt((together**2).mean()):
        raise LeakageError(
            f"foundation model {embedder.name!r} says something else of a window when others are beside it; a model "
            "must read each window by itself"
        )


def _leads(windows: np.ndarray, limb: bool) -> np.ndarray:
    return without_precordial(windows) if limb else windows


def _why(error: BaseException) -> str:
    """What went wrong, in one line; TorchScript says it last, after its own traceback."""
    lines = [line for line in str(error).splitlines() if "Error: " in line]
    line = lines[-1] if "TorchScript" in str(error) and lines else first_line(error)
    return textwrap.shorten(line, 160, placeholder=" …")
