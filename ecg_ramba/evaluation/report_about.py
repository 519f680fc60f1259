"""What a reader must know beside the results: how to read them, the data, their limits, how to run them again."""

from pathlib import Path

from ecg_ramba.document import Section, Table, Text
from ecg_ramba.evaluation.burden import AF_CLASS, HOW
from ecg_ramba.evaluation.challenge_text import HOW as HOW_CHALLENGE
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.pooling import Pooling
from ecg_ramba.evaluation.tables import duration, kind_of, support_legend, too_small, verdict_legend


def how_to_read(evaluation: Evaluation) -> Section:
    """What the columns mean, and how sure the numbers are."""
    c, info = evaluation.config, evaluation.suite.info
    seeds = evaluation.suite.n_seeds
    once = {
        1: "Each difference rests on a single training run: how much another seed would change it is not known.",
        2: "Each variant was trained twice; seeds are averaged, not resampled.",
    }.get(seeds, f"Each variant was trained {seeds} times; seeds are resampled with the subjects.")
    lines = [
        f"- Intervals hold {c.level:.0%} of {c.draws:,} bootstrap draws of subjects, the same draws for all variants, "
        f"spread for few subjects as a t interval is. {once}",
        f"- Source scores: the metric on each of {evaluation.suite.n_folds} held-out folds, then the mean. Target "
        "scores: window probabilities averaged over the fold models, then pooled once.",
        "- Difference: variant minus reference on the same draws. Transfer gap: source out-of-fold minus the mean of "
        "the fold models' own target scores, over classes both sides support; positive means worse abroad. Difference "
        "of gaps: the variant's minus the reference's.",
        f"- F1 is at the fixed threshold {c.threshold}. AP (average precision) is to be read against the prevalence. "
        "Brier: lower is better.",
        f"- Profile `{info['profile']}`, label space `{info['label_space']}`. Many rows are compared, and intervals "
        "are not corrected for that; the permutation tests are, by Holm's method.",
        f"- {verdict_legend(evaluation)}",
        f"- {support_legend(evaluation)}",
        *([f"- {HOW_CHALLENGE}"] if c.challenge_weights else []),
    ]
    if too_small(evaluation) and not evaluation.suite.synthetic:
        lines.append(
            "- This sample shows that the suite works on real recordings. It decides nothing between the models."
        )
    return Section("How to read it, and how sure it is", (Text("\n".join(lines)),))


def data(evaluation: Evaluation) -> Section:
    """What was used of each data set, and what was left out."""
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
        counts = [str(d[k]) for k in ("records", "subjects", "segments", "windows")]
        rows.append([d["name"], role, "; ".join([kind, *marks]), *counts, out, f"`{d['digest'][:12]}`"])
    header = ["data set", "role", "kind", "records", "subjects", "segments", "windows", "left out", "digest"]
    caption = f"{kind_of(evaluation)}Recordings used, and left out"
    parts = [Table("data", caption, header, rows)]
    if same := evaluation.suite.info["duplicates"]:
        parts.append(Text(f"Records of the source that share their samples with another: {same}; they share a fold."))
    return Section("Data (synthetic)" if evaluation.suite.synthetic else "Data", tuple(parts))


def burden(evaluation: Evaluation) -> list[Section]:
    """AF burden against what each pooling can reach at the threshold; nothing without rhythm episodes."""
    if not evaluation.burdens:
        return []
    poolings: dict[str, Pooling] = {}
    for variant in evaluation.suite.variants:
        poolings.setdefault(variant.pooling.title, variant.pooling)
    rows, per_class = [], evaluation.per_class
    for at in evaluation.burdens:
        for title, pooling in sorted(poolings.items(), key=lambda item: item[1].exponent):
            names = [
                v.name
                for v in evaluation.suite.variants
                if v.pooling.title == title and (v.reference or v.kind == "pooling")
            ]
            found = per_class[
                (per_class["task"] == at.task)
                & (per_class["cls"] == AF_CLASS)
                & (per_class["metric"] == "sensitivity")
                & per_class["variant"].isin(names)
            ]
            sensitivity = f"{found['value'].iloc[0]:.3f}" if len(found) else "–"
            limit = f"{pooling.burden_limit:.1%}"
            rows.append([at.task, title, limit, str(len(at.share)), str(at.below(pooling)), sensitivity])
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
    kind = kind_of(evaluation)
    caption = f"{kind}How little AF a pooled score can still reach at 0.5"
    parts = (
        Text(HOW),
        Table("burden", caption, header, rows),
        Text(f"Paced rhythm is regular, so it bears on AF scores: {'; '.join(paced)}."),
    )
    return [Section(f"{kind}AF burden and paced rhythm", parts)]


def limits(evaluation: Evaluation) -> Section:
    """What the run cannot say, and what its notes are."""
    info, lines = evaluation.suite.info, []
    if evaluation.suite.synthetic:
        lines.append("The recordings are synthetic: nothing here is about patients.")
    elif too_small(evaluation):
        lines.append("The sample is too small to decide between models; it shows what a full run prints.")
    if evaluation.suite.n_seeds < 3:
        lines.append(
            "How much another training seed would move a score is in no interval: fewer than three seeds were trained."
        )
    if info["profile"] == "small":
        lines.append("The networks are the `small` profile's, sized for two CPU cores, not the paper's.")
    if searched := info.get("config", {}).get("overrides"):
        lines.append(
            f"The settings of {', '.join(searched)} are those that a search chose for each fold; every other model's "
            "are its profile's, untuned."
        )
    lines += [
        "Labels are the publishers', mapped to one label space; what a publisher never annotates is unknown there.",
        "One source is one way of recording and annotating: another source may order the models otherwise.",
        *evaluation.notes,
    ]
    return Section("Limits and notes", (Text("\n".join(f"- {line}" for line in lines)),))


def reproduce(evaluation: Evaluation) -> Section:
    """Command, commit, configuration and digests."""
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
        ["all numbers", "the CSV files beside this page, from variants/*/windows.parquet and labels.parquet alone"],
        [
            "check them again",
            "`ecg-ramba verify RUN` with this run's folder: digests, and every table from predictions",
        ],
    ]
    c = evaluation.config
    if c.challenge_weights:
        rows.append(["challenge weights", f"`{Path(c.challenge_weights).name}`, SHA-256 `{c.challenge_sha256[:16]}`"])
    return Section(
        "How to reproduce", (Table("reproduce", f"{kind_of(evaluation)}What was run", ["what", "value"], rows),)
    )
