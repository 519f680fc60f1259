"""What the cells of a suite share: data sets read and cleared, splits, labels; and other views of the same recordings.

A variant may want the recordings filtered or scaled in another way, or trained with other labels. It then gets a view:
the same recordings in the same folds, prepared again.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ecg_ramba.data.labels import LabelSpace, label_space
from ecg_ramba.data.registry import dataset, locate
from ecg_ramba.data.store import Prepared, prepare
from ecg_ramba.data.synthetic import cohort_dir
from ecg_ramba.data.tasks import truth_of
from ecg_ramba.errors import UserError
from ecg_ramba.harness.cells import Context, view_key
from ecg_ramba.harness.config import SuiteConfig, Variant
from ecg_ramba.harness.folds import make_source_folds, training_part
from ecg_ramba.harness.inputs import window_table
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.splits import overlap_with_source
from ecg_ramba.keys import seed_for
from ecg_ramba.nn.backends import resolve
from ecg_ramba.shared.places import SharedPath
from ecg_ramba.signal import SignalConfig


def cache_dir(out: Path) -> Path:
    """Where prepared data and features are kept: ``ECG_RAMBA_CACHE``, or a folder beside the results.

    Of results at a URL always the latter, so that features reach the other machines.
    """
    place = os.environ.get("ECG_RAMBA_CACHE")
    return Path(place).absolute() if place and not isinstance(out, SharedPath) else out / "cache"


def load_named(
    names: Sequence[str], data_dir: Path | None, cache: Path, signal: SignalConfig, workers: int, progress: Progress
) -> list[Prepared]:
    """Data sets by name, prepared; without a data folder the synthetic cohort is made and used."""
    known = {name: dataset(name) for name in names}
    if len(known) < len(names):
        raise UserError(f"a data set is named twice among {', '.join(names)}; name each once")
    folders = {}
    real = [n for n in names if not known[n].synthetic]
    if real:
        if data_dir is None:
            raise UserError(f"{', '.join(real)}: say where the recordings are with --data DIR")
        folders |= locate(data_dir, real)
    made = [n for n in names if known[n].synthetic]
    if made:
        folders |= locate(data_dir if data_dir and not real else cohort_dir(cache), made)
    prepared = []
    for name in names:
        with progress.stage(f"prepare {name}", unit="recordings") as report:
            prepared.append(prepare(known[name], folders[name], cache, signal, workers, report, progress.say))
        if refused := prepared[-1].refused:
            first = f"{refused[0]['file']}: {refused[0]['cause']}"
            progress.say(f"{name}: {len(refused)} recordings refused and left out, the first: {first}")
    return prepared


def make_context(config: SuiteConfig, data: list[Prepared], out: Path) -> tuple[Context, dict]:
    """Splits, labels and cleared targets, with what was left out counted; and which backend the scan has.

    Returns
    -------
    context : Context
    counts : dict
        Data set -> {"unlabelled": n, "removed_overlap": n}.
    """
    config = dataclasses.replace(config, backend=resolve(config.backend, config.device))
    space = label_space(config.label_space)
    counts, cleared = {}, []
    for place, d in enumerate(data):
        labelled = d.records["labelled"].to_numpy()
        keep = labelled.copy()
        if place:
            keep &= ~overlap_with_source(d.records, data[0].records)
        counts[d.name] = {"unlabelled": int((~labelled).sum()), "removed_overlap": int((labelled & ~keep).sum())}
        if not keep.any():
            raise UserError(
                f"{d.name}: no recording is left (unlabelled, or all overlap with the source {data[0].name})"
            )
        cleared.append(d.subset(np.flatnonzero(keep)))
    source, *targets = cleared
    seed = seed_for(config.base_seed, source.name, "folds")
    truth, number, folds = make_source_folds(source, space, config.folds, seed)
    context = Context(
        suite=config,
        source=source,
        source_table=window_table(source),
        targets=tuple(targets),
        target_tables=tuple(window_table(t) for t in targets),
        truth=truth,
        folds=tuple(folds),
        out=out,
        cache=cache_dir(out),
    )
    return context, counts | {"": {"fold": number.tolist()}}


def make_views(
    context: Context, variants: Sequence[Variant], data_dir: Path | None, workers: int, progress: Progress
) -> tuple[Mapping[str, Context], dict[str, str]]:
    """The views that variants want besides the suite's own.

    Returns
    -------
    views : mapping
        :func:`ecg_ramba.harness.cells.view_key` -> Context.
    failures : dict
        Variant -> why its view cannot be had.
    """
    views, failures = {}, {}
    for v in variants:
        if not v.trained:
            continue
        try:
            suite = context.suite.changed(v.settings)
            key = view_key(suite)
            if key != view_key(context.suite) and key not in views:
                names = [suite.source, *suite.targets]
                data = load_named(names, data_dir, context.cache, suite.signal, workers, progress)
                views[key] = view_of(context, suite, data)
        except (UserError, ValueError, TypeError) as error:
            failures[v.name] = str(error)
    return views, failures


def view_of(context: Context, suite: SuiteConfig, data: Sequence[Prepared]) -> Context:
    """The context's recordings, folds and labels under another configuration of the signal or the labels.

    Parameters
    ----------
    context : Context
        The suite's own.
    suite : SuiteConfig
        With the other settings.
    data : sequence of Prepared
        Source and targets, prepared with ``suite.signal``.

    Raises
    ------
    UserError
        If a recording of the suite is not there, or its labels cannot be told apart.
    """
    source, *targets = (
        _same_recordings(d, own) for d, own in zip(data, (context.source, *context.targets), strict=True)
    )
    space = label_space(suite.label_space)
    truth = truth_of(source, space)
    own = context.truth.space
    column = np.array([own.index(name) for name in coarser(space, own)])
    folds = tuple(
        training_part(
            source, truth, f.train, f.held_out, f.number, trained=f.trained[column] & truth.known[f.train].any(0)
        )
        for f in context.folds
    )
    return dataclasses.replace(
        context,
        suite=suite,
        source=source,
        source_table=window_table(source),
        targets=tuple(targets),
        target_tables=tuple(window_table(t) for t in targets),
        truth=truth,
        folds=folds,
        views={},
    )


def coarser(space: LabelSpace, own: LabelSpace) -> list[str]:
    """For each class of ``space`` the class of ``own`` that it counts as.

    Raises
    ------
    UserError
        If ``own`` tells apart what ``space`` does not.
    """
    as_own = [own.merge({name}) for name in space.classes]
    if {name for names in as_own for name in names} != set(own.classes):
        raise UserError(f"the run's labels {own.name} tell apart what {space.name} takes as one; use --labels merged24")
    return [next(iter(names)) for names in as_own]


def _same_recordings(data: Prepared, own: Prepared) -> Prepared:
    """The rows of ``data`` with the recordings of ``own``, in its order."""
    row = {name: i for i, name in enumerate(data.records["record"])}
    lacking = [name for name in own.records["record"] if name not in row]
    if lacking:
        cause = next((r["cause"] for r in data.refused if Path(r["file"]).stem == lacking[0]), "it was refused")
        raise UserError(
            f"{len(lacking)} recordings of {data.name} cannot be had with this setting, the first {lacking[0]}: {cause}"
        )
    same = data.subset(np.array([row[name] for name in own.records["record"]]))
    if (same.records["n_segments"].to_numpy() != own.records["n_segments"].to_numpy()).any():
        raise UserError(f"recordings of {data.name} have other segments with this setting")
    return same
