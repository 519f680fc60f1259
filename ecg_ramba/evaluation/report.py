"""The report of a run: Markdown, CSV and figures, from the evaluation alone."""

import dataclasses
import re
from pathlib import Path

import pandas as pd

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.burden import AF_CLASS, HOW
from ecg_ramba.evaluation.challenge_text import HEADER as CHALLENGE_HEADER
from ecg_ramba.evaluation.challenge_text import HOW as HOW_CHALLENGE
from ecg_ramba.evaluation.challenge_text import challenge_caption, challenge_rows
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.factorial_text import HOW as HOW_FACTORIAL
from ecg_ramba.evaluation.factorial_text import effect_rows, effects_table, grid
from ecg_ramba.evaluation.figures import forest
from ecg_ramba.evaluation.flat import mlflow_metrics
from ecg_ramba.evaluation.pooling import Pooling
from ecg_ramba.evaluation.rows import how_sure
from ecg_ramba.evaluation.tables import (
    HEADER,
    Block,
    banner,
    blocks,
    cells,
    class_table,
    departures,
    duration,
    other_estimates,
    reasons,
    run_title,
    shown_columns,
    support_legend,
    too_small,
    verdict_legend,
)
from ecg_ramba.evaluation.terminal import print_summary
from ecg_ramba.files import read_json, write_atomic, write_json, write_text
from ecg_ramba.markdown import markdown_table

__all__ = ["mlflow_metrics", "print_summary", "stored_settings", "write_report"]

SETTINGS = "settings.json"


def write_report(evaluation: Evaluation, suite_dir: Path) -> list[Path]:
    """Write ``report/``: report.md, summary.csv, per_class.csv, forest-<task>.png and settings.json.

    Returns
    -------
    list of Path
        The files to read, report.md first. Given the same suite, report and tables are the same bytes.
    """
    folder = Path(suite_dir) / "report"
    figures = {name: forest(evaluation, name, folder / f"forest-{_slug(name)}.png") for name in evaluation.contexts}
    tables = []
    frames = {"summary.csv": evaluation.summary, "per_class.csv": evaluation.per_class}
    if evaluation.factorial:
        frames["effects.csv"] = effects_table(evaluation)
    for name, frame in frames.items():
        write_atomic(
            folder / name, lambda p, f=frame: f.to_csv(p, index=False, float_format="%.8g", lineterminator="\n")
        )
        tables.append(folder / name)
    write_text(folder / "report.md", markdown(evaluation, {k: v.name for k, v in figures.items()}))
    write_json(folder / SETTINGS, dataclasses.asdict(evaluation.config))
    return [folder / "report.md", *tables, *figures.values()]


def stored_settings(suite_dir: Path) -> EvaluationConfig:
    """What the last report of a run was made with; the protocol's where there is none."""
    place = Path(suite_dir) / "report" / SETTINGS
    if not place.is_file():
        return EvaluationConfig()
    try:
        return EvaluationConfig(**read_json(place))
    except TypeError:
        raise UserError(f"{place} is not of this version; delete it and name the settings again") from None


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)


def markdown(evaluation: Evaluation, figures: dict[str, str]) -> str:
    """The report's text.

    Parameters
    ----------
    evaluation : Evaluation
    figures : dict
        Task name -> file name of its figure beside the report.
    """
    opening = " ".join(filter(None, [banner(evaluation), departures(evaluation)]))
    parts = [f"# {run_title(evaluation)}", f"> **{opening}**", _how_to_read(evaluation), _data(evaluation)]
    if evaluation.failures:
        rows = [[f"`{name}`", reason] for name, reason in evaluation.failures.items()]
        parts += ["## Variants without numbers", markdown_table(["variant", "reason"], rows)]
    tasks = list(evaluation.contexts.items())
    plain = [name for name, c in tasks if not c.task.derived]
    derived = [name for name, c in tasks if c.task.derived]
    parts += [_task(evaluation, name, figures[name]) for name in plain]
    if derived:
        parts += [
            "# Derived signals (apart)",
            "These recordings were filtered and standardised by someone else; their scores stand apart.",
            *(_task(evaluation, name, figures[name]) for name in derived),
        ]
    parts += [_af(evaluation), _notes(evaluation), _reproduce(evaluation)]
    return "\n\n".join(p for p in parts if p) + "\n"


def _how_to_read(evaluation: Evaluation) -> str:
    c, info = evaluation.config, evaluation.suite.info
    seeds = evaluation.suite.n_seeds
    once = {
        1: "Each difference rests on a single training run: how much another seed would change it is not known.",
        2: "Each variant was trained twice; seeds are averaged, not resampled.",
    }.get(seeds, f"Each variant was trained {seeds} times; seeds are resampled with the subjects.")
    lines = [
        "How to read it, and how sure it is:",
        "",
        f"- Intervals hold {c.level:.0%} of {c.draws:,} bootstrap draws of subjects, the same draws for all variants. "
        f"{once}",
        f"- Source scores: the metric on each of {evaluation.suite.n_folds} held-out folds, then the mean. Target "
        "scores: window probabilities averaged over the fold models, then pooled once.",
        "- Difference: variant minus reference on the same draws. Transfer gap: source out-of-fold minus the mean of "
        "the fold models' own target scores, over classes both sides support; positive means worse abroad. Difference "
        "of gaps: the variant's minus the reference's.",
        f"- F1 is at the fixed threshold {c.threshold}. AP (average precision) is to be read against the prevalence. "
        "Brier: lower is better.",
        f"- Profile `{info['profile']}`, label space `{info['label_space']}`. Many rows are compared, and nothing is "
        "corrected for that here.",
        f"- {verdict_legend(evaluation)}",
        f"- {support_legend(evaluation)}",
        *([f"- {HOW_CHALLENGE}"] if c.challenge_weights else []),
    ]
    if too_small(evaluation) and not evaluation.suite.synthetic:
        lines.append(
            "- This sample shows that the suite works on real recordings. It decides nothing between the models."
        )
    return "\n".join(lines)


def _data(evaluation: Evaluation) -> str:
    rows = []
    for d in evaluation.suite.info["data"]:
        role = "source" if d["name"] == evaluation.suite.info["source"] else "target"
        kind = "synthetic" if d["synthetic"] else "real"
        marks = ["derived"] if d.get("derived") else []
        marks += ["subjects unknown: each record counts as its own"] if d.get("subjects_known") is False else []
        left = [(d[k], w) for k, w in (
            ("refused", "refused"), ("unlabelled", "unlabelled"), ("removed_overlap", "overlap with the source"),
            ("dropped_segments", "segments cross a border"))]  # fmt: skip
        out = ", ".join(f"{n} {w}" for n, w in left if n) or "nothing"
        counts = [d[k] for k in ("records", "subjects", "segments", "windows")]
        rows.append([d["name"], role, "; ".join([kind, *marks]), *counts, out, f"`{d['digest'][:12]}`"])
    header = ["data set", "role", "kind", "records", "subjects", "segments", "windows", "left out", "digest"]
    title = "## Data (synthetic)" if evaluation.suite.synthetic else "## Data"
    same = evaluation.suite.info["duplicates"]
    note = (
        f"\n\nRecords of the source that share their samples with another: {same}; they share a fold." if same else ""
    )
    return f"{title}\n\n{markdown_table(header, rows)}{note}"


def _task(evaluation: Evaluation, name: str, figure: str) -> str:
    context = evaluation.contexts[name]
    kind = "Synthetic: " if evaluation.suite.synthetic else ""
    mark = " (derived)" if context.task.derived else ""
    where = "out-of-fold on the source" if context.task.source else f"zero-shot on {context.task.dataset}"
    parts = [f"## {kind}{name}{mark}", f"Scored {where}, one score a {context.task.unit}."]
    for block in blocks(evaluation, name):
        parts += _block(evaluation, block, kind)
    if context.challenge:
        table = markdown_table(CHALLENGE_HEADER, challenge_rows(evaluation, name))
        parts += [f"*{challenge_caption(evaluation, name)}*", table]
    parts += _factorial(evaluation, name, kind)
    parts.append(f"![{kind}{name}: ROC-AUC and difference from the reference, by variant]({figure})")
    table = class_table(evaluation, name)
    if len(table):
        shown = table if has_af(table) else table.drop(columns="paced")
        caption = f"*{kind}Classes of {name}, with the reference's scores; every other variant's are in per_class.csv.*"
        parts += [caption, markdown_table(list(shown.columns), shown.astype(object).to_numpy().tolist())]
    return "\n\n".join(parts)


def _factorial(evaluation: Evaluation, task: str, kind: str) -> list[str]:
    """Scores by stream and backbone, and the effects; nothing where no variant names factors."""
    if not evaluation.factorial.get(task):
        return []
    sure = how_sure(evaluation.suite.n_seeds)
    return [
        f"### {kind}{task}: streams by backbone",
        markdown_table(*grid(evaluation, task)),
        f"*{kind}{HOW_FACTORIAL} {sure[0].upper()}{sure[1:]}.*",
        markdown_table(["effect", "ROC-AUC [95 %]", "contrasts"], effect_rows(evaluation, task)),
    ]


def has_af(table: pd.DataFrame) -> bool:
    """Whether a class table holds AF, beside which paced records are counted: a paced rhythm is regular."""
    return bool(table["class"].isin(["AF", "AFL", AF_CLASS]).any())


def _block(evaluation: Evaluation, block: Block, kind: str) -> list[str]:
    c = block.counts
    prevalence = f"; mean prevalence {c['prevalence']:.3f}" if c["classes"] else ""
    parts = [f"**{kind}{block.task}: {block.subject}** ({block.size}{prevalence})"]
    if c["classes"] and c["classes"] != block.cls:
        support = evaluation.contexts[block.task].support
        listed = [f"{n} ({support[n].positives} of {support[n].positive_subjects})" for n in c["classes"].split("; ")]
        parts.append(f"Classes, with positives of positive subjects: {', '.join(listed)}.")
    shown = shown_columns(block)
    for pooling, title in (
        (False, "Retrained"),
        (True, "Pooling only: the stored windows pooled otherwise, no retraining"),
    ):
        rows = [cells(r) for r in block.rows if (r["kind"] == "pooling") == pooling]
        if rows:
            caption = f"*{kind}{title}; {c['how_sure']}*"
            parts += [caption, markdown_table([HEADER[i] for i in shown], [[r[i] for i in shown] for r in rows])]
    header, others = other_estimates(evaluation, block)
    if others:
        parts += [f"*{kind}The same figure, estimated otherwise; {c['how_sure']}*", markdown_table(header, others)]
    gaps = next((r["gap_classes"] for r in block.rows if r["gap_classes"]), "")
    if gaps and gaps != c["classes"]:
        parts.append(f"Transfer gaps are over: {gaps}.")
    parts += [f"{r[0].upper()}{r[1:]}." for r in reasons(block)]
    return parts


def _af(evaluation: Evaluation) -> str:
    """AF burden against what each pooling can reach at the threshold."""
    if not evaluation.burdens:
        return ""
    poolings: dict[str, Pooling] = {}
    for variant in evaluation.suite.variants:
        poolings.setdefault(variant.pooling.title, variant.pooling)
    rows, per_class = [], evaluation.per_class
    for burden in evaluation.burdens:
        for title, pooling in sorted(poolings.items(), key=lambda item: item[1].exponent):
            names = [
                v.name
                for v in evaluation.suite.variants
                if v.pooling.title == title and (v.reference or v.kind == "pooling")
            ]
            found = per_class[
                (per_class["task"] == burden.task)
                & (per_class["cls"] == AF_CLASS)
                & (per_class["metric"] == "sensitivity")
                & per_class["variant"].isin(names)
            ]
            sensitivity = f"{found['value'].iloc[0]:.3f}" if len(found) else "–"
            limit = f"{pooling.burden_limit:.1%}"
            rows.append([burden.task, title, limit, len(burden.share), burden.below(pooling), sensitivity])
    header = [
        "task",
        "pooling",
        "least burden that can reach 0.5",
        "AF records",
        "of them below it",
        "reference's sensitivity",
    ]
    paced = [
        f"{name}: {s.paced} of {s.units} scored units are paced"
        for name, c in evaluation.contexts.items()
        for cls, s in c.support.items()
        if cls == AF_CLASS
    ]
    kind = "Synthetic: " if evaluation.suite.synthetic else ""
    text = f"## {kind}AF burden and paced rhythm\n\n{HOW}\n\n{markdown_table(header, rows)}"
    return f"{text}\n\nPaced rhythm is regular, so it bears on AF scores: {'; '.join(paced)}."


def _notes(evaluation: Evaluation) -> str:
    return "## Notes\n\n" + "\n".join(f"- {n}" for n in evaluation.notes) if evaluation.notes else ""


def _reproduce(evaluation: Evaluation) -> str:
    info = evaluation.suite.info
    training = sum(v.seconds for v in evaluation.suite.variants if v.kind != "pooling" and v.seconds == v.seconds)
    rows = [
        ["command", f"`{info['command']}`"],
        ["version, commit", f"{info['version']}, `{info['commit'] or 'unknown'}`"],
        ["run key", f"`{info['key']}`"],
        ["created", info["created"] or "unknown"],
        ["label mapping", f"{info['label_space']}, `{info['mapping_digest'][:16]}`"],
        ["backend, precision, threads", f"{info['backend']}, {info['precision']}, {info['threads']}"],
        ["folds, seeds", f"{evaluation.suite.n_folds}, {evaluation.suite.n_seeds}"],
        ["training time, all variants", duration(training)],
        ["all numbers", "summary.csv (headlines), per_class.csv (every class, metric and estimate)"],
    ]
    c = evaluation.config
    if c.challenge_weights:
        rows.append(["challenge weights", f"`{Path(c.challenge_weights).name}`, SHA-256 `{c.challenge_sha256[:16]}`"])
    return "## How to reproduce\n\n" + markdown_table(["what", "value"], rows)
