"""In what, besides the model, two runs differ: without any of it their difference is that of a paired training."""

import json
from collections.abc import Mapping

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.sides import Side
from ecg_ramba.files import read_json

_TOP = ("profile", "precision", "backend", "device")
"""Fields of suite.json that are compared where a run does not store its configuration."""
_NO_MATTER = ("targets", "source", "label_space", "folds", "seeds", "__class__")
"""Parts of a configuration that do not change what is trained, or are compared by name."""
_MOST = 6


def differences(a: Side, b: Side) -> list[str]:
    """What keeps a comparison from being one of paired trainings, in words; [] where nothing is known to.

    Parameters
    ----------
    a, b : Side

    Returns
    -------
    list of str
        One sentence each: source, training recordings, folds, seeds, label mapping, settings of the training.
    """
    if a.foreign or b.foreign:
        side = a if a.foreign else b
        return [f"{side.place.name} is a file of predictions: on what, and how, its model was trained is not known"]
    if a.suite.path.resolve() == b.suite.path.resolve():
        return []
    one, other = a.suite.info, b.suite.info
    out = []
    if one["source"] != other["source"]:
        out.append(f"the source is {one['source']} in A and {other['source']} in B")
    else:
        out += _recordings(a, b)
        out += _folds(a, b)
    if a.suite.n_seeds != b.suite.n_seeds:
        out.append(f"A has {_runs(a.suite.n_seeds)}, B {_runs(b.suite.n_seeds)}")
    if one["label_space"] != other["label_space"]:
        out.append(f"the label space is {one['label_space']} in A and {other['label_space']} in B")
    if one["mapping_digest"] != other["mapping_digest"]:
        tables = " and ".join(info["mapping_digest"][:12] for info in (one, other))
        out.append(f"the tables that map labels differ (SHA-256 {tables})")
    return out + _settings(one, other)


def _runs(n: int) -> str:
    return f"{n} training seed{'s' * (n != 1)}"


def _recordings(a: Side, b: Side) -> list[str]:
    """Whether both were trained on the same recordings of the one source."""
    facts = []
    for side in (a, b):
        found = [d for d in side.suite.info["data"] if d["name"] == side.suite.info["source"]]
        facts.append(found[0] if found else None)
    if None in facts:
        unknown = " and ".join(letter for letter, f in zip("AB", facts, strict=True) if f is None)
        return [f"the recordings that trained {unknown} are not stored there"]
    if facts[0]["digest"] == facts[1]["digest"]:
        return []
    counts = " and ".join(str(f["records"]) for f in facts)
    return [f"the source's recordings, labels or preparation differ ({counts} recordings)"]


def _folds(a: Side, b: Side) -> list[str]:
    """Whether each recording of the one source was held out in the same fold."""
    held_out = []
    for side in (a, b):
        place = side.suite.path / "splits.json"
        content = read_json(place) if place.is_file() else {}
        if not isinstance(content, Mapping) or not isinstance(content.get("held_out_fold", {}), Mapping):
            raise UserError(f"{place} is damaged (no held-out folds in it); run the suite again")
        held_out.append(content.get("held_out_fold"))
    if a.suite.folds != b.suite.folds:
        return [f"A has {a.suite.n_folds} folds, B {b.suite.n_folds}"]
    if None in held_out:
        unknown = " and ".join(letter for letter, f in zip("AB", held_out, strict=True) if f is None)
        return [f"the folds of {unknown} are not stored there"]
    one, other = held_out
    moved = sum(one[r] != other[r] for r in one.keys() & other.keys())
    alone = len(one.keys() ^ other.keys())
    if not moved and not alone:
        return []
    said = [f"{moved} recordings are held out in another fold"] * bool(moved)
    said += [f"{alone} are in one run's source alone"] * bool(alone)
    return [f"the folds differ: {' and '.join(said)}"]


def _settings(one: Mapping, other: Mapping) -> list[str]:
    """Settings of the training that differ."""
    if "config" not in one or "config" not in other:
        pairs = {k: (one.get(k), other.get(k)) for k in _TOP}
        out = [_said({k: p for k, p in pairs.items() if p[0] != p[1]})]
        unknown = " and ".join(letter for letter, info in (("A", one), ("B", other)) if "config" not in info)
        return [*filter(None, out), f"the training settings of {unknown} are not stored there"]
    flat = [_flat(info["config"]) for info in (one, other)]
    names = [n for n in sorted(flat[0].keys() | flat[1].keys()) if n.split(".")[0] not in _NO_MATTER]
    pairs = {n: (flat[0].get(n), flat[1].get(n)) for n in names}
    return [*filter(None, [_said({n: p for n, p in pairs.items() if p[0] != p[1]})])]


def _said(pairs: Mapping[str, tuple]) -> str:
    shown = [f"{name} ({a} and {b})" for name, (a, b) in list(pairs.items())[:_MOST]]
    more = f" and {len(pairs) - _MOST} more" if len(pairs) > _MOST else ""
    return f"settings of the training differ: {', '.join(shown)}{more}" if pairs else ""


def _flat(value, name: str = "") -> dict[str, str]:
    """A configuration as ``part.field`` -> its value in JSON."""
    if isinstance(value, Mapping):
        out = {}
        for key, of in value.items():
            if key != "__class__":
                out |= _flat(of, f"{name}.{key}" if name else str(key))
        return out
    return {name: json.dumps(value, sort_keys=True)}
