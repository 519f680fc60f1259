"""What each model was fitted on, by its checkpoint: nothing that its fold holds out, nothing of a target."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from ecg_ramba.errors import CheckpointError
from ecg_ramba.files import is_complete, read_json
from ecg_ramba.harness.audit.checks import Check, Stored, judge, plural, unchecked
from ecg_ramba.keys import digest

FITS = "fits"
WHOLE = "checkpoints are whole, and those of this run's cells"
HELD_OUT = "nothing that a fold holds out is in the training of its models"
ALL = "each fold's models were trained on everything that is not held out, as splits.json has it"
ABROAD = "nothing of a target is in the training of any model"
PART = "all models of a fold were trained on one training part, that of splits.json"
TRANSFORMS = "transforms fitted on the same training part are the same in all variants and seeds"
CLASSES = "each fold's models were trained on the classes that suite.json says"
CLAIMS = (WHOLE, HELD_OUT, ALL, ABROAD, PART, TRANSFORMS, CLASSES)


@dataclass(frozen=True)
class Fitted:
    """What a checkpoint says of itself; ``morphology`` and ``rhythm`` are the digests of its transforms, "" without."""

    key: str
    variant: str
    fold: int
    seed: int
    about: dict
    trained: tuple[bool, ...]
    morphology: str
    rhythm: str

    @property
    def facts(self) -> dict:
        """Source, fold, seed and what it was trained on."""
        return self.about["facts"]


def check_fits(stored: Stored, out: Path) -> tuple[list[Check], list[Fitted]]:
    """Check the checkpoints of a run, as far as they are there.

    Parameters
    ----------
    stored : Stored
    out : Path
        Where the run's cells lie: ``OUT/cells/KEY/model.pt``.

    Returns
    -------
    checks : list of Check
    fitted : list of Fitted
        What each checkpoint that is there says, once for every variant that it serves.
    """
    if stored.cells is None:
        return _none("the run does not say which cells it is made of (no cells.json)"), []
    # one cell may serve two variants of the same configuration
    by_key = {c["key"]: c for c in stored.cells}
    there = {k: c for k, c in by_key.items() if (out / "cells" / k[:24] / "model.pt").is_file()}
    if not there:
        return _none(f"none of {plural(len(by_key), 'checkpoint')} is in {out / 'cells'}"), []
    fitted, problems = [], []
    for key, cell in there.items():
        try:
            fitted.append(read_fitted(out / "cells" / key[:24], cell))
        except CheckpointError as error:
            problems.append(str(error))
    lacking = len(by_key) - len(there)
    counted = f"{len(there)} of {plural(len(by_key), 'checkpoint')}"
    checks = [judge(FITS, WHOLE, problems + _of_cell(stored, fitted), counted)]
    if lacking:
        checks.append(
            unchecked(FITS, WHOLE, f"{plural(lacking, 'checkpoint')} of {len(by_key)} are not in {out / 'cells'}")
        )
    checks += [*_trained_on(stored, fitted), _part(stored, fitted), _transforms(fitted), _classes(stored, fitted)]
    of = {f.key: f for f in fitted}
    return checks, [replace(of[c["key"]], variant=c["variant"]) for c in stored.cells if c["key"] in of]


def _none(why: str) -> list[Check]:
    return [unchecked(FITS, claim, why) for claim in CLAIMS]


def read_fitted(folder: Path, cell: dict) -> Fitted:
    """Facts and transforms of a cell's checkpoint; its network is not built.

    Raises
    ------
    CheckpointError
        If it is damaged, or not the cell's.
    """
    from ecg_ramba.features.standardise import state_digest
    from ecg_ramba.harness.checkpoint import FORMAT, read_tensors

    path = folder / "model.pt"
    if not is_complete(folder):
        raise CheckpointError(f"{path} is not as its checksum says; it was changed or damaged")
    log = read_json(folder / "log.json")
    if not isinstance(log, dict) or log.get("key") != cell["key"]:
        raise CheckpointError(f"{path} is of another cell than cells.json names")
    content = read_tensors(path, "run the suite again")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of this suite (format {FORMAT})")
    try:
        about = json.loads(content["about"])
        states = [{k: v.numpy() for k, v in content[part].items()} for part in ("morphology", "rhythm")]
        found = [state_digest(state) if state else "" for state in states]
        trained = tuple(bool(t) for t in content["trained"].numpy())
        made = Fitted(cell["key"], cell["variant"], int(cell["fold"]), int(cell["seed"]), about, trained, *found)
        lacking = {"fold", "seed", "source", "training_part", "training_signals", "training_subjects"} - set(made.facts)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} does not fit this version of the suite ({error})") from None
    if lacking:
        raise CheckpointError(f"{path} does not say its {', '.join(sorted(lacking))}")
    return made


def _named(f: Fitted) -> str:
    return f"{f.variant}, fold {f.fold}, seed {f.seed}"


def _of_cell(stored: Stored, fitted: list[Fitted]) -> list[str]:
    out = []
    for f in fitted:
        said = (f.facts["fold"], f.facts["seed"], f.facts["source"])
        if said != (f.fold, f.seed, stored.suite.info["source"]):
            out.append(f"{_named(f)}: the checkpoint says fold {said[0]}, seed {said[1]}, source {said[2]}")
    return out


def _trained_on(stored: Stored, fitted: list[Fitted]) -> list[Check]:
    """Signals and subjects of the training against the split and the targets."""
    if stored.people is None or not len(stored.source):
        why = "which signals and subjects a fold holds out is in records.parquet, which is not there or has no source"
        return [unchecked(FITS, claim, why) for claim in (HELD_OUT, ALL, ABROAD)]
    source, targets = stored.source, stored.targets
    problems: dict[str, list[str]] = {HELD_OUT: [], ALL: [], ABROAD: []}
    record = dict(zip(source["signal_digest"], source["record"], strict=True))
    publisher = set(source["publisher"])
    abroad = targets[targets["subject_known"] & targets["publisher"].isin(publisher)]
    target_signals = dict(zip(targets["signal_digest"], targets["record"], strict=True))
    target_subjects = set(abroad["subject"]) & set(source["subject"][source["subject_known"]])
    parts = {fold: _of_fold(source, fold) for fold in {f.fold for f in fitted}}
    for f in fitted:
        signals, subjects = f.facts["training_signals"], set(f.facts["training_subjects"])
        held_signals, held_subjects, all_signals, all_subjects = parts[f.fold]
        leaked = sorted(record[s] for s in set(signals) & held_signals)
        if leaked:
            problems[HELD_OUT].append(
                f"{_named(f)} was trained on held-out record {', '.join(leaked[:3])} ({len(leaked)} in all)"
            )
        if both := sorted(subjects & held_subjects):
            problems[HELD_OUT].append(
                f"{_named(f)} was trained on held-out subject {', '.join(both[:3])} ({len(both)} in all)"
            )
        if sorted(signals) != all_signals or subjects != all_subjects:
            n = len(set(signals) ^ set(all_signals)) or len(subjects ^ all_subjects)
            problems[ALL].append(f"{_named(f)}: its training part differs in {n} signals or subjects")
        if met := sorted(target_signals[s] for s in set(signals) & target_signals.keys()):
            problems[ABROAD].append(
                f"{_named(f)} was trained on target record {', '.join(met[:3])} ({len(met)} in all)"
            )
        if met := sorted(subjects & target_subjects):
            problems[ABROAD].append(
                f"{_named(f)} was trained on target subject {', '.join(met[:3])} ({len(met)} in all)"
            )
    counted = f"{plural(len(fitted), 'checkpoint')}, {plural(len(source), 'record')} of the source"
    abroad = f"{counted}, {len(targets):,} of targets" if len(targets) else f"{counted}, no target"
    return [judge(FITS, claim, problems[claim], abroad if claim == ABROAD else counted) for claim in problems]


def _of_fold(source, fold: int) -> tuple[set, set, list, set]:
    """Held-out signals and subjects, and all signals (sorted, copies counted) and subjects of the training part."""
    held, train = source[source["fold"] == fold], source[source["fold"] != fold]
    return set(held["signal_digest"]), set(held["subject"]), sorted(train["signal_digest"]), set(train["subject"])


def _prepared_as(f: Fitted) -> str:
    """What decides how recordings were prepared and labelled for a model."""
    return digest([f.about["signal"], f.facts.get("label_space")])


def _part(stored: Stored, fitted: list[Fitted]) -> Check:
    """The digest of the training part: one a fold, as splits.json has it where signal and labels are the suite's.

    A variant with another signal or labels has the same recordings under another digest: one for each of these.
    """
    found: dict[tuple[int, str], dict[str, str]] = {}
    for f in fitted:
        found.setdefault((f.fold, _prepared_as(f)), {}).setdefault(f.facts["training_part"], _named(f))
    problems = [f"fold {fold}: {' and '.join(of.values())} differ" for (fold, _), of in found.items() if len(of) > 1]
    kept = stored.content.get("training_parts")
    counted = f"{plural(len(fitted), 'checkpoint')}, {len({fold for fold, _ in found})} folds"
    if not isinstance(kept, dict):
        return judge(
            FITS, PART, problems, f"{counted}; splits.json holds no digests, so they were held to each other alone"
        )
    for f in fitted:
        if as_suite(stored, f) and f.facts["training_part"] != kept.get(str(f.fold)):
            problems.append(f"{_named(f)} was trained on another part than splits.json names")
    return judge(FITS, PART, problems, counted)


def as_suite(stored: Stored, f: Fitted) -> bool:
    """Whether a model was trained with the suite's own signal and labels."""
    info = stored.suite.info
    own = (
        {k: v for k, v in info["config"]["signal"].items() if k != "__class__"}
        if "config" in info
        else f.about["signal"]
    )
    return f.facts.get("label_space") == info["label_space"] and f.about["signal"] == own


def _transforms(fitted: list[Fitted]) -> Check:
    """Transforms depend on the training signals and on the settings named here, and on nothing else of a variant."""
    groups: dict[tuple, dict[str, str]] = {}
    for f in fitted:
        dropped = f.facts.get("budget", {}).get("lead_dropout")
        inputs, signals = f.about["inputs"], digest(sorted(f.facts["training_signals"]))
        shared = [f.about["signal"], signals]
        if f.morphology:
            key = digest([*shared, f.about["features"], dropped, inputs["samples"]])
            groups.setdefault((f.fold, "morphology", key), {}).setdefault(f.morphology, _named(f))
        if f.rhythm:
            figures = inputs["rhythm"] if inputs["rhythm"] in ("slots", "raw_slots") else "heart-rate variability"
            groups.setdefault((f.fold, "rhythm", digest([*shared, figures])), {}).setdefault(f.rhythm, _named(f))
    problems = [f"{what} of {' and '.join(of.values())} differ" for (_, what, _), of in groups.items() if len(of) > 1]
    n = sum(bool(f.morphology) + bool(f.rhythm) for f in fitted)
    return judge(FITS, TRANSFORMS, problems, f"{plural(n, 'transform')}, {len(groups)} different fits asked for")


def _classes(stored: Stored, fitted: list[Fitted]) -> Check:
    """Trained classes, for models with the suite's labels."""
    info, problems, compared = stored.suite.info, [], 0
    untrained = {(int(e["fold"]), str(e["cls"])) for e in info["untrained"]}
    for f in fitted:
        if f.facts.get("label_space") != info["label_space"]:
            continue
        compared += 1
        for cls, trained in zip(f.about["classes"], f.trained, strict=True):
            if trained == ((f.fold, cls) in untrained):
                problems.append(
                    f"{_named(f)}: {cls} is {'trained' if trained else 'not trained'}, suite.json says otherwise"
                )
    return judge(FITS, CLASSES, problems, plural(compared, "checkpoint"))
