"""Parts of the report: cost with its front, the worst errors."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_ramba.document import Figure, Section, Table, Text
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.report_about import limits
from ecg_ramba.evaluation.report_cost import cost_section, front
from ecg_ramba.evaluation.report_errors import DRAWN, LISTED, errors_frame, errors_section
from ecg_ramba.evaluation.report_studies import leave_with_run, studies_section
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.render import write_document

QUICK = EvaluationConfig(draws=50)
value = st.one_of(st.integers(0, 4).map(float), st.just(float("nan")))


@given(st.lists(st.tuples(value, value), max_size=8))
def test_the_front_is_what_nothing_beats(points):
    cost, score = np.array(points, float).reshape(-1, 2).T
    expected = [
        np.isfinite(c) and np.isfinite(s) and not any(c2 <= c and s2 >= s and (c2 < c or s2 > s) for c2, s2 in points)
        for c, s in points
    ]
    assert front(cost, score).tolist() == [bool(e) for e in expected]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory, fake_suite_class):
    suite = fake_suite_class(tmp_path_factory.mktemp("parts") / "suite", n=60)
    suite.variants[0] |= {"latency_ms": 2.5, "windows_per_second": 1234.0, "flops": 5e6}
    suite.variants[2] |= {"status": "failed", "reason": "out of memory", "windows": None}
    return evaluate(suite.write(), QUICK)


def test_which_models_a_search_tuned_is_said(evaluation):
    info = evaluation.suite.info | {"config": {"overrides": {"resnet1d": {"1": {"config": {"dropout": 0.1}}}}}}
    tuned = dataclasses.replace(evaluation, suite=dataclasses.replace(evaluation.suite, info=info))
    said, usual = (limits(e).parts[0].markdown for e in (tuned, evaluation))
    assert "The settings of resnet1d are those that a search chose for each fold" in said
    assert "search" not in usual


def test_cost_table(evaluation):
    section = cost_section(evaluation)
    (table,) = (p for p in section.parts if isinstance(p, Table))
    assert [row[0] for row in table.rows] == ["ECG-RAMBA", "without HRV"], "pooling costs nothing, failed has no cost"
    assert table.rows[0][1:5] == ["1 k", "5 M", "2.5 ms", "1.23 k"]
    assert table.rows[1][2:5] == ["–", "–", "–"]
    frame = section.frames["cost"]
    assert set(frame["data"]) == {"synthetic"}
    assert set(frame["task"]) == set(evaluation.headlines)
    one = frame[(frame["task"] == "source") & (frame["variant"] == "no_hrv")].iloc[0]
    assert one["roc_auc"] == evaluation.headlines["source"]["no_hrv"].value
    (figure,) = (p for p in section.parts if isinstance(p, Figure))
    assert figure.draw().axes


def test_the_worst_errors_are_those_of_brute_force(evaluation):
    reader = ScoreReader.of(evaluation)
    variant = evaluation.suite.reference
    frame = errors_frame(evaluation, reader, variant)
    context = evaluation.contexts["source"]
    scores = reader.scores(variant, context.task).headline.mean(0)
    found = {True: [], False: []}
    for k, s in enumerate(context.task.scores):
        if s.name in context.head.classes:
            for label, score in zip(context.units.positive[:, k], scores[:, k], strict=True):
                found[bool(label)].append(abs(label - score))
    mine = frame[frame["task"] == "source"]
    for label, errors in found.items():
        side = mine[mine["positive"] == label]
        assert np.abs(label - side["score"]).to_numpy() == pytest.approx(sorted(errors, reverse=True)[:LISTED])
        assert len(side) == LISTED
    assert set(frame["data"]) == {"synthetic"}
    assert set(frame["task"]) == set(evaluation.contexts)


def test_errors_that_cannot_be_drawn_are_counted(evaluation):
    section = errors_section(evaluation, ScoreReader.of(evaluation))
    text = "\n".join(p.markdown for p in section.parts if hasattr(p, "markdown"))
    assert "recordings of synthetic-third are not drawn: where they were read from is not known." in text
    (table,) = (p for p in section.parts if isinstance(p, Table))
    assert 0 < len(table.rows) <= 2 * DRAWN * len(evaluation.contexts)
    for *_, label, score in table.rows:
        assert (label == "positive") == (float(score) < 0.5), "only what is wrong at the threshold"
    assert not [p for p in section.parts if isinstance(p, Figure)]


def test_errors_are_drawn_where_the_recordings_are(evaluation, tmp_path, monkeypatch):
    data = [d | {"place": str(tmp_path)} for d in evaluation.suite.info["data"]]
    monkeypatch.setitem(evaluation.suite.info, "data", data)
    frame = errors_frame(evaluation, ScoreReader.of(evaluation), evaluation.suite.reference)
    for file in set(frame["file"]):
        (tmp_path / file).write_text("not a header")
    figures = [p for p in errors_section(evaluation, ScoreReader.of(evaluation)).parts if isinstance(p, Figure)]
    assert figures
    assert all(f.caption.startswith("Synthetic: ") for f in figures)
    page = figures[0].draw()
    assert any("cannot be drawn" in t.get_text() for axis in page.axes for t in axis.texts), "damaged since: it says so"


def test_a_study_stands_in_the_report_of_its_run(evaluation, tmp_path):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    def draw():
        made = Canvas(figsize=(1, 1))
        FigureCanvasAgg(made)
        return made

    def words(section):
        return " ".join(p.markdown for p in section.parts if isinstance(p, Text))

    assert "No study was run on these models" in words(studies_section(evaluation))
    table = Table("t", "Synthetic: what came", ["a", "b"], [["1", "2"]])
    empty = Table("none", "Synthetic: nothing", ["a"], [])
    sections = [Section("one", (empty, Section("two", (table, Figure("f", "Synthetic: a figure", draw)))))]
    files = write_document("title", "", sections, tmp_path, "robustness")
    card = leave_with_run(evaluation.suite.path, "robustness", "robustness", sections, files)
    made = studies_section(evaluation)
    (inner,) = made.parts
    assert inner.title == "Synthetic: robustness"
    said = re.search(r"`(.+)`", words(inner)).group(1)
    assert (evaluation.suite.path / said).resolve() == files[1].resolve()
    assert str(tmp_path) not in card.read_text()  # the run may be published
    shown, picture = inner.parts[1:]
    assert (shown.caption, shown.rows) == (table.caption, table.rows)
    assert picture.file.read_bytes() == (tmp_path / "f.png").read_bytes()
    card.write_text("{}")
    with pytest.raises(UserError, match=r"robustness\.json is damaged"):
        studies_section(evaluation)
    card.unlink()


def test_a_false_alarm_and_a_miss_in_one_recording_are_two_figures(evaluation, tmp_path, monkeypatch):
    frame = errors_frame(evaluation, ScoreReader.of(evaluation), evaluation.suite.reference)
    row = frame[frame["task"] == "synthetic-rhythm-window"].iloc[[0]]
    twice = pd.concat(
        [row.assign(segment=3, positive=False, score=0.9), row.assign(segment=7, positive=True, score=0.1)]
    )
    monkeypatch.setattr("ecg_ramba.evaluation.report_errors.errors_frame", lambda *_: twice)
    (tmp_path / row["file"].item()).write_text("there")
    data = [{"name": "synthetic-rhythm", "place": str(tmp_path)}]
    monkeypatch.setitem(evaluation.suite.info, "data", data)
    section = errors_section(evaluation, ScoreReader.of(evaluation))
    names = [p.name for p in section.parts if isinstance(p, Figure)]
    assert len(names) == len(set(names)) == 2
    write_document("t", "", [section], tmp_path / "out", "report")


def test_errors_of_an_older_run_have_no_files(evaluation, tmp_path, fake_suite_class):
    suite = fake_suite_class(tmp_path / "old", n=40, rhythm=False)
    folder = suite.write()
    (folder / "records.parquet").unlink()
    made = evaluate(folder, QUICK)
    frame = errors_frame(made, ScoreReader.of(made), made.suite.reference)
    assert len(frame)
    assert set(frame["file"]) == {""}
    assert pd.api.types.is_bool_dtype(frame["positive"])
