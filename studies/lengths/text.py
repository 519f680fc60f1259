"""The study of token lengths in words: ``lengths.md`` and its tables."""

import math
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.rows import how_sure
from ecg_ramba.evaluation.tables import amount, banner, bracketed, duration, run_title
from ecg_ramba.evaluation.verdicts import SEEDS
from ecg_ramba.files import write_atomic, write_text
from ecg_ramba.harness.outputs import SuiteResult
from ecg_ramba.markdown import markdown_table
from studies.lengths.figure import draw
from studies.lengths.study import (
    BACKBONES,
    DIFFERENCE,
    PATCHES,
    SLOPE,
    TOLERANCE,
    contrasts,
    headline_tasks,
    scores_table,
)

TITLE = "accuracy and cost against token length, Mamba against attention"
TIMES = (
    "Training times are wall times of whole cells, which ran beside each other and beside whatever else the machine "
    "did: neighbours move them. FLOPs are of one segment forward, of the scan in its portable form. Memory is the peak "
    "of the worker process, with everything that it holds besides the network."
)


def write_lengths(result: SuiteResult, evaluation: Evaluation, folder: Path) -> list[Path]:
    """``lengths.md``, ``lengths.csv``, ``contrasts.csv`` and ``lengths.png`` in a folder; returns their paths."""
    scores = scores_table(result, evaluation)
    compared = contrasts(evaluation, headline_tasks(evaluation), sorted(set(scores["tokens"])))
    paths = [folder / name for name in ("lengths.md", "lengths.csv", "contrasts.csv", "lengths.png")]
    write_text(paths[0], markdown(evaluation, scores, compared))
    for path, table in ((paths[1], scores), (paths[2], compared)):
        write_atomic(path, lambda p, t=table: t.to_csv(p, index=False, float_format="%.8g", lineterminator="\n"))
    write_atomic(paths[3], lambda p: draw(evaluation, scores, p))
    return paths


def markdown(evaluation: Evaluation, scores: pd.DataFrame, compared: pd.DataFrame) -> str:
    """The text of ``lengths.md``, from the tables of :mod:`studies.lengths.study`."""
    kind = "Synthetic data: " if evaluation.suite.synthetic else ""
    parts = [f"# {kind}{TITLE}", f"> **{banner(evaluation)}**", f"{run_title(evaluation)}. {_how_sure(evaluation)}"]
    parts += [_held_equal(scores), left_out(set(scores["tokens"]))]
    for task in dict.fromkeys(scores["task"]):
        parts += _task(evaluation, task, scores[scores["task"] == task], compared[compared["task"] == task], kind)
    parts += [f"## {kind}cost", markdown_table(COST, cost_rows(scores)), TIMES]
    failed = scores[scores["status"] == "failed"].drop_duplicates(["backbone", "tokens"])
    if len(failed):
        rows = [[f"{r['backbone']}, {r['tokens']} tokens", r["reason"]] for r in failed.to_dict("records")]
        parts += ["## Without numbers", markdown_table(["variant", "reason"], rows)]
    info = evaluation.suite.info
    parts.append(
        f"Command: `{info['command']}`; commit `{info['commit'] or 'unknown'}`, suite `{info['key'][:16]}`, profile "
        f"`{info['profile']}`, {info['folds']} folds, backend {info['backend']}, precision {info['precision']}."
    )
    return "\n\n".join(p for p in parts if p) + "\n"


def _how_sure(evaluation: Evaluation) -> str:
    seeds, c = evaluation.suite.n_seeds, evaluation.config
    text = (
        f"Intervals hold {c.level:.0%} of {c.draws:,} bootstrap draws of subjects, the same for all variants, so "
        "differences and slopes are paired. "
    )
    if seeds < SEEDS:
        runs = "single training run" if seeds == 1 else f"{seeds} training runs"
        return (
            f"{text}{runs[0].upper()}{runs[1:]} of each variant: how much another seed would move a point is not known "
            f"and is in no interval, so there is no verdict ({SEEDS} seeds are needed, --seeds)."
        )
    return (
        f"{text}Each variant was trained {seeds} times; seeds are resampled with the subjects. 'Equivalent' is within "
        f"{c.margin} by two one-sided tests. Nothing is corrected for the number of comparisons."
    )


def _held_equal(scores: pd.DataFrame) -> str:
    """What the two curves share, with the parameters as counted."""
    counted = scores.drop_duplicates(["backbone", "tokens"]).pivot(index="tokens", columns="backbone")
    shares = []
    for name in ("block_parameters", "parameters"):
        pair = counted[name].reindex(columns=list(BACKBONES)).dropna()
        apart = ((pair["mamba"] - pair["attention"]).abs() / pair.max(axis=1)).max()
        shares.append(float(apart) if len(pair) else math.nan)
    text = (
        "Equal at every length: segments of 10 s and their patches, folds, batches, steps, learning rate, loss, "
        "augmentation, and the number of blocks. Attention has sinusoidal positions, which have no parameters. The "
        "patch embedding shrinks with the patch, for both. Nothing is tuned for a length or a backbone."
    )
    if math.isnan(shares[0]):
        return f"{text} No length has both backbones, so their parameters are not compared."
    text += f" Parameters of the blocks differ by {shares[0]:.1%} at most, of whole networks by {shares[1]:.1%}."
    return text if max(shares) <= TOLERANCE else f"{text} **That is no longer equal: more than {TOLERANCE:.0%}.**"


def left_out(tokens: Collection[int]) -> str:
    """Which lengths were not asked for, in words; "" when all were."""
    absent = [str(n) for n in PATCHES if n not in tokens]
    return f"Not run: {', '.join(absent)} tokens; --tokens names the lengths." if absent else ""


def _task(evaluation: Evaluation, task: str, scores: pd.DataFrame, compared: pd.DataFrame, kind: str) -> list[str]:
    """Heading, what is scored, the scores beside their differences, and the slopes."""
    context = evaluation.contexts[task]
    where = "out-of-fold on the source" if context.task.source else f"zero-shot on {context.task.dataset}"
    over, sure = ", ".join(context.head.classes) or "no class", how_sure(evaluation.suite.n_seeds)
    parts = [f"## {kind}{task}", f"ROC-AUC {where}, over {over}; support: {context.head.support}; {sure}."]
    verdicts = bool((compared["verdict"] != "").any())
    by_length = compared[compared["contrast"] == DIFFERENCE].set_index("tokens")
    rows = []
    for tokens, of in scores.groupby("tokens"):
        cells = {r["backbone"]: _score(r) for r in of.to_dict("records")}
        row = [str(tokens), str(of["patch"].iloc[0]), *(cells.get(b, "") for b in BACKBONES)]
        found = by_length.loc[str(tokens)] if str(tokens) in by_length.index else None
        row.append("" if found is None else bracketed(found["value"], found["lo"], found["hi"], sign=True))
        rows.append(row + ([] if not verdicts else ["" if found is None else found["verdict"]]))
    header = ["tokens", "samples a patch", "Mamba [95 %]", "attention [95 %]", "Mamba - attention [95 %]"]
    parts.append(markdown_table(header + ["verdict"] * verdicts, rows))
    parts += [f"{r[0].upper()}{r[1:]}." for r in dict.fromkeys(scores[scores["status"] == "ok"]["reason"]) if r]
    return [*parts, _slopes(compared)]


def _score(row: dict) -> str:
    return "failed" if row["status"] == "failed" else bracketed(row["value"], row["lo"], row["hi"])


def _slopes(compared: pd.DataFrame) -> str:
    """The slopes in a sentence, or why there are none."""
    found = compared[compared["contrast"].str.startswith(SLOPE)]
    if found.empty:
        return "No slopes: fewer than two lengths have both backbones."
    said = {r["contrast"]: bracketed(r["value"], r["lo"], r["hi"], sign=True) for r in found.to_dict("records")}
    return (
        f"Change in ROC-AUC a doubling of the tokens (least squares over {found['lengths'].iloc[0]} lengths): Mamba "
        f"{said[f'{SLOPE}: mamba']}, attention {said[f'{SLOPE}: attention']}, Mamba's minus attention's "
        f"{said[f'{SLOPE}: {DIFFERENCE}']}: above zero, Mamba gains more from finer tokens."
    )


COST = (
    *("backbone", "tokens", "parameters", "of them in blocks", "FLOPs a segment", "training, all cells", "a step"),
    *("a segment", "peak memory"),
)


def cost_rows(scores: pd.DataFrame) -> list[list[str]]:
    """Cells under :data:`COST`: one row a variant that finished, attention below Mamba."""
    done = scores[scores["train_seconds"].notna()].drop_duplicates(["backbone", "tokens"])
    done = done.sort_values(["backbone", "tokens"], ascending=[False, True])
    return [
        [
            r["backbone"],
            str(r["tokens"]),
            f"{r['parameters']:,.0f}",
            f"{r['block_parameters']:,.0f}",
            amount(r["flops"]),
            f"{duration(r['train_seconds'])} ({r['cells']:.0f} cells)",
            f"{1e3 * r['step_seconds']:.0f} ms (batch {r['batch']:.0f})",
            f"{1e3 * r['segment_seconds']:.1f} ms",
            f"{r['peak_mb']:.0f} MiB",
        ]
        for r in done.to_dict("records")
    ]
