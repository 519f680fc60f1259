"""How the run was evaluated: settings, threshold, pooling; and what pretrained models are said to have seen."""

import csv
from pathlib import Path

from ecg_ramba.evaluation.pooling import Pooling
from ecg_ramba.evaluation.report import SETTINGS, stored_settings
from ecg_ramba.harness.audit.checks import Check, Stored, judge, plural, unchecked

THRESHOLDS, OVERLAP = "thresholds", "overlap"
STATUSES = ("none", "pretraining", "unknown")


def check_settings(stored: Stored) -> list[Check]:
    """Settings of the report, and what could differ from variant to variant."""
    folder, rows = stored.suite.path, stored.rows
    claim = "the report was made with the protocol's settings"
    if (folder / "report" / SETTINGS).is_file():
        config = stored_settings(folder)
        problems = [f"it was not: {config.departures}"] if config.departures else []
        made = judge(THRESHOLDS, claim, problems, f"threshold {config.threshold}, {config.draws:,} draws")
    else:
        made = unchecked(THRESHOLDS, claim, f"there is no report/{SETTINGS}; write it: ecg-ramba report {folder}")
    own = [f"{r['name']} has {key} = {r[key]!r}" for r in rows for key in r if "threshold" in key.lower()]
    one = judge(THRESHOLDS, "one threshold for all variants", own, plural(len(rows), "variant"))
    return [made, one, _pooling(rows)]


def _pooling(rows: list[dict]) -> Check:
    """One pooling a variant, the reference's as the protocol says; pooling variants pool what a variant predicted."""
    protocol, problems, others = Pooling(), [], []
    trained = {r["windows"] for r in rows if r["kind"] != "pooling" and r.get("windows")}
    ok = [r for r in rows if r["status"] == "ok"]
    for row in ok:
        pooling = row["pooling"] if isinstance(row["pooling"], dict) else {}
        found = (pooling.get("rule"), float(pooling.get("q") or 0))
        same = found[0] == protocol.rule and (found[0] != "power" or found[1] == protocol.q)
        if not same and row.get("reference"):
            problems.append(f"the reference {row['name']} is pooled by {found[0]} (q = {found[1]:g})")
        elif not same:
            others.append(row["name"])
        if row["kind"] == "pooling" and row["windows"] not in trained:
            problems.append(f"{row['name']} pools windows that no variant predicted")
    claim = "pooling is fixed for each variant before it is scored, the reference's as the protocol says"
    counted = f"{plural(len(ok), 'variant')}" + (
        f"; by their names pooled otherwise: {', '.join(others)}" if others else ""
    )
    return judge(THRESHOLDS, claim, problems, counted)


def check_overlap(stored: Stored, models: dict[str, str]) -> list[Check]:
    """What models that were pretrained elsewhere saw of the data, by the statement of whoever ran them.

    ``models``: variant -> the name of its model, as far as its checkpoints are there.
    """
    info = stored.suite.info
    names = [info["source"], *info["targets"]]
    ok = [r for r in stored.rows if r["status"] == "ok"]
    probes = {name for name, model in models.items() if "foundation" in model}
    pretrained = [r for r in ok if r.get("overlap") or r["name"] in probes]
    external = [r["name"] for r in ok if r["kind"] == "external"]
    claim = "what a pretrained model saw of each data set is stated"
    problems = []
    for row in pretrained:
        said = row.get("overlap") or {}
        lacking = [n for n in names if said.get(n) not in STATUSES]
        problems += [f"{row['name']} states nothing of {', '.join(lacking)}"] if lacking else []
    counted = [
        f"{r['name']}: {', '.join(f'{k} {v}' for k, v in r['overlap'].items())}" for r in pretrained if r.get("overlap")
    ]
    checks = [judge(OVERLAP, claim, problems, "; ".join(counted) or "no pretrained model in this run")]
    checks += [
        unchecked(OVERLAP, claim, f"{name} is a file of predictions: what its model was trained on is not known")
        for name in external
    ]
    seen = [r for r in pretrained if any(v != "none" for v in (r.get("overlap") or {}).values())]
    return checks + ([_marked(stored, seen)] if seen else [])


def _marked(stored: Stored, seen: list[dict]) -> Check:
    """Whether the report marks rows whose model may have seen the data."""
    claim = "rows of a model that saw the data, or may have, are marked in the report"
    place = stored.suite.path / "report" / "summary.csv"
    if not place.is_file():
        return unchecked(
            OVERLAP, claim, f"there is no report/summary.csv; write it: ecg-ramba report {stored.suite.path}"
        )
    overlap = {r["name"]: r["overlap"] for r in seen}
    marked, problems = 0, {}
    for row in _rows(place):
        if overlap.get(row["variant"], {}).get(row["dataset"], "none") != "none":
            marked += 1
            if not row["title"].endswith(("[NOT ZERO-SHOT]", "[NOT HELD OUT]")):
                problems[f"{row['variant']} on {row['task']}"] = True
    return judge(OVERLAP, claim, list(problems), plural(marked, "row"))


def _rows(place: Path) -> list[dict]:
    with open(place, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
