"""The two sides of a comparison: a variant of a run, or a file of predictions that is held to a run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_ramba.errors import UserError, unknown_name
from ecg_ramba.evaluation.align import only
from ecg_ramba.evaluation.foreign import held_to, read_foreign
from ecg_ramba.evaluation.pooling import Pooling
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.scores import UnitScores, unit_scores
from ecg_ramba.evaluation.suite import Suite, Task, Variant, read_parquet, read_suite
from ecg_ramba.evaluation.units import Units, task_units

SUFFIXES = (".parquet", ".csv")


@dataclass(frozen=True)
class Side:
    """What is compared.

    Parameters
    ----------
    place : Path
        Folder of a run, or file of predictions.
    suite : Suite
        The run; for a file the run that it is held to.
    variant : Variant
    foreign : bool
        Whether it is a file.
    tasks : dict of str to Task
        Those that it has predictions for.
    scores : callable
        Task -> its units and their scores; raises UserError for predictions that cannot be used.
    notes : tuple of str
        What a reader must know of it.
    """

    place: Path
    suite: Suite
    variant: Variant
    foreign: bool
    tasks: dict[str, Task]
    scores: Callable[[Task], tuple[Units, UnitScores]]
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """As printed: the variant's title, and where it is from."""
        return f"{self.variant.title} ({self.place.name})"


def read_sides(places: tuple[Path, Path], variants: tuple[str, str]) -> tuple[Side, Side]:
    """Both sides of a comparison.

    Parameters
    ----------
    places : pair of Path
        Two folders of runs, or one and a file of predictions.
    variants : pair of str
        A variant of each run; "" for its reference.

    Raises
    ------
    UserError
        For what is neither, two files, or a variant that is not there or has no numbers.
    """
    runs = [place.is_dir() for place in places]
    for place, run in zip(places, runs, strict=True):
        if not run and (not place.is_file() or place.suffix.lower() not in SUFFIXES):
            why = "is not there" if not place.exists() else "is no folder, and no Parquet or CSV file of predictions"
            raise UserError(f"{place} {why}; name the folder of a finished run, or a file of predictions")
    if not any(runs):
        raise UserError(
            f"{places[0]} and {places[1]} are both files; one of the two must be a run, which has the labels"
        )
    sides = [_of_run(place, name) if run else None for place, run, name in zip(places, runs, variants, strict=True)]
    host = sides[0] or sides[1]
    for place, name, side in zip(places, variants, sides, strict=True):
        if side is None and name:
            raise UserError(f"{place} is a file, which holds one model; leave variant {name!r} out")
    a, b = (side or _of_file(place, host) for place, side in zip(places, sides, strict=True))
    return a, b


def _of_run(place: Path, name: str) -> Side:
    suite = read_suite(place)
    known = {v.name: v for v in suite.variants}
    if name and name not in known:
        raise unknown_name(f"variant of {place}", name, known)
    variant = known[name] if name else suite.reference
    if variant is None:
        raise UserError(f"{place} has no reference; name one of its variants: {', '.join(known)}")
    if variant.failure:
        raise UserError(f"{place}: {variant.name} has no predictions to compare ({variant.failure})")
    units = {t.name: task_units(suite, t) for t in suite.tasks}
    reader = ScoreReader(suite, units)
    tasks = {t.name: t for t in suite.tasks}
    return Side(place, suite, variant, False, tasks, lambda task: (units[task.name], reader.scores(variant, task)))


def _of_file(path: Path, host: Side) -> Side:
    """A file's predictions, held to the windows, folds, seeds and labels of a run."""
    frame = read_foreign(path)
    suite = host.suite
    there = set(frame["dataset"].astype(str))
    tasks = {name: task for name, task in host.tasks.items() if task.dataset in there}
    if not tasks:
        raise UserError(
            f"{path} has predictions for {', '.join(sorted(there)) or 'nothing'}, and {host.place} scores "
            f"{', '.join(sorted({t.dataset for t in host.tasks.values()}))}; nothing can be compared"
        )
    units = {name: task_units(suite, task) for name, task in host.tasks.items()}
    reader = ScoreReader(suite, units)
    seeds = np.unique(read_parquet(suite.path / host.variant.windows, columns=["seed"])["seed"]).tolist()
    kept = {}

    def scores(task: Task) -> tuple[Units, UnitScores]:
        key = f"{task.role}:{task.dataset}"
        if key not in kept:
            own = reader.windows(host.variant, task)
            kept[key] = held_to(frame, path, task.dataset, own, seeds, task.source)
        found = only(units[task.name], np.isin(units[task.name].record, kept[key].record.astype(str)))
        return found, unit_scores(kept[key], task, found, Pooling(), str(path))

    classes = {c for task in tasks.values() for s in task.scores for c in s.of}
    lacking = sorted(classes - set(frame.columns))
    notes = (f"{path.name} has no column for {', '.join(lacking)}",) if lacking else ()
    variant = Variant(
        name=path.stem,
        title=f"{path.stem} (from a file)",
        kind="external",
        windows=str(path),
        pooling=Pooling(),
        **dict.fromkeys(("parameters", "flops", "seconds", "peak_mb"), float("nan")),
        failure="",
        note="",
        reference=False,
    )
    return Side(path, suite, variant, True, tasks, scores, notes)
