"""The study itself: every variant of a suite on every target, under every share and draw of adaptation subjects.

What a variant says on a target under all conditions is one piece, kept under the key of all that decides it, and so are
the activations of each fold's network: stopped, the study goes on from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits

from ecg_ramba.data.store import Prepared
from ecg_ramba.data.tasks import truth_of
from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.evaluation import calibration, logistic, recalibration
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.measure import TaskContext
from ecg_ramba.evaluation.pooled import own_windows
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.suite import Variant
from ecg_ramba.files import is_complete, sha256_file
from ecg_ramba.harness.cells import Cell, Context
from ecg_ramba.harness.executors.jobs import Executor
from ecg_ramba.harness.outputs import SuiteResult
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import plan_cells
from ecg_ramba.keys import digest, plain
from ecg_ramba.models import model_spec
from studies.adaptation import adapt, calibrate, contexts, fit, split, variant
from studies.adaptation.adapt import HEAD_COLUMNS
from studies.adaptation.calibrate import MAP_COLUMNS, unit_rows
from studies.adaptation.contexts import on_test_subjects
from studies.adaptation.heads import ATTENTION, HeadJob, head_folder, head_job
from studies.adaptation.split import TargetSplit, check_apart, conditions, split_target
from studies.adaptation.variant import Adapted, adapt_variant
from studies.pieces import piece_folder, read_piece, run_pieces, write_piece

KIND = "adaptation"
CODE = (adapt, calibrate, contexts, fit, split, variant, calibration, logistic, recalibration)


@dataclass
class TargetStudy:
    """One target: its split, the contexts of all its units and of the test units by task, and each variant's results.

    ``reason``: why there are none.
    """

    name: str
    shares: tuple[float, ...]
    draws: int
    split: TargetSplit | None = None
    whole: dict[str, TaskContext] = field(default_factory=dict)
    test: dict[str, TaskContext] = field(default_factory=dict)
    adapted: dict[str, Adapted] = field(default_factory=dict)
    reason: str = ""

    @property
    def conditions(self) -> list[tuple[float, int]]:
        """(share, draw) pairs, the order of every result's first axis."""
        return conditions(self.shares, self.draws)

    def maps(self) -> pd.DataFrame:
        """All maps, one row each."""
        rows = [{"variant": name, **m} for name, made in self.adapted.items() for m in made.maps]
        return pd.DataFrame(rows, columns=["variant", *MAP_COLUMNS])

    def heads(self) -> pd.DataFrame:
        """What the heads were fitted on, one row a variant, share, draw and class."""
        rows = [{"variant": name, **n} for name, made in self.adapted.items() for n in made.notes]
        return pd.DataFrame(rows, columns=["variant", *HEAD_COLUMNS])


def prepare_target(
    target: Prepared, context: Context, evaluation: Evaluation, shares: Sequence[float], draws: int
) -> TargetStudy:
    """Split one target and find its tasks; the reason where it cannot be studied.

    Raises
    ------
    UserError
        If a share asks for more subjects than there are.
    LeakageError
        If a subject or a signal stands on both sides.
    """
    made = TargetStudy(target.name, tuple(sorted({0.0, *shares})), draws)
    tasks = {n: c for n, c in evaluation.contexts.items() if c.task.dataset == target.name and not c.task.source}
    if not tasks:
        made.reason = f"{target.name} is not scored: no class is both annotated there and trained on the source"
        return made
    labels = truth_of(target, context.truth.space).y
    try:
        made.split = split_target(target.records, labels, target.name, draws, context.suite.base_seed)
    except LeakageError:
        raise
    except UserError as error:
        made.reason = str(error)
        return made
    for share, draw in made.conditions[1:]:
        check_apart(target.records, made.split.test, made.split.adapting(share, draw))
    made.whole = {n: c for n, c in tasks.items() if made.split.test[unit_rows(c, made.split)].any()}
    if not made.whole:
        made.split, made.reason = None, f"{target.name}: no test subject has a unit of any task"
    made.test = {n: on_test_subjects(evaluation, c, made.split) for n, c in made.whole.items()}
    return made


def run_study(
    result: SuiteResult,
    evaluation: Evaluation,
    shares: Sequence[float],
    draws: int,
    executor: Executor,
    progress: Progress,
) -> list[TargetStudy]:
    """Adapt every variant of a finished suite to every target.

    Parameters
    ----------
    result, evaluation : SuiteResult, Evaluation
        Of the same suite.
    shares : sequence of float
        Per cent of a target's subjects whose labels are used; 0 is always among them.
    draws : int
        Draws of these subjects.
    executor : Executor
    Where jobs run.

    Raises
    ------
    UserError
        If there is no target to adapt to, or a share asks for more subjects than there are.
    """
    studies = [prepare_target(t, result.context, evaluation, shares, draws) for t in result.context.targets]
    if not any(s.split for s in studies):
        reasons = "; ".join(s.reason for s in studies) or "the run has no target"
        raise UserError(f"nothing to adapt to: {reasons}")
    variants = own_windows(evaluation)
    cells, reasons = network_cells(result, variants)
    places = [i for i, s in enumerate(studies) if s.split]
    jobs = [HeadJob(cell, place) for name in cells for cell in cells[name] for place in places]
    folders = [head_folder(result.context, job) for job in jobs]
    failed = run_pieces(
        head_job, result.context, jobs, folders, executor, progress, "activations of the frozen networks"
    )
    without = {(jobs[i].cell.variant, jobs[i].place): why for i, why in failed.items()}
    reader, done = ScoreReader.of(evaluation), 0
    with progress.stage("adapt", unit="variants on targets") as report, threadpool_limits(1):
        for model in variants:
            for place in places:
                own = [j for j in jobs if j.cell.variant == model.name and j.place == place]
                why = reasons.get(model.name, "") or without.get((model.name, place), "")
                made = _adapted(result, evaluation, reader, model, studies[place], [] if why else own, why)
                studies[place].adapted[model.name] = made
                done += 1
                report(done, len(variants) * len(places))
    return studies


def network_cells(result: SuiteResult, variants: Sequence[Variant]) -> tuple[dict[str, list[Cell]], dict[str, str]]:
    """Cells of the variants that are networks, in order of seed and fold; why each other one has no head."""
    known = {v.name: v for v in result.variants}
    cells, reasons = {}, {}
    for model in variants:
        own = known[model.name]
        if not own.trained:
            reasons[own.name] = f"no head to adapt: {model.kind}, it has no weights of its own here; calibration alone"
        elif model_spec(own.model).kind != "network":
            reasons[own.name] = "no head to adapt: it is no network but an estimator; calibration alone"
        else:
            planned, failures = plan_cells(result.context, [own])
            if failures:
                raise UserError(f"{own.name}: {failures[own.name]}")
            if result.context.of(planned[0]).suite.budget.pooling == "attention":
                reasons[own.name] = ATTENTION
                continue
            cells[own.name] = sorted(planned, key=lambda c: (c.seed, c.fold))
    return cells, reasons


def _adapted(result, evaluation, reader, model: Variant, study: TargetStudy, jobs: list[HeadJob], why: str) -> Adapted:
    """One variant on one target, computed or found done."""
    target = next(t for t in result.context.targets if t.name == study.name)
    tasks = [plain(c.task) for c in study.whole.values()]
    asked = [
        sha256_file(evaluation.suite.path / model.windows),
        [head_folder(result.context, job).name for job in jobs],
        [target.digest, study.split.key, study.conditions, tasks, plain(model.pooling), why],
        [sha256_file(Path(module.__file__)) for module in CODE],
    ]
    folder = piece_folder(result.context.out, KIND, digest(asked))
    if not is_complete(folder):
        write_piece(folder, adapt_variant(result.context, evaluation, reader, model, study, jobs, why).arrays())
    return Adapted.of_arrays(read_piece(folder), len(tasks))
