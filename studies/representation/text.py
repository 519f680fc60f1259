"""The study of representation in words: a document of sections, tables and figures."""

from __future__ import annotations

from functools import partial

import pandas as pd

from ecg_ramba.document import Figure, Section, Table, Text
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.rows import how_sure
from ecg_ramba.evaluation.tables import bracketed, kind_of, number, slug
from studies.probes.linear import STEPS
from studies.probes.listener import STREAMS
from studies.representation.delineation import FIGURES, PLAUSIBLE_MS, UNITS
from studies.representation.figure import draw_map, draw_similarity
from studies.representation.figure_tables import figure_table, similarity_table
from studies.representation.probe_tables import contrast_table, label_table
from studies.representation.probing import NAMES, RAW, UNTRAINED
from studies.representation.study import MORPHOLOGY, NEITHER, RHYTHM, Probed, RepresentationConfig

TITLE = "what each stream holds of rhythm and of morphology"
FLOOR = -10.0
"""An R2 below is printed as that: how far off an extrapolation is, says nothing more."""
_TRAINED = (*STREAMS, *RAW)

_WHY = (
    "A probe says what can be read linearly from a stream, not what the network uses. The streams read different "
    "inputs (heart-rate variability, MiniRocket's features, the signal), so before fusion they differ whatever "
    "training does: the same network with random weights and the features themselves stand beside them, and only what "
    "exceeds both was learned. No more is claimed of disentanglement than the difference of rhythm and morphology "
    "probes between streams, with its interval."
)
_PLANTS = (
    "In the synthetic cohort AF is the rhythm plant, which no single window holds; LBBB and TInv are the morphology "
    "plants; QAb is a hum at the source and nothing at the third site, though it stands among the morphology labels."
)
_BALANCE = (
    "Balance of a stream: its mean over rhythm labels minus its mean over morphology labels. Above zero, the first "
    "stream leans more to rhythm than the second. 'Trained minus untrained' and 'streams minus features' compare the "
    "rhythm and morphology streams' difference with that of the same network with random weights, and with that of "
    "the features which they read: an interval around zero means that training was not seen to separate them further. "
    "Labels with too few subjects for an interval enter only where there are no others."
)


def representation_sections(probed: Probed, evaluation: Evaluation, config: RepresentationConfig) -> list[Section]:
    """The document's sections.

    Parameters
    ----------
    probed : Probed
    evaluation : Evaluation
        Of the suite behind it.
    config : RepresentationConfig
    """
    kind, synthetic, c = kind_of(evaluation), evaluation.suite.synthetic, evaluation.config
    labels, scored = label_table(probed, c, synthetic)
    contrasts = contrast_table(probed, scored, c, synthetic)
    figures, alike = figure_table(probed, c, synthetic), similarity_table(probed, c, synthetic)
    frames = {"probes": labels, "contrasts": contrasts, "intervals": figures, "similarities": alike}
    how = _how(probed, evaluation, config, labels, kind)
    made = [Section(how.title, how.parts, {name: frame for name, frame in frames.items() if len(frame)})]
    for variant in dict.fromkeys(cell.variant for cell in probed.cells):
        title = next(v.title for v in evaluation.suite.variants if v.name == variant)
        parts = [_maps(labels, variant, name, kind, synthetic) for name in probed.names]
        parts += [_contrasts(contrasts, variant, kind), _figures(probed, figures, variant, kind)]
        parts += [_alike(alike, variant, name, kind, synthetic) for name in probed.names]
        made.append(Section(f"{kind}{title}", tuple(parts)))
    if probed.reasons:
        rows = [[f"`{name}`", reason] for name, reason in probed.reasons.items()]
        table = Table("representation-failed", f"{kind}Variants without figures", ["variant", "reason"], rows)
        made.append(Section(f"{kind}Without figures", (table,)))
    return [*made, _units(probed, kind)]


def _how(probed: Probed, evaluation: Evaluation, config: RepresentationConfig, labels: pd.DataFrame, kind: str):
    c, seeds = evaluation.config, evaluation.suite.n_seeds
    text = (
        f"{_WHY}\n\n"
        "Logistic regressions on standardised values, their strength fixed, are fitted on a fold's training part and "
        "scored on its held-out part and on every target without refitting; for a target without V1 to V6 they are "
        "fitted on the training part without these leads. A stream is averaged over tokens and windows, as the "
        "network's own head reads it; what an average over time loses, no probe here finds. Intervals: "
        f"{c.level:.0%} of {c.draws:,} bootstrap draws of subjects, the fitted probes as they are; {how_sure(seeds)}. "
        "Where every pair is in order no draw is otherwise, and an interval has no width. Control: labels permuted "
        f"over subjects {config.permutations} times, in the training part and in what is scored, and the probe "
        f"refitted; its mean is taken off. The smallest p is {1 / (config.permutations + 1):.2g}. Nothing is corrected "
        "for the number of rows.\n\n"
        f"- Rhythm labels here: {', '.join(n for n in probed.labels if n in RHYTHM) or 'none'}.\n"
        f"- Morphology labels here: {', '.join(n for n in probed.labels if n in MORPHOLOGY) or 'none'}.\n"
        f"- In neither list: {'; '.join(f'{name} ({why})' for name, why in NEITHER.items())}."
    )
    if evaluation.suite.synthetic:
        text += f"\n\n{_PLANTS}"
    once = labels[labels["role"] == "source"].drop_duplicates(["variant", "stream"])
    if stopped := int(once["stopped"].sum()):
        text += f"\n\n{stopped} probes stopped at {STEPS} iterations; they count as they are."
    return Section(f"{kind}How it was asked", (Text(text),))


def _units(probed: Probed, kind: str) -> Section:
    header, rows = ["data set", "units", "subjects", "left out"], []
    for place in probed.places:
        why = "; ".join(f"{n} {reason}" for reason, n in probed.left_out[place.units.dataset].items())
        size = [str(len(place.units)), str(len(set(place.units.subject.tolist())))]
        rows.append([place.units.dataset, *size, why])
    caption = f"{kind}Recordings, or 10 s segments where rhythm episodes are annotated."
    return Section(f"{kind}What was probed", (Table("representation-units", caption, header, rows),))


def _maps(labels: pd.DataFrame, variant: str, dataset: str, kind: str, synthetic: bool) -> Section:
    of = labels[(labels["variant"] == variant) & (labels["dataset"] == dataset)]
    title = f"{kind}Probes on {dataset}"
    known = [n for n in dict.fromkeys(of["label"]) if of[of["label"] == n]["value"].notna().any()]
    if not known:
        reason = next(iter(of["reason"]), "no stream could be probed")
        return Section(title, (Text(f"No figure: {reason}."),))
    where = f"{variant} on {dataset}, {'held-out parts' if of['role'].iloc[0] == 'source' else 'zero-shot'}"
    streams = [n for n in NAMES if n in set(of["stream"])]
    name, by = f"{slug(variant)}-{slug(dataset)}", of.set_index(["label", "stream"])
    groups = {
        "probes": ("as trained, and the features themselves", [s for s in streams if s in _TRAINED]),
        "untrained": ("random weights", [s for s in streams if s not in _TRAINED]),
    }
    parts: list = []
    for stem, (what, chosen) in groups.items():
        rows = []
        for label in known:
            own = [by.loc[(label, s)] for s in chosen]
            size = next((f"{r['positives']:.0f} of {r['units']:.0f}" for r in own if pd.notna(r["value"])), "–")
            rows.append([label, "rhythm" if label in RHYTHM else "morphology", *map(_cell, own), size])
        caption = f"{kind}{where}, {what}: ROC-AUC minus that of permuted labels [95 %]; * is a p below 0.05."
        header = ["label", "group", *(s.removesuffix(UNTRAINED) for s in chosen), "positives"]
        if chosen:
            parts.append(Table(f"{stem}-{name}", caption, header, rows))
    about = f"{kind}{where}: ROC-AUC minus that of permuted labels, by stream and label."
    drawn = partial(draw_map, of, streams, known, f"{where}: ROC-AUC minus control", synthetic)
    parts.append(Figure(f"map-{name}", about, drawn))
    parts += _reasons(of[of["label"].isin(known)], "label")
    return Section(title, tuple(parts))


def _cell(row: pd.Series) -> str:
    mark = "*" if row["p"] < 0.05 else ""
    return bracketed(row["difference"], row["diff_lo"], row["diff_hi"], sign=True) + mark


def _reasons(rows: pd.DataFrame, of: str) -> list[Text]:
    """Why figures or intervals are missing, each once, with the label or figure that it is about."""
    there = rows[rows["reason"].fillna("") != ""].drop_duplicates([of, "reason"])
    said = [f"- {name}: {reason}." for name, reason in zip(there[of], there["reason"], strict=True)]
    return [Text("\n".join(said))] if said else []


def _contrasts(contrasts: pd.DataFrame, variant: str, kind: str) -> Section:
    rows = []
    for r in contrasts[contrasts["variant"] == variant].to_dict("records"):
        over = [r[group].replace("; ", ", ") for group in ("rhythm", "morphology")]
        value = bracketed(r["value"], r["lo"], r["hi"], sign=True)
        rows.append([r["dataset"], r["contrast"], value, *over, r["reason"]])
    header = ["data set", "compared", "difference of balances [95 %]", "rhythm", "morphology", "reason"]
    caption = f"{kind}{variant}: whether streams differ in their balance of rhythm and morphology."
    table = Table(f"contrasts-{slug(variant)}", caption, header, rows)
    return Section(f"{kind}Rhythm against morphology", (Text(_BALANCE), table))


def _figures(probed: Probed, figures: pd.DataFrame, variant: str, kind: str) -> Section:
    limits = ", ".join(f"{name} {low:.0f} to {high:.0f} ms" for name, (low, high) in PLAUSIBLE_MS.items())
    measured = "; ".join(
        f"{r['dataset']}: of {r['segments']} segments {', '.join(f'{r[f]} have {f}' for f in FIGURES)}"
        for r in probed.measured.to_dict("records")
    )
    text = (
        f"Ridge regressions of {', '.join(f'{f} ({UNITS[f]})' for f in FIGURES)}, one whole segment a recording, "
        "fitted on the training part; at the source over all held-out parts together, at a target the mean of the "
        "fold models. R2 is 1 for a perfect figure and 0 for the scored part's own mean; below zero the mean would be "
        "nearer, as may well be at another site. Heart rate is among the HRV figures, so the rhythm stream is told it, "
        "and QT, which is not corrected for the rate here, goes with it. Durations are those of neurokit2 on lead II "
        "by peak prominence, medians over beats: an algorithm's figures on a filtered lead, plausible ones alone "
        f"({limits}), QRS durations no more than roughly a cardiologist's. Measured: {measured}; the others are left "
        "out."
    )
    parts: list = [Text(text)]
    for dataset, of in figures[figures["variant"] == variant].groupby("dataset", sort=False):
        by, streams = of.set_index(["stream", "figure"]), list(dict.fromkeys(of["stream"]))
        rows = [[s, *(_r2(*by.loc[(s, f), ["value", "lo", "hi"]]) for f in FIGURES)] for s in streams]
        n = ", ".join(f"{by.loc[(streams[0], f), 'segments']}" for f in FIGURES)
        caption = f"{kind}{variant} on {dataset}: R2 [95 %] of measurements read from each stream; segments: {n}."
        parts.append(Table(f"intervals-{slug(variant)}-{slug(dataset)}", caption, ["stream", *FIGURES], rows))
        parts += _reasons(of, "figure")
    return Section(f"{kind}Heart rate, QRS duration, QT interval", tuple(parts))


def _r2(value: float, low: float, high: float) -> str:
    return bracketed(value, low, high) if not value < FLOOR else f"below {FLOOR:.0f}"


def _alike(alike: pd.DataFrame, variant: str, dataset: str, kind: str, synthetic: bool) -> Section:
    of = alike[(alike["variant"] == variant) & (alike["dataset"] == dataset)]
    title = f"{kind}Similarity of streams on {dataset}"
    if of["value"].isna().all():
        reason = next((r for r in of["reason"] if r), "fewer than two streams")
        return Section(title, (Text(f"No figure: {reason}."),))
    trained = [n for n in NAMES if n in _TRAINED and n in {*of["a"], *of["b"]}]
    by, rows = of.set_index(["a", "b"]), []
    for a, b in by.index:
        if a in trained:
            random = (a + UNTRAINED, b + UNTRAINED)
            other = number(by.loc[random, "value"]) if random in by.index else ""
            rows.append([a, b, bracketed(*by.loc[(a, b), ["value", "lo", "hi"]]), other])
    caption = (
        f"{kind}{variant} on {dataset}: debiased linear CKA of two streams over {of['subjects'].iloc[0]} subjects; "
        "1 the same up to rotation and scale, 0 unrelated. Streams that tell the same patients apart are alike "
        "whatever they read."
    )
    name = f"{slug(variant)}-{slug(dataset)}"
    table = Table(f"similarity-{name}", caption, ["stream", "and", "CKA [95 %]", "random weights"], rows)
    drawn = partial(draw_similarity, of, trained, f"{variant} on {dataset}: debiased CKA", synthetic)
    return Section(title, (table, Figure(f"similarity-{name}", caption, drawn)))
