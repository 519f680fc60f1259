"""The results of a run, task by task: headline tables, forest plots, classes with their support."""

from ecg_ramba.document import Figure, Section, Table, Text
from ecg_ramba.evaluation.burden import AF_CLASS
from ecg_ramba.evaluation.challenge_text import HEADER as CHALLENGE_HEADER
from ecg_ramba.evaluation.challenge_text import challenge_caption, challenge_rows
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.factorial_text import HOW as HOW_FACTORIAL
from ecg_ramba.evaluation.factorial_text import effect_rows, effects_table, grid
from ecg_ramba.evaluation.figures import forest
from ecg_ramba.evaluation.rows import how_sure
from ecg_ramba.evaluation.tables import (
    HEADER,
    Block,
    blocks,
    bracketed,
    cells,
    class_table,
    kind_of,
    other_estimates,
    reasons,
    shown_columns,
    slug,
)

POOLED = "Pooling only: the stored windows pooled otherwise, no retraining"


def task_sections(evaluation: Evaluation) -> list[Section]:
    """Each task by itself; tasks on signals that somebody else derived stand apart, at the end."""
    names = evaluation.contexts
    plain = [name for name, c in names.items() if not c.task.derived]
    derived = [name for name, c in names.items() if c.task.derived]
    made = [_task(evaluation, name) for name in plain]
    if derived:
        text = "These recordings were filtered and standardised by someone else; their scores stand apart."
        parts = (Text(text), *(_task(evaluation, name) for name in derived))
        made.append(Section(f"{kind_of(evaluation)}Derived signals (apart)", parts))
    return made


def glance(evaluation: Evaluation) -> Section:
    """One table over all tasks: the headline ROC-AUC of each variant, and its verdict."""
    kind = kind_of(evaluation)
    columns = [(name, block) for name in evaluation.contexts for block in blocks(evaluation, name)]
    header = ["Model", *(_column(name, block) for name, block in columns)]
    rows = []
    for i, variant in enumerate(evaluation.suite.variants):
        of = [block.rows[i] for _, block in columns]
        title = f"**{variant.title}** (reference)" if variant.reference else variant.title
        rows.append([title, *map(_glance_cell, of)])
    sure = how_sure(evaluation.suite.n_seeds)
    caption = f"{kind}Headline ROC-AUC [95 %] of every variant on every task; {sure}."
    if not any(row["verdict"] for _, block in columns for row in block.rows):
        caption += " No verdicts: three training runs of each variant are needed."
    frames = {"summary": evaluation.summary, "per_class": evaluation.per_class}
    if evaluation.factorial:
        frames["effects"] = effects_table(evaluation)
    if evaluation.failures:
        failed = [[f"`{name}`", reason] for name, reason in evaluation.failures.items()]
        table = Table("failed", f"{kind}Variants without numbers", ["variant", "reason"], failed)
        return Section(f"{kind}At a glance", (Table("glance", caption, header, rows), table), frames)
    return Section(f"{kind}At a glance", (Table("glance", caption, header, rows),), frames)


def _column(name: str, block: Block) -> str:
    return f"{name}: {block.subject}"


def _glance_cell(row: dict) -> str:
    if row["status"] == "failed":
        return "failed"
    text = bracketed(row["value"], row["lo"], row["hi"])
    return f"{text}, {row['verdict']}" if row["verdict"] else text


def _task(evaluation: Evaluation, name: str) -> Section:
    context, kind = evaluation.contexts[name], kind_of(evaluation)
    mark = " (derived)" if context.task.derived else ""
    where = "out-of-fold on the source" if context.task.source else f"zero-shot on {context.task.dataset}"
    parts = [Text(f"Scored {where}, one score a {context.task.unit}.")]
    for i, block in enumerate(blocks(evaluation, name)):
        parts += _block(evaluation, block, kind, f"{slug(name)}-{i}" if i else slug(name))
    if context.challenge:
        table = challenge_rows(evaluation, name)
        parts.append(
            Table(f"challenge-{slug(name)}", challenge_caption(evaluation, name), list(CHALLENGE_HEADER), table)
        )
    parts += _factorial(evaluation, name, kind)
    caption = f"{kind}{name}: ROC-AUC and difference from the reference, by variant"
    parts.append(Figure(f"forest-{slug(name)}", caption, lambda: forest(evaluation, name)))
    table = class_table(evaluation, name)
    if len(table):
        shown = table if has_af(table) else table.drop(columns="paced")
        caption = f"{kind}Classes of {name}, with the reference's scores; every other variant's are in per_class.csv."
        rows = shown.astype(object).to_numpy().tolist()
        parts.append(Table(f"classes-{slug(name)}", caption, list(shown.columns), rows))
    return Section(f"{kind}{name}{mark}", tuple(parts))


def _factorial(evaluation: Evaluation, task: str, kind: str) -> list:
    """Scores by stream and backbone, and the effects; nothing where no variant names factors."""
    if not evaluation.factorial.get(task):
        return []
    sure = how_sure(evaluation.suite.n_seeds)
    header, rows = grid(evaluation, task)
    effects = f"{kind}{HOW_FACTORIAL} {sure[0].upper()}{sure[1:]}."
    parts = (
        Table(f"streams-{slug(task)}", f"{kind}{task}: ROC-AUC by streams and backbone", header, rows),
        Table(
            f"effects-{slug(task)}", effects, ["effect", "ROC-AUC [95 %]", "contrasts"], effect_rows(evaluation, task)
        ),
    )
    return [Section(f"{kind}{task}: streams by backbone", parts)]


def has_af(table) -> bool:
    """Whether a class table holds AF, beside which paced records are counted: a paced rhythm is regular."""
    return bool(table["class"].isin(["AF", "AFL", AF_CLASS]).any())


def _block(evaluation: Evaluation, block: Block, kind: str, name: str) -> list:
    c = block.counts
    prevalence = f"; mean prevalence {c['prevalence']:.3f}" if c["classes"] else ""
    parts = [Text(f"**{kind}{block.task}: {block.subject}** ({block.size}{prevalence})")]
    if c["classes"] and c["classes"] != block.cls:
        support = evaluation.contexts[block.task].support
        listed = [f"{n} ({support[n].positives} of {support[n].positive_subjects})" for n in c["classes"].split("; ")]
        parts.append(Text(f"Classes, with positives of positive subjects: {', '.join(listed)}."))
    shown = shown_columns(block)
    for pooling, title in ((False, "Retrained"), (True, POOLED)):
        rows = [cells(r) for r in block.rows if (r["kind"] == "pooling") == pooling]
        if rows:
            stem = f"{'pooling' if pooling else 'headline'}-{name}"
            header, rows = [HEADER[i] for i in shown], [[r[i] for i in shown] for r in rows]
            parts.append(Table(stem, f"{kind}{title}; {c['how_sure']}", header, rows))
    header, others = other_estimates(evaluation, block)
    if others:
        caption = f"{kind}The same figure, estimated otherwise; {c['how_sure']}"
        parts.append(Table(f"others-{name}", caption, header, others))
    gaps = next((r["gap_classes"] for r in block.rows if r["gap_classes"]), "")
    if gaps and gaps != c["classes"]:
        parts.append(Text(f"Transfer gaps are over: {gaps}."))
    return [*parts, *(Text(f"{r[0].upper()}{r[1:]}.") for r in reasons(block))]
