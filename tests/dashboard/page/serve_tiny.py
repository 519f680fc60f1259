"""``ecg-ramba serve`` whose training takes seconds: the same suite on a tiny cohort, with the tests' smallest budget.

Only the command that the server starts is another one; that it is started, watched, resumed and its models loaded is
the program's own.
"""

import shutil
import sys
from pathlib import Path

from ecg_ramba import cli
from ecg_ramba.dashboard import training


def train(out: Path, models: Path) -> None:
    """Leave what ``ecg-ramba train`` leaves: cells below ``out``, and ``fold1_best.pt``, … in ``models``."""
    from ecg_ramba.data.synthetic import CohortConfig, synthesize
    from ecg_ramba.harness.executors.local import local
    from ecg_ramba.harness.progress import Progress
    from ecg_ramba.harness.served import checkpoints_of
    from ecg_ramba.harness.suite import run_suite
    from ecg_ramba.harness.variants import all_variants
    from tests.conftest import TINY

    cohort = out.parent / "cohort"
    if not cohort.is_dir():
        synthesize(cohort, CohortConfig(source=24, third=12, subjects=3))
    result = run_suite(TINY, [all_variants()["ecg_ramba"]], cohort, out, local(1), Progress())
    models.mkdir(exist_ok=True)
    for i, path in enumerate(checkpoints_of(result.folder, "ecg_ramba"), 1):
        shutil.copyfile(path, models / f"fold{i}_best.pt")


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        training.FOLDS = 2  # as the tests' smallest suite has
        training.command = lambda out, models: [sys.executable, "-m", __spec__.name, "train", str(out), str(models)]
        sys.exit(cli.main())
