"""A dated report of timings: tables by length, crossovers, ratios, and a figure of time and memory against length."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.timings import curves, overtakes, ratio, read_others, read_timings
from ecg_ramba.files import write_atomic, write_text
from ecg_ramba.markdown import markdown_table

PARTS = {
    "core": "the scan alone, and attention alone",
    "mixer": "one causal Mamba-2 layer, and one attention layer",
    "bidirectional": "two mixers and their gate, and one attention layer",
    "block": "a whole bidirectional Mamba block, and encoder blocks of equal width and of equal parameters",
}
DIRECTIONS = {"forward": "forward", "backward": "forward and backward"}
LONG = [625, 1250, 2500, 5000]


def write_report(paths: Sequence[Path], out: Path) -> list[Path]:
    """Write ``report.md`` and one figure a batch and dtype into ``out``; returns their paths.

    Raises
    ------
    UserError
        If the files cannot be reported together.
    """
    table, machines = read_timings(paths)
    figures = [figure(table, batch, dtype, out) for batch, dtype in _settings(table)]
    parts = [_head(machines), _ratios(table), _crossovers(table), _others(paths), _tables(table, figures)]
    text = "\n".join(line for part in parts for line in part)
    write_text(out / "report.md", text + "\n")
    return [out / "report.md", *figures]


def _settings(table: pd.DataFrame) -> list[tuple[int, str]]:
    """Batch and dtype of each figure."""
    found = {(int(b), d) for b, d in zip(table["batch"], table["dtype"], strict=True)}
    return sorted(found, key=lambda setting: setting[::-1])


def _head(machines: list[dict]) -> list[str]:
    m = machines[0]
    dates = " and ".join(sorted({m["date"] for m in machines}))
    return [
        "# Mamba-2 against attention, timed",
        "",
        f"{dates}, {m['processor']}, {m['device']}, {m['threads']} threads, {m['capability']}, torch {m['torch']}, "
        f"Python {m['python']}, float32 matrix products at precision {m['matmul_precision']}; `auto` is {m['auto']}.",
        "Width 384, 12 heads of 64, state 64. Medians; only ratios within one run mean anything on another machine.",
        "",
    ]


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return markdown_table(header, rows).splitlines()


def _ratios(table: pd.DataFrame) -> list[str]:
    """How much faster the backends are than the scan as printed, than transformers' layer, and than two products."""
    asked = [
        ("core", "mamba_minimal", "mamba_torch", "ms"),
        ("core", "mamba_minimal", "mamba_native", "ms"),
        ("core", "mamba_native", "mamba_minimal", "peak_mib"),
        ("core", "mamba_minimal", "mamba_mamba_ssm", "ms"),
        ("mixer", "mamba_transformers", "mamba_native", "ms"),
        ("mixer", "mamba_transformers", "mamba_mamba_ssm", "ms"),
        ("mixer", "mamba_native", "mamba_products_alone", "ms"),
        ("mixer", "mamba_torch", "mamba_products_alone", "ms"),
    ]
    rows = []
    for dtype in sorted(set(table["dtype"]), reverse=True):
        for part, above, below, value in asked:
            for direction, words in DIRECTIONS.items():
                mean, low, high = ratio(
                    table, above, below, value, part=part, direction=direction, dtype=dtype, length=LONG
                )
                if mean == mean:
                    what = "memory" if value == "peak_mib" else "time"
                    spread = f"{low:.2f} to {high:.2f}"
                    rows.append([part, f"{what} of {above} / {below}", words, dtype, f"{mean:.2f}", spread])
    if not rows:
        return []
    head = ["part", "ratio", "direction", "dtype", "geometric mean", "smallest to largest"]
    return ["## Ratios, lengths 625 to 5000, over the batches that were timed", "", *_rows(head, rows), ""]


def _crossovers(table: pd.DataFrame) -> list[str]:
    rows = []
    for batch, dtype in _settings(table):
        for part in PARTS:
            for direction, words in DIRECTIONS.items():
                times = curves(table, part, direction, batch, dtype)
                for mamba in (n for n in times.index if n.startswith("mamba") and not n.endswith("alone")):
                    for other in (n for n in times.index if n.startswith("attention")):
                        at = overtakes(times.loc[mamba], times.loc[other])
                        said = "never" if at != at else "always" if at == 0 else f"{at:.0f}"
                        rows.append([part, mamba, other, words, dtype, str(batch), said])
    head = ["part", "faster", "than", "direction", "dtype", "batch", "from length"]
    shortest, longest = int(table["length"].min()), int(table["length"].max())
    note = f'Interpolated between measured lengths; "never": not up to {longest}; "always": from {shortest} on.'
    return ["## From which length on", "", *_rows(head, rows), "", note, ""] if rows else []


def _others(paths: Sequence[Path]) -> list[str]:
    rows = read_others(paths)
    head = ["group", "case", "ms", "ms a window or recording"]
    return ["## Whole models and features", "", *_rows(head, rows), ""] if rows else []


def _tables(table: pd.DataFrame, figures: list[Path]) -> list[str]:
    lines = []
    for (batch, dtype), path in zip(_settings(table), figures, strict=True):
        lines += [f"## Batch {batch}, {dtype}", "", f"![time and memory against length]({path.name})", ""]
        for part, words in PARTS.items():
            for direction, how in DIRECTIONS.items():
                times = curves(table, part, direction, batch, dtype)
                if times.empty:
                    continue
                memory = curves(table, part, direction, batch, dtype, "peak_mib")
                lines += [f"{part}: {words}; {how}; ms, and MiB at the peak:", ""]
                body = [[n, *map(_cell, times.loc[n], memory.loc[n])] for n in times.index]
                lines += [*_rows(["", *map(str, times.columns)], body), ""]
    return lines


def _cell(ms: float, mib: float) -> str:
    """One case; empty where it was not timed."""
    return f"{ms:.3g} ({mib:.0f})" if ms > 0 else ""


def figure(table: pd.DataFrame, batch: int, dtype: str, out: Path) -> Path:
    """Time (upper rows) and memory (lower) of each part against length, both directions, on log axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    timed = table[(table["batch"] == batch) & (table["dtype"] == dtype)]
    parts, lengths = [p for p in PARTS if p in set(timed["part"])], sorted(set(timed["length"].astype(int)))
    drawn = Figure(figsize=(3 + 3 * len(parts), 14), dpi=120, layout="constrained")
    FigureCanvasAgg(drawn)
    axes = drawn.subplots(4, len(parts), sharex=True, squeeze=False)
    names = sorted(set(table["contestant"]))
    colours = dict(zip(names, [f"C{i}" for i in range(len(names))], strict=True))
    for row, (value, direction) in enumerate((v, d) for v in ("ms", "peak_mib") for d in DIRECTIONS):
        for axis, part in zip(axes[row], parts, strict=True):
            for name, line in curves(table, part, direction, batch, dtype, value).iterrows():
                style = "--" if name.startswith("attention") else ":" if name.endswith("alone") else "-"
                line = line[line > 0]
                axis.loglog(line.index, line, style, marker="o", markersize=3, color=colours[name], label=name)
            axis.grid(True, which="major", alpha=0.3)
            axis.set_title(f"{part}, {DIRECTIONS[direction]}", fontsize=10)
    for row, label in enumerate(("ms", "ms", "MiB", "MiB")):
        axes[row][0].set_ylabel(label)
    for axis in axes[-1]:
        axis.set_xlabel("length, tokens")
        axis.set_xticks(lengths, map(str, lengths))
        axis.minorticks_off()
    handles = {label: h for axis in axes.flat for h, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    drawn.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=max(2, len(parts) + 1), frameon=False
    )
    rounds = timed["rounds"].min()
    drawn.suptitle(f"Mamba-2 against attention, batch {batch}, {dtype}; medians of {rounds} rounds or more")
    path = out / f"batch{batch}-{dtype}.png"
    write_atomic(path, lambda p: drawn.savefig(p, format="png", metadata={"Software": None}))
    return path
