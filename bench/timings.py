"""Timings as a table, and what follows from them: who overtakes whom from which length on, and by how much.

Pure functions of the files that ``--benchmark-json`` writes.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_ramba.errors import UserError

KEYS = ["part", "contestant", "length", "batch", "direction", "dtype"]
MACHINE = ["device", "processor", "threads", "torch", "python", "capability", "matmul_precision", "auto"]


def read_timings(paths: Sequence[Path]) -> tuple[pd.DataFrame, list[dict]]:
    """One row a case, and the machines that they ran on.

    Returns
    -------
    DataFrame
        The columns :data:`KEYS`, ``ms`` (median), ``low`` and ``high`` (quartiles), ``rounds``, ``peak_mib``,
        ``parameters``, ``gflop`` (forward).
    list of dict
        :data:`MACHINE` and ``date`` of each machine, once.

    Raises
    ------
    UserError
        If a file is no result of these benchmarks, they are of several machines, or a case stands in them twice.
    """
    rows, machines = [], []
    for path in paths:
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            found = [b for b in content["benchmarks"] if "contestant" in b["extra_info"]]
            date = content["datetime"][:10]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is no result of the benchmarks ({error}); make one with: "
                "pytest bench --benchmark-only --benchmark-json FILE"
            ) from None
        for benchmark in found:
            info, stats = benchmark["extra_info"], benchmark["stats"]
            machine = {k: info[k] for k in MACHINE} | {"date": date}
            machines += [] if machine in machines else [machine]
            rows.append(
                {k: info[k] for k in KEYS}
                | {"ms": 1e3 * stats["median"], "low": 1e3 * stats["q1"], "high": 1e3 * stats["q3"]}
                | {"rounds": stats["rounds"], "parameters": info["parameters"]}
                | {"peak_mib": info["peak_bytes"] / 2**20, "gflop": info["forward_flops"] / 1e9}
            )
    if not rows:
        raise UserError(f"{', '.join(map(str, paths))}: no timing of a layer is in there; run: nox -s bench")
    if len({json.dumps({k: m[k] for k in MACHINE}) for m in machines}) > 1:
        raise UserError("these timings are of several machines or settings; only ratios within one mean anything")
    table = pd.DataFrame(rows)
    twice = table[table.duplicated(KEYS)]
    if len(twice):
        raise UserError(f"a case stands there twice: {', '.join(map(str, twice.iloc[0][KEYS]))}; name one file a case")
    return table.sort_values(KEYS).reset_index(drop=True), machines


def read_others(paths: Sequence[Path]) -> list[list[str]]:
    """Whole models and features, of files that :func:`read_timings` takes: group, case, ms a call (median), ms a window
    or recording."""
    rows = []
    for path in paths:
        for benchmark in json.loads(Path(path).read_text(encoding="utf-8"))["benchmarks"]:
            info = benchmark["extra_info"]
            if "contestant" in info:
                continue
            ms = 1e3 * benchmark["stats"]["median"]
            things = next((info[key] for key in ("windows", "count", "recordings") if key in info), None)
            name = f"{info['model']}, {info['backend']}" if "model" in info else benchmark["param"] or benchmark["name"]
            rows.append([benchmark["group"], name, f"{ms:.4g}", f"{ms / things:.3g}" if things else ""])
    return rows


def curves(table: pd.DataFrame, part: str, direction: str, batch: int, dtype: str, value: str = "ms") -> pd.DataFrame:
    """Contestants by length, for one part, direction, batch and dtype."""
    wanted = {"part": part, "direction": direction, "batch": batch, "dtype": dtype}
    chosen = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    return chosen.pivot(index="contestant", columns="length", values=value)


def overtakes(time: pd.Series, other: pd.Series) -> float:
    """The length from which on ``time`` stays below ``other``: 0 from the first length on, NaN if never.

    Between two lengths it is where the straight lines through them, on log axes, cross.

    Parameters
    ----------
    time, other : Series
        By length, at the same lengths.
    """
    both = pd.concat([time, other], axis=1, join="inner").dropna()
    if both.empty:
        return math.nan
    lengths, ahead = both.index.to_numpy(float), np.log(both.iloc[:, 0] / both.iloc[:, 1]).to_numpy()
    behind = np.flatnonzero(ahead >= 0)
    if not len(behind):
        return 0.0
    last = behind[-1]
    if last == len(ahead) - 1:
        return math.nan
    share = ahead[last] / (ahead[last] - ahead[last + 1])
    return float(np.exp(np.log(lengths[last]) + share * (np.log(lengths[last + 1]) - np.log(lengths[last]))))


def ratio(table: pd.DataFrame, slow: str, fast: str, value: str = "ms", **where) -> tuple[float, float, float]:
    """Geometric mean, smallest and largest of ``slow / fast`` over the cases that both have, under ``where``."""
    chosen = table
    for key, wanted in where.items():
        chosen = chosen[chosen[key].isin(wanted if isinstance(wanted, list | tuple) else [wanted])]
    keys = [k for k in KEYS if k != "contestant"]
    sides = [chosen[chosen["contestant"] == name].set_index(keys)[value] for name in (slow, fast)]
    each = (sides[0] / sides[1]).dropna()
    if each.empty:
        return math.nan, math.nan, math.nan
    return float(np.exp(np.log(each).mean())), float(each.min()), float(each.max())
