"""The executor that command-line options describe."""

import argparse
import os
from pathlib import Path

from ecg_ramba.errors import UserError
from ecg_ramba.harness.executors.jobs import Executor
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.executors.torchrun import join, launched
from ecg_ramba.shared.places import SharedPath


def chosen_executor(options: argparse.Namespace) -> Executor:
    """Workers of this machine, or a Ray cluster every node of which sees ``--out``, a folder or a URL.

    A process that ``torchrun`` started, and that is not the first, does not come back from here: it takes part and
    ends.

    Raises
    ------
    UserError
        If Ray is not installed, no cluster answers, or its nodes do not share the folder of the results.
    """
    if launched():
        if options.executor != "local":
            raise UserError("torchrun starts the processes itself; leave --executor away")
        return join(options.device)
    if options.executor == "local":
        if options.address:
            raise UserError("--address names a Ray cluster; add --executor ray")
        return local(options.workers)
    from ecg_ramba.harness.executors.cluster import connect

    options.out = options.out.absolute()  # nodes work in folders of their own
    options.data = options.data and options.data.absolute()
    others = [options.data, os.environ.get("ECG_RAMBA_CACHE")]
    if isinstance(options.out, SharedPath):  # every node has a cache of its own, and is given prepared recordings
        others = [options.data] if getattr(options, "reads_recordings", False) else []
    others = [Path(p).absolute() for p in others if p]
    return connect(options.address, options.workers, options.gpus, options.out, others)
