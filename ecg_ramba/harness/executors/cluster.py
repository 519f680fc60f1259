"""Jobs on a Ray cluster: each is a Ray task of one core, and of a GPU or part of one where it computes on one.

Results and cache are in a folder that every node sees under the same path, or at a URL. What a job writes it writes
whole or not at all, so a node that dies in the middle costs the jobs that ran there, which are started again elsewhere.

Ray itself repeats nothing: left to itself it would start a job that ran out of memory again and again, for ever and
without a word. One whose worker died alone, as it does when the system's memory is short, is started once more, when no
other job of the run is left; what kills that too is its failure.
"""

import contextlib
import os
import socket
import tempfile
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecg_ramba.errors import UserError, first_line
from ecg_ramba.files import check_writable
from ecg_ramba.harness.executors.jobs import Outcome, attempt, default_workers, use_one_thread
from ecg_ramba.shared.places import SharedPath, shown
from ecg_ramba.shared.service import WRITTEN, seen

RETRIES = 3
"""How often a job is started again whose node died."""
CONNECT_S = 5.0
"""Seconds that the cluster's head has to answer."""

_shared: dict[str, Any] = {}


@dataclass
class _Begun:
    """A job of a run: how often its node died, and whether its worker did."""

    index: int
    job: Any
    lost: int = 0
    killed: bool = False


@dataclass(frozen=True)
class RayCluster:
    """A Ray cluster that this process is connected to (:func:`connect`).

    Parameters
    ----------
    workers : int
        Jobs at once: the cluster's cores unless fewer were asked for.
    gpus : float
        GPUs of a job that computes on one.
    cores, most_gpus : int, float
        Of the largest node: a job that asked for more would wait for ever.
    """

    workers: int
    gpus: float
    cores: int
    most_gpus: float
    apart = True

    @property
    def here(self) -> int:
        """The cores of this machine."""
        return default_workers()

    def run(self, function, shared, jobs, threads: int = 1, gpu: bool = False) -> Iterator[Outcome]:
        """See :class:`ecg_ramba.harness.executors.jobs.Executor`."""
        import ray

        if gpu and self.gpus > self.most_gpus:
            raise UserError(
                f"no node of the cluster has {self.gpus:g} GPUs (the largest has {self.most_gpus:g}); use fewer --gpus "
                "or --device cpu"
            )
        wanted = {"num_cpus": min(threads, self.cores), "num_gpus": self.gpus if gpu else 0, "max_retries": 0}
        task = ray.remote(_on_a_node).options(**wanted)
        place = [ray.put(shared)]  # in a list, so that a node fetches it once and not for each job
        left, running = deque(_Begun(index, job) for index, job in enumerate(jobs)), {}
        suspects: deque[_Begun] = deque()
        try:
            while left or running or suspects:
                if not left and not running:
                    left.append(suspects.popleft())
                while left and len(running) < self.workers:
                    begun = left.popleft()
                    running[task.remote(function, place, begun.index, begun.job)] = begun
                done, _ = ray.wait(list(running), num_returns=1)
                for reference in done:
                    begun = running.pop(reference)
                    if outcome := _outcome(reference, begun):
                        yield outcome
                    else:
                        (suspects if begun.killed else left).append(begun)
        finally:
            for reference in running:
                with contextlib.suppress(ray.exceptions.RayError):
                    ray.cancel(reference, force=True)


def _on_a_node(function, place: list, index: int, job: Any) -> Outcome:
    """Run one job in a Ray worker; what all jobs share is fetched once."""
    import ray

    use_one_thread()
    (reference,) = place
    key = reference.hex()
    if key not in _shared:
        _shared.clear()
        _shared[key] = ray.get(reference)
    return attempt(function, _shared[key], index, job)


def _outcome(reference, begun: _Begun) -> Outcome | None:
    """What became of a job; None if it is to be started again, which is noted in ``begun``."""
    from ray import exceptions, get

    try:
        return get(reference)
    except (exceptions.OutOfMemoryError, exceptions.WorkerCrashedError) as error:
        short = isinstance(error, exceptions.OutOfMemoryError)
        what = "its node ran out of memory" if short else "its worker process died (out of memory?)"
        if begun.killed:
            reason = f"{what}, and again with no other job of the run beside it; a node with more memory may do it"
            return Outcome(begun.index, reason=reason, traceback=str(error))
        begun.killed = True
        again = "when the others are done"
    except (exceptions.NodeDiedError, exceptions.ObjectLostError) as error:
        what, again = "its node died", "on another one"
        if begun.lost == RETRIES:
            reason = f"the cluster gave it up: its node died {RETRIES + 1} times ({first_line(error)})"
            return Outcome(begun.index, reason=reason, traceback=str(error))
        begun.lost += 1
    except exceptions.RayError as error:  # what another try would not change
        return Outcome(begun.index, reason=f"the cluster gave it up: {first_line(error)}", traceback=str(error))
    warnings.warn(f"job {begun.index + 1} on the cluster: {what}; it is started once more, {again}", stacklevel=2)
    return None


def connect(
    address: str | None, workers: int | None, gpus: float, results: Path, others: Sequence[Path] = ()
) -> RayCluster:
    """Connect to a cluster.

    Parameters
    ----------
    address : str or None
        ``host:port`` of its head; None: what ``RAY_ADDRESS`` names, or a cluster that was started on this machine.
    workers : int or None
        Jobs at once, at most; None: as many as it has cores.
    gpus : float
        GPUs of a job that computes on one.
    results : Path
        Absolute; every node must see it, or its URL, and may write there.
    others : sequence of Path
        Absolute; what every node must see besides: recordings, a cache apart from the results.

    Raises
    ------
    UserError
        If Ray is not installed, no cluster answers, or a node does not see a folder.
    """
    try:
        import ray
    except ImportError:
        raise UserError("--executor ray needs Ray: pip install -e .[ray]") from None
    address = address or os.environ.get("RAY_ADDRESS") or "auto"
    _reach(address)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise UserError(
            f"no Ray cluster answers at {address} ({first_line(error)}); start one with ray start --head, and name it "
            "with --address HOST:PORT"
        ) from None
    _check_shared(results, others)
    each = [node["Resources"] for node in _nodes()]
    cores = [int(r.get("CPU", 0)) for r in each]
    if not any(cores):
        raise UserError(f"the Ray cluster at {address} has no cores to run jobs on; add nodes with ray start --address")
    most_gpus = max(r.get("GPU", 0.0) for r in each)
    return RayCluster(min(workers or sum(cores), sum(cores)), gpus, max(cores), most_gpus)


def _nodes() -> list[dict]:
    """The nodes that are alive, as Ray describes them."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _reach(address: str) -> None:
    """Refuse an address at which nothing listens, at once: Ray itself would go on trying for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or "://" in address or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError as error:
        raise UserError(
            f"no Ray cluster answers at {address} ({error.strerror or error}); start one with ray start --head, and "
            "name it with --address HOST:PORT"
        ) from None


def _check_shared(results: Path, others: Sequence[Path]) -> None:
    """Refuse folders that some node of the cluster does not see: a file that is made in the results now, the others.

    Raises
    ------
    UserError
        Naming the node.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    check_writable(results)
    with _mark(results) as mark:
        paths = {mark: shown(results), **{folder: str(folder) for folder in others}}
        asked = []
        for node in _nodes():
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(_unseen).options(num_cpus=0, scheduling_strategy=there)
            asked.append((node["NodeManagerAddress"], task.remote(list(paths))))
        for name, found in asked:
            if unseen := ray.get(found):
                path, why = unseen[0]
                raise UserError(
                    f"node {name} of the cluster does not see {paths[path]}{why}; results and recordings must lie in "
                    "folders that all nodes share, under the same path, or the results at a URL"
                )


@contextlib.contextmanager
def _mark(results: Path) -> Iterator[Path]:
    """A file in the results: new, or at their URL, where :func:`check_writable` has just left one."""
    if isinstance(results, SharedPath):
        yield results / WRITTEN
        return
    with tempfile.NamedTemporaryFile(dir=results, prefix=".seen-") as mark:
        yield Path(mark.name)


def _unseen(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """What this node does not see, each with what went wrong if that is known."""
    found = []
    for path in paths:
        try:
            there, why = seen(path), ""
        except UserError as error:
            there, why = False, f" ({error})"
        if not there:
            found.append((path, why))
    return found
