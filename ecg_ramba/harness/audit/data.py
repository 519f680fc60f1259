"""The recordings themselves, read again: whether they are the ones that the run used, and are split as it says."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.harness.audit.checks import Check, Stored, judge, plural, unchecked
from ecg_ramba.harness.audit.fits import Fitted, as_suite

DATA = "data"
SAME = "the recordings, read again, are those of the run"
APART = "no recording of a target is in the source, by its samples as read again"
SPLIT = "the folds are those that the protocol's split gives"
PARTS = "the training parts, made again, are those that the models were trained on"
CLAIMS = (SAME, APART, SPLIT, PARTS)


def check_data(stored: Stored, data_dir: Path | None, out: Path, fitted: Sequence[Fitted]) -> list[Check]:
    """Prepare the data sets again, and hold the run to them.

    Parameters
    ----------
    stored : Stored
    data_dir : Path or None
        Folder with the data sets; None checks nothing.
    out : Path
        Where the cache lies.
    fitted : sequence of Fitted
        The checkpoints that are there.
    """
    info = stored.suite.info
    if data_dir is None:
        return [unchecked(DATA, claim, "name the folder with the recordings: --data DIR") for claim in CLAIMS]
    if stored.people is None or "config" not in info:
        lacking = "records.parquet" if stored.people is None else "the configuration of its training"
        return [unchecked(DATA, claim, f"the run does not store {lacking}") for claim in CLAIMS]
    from ecg_ramba.harness.checkpoint import settings
    from ecg_ramba.harness.contexts import cache_dir, load_named
    from ecg_ramba.harness.executors.jobs import default_workers
    from ecg_ramba.harness.progress import Progress
    from ecg_ramba.signal import SignalConfig

    signal = settings(SignalConfig, {k: v for k, v in info["config"]["signal"].items() if k != "__class__"})
    names = [d["name"] for d in info["data"]]
    data = load_named(names, data_dir, cache_dir(out), signal, default_workers(), Progress())
    used, problems = [], []
    for whole, facts in zip(data, info["data"], strict=True):
        own = stored.people[stored.people["dataset"] == whole.name]
        row = {name: i for i, name in enumerate(whole.records["record"])}
        lost = [r for r in own["record"] if r not in row]
        if lost:
            problems.append(f"{whole.name}: {plural(len(lost), 'record')} of the run are not there, {lost[0]} first")
            continue
        same = whole.subset(np.array([row[r] for r in own["record"]]))
        problems += _content(own, same, facts)
        used.append(same)
    counted = ", ".join(f"{d.name}: {plural(len(d.records), 'record')}" for d in used)
    checks = [judge(DATA, SAME, problems, counted)]
    if len(used) < len(data) or used[0].name != info["source"]:
        why = (
            "not all recordings of the run are there"
            if len(used) < len(data)
            else "the run scores no recording of its source"
        )
        return checks + [unchecked(DATA, claim, why) for claim in CLAIMS[1:]]
    parts: dict[int, set[str]] = {}
    for f in fitted:
        if as_suite(stored, f):
            parts.setdefault(f.fold, set()).add(f.facts["training_part"])
    return [*checks, _apart(used), *_split(stored, used[0], parts)]


def _content(own: pd.DataFrame, same, facts: dict) -> list[str]:
    """What differs in one data set: samples first, then anything else that its digest covers."""
    signal = own["signal_digest"].to_numpy() != same.records["signal_digest"].to_numpy()
    if signal.any():
        first = own["record"].to_numpy()[np.argmax(signal)]
        return [f"{same.name}: {plural(int(signal.sum()), 'record')} have other samples, {first} first"]
    if same.digest != facts["digest"]:
        return [f"{same.name}: labels, subjects or preparation are not those of the run (digest {same.digest[:12]})"]
    return []


def _apart(used: list) -> Check:
    from ecg_ramba.harness.splits import overlap_with_source

    problems = []
    for target in used[1:]:
        overlap = overlap_with_source(target.records, used[0].records)
        problems += [f"{target.name} record {r}" for r in target.records["record"][overlap]]
    if len(used) == 1:
        return unchecked(DATA, APART, "the run has no target")
    return judge(DATA, APART, problems, plural(sum(len(t.records) for t in used[1:]), "record"))


def _split(stored: Stored, source, parts: dict[int, set[str]]) -> list[Check]:
    """Folds and training parts made again from the recordings and their labels.

    ``parts``: fold -> digests of the training part that models with the suite's signal and labels name.
    """
    from ecg_ramba.data.labels import label_space
    from ecg_ramba.harness.folds import make_source_folds
    from ecg_ramba.keys import seed_for

    config = stored.suite.info["config"]
    seed = seed_for(config["base_seed"], source.name, "folds")
    try:
        _, number, folds = make_source_folds(source, label_space(config["label_space"]), config["folds"], seed)
    except (UserError, LeakageError) as error:
        return [judge(DATA, SPLIT, [str(error)], ""), unchecked(DATA, PARTS, "the split cannot be made again")]
    names = source.records["record"]
    held_out = stored.held_out or dict(zip(stored.source["record"], stored.source["fold"].astype(int), strict=True))
    moved = [
        f"record {r}: fold {held_out.get(r)} and not {k}"
        for r, k in zip(names, number.tolist(), strict=True)
        if held_out.get(r) != k
    ]
    split = judge(DATA, SPLIT, moved, f"{plural(len(names), 'record')} in {plural(len(folds), 'fold')}")
    if not parts:
        return [split, unchecked(DATA, PARTS, "no checkpoint is there that names its training part")]
    wrong = [f"fold {f.number}" for f in folds if parts.get(f.number, {f.digest}) != {f.digest}]
    return [split, judge(DATA, PARTS, wrong, plural(len(parts), "fold"))]
