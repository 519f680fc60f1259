"""Studies of a run in its report: of each the leading table and figure, as the study left them with the run."""

import os
from collections.abc import Sequence
from pathlib import Path

from ecg_ramba.document import Figure, Picture, Section, Table, Text, walk
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.tables import kind_of
from ecg_ramba.files import read_json, write_atomic, write_json

FOLDER = "studies"
"""Below the run's folder."""


def leave_with_run(run: Path, study: str, title: str, sections: Sequence[Section], files: Sequence[Path]) -> Path:
    """Leave a study's leading table and figure with the run that it is about.

    Parameters
    ----------
    run : Path
        The run's folder.
    study : str
        Its name; a later study of that name takes its place.
    title : str
    sections : sequence of Section
        The study's document.
    files : sequence of Path
        What :func:`ecg_ramba.render.write_document` wrote of it.

    Returns
    -------
    Path
        What was written.
    """
    parts = [part for _, section in walk(tuple(sections)) for part in section.parts]
    table = next((p for p in parts if isinstance(p, Table) and p.rows), None)
    figure = next((p for p in parts if isinstance(p, Figure)), None)
    card: dict = {"title": title, "page": Path(os.path.relpath(files[1], run)).as_posix()}
    if table is not None:
        card["table"] = {"caption": table.caption, "header": list(table.header), "rows": [list(r) for r in table.rows]}
    if figure is not None:
        image = next(f for f in files if f.name == f"{figure.name}.png")
        content = image.read_bytes()
        write_atomic(run / FOLDER / f"{study}.png", lambda p: p.write_bytes(content))
        card["caption"] = figure.caption
    write_json(run / FOLDER / f"{study}.json", card)
    return run / FOLDER / f"{study}.json"


def studies_section(evaluation: Evaluation) -> Section:
    """What studies said of this run; which ones there are for it, where none was run.

    Raises
    ------
    UserError
        Naming the file, if one is damaged.
    """
    kind, made = kind_of(evaluation), []
    for path in sorted((evaluation.suite.path / FOLDER).glob("*.json")):
        card = read_json(path)
        try:
            made.append(_card(path, card, kind))
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is damaged ({error}); delete it and run the study again") from None
    if not made:
        text = (
            "No study was run on these models. `nox -s studies -- robustness` says what noise and lost leads do to "
            "them, `adaptation` what a few labels of a target are worth, `shortcuts` and `representation` what can be "
            "told from their streams."
        )
        return Section(f"{kind}Studies", (Text(text),))
    return Section(f"{kind}Studies", tuple(made))


def _card(path: Path, card: dict, kind: str) -> Section:
    """One study's part of the report."""
    parts: list = [Text(f"The whole study: `{card['page']}`, from the run's folder.")]
    if table := card.get("table"):
        rows = [[str(v) for v in row] for row in table["rows"]]
        parts.append(Table(f"study-{path.stem}", table["caption"], list(table["header"]), rows))
    if "caption" in card:
        parts.append(Picture(f"study-{path.stem}", card["caption"], path.with_suffix(".png")))
    return Section(f"{kind}{card['title']}", tuple(parts))
