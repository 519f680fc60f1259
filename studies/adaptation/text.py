"""The study of adaptation in words and tables."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecg_ramba.document import Figure, Section, Table, Text
from ecg_ramba.evaluation.config import NO_SUPPORT, PROTOCOL_SUPPORT
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.rows import MACRO
from ecg_ramba.evaluation.tables import banner, bracketed, kind_of, number, slug
from studies.adaptation.calibrate import said_kinds
from studies.adaptation.figure import draw
from studies.adaptation.fit import LEAST, PENALTY
from studies.adaptation.score import score_target
from studies.adaptation.study import TargetStudy

NOT_ZERO_SHOT = "NOT ZERO-SHOT: every number at a share above 0 % used labels of target subjects."
FEW = 10
"""Adaptation subjects below which the text calls a share a handful."""


def opening(evaluation: Evaluation) -> str:
    """What stands above everything."""
    return f"{NOT_ZERO_SHOT} {banner(evaluation)}"


def sections(evaluation: Evaluation, studies: Sequence[TargetStudy]) -> list[Section]:
    """How to read it, then each target: its subjects, both ways of adapting, what was fitted on how much."""
    kind = kind_of(evaluation)
    made = [Section(f"{kind}How to read it", (Text(_how(evaluation, studies)),))]
    tables, by_draw = [], []
    for study in studies:
        if study.split is None:
            made.append(Section(f"{kind}{study.name}", (Text(f"Not adapted to: {study.reason}."),)))
            continue
        table, draws = score_target(evaluation, study)
        tables.append(table)
        by_draw.append(draws)
        made.append(Section(f"{kind}{study.name}", tuple(_target(evaluation, study, table, kind))))
    frames = {
        "adaptation": pd.concat(tables, ignore_index=True),
        "adaptation_draws": pd.concat(by_draw, ignore_index=True),
    }
    done = [s for s in studies if s.split is not None]
    for name, of in (("adaptation_maps", [s.maps() for s in done]), ("adaptation_heads", [s.heads() for s in done])):
        named = [frame.assign(target=s.name) for frame, s in zip(of, done, strict=True)]
        frames[name] = pd.concat(named, ignore_index=True)
    return [Section(made[0].title, made[0].parts, frames), *made[1:]]


def _how(evaluation: Evaluation, studies: Sequence[TargetStudy]) -> str:
    c, seeds = evaluation.config, evaluation.suite.n_seeds
    first = next(s for s in studies if s.split is not None)
    shares = ", ".join(f"{s:g} %" for s in first.shares if s)
    once = (
        "Each model is a single training run: how much another seed would move a score is in no interval."
        if seeds == 1
        else f"Each model was trained {seeds} times{', seeds resampled with the subjects' if seeds >= 3 else ''}."
    )
    lines = [
        "- This is a study of target access, apart from the zero-shot results. The models were trained on the source "
        "alone; then labels of a few target subjects were used. At 0 % the scores are the zero-shot ones of the test "
        "subjects, to the last bit.",
        "- Half of each target's subjects test, drawn once, stratified on the rarest label: the same for every model, "
        f"share and draw. Of all subjects {shares} lend their labels, in {first.draws} draws from the other half; in a "
        "draw each share is within the next. No subject and no signal is on both sides.",
        f"- **Calibration**: Platt's map (slope and intercept on the logit of the unit score of the fold ensemble), "
        f"one a class. With fewer than {LEAST} positive or negative adaptation subjects, or where the slope would "
        "turn the order round, the intercept alone. A monotone map leaves the ranking as it is, so ROC-AUC and AP "
        "hardly move (only scores beyond 1e-6 of 0 or 1 are clipped); Brier, ECE, log loss and the scores at 0.5 do.",
        "- **Head**: the last linear layer of each fold's network, all else frozen: ridge-penalised logistic "
        "regression towards the source's weights, every adaptation subject with one vote. The penalty was fixed in "
        f"advance at {PENALTY:g} (a window's logit is expected to move by about one before labels are seen); no label "
        "of a test subject, and no inner validation, chose it.",
        "- A class without both outcomes among the adaptation subjects keeps its scores or weights; the tables count "
        "these.",
        f"- Values are means over the draws of adaptation subjects. Intervals hold {c.level:.0%} of {c.draws:,} "
        "bootstrap draws of the test subjects, the same for every model and share; changes from 0 % and differences "
        "from the reference are paired on them. 'SD' is over the draws of adaptation subjects, not in the intervals. "
        f"{once} Nothing is corrected for the number of comparisons.",
    ]
    return "\n".join(lines)


def _target(evaluation: Evaluation, study: TargetStudy, table: pd.DataFrame, kind: str) -> list:
    parts = [Text(_subjects(study))]
    for task in study.test:
        of = table[table["task"] == task]
        scored = of[of["share"].notna()]
        for cls in dict.fromkeys(scored["cls"]):
            parts += _figure(evaluation, study, task, cls, scored[scored["cls"] == cls], kind)
        for reason in dict.fromkeys(of.loc[of["support"] == NO_SUPPORT, "reason"]):
            parts.append(Text(f"{task}: {reason}."))
    without = table[table["share"].isna() & (table["study"] == "head") & (table["support"] != NO_SUPPORT)]
    if len(without):
        rows = [[r["title"], r["reason"]] for r in without.drop_duplicates("variant").to_dict("records")]
        caption = f"{kind}{study.name}: models whose head was not adapted"
        parts.append(Table(f"adaptation-no-head-{slug(study.name)}", caption, ["Model", "reason"], rows))
    return [*parts, *_fitted(study, kind)]


def _subjects(study: TargetStudy) -> str:
    """How many subjects test and adapt, with the true shares."""
    split = study.split
    shares = [f"{s:g} %: {split.count(s)} ({split.count(s) / split.subjects:.1%})" for s in study.shares if s]
    text = (
        f"{split.subjects} subjects with {len(split.record)} recordings; {split.test_subjects} test, with "
        f"{int(split.test.sum())} recordings. Adaptation subjects, with their true share: {', '.join(shares)}."
    )
    counts = [split.count(s) for s in study.shares if s]
    if len(set(counts)) < len(counts):
        text += " Shares of as many subjects are the same subjects and give the same numbers."
    if counts and max(counts) == split.order.shape[1]:
        text += " The largest share is all subjects that do not test, so its draws are one and the same."
    if min(counts, default=FEW) < FEW:
        text += (
            f" **Small sample: fewer than {FEW} adaptation subjects are a handful; which ones they are decides much.**"
        )
    return text


def _figure(evaluation: Evaluation, study: TargetStudy, task: str, cls: str, rows: pd.DataFrame, kind: str) -> list:
    first = rows.iloc[0]
    mark = "" if first["support"] == PROTOCOL_SUPPORT else f", {first['support'].upper()}"
    over = f"macro average over {first['classes']}" if cls == MACRO else cls
    about = f"{kind}{task}, {over}{mark}: {first['test_subjects']} test subjects; {first['how_sure']}; not zero-shot"
    stem = f"{slug(task)}-{slug(cls)}"
    caption = f"{about}. ROC-AUC and Brier score against the share of target subjects whose labels were used."
    parts = [Figure(f"adaptation-{stem}", caption, lambda: draw(evaluation, study, task, cls, rows))]
    calibration = rows[rows["study"] == "calibration"]
    parts.append(
        Table(f"adaptation-calibration-{stem}", f"{about}. Score calibration.", *_calibration_table(calibration))
    )
    head = rows[rows["study"] == "head"]
    if len(head):
        parts.append(Table(f"adaptation-head-{stem}", f"{about}. Head fine-tuning.", *_head_table(head)))
    return [*parts, *(Text(f"{r[0].upper()}{r[1:]}.") for r in dict.fromkeys(rows["reason"]) if r)]


def _by_share(rows: pd.DataFrame):
    """Title, share in words and metric -> row, for each variant and share."""
    for _, of in rows.groupby(["variant", "share"], sort=False):
        first = of.iloc[0]
        title = f"{first['title']} (reference)" if first["reference"] else first["title"]
        share = f"{first['share']:g} % ({first['subjects_used']:.0f})"
        yield title, share, of.set_index("metric"), bool(first["share"])


def _change(of: pd.DataFrame, metric: str, adapted: bool) -> str:
    row = of.loc[metric]
    return bracketed(row["change"], row["change_lo"], row["change_hi"], sign=True) if adapted else "zero-shot"


def _from_reference(of: pd.DataFrame, metric: str) -> str:
    row = of.loc[metric]
    return "reference" if row["reference"] else bracketed(row["diff"], row["diff_lo"], row["diff_hi"], sign=True)


def _value(of: pd.DataFrame, metric: str) -> str:
    return bracketed(*of.loc[metric, ["value", "lo", "hi"]])


def _calibration_table(rows: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    header = ["Model", "share (subjects)", "Brier [95 %]", "change from 0 % [95 %]", "SD"]
    header += ["difference from the reference [95 %]", "ECE", "change [95 %]", "log loss"]
    header += ["change [95 %]", "F1", "sensitivity", "specificity", "ROC-AUC", "AP"]
    made = []
    for title, share, of, adapted in _by_share(rows):
        cells = [_value(of, "brier"), _change(of, "brier", adapted), number(of.loc["brier", "spread"])]
        cells.append(_from_reference(of, "brier"))
        cells += [number(of.loc["ece", "value"]), _change(of, "ece", adapted)]
        cells += [number(of.loc["nll", "value"]), _change(of, "nll", adapted)]
        cells += [
            number(of.loc[m, "value"]) for m in ("f1", "sensitivity", "specificity", "roc_auc", "average_precision")
        ]
        made.append([title, share, *cells])
    return header, made


def _head_table(rows: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    header = ["Model", "share (subjects)", "ROC-AUC [95 %]", "change from 0 % [95 %]", "SD"]
    header += ["difference from the reference [95 %]", "AP [95 %]", "change [95 %]", "Brier", "change [95 %]", "F1"]
    header += ["sensitivity", "specificity", "ECE", "log loss"]
    made = []
    for title, share, of, adapted in _by_share(rows):
        cells = [_value(of, "roc_auc"), _change(of, "roc_auc", adapted), number(of.loc["roc_auc", "spread"])]
        cells.append(_from_reference(of, "roc_auc"))
        cells += [_value(of, "average_precision"), _change(of, "average_precision", adapted)]
        cells += [number(of.loc["brier", "value"]), _change(of, "brier", adapted)]
        cells += [number(of.loc[m, "value"]) for m in ("f1", "sensitivity", "specificity", "ece", "nll")]
        made.append([title, share, *cells])
    return header, made


def _fitted(study: TargetStudy, kind: str) -> list:
    """What could be fitted for each class: it hangs on the adaptation subjects, not on the model."""
    shares = [s for s in study.shares if s]
    maps, heads, rows = study.maps(), study.heads(), []
    for (task, cls), of in maps.groupby(["task", "cls"], sort=False):
        row = [f"{task}: {cls}"]
        for share in shares:
            at = of[of["share"] == share]
            known = at.drop_duplicates("draw")
            row += [_subject_range(known), said_kinds(at.to_dict("records"))]
        rows.append(row)
    header = ["task: class"]
    for share in shares:
        header += [f"{share:g} %: positive / negative subjects", "slope and intercept / intercept alone / kept"]
    caption = f"{kind}{study.name}: maps fitted, over models, seeds and draws; subjects as the median over draws"
    parts = [Table(f"adaptation-maps-{slug(study.name)}", caption, header, rows)] if shares else []
    reasons = [r for r in dict.fromkeys(maps["reason"]) if r]
    if reasons:
        lines = [f"- {r}: {_where(maps, r, ['task', 'cls'])}" for r in reasons]
        parts.append(Text("Classes that kept their scores, or the slope of 1, in some draws:\n\n" + "\n".join(lines)))
    if shares and len(heads):
        rows = []
        first = heads[heads["variant"] == heads["variant"].iloc[0]]
        for cls, of in first.groupby("cls", sort=False):
            at = [of[of["share"] == share] for share in shares]
            rows.append(
                [cls, *(c for a in at for c in (_subject_range(a), f"{(a['reason'] == '').sum()} of {len(a)}"))]
            )
        header = ["output"]
        for share in shares:
            header += [f"{share:g} %: positive / negative subjects", "draws that adapt it"]
        caption = (
            f"{kind}{study.name}: outputs of the last layer that could be adapted; subjects as the median over draws"
        )
        parts.append(Table(f"adaptation-outputs-{slug(study.name)}", caption, header, rows))
        reasons = [r for r in dict.fromkeys(first["reason"]) if r]
        if reasons:
            lines = [f"- {r}: {_where(first, r, ['cls'])}" for r in reasons]
            parts.append(Text("Outputs that kept their weights in some draws:\n\n" + "\n".join(lines)))
    return parts


def _subject_range(rows: pd.DataFrame) -> str:
    yes, no = (float(np.median(rows[c])) for c in ("positive_subjects", "negative_subjects"))
    return f"{yes:g} / {no:g}"


def _where(rows: pd.DataFrame, reason: str, columns: list[str]) -> str:
    """The classes that a reason holds of."""
    found = rows.loc[rows["reason"] == reason, columns].drop_duplicates()
    return ", ".join(": ".join(r) for r in found.to_numpy().tolist())
