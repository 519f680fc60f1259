"""Numbers under names that MLflow accepts: ``task/class/roc_auc`` with ``_lo`` and ``_hi`` beside it."""

import math
import re

from ecg_ramba.evaluation.config import (
    BELOW_SUPPORT,
    CHALLENGE,
    ENSEMBLE,
    FOLD_MEAN,
    FOLD_MODELS,
    POOLED_OOF,
    SUBJECT_WEIGHTED,
)
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.rows import MACRO

_SUFFIX = {
    FOLD_MEAN: "",
    ENSEMBLE: "",
    POOLED_OOF: "_pooled_out_of_fold",
    FOLD_MODELS: "_mean_over_fold_models",
    SUBJECT_WEIGHTED: "_subject_weighted",
}


def legal(name: str) -> str:
    """A class or task name with only letters, digits, ``_ - . : /`` and spaces."""
    name = name.replace("|", "_or_").replace("*", "_star")
    return re.sub(r"[^A-Za-z0-9_\-.:/ ]", "", name).strip()


def mlflow_metrics(evaluation: Evaluation, variant: str) -> dict[str, float]:
    """Every finite number of a variant as ``task/class/metric``.

    Parameters
    ----------
    evaluation : Evaluation
    variant : str
        Name of the variant.

    Returns
    -------
    dict of str to float
        Bounds end in ``_lo`` and ``_hi``, paired differences from the reference in ``_difference``; the transfer gap is
        ``task/class/transfer_gap``, the challenge's score ``task/challenge/challenge_score``. A macro average or a
        challenge's score below protocol support is called so: ``macro below protocol support``.
    """
    out = {}
    macros = evaluation.summary[evaluation.summary["cls"].isin([MACRO, CHALLENGE])]
    for frame in (macros, evaluation.per_class):
        for row in frame[frame["variant"] == variant].to_dict("records"):
            cls = row["cls"]
            if cls in (MACRO, CHALLENGE) and row["support"] == BELOW_SUPPORT:
                cls = f"{cls} {BELOW_SUPPORT}"
            head = f"{legal(row['task'])}/{legal(cls)}"
            name = f"{head}/{row['metric']}{_SUFFIX[row['estimate']]}"
            numbers = {name: row["value"], f"{name}_lo": row["lo"], f"{name}_hi": row["hi"]}
            for kind, column in (("difference", "diff"), ("difference_lo", "diff_lo"), ("difference_hi", "diff_hi")):
                numbers[f"{name}_{kind}"] = row[column]
            for kind in ("gap", "gap_lo", "gap_hi", "gap_diff", "gap_diff_lo", "gap_diff_hi"):
                numbers[f"{head}/transfer_{kind.replace('gap_diff', 'gap_difference')}"] = row[kind]
            out |= {k: float(v) for k, v in numbers.items() if math.isfinite(v)}
    return out


def verdict_tags(evaluation: Evaluation, variant: str) -> dict[str, str]:
    """Verdicts of a variant's headline ROC-AUC as ``verdict/task``, and ``verdict/task/gap``; {} without any."""
    rows = evaluation.summary
    rows = rows[(rows["variant"] == variant) & (rows["metric"] == "roc_auc") & (rows["verdict"] != "")]
    tags = {}
    for row in rows[rows["estimate"].isin([FOLD_MEAN, ENSEMBLE])].to_dict("records"):
        name = f"verdict/{legal(row['task'])}" + ("" if row["cls"] == MACRO else f"/{legal(row['cls'])}")
        tags[name] = row["verdict"]
        if row["gap_verdict"]:
            tags[f"{name}/gap"] = row["gap_verdict"]
    return tags
