"""Finished pieces of a study, each in a folder named by what decides it: a study goes on where it was stopped."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecg_ramba.files import building, fetched, is_complete
from ecg_ramba.harness.executors.jobs import Executor
from ecg_ramba.harness.progress import Progress

ARRAYS = "arrays.npz"


def piece_folder(out: Path, kind: str, key: str) -> Path:
    """Where a piece with this content key is kept, below the results."""
    return out / "pieces" / kind / key[:24]


def write_piece(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Keep arrays as a piece: whole, with its checksum, or not at all."""
    with building(folder) as temporary:
        np.savez(temporary / ARRAYS, **arrays)


def read_piece(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a finished piece."""
    with np.load(fetched(folder) / ARRAYS, allow_pickle=False) as found:
        return dict(found)


def run_pieces(
    function: Callable[[Any, Any], Any],
    shared: Any,
    jobs: Sequence[Any],
    folders: Sequence[Path],
    executor: Executor,
    progress: Progress,
    stage: str,
) -> dict[int, str]:
    """Run the jobs whose piece is not there yet: ``function(shared, job)`` writes the folder of its job.

    Parameters
    ----------
    function : callable
        At the top level of a module, so that workers can import it.
    shared
        Sent once to each worker.
    jobs : sequence
    folders : sequence of Path
        The piece of each job; two jobs of one piece run once.
    executor, progress, stage
        Where jobs run, how progress is shown, and the words of its bar.

    Returns
    -------
    dict of int to str
        Number of a job -> why it has no piece.
    """
    first = {folder: i for i, folder in reversed(list(enumerate(folders)))}
    left = [i for i in sorted(first.values()) if not is_complete(folders[i])]
    failed: dict[Path, str] = {}
    if left:
        with progress.stage(stage, unit="pieces") as report:
            for done, outcome in enumerate(executor.run(function, shared, [jobs[i] for i in left]), 1):
                if outcome.reason:
                    failed[folders[left[outcome.index]]] = outcome.reason
                    progress.say(f"{stage}: {outcome.reason}")
                report(done, len(left))
    return {i: failed[folder] for i, folder in enumerate(folders) if folder in failed}
