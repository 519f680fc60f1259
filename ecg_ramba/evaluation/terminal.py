"""The summary as it stands in the terminal at the end of a run."""

from ecg_ramba.evaluation.challenge_text import HEADER as CHALLENGE_HEADER
from ecg_ramba.evaluation.challenge_text import challenge_caption, challenge_rows
from ecg_ramba.evaluation.config import NO_SUPPORT
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.tables import (
    HEADER,
    Block,
    banner,
    blocks,
    cells,
    class_table,
    departures,
    reasons,
    run_title,
    shown_columns,
    verdict_legend,
)

_NARROW = (0, 1, 2)
_MEDIUM = (0, 1, 2, 3, 6, 8, 10)


def print_summary(evaluation: Evaluation, console) -> None:
    """Print each task's headline table.

    Parameters
    ----------
    evaluation : Evaluation
    console : rich.console.Console
        Its width decides how many columns are shown; the files hold all of them.
    """
    console.print()
    console.rule(banner(evaluation), style="bold yellow")
    if other := departures(evaluation):
        console.print(other, style="bold yellow", markup=False, highlight=False)
    console.print(run_title(evaluation), style="bold", markup=False, highlight=False)
    for derived in (False, True):
        for name, context in evaluation.contexts.items():
            if context.task.derived == derived:
                made = blocks(evaluation, name)
                for block in made:
                    console.print(_table(evaluation, block, derived, console.width))
                if all(block.support == NO_SUPPORT for block in made):
                    console.print(_classes(evaluation, name, console.width))
                if context.challenge:
                    console.print(_challenge(evaluation, name))
    sure = evaluation.summary["how_sure"].iloc[0]
    level = f"{evaluation.config.level:.0%}"
    console.print(
        f"{level} intervals: bootstrap over subjects, {evaluation.config.draws} draws shared by all models. "
        f"Difference: from the reference, on the same draws; {sure}. {verdict_legend(evaluation)}",
        style="dim",
        markup=False,
        highlight=False,
    )
    pretrained = tuple(f"{v.title}: " for v in evaluation.suite.variants if v.overlap)
    for note in evaluation.notes:
        if " is not scored: " in note or note.startswith(pretrained):
            console.print(note, markup=False, highlight=False)
    for name, reason in evaluation.failures.items():
        console.print(f"failed: {name}: {reason}", style="red", markup=False, highlight=False)


def _classes(evaluation: Evaluation, task: str, width: int):
    """The classes of a task one by one: what there is to see where no headline figure can be given."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    found = class_table(evaluation, task)
    columns = ["class", "units", "positives", "positive subjects", "ROC-AUC"]
    columns += ["AP", "prevalence"] if width >= 115 else []
    kind = "synthetic: " if evaluation.suite.synthetic else ""
    title = escape(f"{kind}{task}: class by class, below protocol support")
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for name in columns:
        table.add_column(name, justify="left" if name == "class" else "right", no_wrap=True)
    for row in found[columns].astype(str).to_numpy().tolist():
        table.add_row(*map(escape, row))
    return table


def _challenge(evaluation: Evaluation, task: str):
    """The challenge's score of a task."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    title = escape(challenge_caption(evaluation, task))
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for name in CHALLENGE_HEADER:
        name = escape(name.replace(" [95 %]", "\n[95 %]"))
        table.add_column(name, justify="left" if name == "Model" else "right", no_wrap=name != "Model")
    for row in challenge_rows(evaluation, task):
        table.add_row(*map(escape, row))
    return table


def _table(evaluation: Evaluation, block: Block, derived: bool, width: int):
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    wanted = range(len(HEADER)) if width >= 180 else (_MEDIUM if width >= 115 else _NARROW)
    columns = [c for c in shown_columns(block) if c in wanted]
    kind = "synthetic: " if evaluation.suite.synthetic else ""
    mark = " (derived signals: stands apart)" if derived else ""
    table = Table(
        title=escape(f"{kind}{block.task}{mark}: {block.subject}; {block.size}"),
        caption=escape("; ".join(reasons(block))) or None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
    )
    for c in columns:
        name = escape(HEADER[c].replace(" [95 %]", "\n[95 %]"))
        table.add_column(name, justify="left" if c == 0 else "right", no_wrap=c > 0)
    for kinds in (False, True):
        for row in block.rows:
            if (row["kind"] == "pooling") == kinds:
                made = [escape(c) for c in cells(row)]
                if row["status"] == "failed":
                    made[1:] = ["failed", *made[2:]]
                table.add_row(*(made[c] for c in columns), style="bold" if row["reference"] else None)
        if not kinds:
            table.add_section()
    return table
