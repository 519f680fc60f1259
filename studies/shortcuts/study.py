"""Shortcuts: what tells data sets and hospitals apart, and what their names say of the labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.harness.cells import Cell
from ecg_ramba.harness.executors.jobs import Executor
from ecg_ramba.harness.outputs import SuiteResult
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import plan_cells
from studies.pieces import run_pieces
from studies.probes.activations import networks_of
from studies.shortcuts.questions import (
    DATA_SET,
    Matching,
    Question,
    SiteConfig,
    labels_from_sites,
    make_question,
    match_labels,
)
from studies.shortcuts.sites import SiteJob, Values, site_job, site_rows
from studies.shortcuts.values import EMBEDDING, FIXED, activate, representations
from studies.shortcuts.views import AS_RECORDED, LABELS_MATCHED, MODES, View, counts, make_views

COLUMNS = [
    *("data", "question", "mode", "representation", "metric", "value", "lo", "hi", "chance", "nominal", "p"),
    *("permutations", "units", "subjects", "each", "models", "seeds", "reason"),
]


@dataclass(frozen=True)
class Shortcuts:
    """What was found.

    Parameters
    ----------
    sites : DataFrame
        Columns as in :data:`COLUMNS`; a row without a value has a reason.
    labels : DataFrame
        See :func:`studies.shortcuts.questions.labels_from_sites`.
    questions : dict
        (question, mode) -> Question.
    matching : dict of str to Matching
        By question.
    counts : DataFrame
        What took part.
    leads : tuple of str
        Leads of the matched modes.
    """

    sites: pd.DataFrame
    labels: pd.DataFrame
    questions: dict[tuple[str, str], Question]
    matching: dict[str, Matching]
    counts: pd.DataFrame
    leads: tuple[str, ...]


def find_shortcuts(
    result: SuiteResult,
    evaluation: Evaluation,
    records: int,
    config: SiteConfig,
    executor: Executor,
    progress: Progress,
) -> Shortcuts:
    """Put every question to every representation, in every way of looking.

    Parameters
    ----------
    result : SuiteResult
        Of a finished suite.
    evaluation : Evaluation
        Of that suite.
    records : int
        Most recordings of a data set, whole subjects drawn at random.
    config : SiteConfig
    executor, progress
        As everywhere.
    """
    context = result.context
    folds = [f.number for f in context.folds]
    cells, reasons = planned(result)
    views = make_views(context, records, config.subjects)
    activated = activate(context, views, cells, executor, progress)
    questions, matching, rows, jobs = {}, {}, [], {}
    for mode in MODES:
        view = views[mode]
        for question in _questions(view, config):
            questions[question.name, mode] = question
            reason, stratum, classes = question.reason, None, ()
            if mode == LABELS_MATCHED:
                found = match_labels(question, view.everything, len(folds), config)
                matching[question.name] = found
                reason, stratum, classes = reason or found.reason, found.stratum, found.classes
            for name, of in representations(view, mode, folds, cells, activated, classes).items():
                key = (question.name, mode, name)
                if reason or isinstance(of, str):
                    rows.append(_row(*key, reason or of))
                    continue
                made = [site_question(key, question, view, stratum, config, *at, v) for at, v in of.items()]
                jobs[key] = [job for job in made if job is not None]
                if not jobs[key]:
                    why = f"no fold model is left {config.subjects} subjects of every site that it was not trained on"
                    rows.append(_row(*key, why))
            rows += [_row(question.name, mode, EMBEDDING + v, why) for v, why in reasons.items()]
    rows += _answers(jobs, questions, views, context.out, evaluation, executor, progress)
    labels = [
        row
        for question in _questions(views[AS_RECORDED], config)
        for row in labels_from_sites(question, views[AS_RECORDED].everything, config.permutations, evaluation.config)
    ]
    data = "synthetic" if evaluation.suite.synthetic else "real"
    sites = pd.DataFrame(rows, columns=COLUMNS).assign(data=data)
    found = pd.DataFrame(labels).assign(data=data) if labels else pd.DataFrame()
    return Shortcuts(
        _ordered(sites, [name for name, _ in questions]),
        found,
        questions,
        matching,
        counts(views),
        views[LABELS_MATCHED].leads,
    )


def planned(result: SuiteResult) -> tuple[list[Cell], dict[str, str]]:
    """The finished cells of a suite whose model is a network; and why each other variant has none."""
    cells, _ = plan_cells(result.context, [v for v in result.variants if v.name not in result.failures])
    return networks_of(cells, result.failures)


def _questions(view: View, config: SiteConfig) -> list[Question]:
    """Which data set; and for every data set of two hospitals or more, which of them."""
    subject = view.everything.subject
    dataset = np.concatenate([np.full(len(p), p.dataset) for p in view.parts])
    made = [make_question(DATA_SET, dataset, subject, config.subjects)]
    for data in view.data:
        if len(set(data.records["hospital"]) - {""}) > 1:
            inside = np.where(dataset == data.name, view.everything.hospital, "")
            made.append(make_question(f"hospital in {data.name}", inside, subject, config.subjects))
    return made


def site_question(
    key: tuple[str, str, str],
    question: Question,
    view: View,
    stratum: np.ndarray | None,
    config: SiteConfig,
    fold: int,
    seed: int,
    values: Sequence[Values],
) -> SiteJob | None:
    """One fold model's probe; None where too few subjects of a site are left to it.

    ``key``: question, mode and representation; ``values``: of each data set, for :meth:`View.units_of` this fold.
    """
    here = [view.units_of(place, fold) + view.offset(place) for place in range(len(view.parts))]
    at = np.concatenate(here)
    taking = question.code[at] >= 0
    if stratum is not None:
        taking &= stratum[at] >= 0
        for p in np.unique(stratum[at[taking]]):  # label sets that every site has enough of in this fold
            inside = taking & (stratum[at] == p)
            if (np.bincount(question.code[at[inside]], minlength=len(question.sites)) < config.cell).any():
                taking &= ~inside
    bounds = np.cumsum([0, *map(len, here)])
    kept = [
        dataclasses.replace(v, units=v.units[taking[a:b]])
        for v, a, b in zip(values, bounds[:-1], bounds[1:], strict=True)
    ]
    at = at[taking]
    y, subject = question.code[at], view.everything.subject[at]
    if min(len(np.unique(subject[y == s])) for s in range(len(question.sites))) < config.subjects:
        return None
    return SiteJob(
        question=key[0],
        mode=key[1],
        representation=key[2],
        fold=fold,
        seed=seed,
        units=at,
        values=tuple(v for v in kept if len(v.units)),
        y=y,
        subject=subject,
        stratum=None if stratum is None else stratum[at],
        sites=len(question.sites),
        config=config,
    )


def _answers(jobs: dict, questions: dict, views: dict, out, evaluation: Evaluation, executor, progress) -> list[dict]:
    every = [job for made in jobs.values() for job in made]
    broken = run_pieces(site_job, out, every, [j.folder(out) for j in every], executor, progress, "sites")
    why = {id(every[i]): reason for i, reason in broken.items()}
    rows = []
    for key, made in jobs.items():
        reason = next((why[id(job)] for job in made if id(job) in why), "")
        if reason:
            rows.append(_row(*key, reason))
        elif made:
            found = site_rows(made, out, questions[key[:2]], views[key[1]].everything, evaluation.config)
            rows += [_row(*key, "") | row for row in found]
    return rows


def _row(question: str, mode: str, representation: str, reason: str) -> dict:
    named = {"question": question, "mode": mode, "representation": representation, "reason": reason}
    return dict.fromkeys(COLUMNS, np.nan) | {"metric": "roc_auc", "each": ""} | named


def _ordered(sites: pd.DataFrame, questions: Sequence[str]) -> pd.DataFrame:
    """By question, way of looking and representation."""
    names = [*FIXED, *(n for n in dict.fromkeys(sites["representation"]) if n.startswith(EMBEDDING))]
    order = {"question": list(dict.fromkeys(questions)), "mode": list(MODES), "representation": names}
    keys = sites[list(order)].apply(lambda column: column.map(order[column.name].index))
    return sites.loc[keys.sort_values(list(order), kind="stable").index].reset_index(drop=True)
