"""The report of a run: one HTML page, Markdown, CSV, LaTeX and figures, from the stored predictions alone."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ecg_ramba.document import Section, walk
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation import report_about as about
from ecg_ramba.evaluation.calibration_text import calibration_section
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import Evaluation
from ecg_ramba.evaluation.pooling_curve import section as pooling
from ecg_ramba.evaluation.report_cost import cost_section
from ecg_ramba.evaluation.report_errors import errors_section
from ecg_ramba.evaluation.report_results import glance, task_sections
from ecg_ramba.evaluation.report_studies import studies_section
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.significance_text import section as statistics
from ecg_ramba.evaluation.subgroup_text import subgroups_section
from ecg_ramba.evaluation.tables import banner, departures, run_title
from ecg_ramba.files import read_json, write_json
from ecg_ramba.render import write_document

SETTINGS = "settings.json"
STEM = "report"
POOLED = 4
"""Variants whose pooling curves the report shows."""


def report_sections(
    evaluation: Evaluation, reader: ScoreReader, progress: Callable[[int, int], None] | None = None
) -> list[Section]:
    """All sections of a run's report, in reading order.

    Parameters
    ----------
    evaluation : Evaluation
    reader : ScoreReader
        Of the same suite.
    progress : callable, optional
        Called with (sections done, sections in all).
    """
    makers: list[Callable[[], list[Section]]] = [
        lambda: [glance(evaluation), about.how_to_read(evaluation), about.data(evaluation)],
        lambda: task_sections(evaluation),
        lambda: [statistics(evaluation, reader)],
        lambda: [calibration_section(evaluation, reader)],
        lambda: [subgroups_section(evaluation, reader)],
        lambda: [pooling(evaluation, reader, most=POOLED), *about.burden(evaluation)],
        lambda: [cost_section(evaluation)],
        lambda: [errors_section(evaluation, reader)],
        lambda: [studies_section(evaluation)],
        lambda: [about.limits(evaluation), about.reproduce(evaluation)],
    ]
    made = []
    for done, make in enumerate(makers, 1):
        made += make()
        if progress:
            progress(done, len(makers))
    return made


def report_frames(evaluation: Evaluation, reader: ScoreReader) -> dict[str, pd.DataFrame]:
    """The numbers behind the report: stem of each CSV file -> its table."""
    sections = tuple(report_sections(evaluation, reader))
    return {name: frame for _, section in walk(sections) for name, frame in section.frames.items()}


def write_report(
    evaluation: Evaluation, suite_dir: Path, progress: Callable[[int, int], None] | None = None
) -> list[Path]:
    """Write ``report/``: report.md and report.html, CSV tables, LaTeX tables, figures as PNG and PDF, settings.json.

    Returns
    -------
    list of Path
        The files to read, report.md and report.html first. Given the same suite, all of them are the same bytes.
    """
    folder = Path(suite_dir) / "report"
    opening = " ".join(filter(None, [banner(evaluation), departures(evaluation)]))
    sections = report_sections(evaluation, ScoreReader.of(evaluation), progress)
    files = write_document(run_title(evaluation), opening, sections, folder, STEM)
    write_json(folder / SETTINGS, dataclasses.asdict(evaluation.config))
    return files


def stored_settings(suite_dir: Path) -> EvaluationConfig:
    """What the last report of a run was made with; the protocol's where there is none."""
    place = Path(suite_dir) / "report" / SETTINGS
    if not place.is_file():
        return EvaluationConfig()
    try:
        return EvaluationConfig(**read_json(place))
    except TypeError:
        raise UserError(f"{place} is not of this version; delete it and name the settings again") from None
