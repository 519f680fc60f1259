"""Accuracy and cost against token length: Mamba and attention on the same 10 s, cut into ever finer patches.

The question is whether Mamba makes more of a longer sequence than attention does. Each variant reads whole 10 s
segments of 5000 samples, in patches from 32 samples (157 tokens) down to single samples (5000 tokens).

Equal at every length and for both backbones: segments and patches, folds, batches in their order, steps, learning
rate, loss and augmentation; the number of blocks; and the parameters of the blocks, which no length changes, within
:data:`TOLERANCE`. For that, attention's feed-forward layers are widened a little (:data:`FEEDFORWARD`), and its
positions are sinusoidal: learned ones would add 5000 x width parameters at 5000 tokens, a confound.

Not equal, and in the table: the patch embedding has 12 x patch x width weights, so both networks shrink as their
patches do, and the two widths differ (64 and 96 in the small profile). Nothing is tuned for a length.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.factorial import Scored, combine
from ecg_ramba.evaluation.intervals import interval
from ecg_ramba.evaluation.rows import how_sure, no_interval
from ecg_ramba.evaluation.verdicts import HELPS, HURTS, verdict
from ecg_ramba.harness.config import Variant
from ecg_ramba.harness.outputs import SuiteResult
from ecg_ramba.models import InputShape, model_spec
from ecg_ramba.signal import SEGMENT

PATCHES = {157: 32, 313: 16, 625: 8, 1250: 4, 2500: 2, 5000: 1}
"""Tokens of a 10 s segment -> samples of a patch."""
BACKBONES = {"mamba": "raw_mamba", "attention": "transformer"}
"""Backbone -> registered model."""
FEEDFORWARD = {"small": 416, "full": 0}
"""Hidden width of attention's feed-forward layers by profile, for blocks of as many parameters; 0: the model's own."""
TOLERANCE = 0.05
"""How far apart the parameters of two equal stacks of blocks may be, as a share of the larger."""

SCORES = [
    *("data", "backbone", "tokens", "patch", "task", "dataset", "role", "support", "value", "lo", "hi", "seeds"),
    *("how_sure", "status", "reason", "parameters", "block_parameters", "flops", "cells", "batch", "steps"),
    *("train_seconds", "step_seconds", "segment_seconds", "peak_mb"),
]
CONTRASTS = ["data", "task", "contrast", "tokens", "lengths", "value", "lo", "hi", "verdict", "seeds", "how_sure"]
DIFFERENCE, SLOPE = "mamba - attention", "slope"
_WORDS = {HELPS: "Mamba higher", HURTS: "attention higher"}


def chosen(tokens: Sequence[int]) -> tuple[int, ...]:
    """The lengths that were asked for, ascending, each once.

    Raises
    ------
    UserError
        For a length that there is not.
    """
    for count in tokens:
        if count not in PATCHES:
            raise UserError(
                f"--tokens {count}: 10 s are cut into {', '.join(map(str, PATCHES))} tokens, no other number"
            )
    return tuple(sorted(set(tokens)))


def variant_name(backbone: str, tokens: int) -> str:
    """As in the suite's files, for example ``mamba_157``."""
    return f"{backbone}_{tokens}"


def variants(tokens: Sequence[int], profile: str) -> list[Variant]:
    """Both backbones at each length (:func:`chosen`), sized for a profile; none of them is the reference.

    The longest first, attention before Mamba: a cell of theirs takes as long as all short ones together, so begun last
    it would keep one worker alone.
    """
    own = {"mamba": {}, "attention": {"positions": "sinusoidal", "feedforward": FEEDFORWARD[profile]}}
    return [
        Variant(
            name=variant_name(backbone, count),
            title=f"{'Mamba' if backbone == 'mamba' else backbone}, {count} tokens",
            model=model,
            changes={"patch": PATCHES[count], **own[backbone]},
            settings={"inputs.samples": SEGMENT},
            group="lengths",
            claim="Mamba makes more of a longer sequence than attention of equal size",
        )
        for count in reversed(chosen(tokens))
        for backbone, model in reversed(BACKBONES.items())
    ]


def block_parameters(model: str, config) -> int:
    """Parameters of a model's backbone blocks, as built: without patch embedding, last norm and head."""
    import torch

    with torch.device("meta"):
        network = model_spec(model).build(config, InputShape(samples=SEGMENT))
    return sum(p.numel() for p in network.layers.parameters())


def headline_tasks(evaluation: Evaluation) -> list[str]:
    """One task a data set, the source first: its own class task, or the 10 s segments where it has rhythm episodes.

    Where that has not one headline figure, the first of the data set's tasks that has.
    """
    best: dict[str, tuple[tuple[bool, bool], str]] = {}
    for name, context in evaluation.contexts.items():
        dataset = context.task.dataset
        rank = (name not in evaluation.headlines, name not in ("source", dataset, f"{dataset}-window"))
        if dataset not in best or rank < best[dataset][0]:
            best[dataset] = (rank, name)
    return [name for _, name in best.values()]


def scores_table(result: SuiteResult, evaluation: Evaluation) -> pd.DataFrame:
    """Headline ROC-AUC and cost of each variant, one row a task; columns as in :data:`SCORES`.

    A variant that failed, or a task without one headline figure, has no value but a reason.
    """
    tasks = headline_tasks(evaluation)
    rows = []
    for variant in result.variants:
        backbone, _, tokens = variant.name.rpartition("_")
        base = {
            "data": "synthetic" if evaluation.suite.synthetic else "real",
            "backbone": backbone,
            "tokens": int(tokens),
            "patch": variant.changes["patch"],
            "seeds": evaluation.suite.n_seeds,
            "how_sure": how_sure(evaluation.suite.n_seeds),
            **_cost(result, variant),
        }
        rows += [base | _score(evaluation, variant.name, task) for task in tasks]
    return pd.DataFrame(rows, columns=SCORES)


def _score(evaluation: Evaluation, variant: str, task: str) -> dict:
    """One variant's headline on a task, or why there is none."""
    context = evaluation.contexts[task]
    row = {"task": task, "dataset": context.task.dataset, "role": context.task.role, "support": context.head.support}
    row |= {"status": "failed" if variant in evaluation.failures else "ok"}
    scored = evaluation.headlines.get(task, {}).get(variant)
    if scored is None:
        reason = evaluation.failures.get(variant) or context.head.reason or "no single headline figure"
        return row | {"value": math.nan, "lo": math.nan, "hi": math.nan, "reason": reason}
    low, high = interval(scored.draws, evaluation.config.level)
    reason = no_interval(context, context.head.classes, evaluation.config)
    return row | {"value": scored.value, "lo": low, "hi": high, "reason": reason}


def _cost(result: SuiteResult, variant: Variant) -> dict:
    """What a variant's cells recorded, over folds and seeds; nothing unless all of them ran."""
    suite = result.context.suite
    logs = [cell["log"] for cell in result.cells.get(variant.name, [])]
    if len(logs) < suite.folds * suite.seeds:
        return {}
    seconds, plans = sum(log["seconds"] for log in logs), [log["schedule"] for log in logs]
    steps, segments = sum(p["steps"] for p in plans), sum(p["steps"] * p["batch"] for p in plans)
    return {
        "parameters": max(log["parameters"] for log in logs),
        "block_parameters": block_parameters(variant.model, result.configs[variant.name]),
        "flops": logs[0]["flops"],
        "cells": len(logs),
        "batch": max(p["batch"] for p in plans),
        "steps": steps,
        "train_seconds": seconds,
        "step_seconds": seconds / steps,
        "segment_seconds": seconds / segments,
        "peak_mb": max(log["peak_rss_mb"] for log in logs),
    }


def slope_weights(tokens: Sequence[int]) -> np.ndarray:
    """Weights (lengths,) whose sum with the scores is their least-squares slope against log2(tokens)."""
    x = np.log2(np.asarray(tokens, dtype=float))
    x -= x.mean()
    return x / (x @ x)


def contrasts(evaluation: Evaluation, tasks: Sequence[str], tokens: Sequence[int]) -> pd.DataFrame:
    """Paired comparisons on each task, all on the same bootstrap draws; columns as in :data:`CONTRASTS`.

    Parameters
    ----------
    evaluation : Evaluation
    tasks : sequence of str
    tokens : sequence of int
        Lengths that were asked for.

    Returns
    -------
    DataFrame
        ``mamba - attention`` at each length that both finished, with a verdict from three seeds on; over these lengths,
        where there are two or more, each backbone's slope of ROC-AUC against log2(tokens), which is the change a
        doubling, and the difference of the slopes, the interaction of backbone and length.
    """
    sure = {"data": "synthetic" if evaluation.suite.synthetic else "real", "seeds": evaluation.suite.n_seeds}
    sure |= {"how_sure": how_sure(evaluation.suite.n_seeds)}
    rows = []
    for task in tasks:
        scored = evaluation.headlines.get(task, {})
        both = [n for n in tokens if all(variant_name(b, n) in scored for b in BACKBONES)]
        for count in both:
            row = _contrast(evaluation, scored, {f"mamba_{count}": 1.0, f"attention_{count}": -1.0})
            support = evaluation.contexts[task].head.support
            said = verdict(row.pop("draws"), support, evaluation.suite.n_seeds, evaluation.config)
            row |= {"task": task, "contrast": DIFFERENCE, "tokens": str(count), "lengths": 1}
            rows.append(sure | row | {"verdict": _WORDS.get(said, said)})
        if len(both) < 2:
            continue
        slope = {b: {variant_name(b, n): w for n, w in zip(both, slope_weights(both), strict=True)} for b in BACKBONES}
        slope[DIFFERENCE] = slope["mamba"] | {name: -w for name, w in slope["attention"].items()}
        for of, weights in slope.items():
            row = _contrast(evaluation, scored, weights)
            del row["draws"]
            row |= {"task": task, "contrast": f"{SLOPE}: {of}", "tokens": "all", "lengths": len(both), "verdict": ""}
            rows.append(sure | row)
    return pd.DataFrame(rows, columns=CONTRASTS)


def _contrast(evaluation: Evaluation, scored: Mapping[str, Scored], weights: Mapping[str, float]) -> dict:
    made = combine(weights, scored)
    low, high = interval(made.draws, evaluation.config.level)
    return {"value": made.value, "lo": low, "hi": high, "draws": made.draws}
