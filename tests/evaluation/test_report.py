"""What the report files say: synthetic where it is, marks of support, failed rows, the same bytes twice."""

import io
import re

import pandas as pd
import pytest
from rich.console import Console

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.flat import mlflow_metrics
from ecg_ramba.evaluation.report import stored_settings, write_report
from ecg_ramba.evaluation.tables import amount, bracketed, duration, number
from ecg_ramba.evaluation.terminal import print_summary

QUICK = EvaluationConfig(draws=100, permutations=100)


def terminal(evaluation, width):
    console = Console(file=io.StringIO(), width=width)
    print_summary(evaluation, console)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory, fake_suite_class):
    suite = fake_suite_class(tmp_path_factory.mktemp("report") / "suite", n=60)
    suite.variants[1] |= {"status": "failed", "reason": "loss became | NaN", "windows": None, "parameters": None}
    folder = suite.write()
    evaluation = evaluate(folder, QUICK)
    return evaluation, folder, write_report(evaluation, folder)


def test_files(synthetic):
    _, folder, files = synthetic
    names = [f.relative_to(folder).as_posix() for f in files]
    assert names[:4] == ["report/report.md", "report/report.html", "report/summary.csv", "report/per_class.csv"]
    assert {"report/forest-synthetic-rhythm-window.png", "report/forest-synthetic-rhythm-window.pdf"} <= set(names)
    assert "report/tables/glance.tex" in names
    assert all(f.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for f in files if f.suffix == ".png")
    assert all(f.read_bytes()[:5] == b"%PDF-" for f in files if f.suffix == ".pdf")
    there = {p for p in (folder / "report").rglob("*") if p.is_file()}
    assert there == {*files, folder / "report" / "settings.json", folder / "report" / ".report.files.json"}, (
        "no leftovers"
    )


def test_settings_are_remembered(synthetic, tmp_path):
    evaluation, folder, _ = synthetic
    assert stored_settings(folder) == evaluation.config == QUICK
    assert stored_settings(tmp_path) == EvaluationConfig()
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "settings.json").write_text('{"colour": 1}')
    with pytest.raises(UserError, match="not of this version"):
        stored_settings(tmp_path)
    for wrong in ('{"draws": "x"}', '{"draws": -1}', '{"level": "0.9"}', '{"min_positives": null}', '{"level": 2.0}'):
        (tmp_path / "report" / "settings.json").write_text(wrong)
        with pytest.raises(UserError, match="the evaluation's"):
            stored_settings(tmp_path)
    (tmp_path / "report" / "settings.json").write_text("[1]")
    with pytest.raises(UserError, match="not of this version"):
        stored_settings(tmp_path)


def test_settings_that_are_not_the_protocols_stand_above_everything(synthetic, tmp_path):
    evaluation, _, files = synthetic
    said = "Not the protocol's evaluation: draws = 100, permutations = 100."
    assert said in files[0].read_text()
    assert said in terminal(evaluation, 200)
    assert EvaluationConfig().departures == ""


def test_synthetic_is_said_everywhere(synthetic):
    evaluation, _, files = synthetic
    text = files[0].read_text()
    headings = [line for line in text.splitlines() if line.startswith("#")]
    captions = [line for line in text.splitlines() if line.startswith(("*", "![")) and not line.startswith("**")]
    assert "Synthetic" in headings[0]
    said = [h for h in headings if any(h.endswith((t, f"{t} (derived)")) for t in evaluation.contexts)]
    assert len(said) == len(evaluation.contexts)
    assert all(h.lstrip("#").startswith(" Synthetic: ") for h in said)
    assert captions
    assert all(c.lstrip("*![").startswith("Synthetic") for c in captions)
    assert "SYNTHETIC DATA" in text
    for file in (f for f in files if f.name in ("summary.csv", "per_class.csv")):
        assert set(pd.read_csv(file)["data"]) == {"synthetic"}
    assert "SYNTHETIC DATA" in terminal(evaluation, 200)


def test_figures_say_synthetic(synthetic, monkeypatch):
    from matplotlib.figure import Figure

    from ecg_ramba.evaluation.figures import forest

    seen = []
    write = Figure.text
    monkeypatch.setattr(Figure, "text", lambda self, x, y, s, **k: seen.append(s) or write(self, x, y, s, **k))
    forest(synthetic[0], "source")
    assert any("SYNTHETIC DATA: source" in s for s in seen)


def test_an_interval_that_leaves_the_axis_ends_in_an_arrow():
    from matplotlib.figure import Figure

    from ecg_ramba.evaluation.figures import _point

    row = {"reference": False, "kind": "trained"}
    cases = {(0.1, 0.0, 0.2): "o", (0.2, 0.1, 0.3): ">o", (-0.2, -0.3, 0.3): "<>o", (0.4, 0.3, 0.5): ">"}
    for values, expected in cases.items():
        axis = Figure().subplots()
        _point(axis, row, 0.0, values, (-0.25, 0.25))
        drawn = {line.get_marker(): line.get_xdata()[0] for line in axis.lines if line.get_marker() != "None"}
        assert "".join(drawn) == expected
        assert drawn.get("<", -0.25) == -0.25
        assert drawn.get(">", 0.25) == 0.25


def test_real_data_is_not_called_synthetic_and_small_is_said(fake_suite):
    suite = fake_suite(n=60, synthetic=False, rhythm=False)
    evaluation = evaluate(suite.write(), QUICK)
    text = write_report(evaluation, suite.folder)[0].read_text()
    names = re.sub(r"synthetic-(source|third|rhythm)", "", text)
    assert "ynthetic" not in names
    assert "too small to claim anything" in text.splitlines()[2]


def test_failed_variants_are_rows(synthetic):
    evaluation, _, files = synthetic
    text = files[0].read_text()
    assert text.count("failed: loss became \\| NaN") >= len(evaluation.contexts)
    assert "loss became | NaN" in terminal(evaluation, 200)


def test_support_is_marked_where_it_is_below(synthetic):
    evaluation, _, files = synthetic
    below = [n for n, c in evaluation.contexts.items() if c.head.support == "below protocol support"]
    assert below
    text = files[0].read_text()
    for name in below:
        assert re.search(rf"\*\*Synthetic: {name}: .*BELOW PROTOCOL SUPPORT\*\*", text)
    assert "BELOW PROTOCOL SUPPORT" in terminal(evaluation, 200)


def test_pooling_and_derived_stand_apart(synthetic):
    text = synthetic[2][0].read_text()
    apart = text.index("## Synthetic: Derived signals (apart)")
    assert apart < text.index("### Synthetic: synthetic-third-superclass (derived)")
    assert text.index("## Synthetic: synthetic-rhythm-record") < apart
    assert "Pooling only: the stored windows pooled otherwise" in text


def test_tables_have_as_many_cells_as_headers(synthetic):
    rows = []
    for line in [*synthetic[2][0].read_text().splitlines(), ""]:
        if line.startswith("|"):
            rows.append(len(re.split(r"(?<!\\)\|", line)))
        elif rows:
            assert len(set(rows)) == 1
            rows = []


@pytest.mark.slow
@pytest.mark.drawn
def test_the_same_bytes_twice(synthetic):
    _, folder, files = synthetic
    before = {f: f.read_bytes() for f in files}
    again = write_report(evaluate(folder, QUICK), folder)
    assert {f: f.read_bytes() for f in again} == before


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_terminal_table_keeps_its_numbers_whole(synthetic, width):
    evaluation = synthetic[0]
    shown = terminal(evaluation, width)
    row = evaluation.summary.query("variant == 'ecg_ramba' and metric == 'roc_auc'").iloc[0]
    assert bracketed(row["value"], row["lo"], row["hi"]) in shown


def test_without_a_headline_figure_the_classes_are_shown_one_by_one(fake_suite):
    suite = fake_suite(n=60, rhythm=False)
    folder = suite.write()
    assert "class by class" not in terminal(evaluate(folder, QUICK), 120)
    strict = EvaluationConfig(draws=100, min_positives=10_000, explore_positives=10_000)
    evaluation = evaluate(folder, strict)
    shown = terminal(evaluation, 120)
    assert "NO FIGURE" in shown
    assert "class by class, below protocol support" in shown
    for cls in evaluation.per_class.query("task == 'source'")["cls"].unique():
        assert cls in shown


def test_mlflow_names_are_legal_and_values_those_of_the_tables(synthetic):
    evaluation = synthetic[0]
    made = mlflow_metrics(evaluation, "ecg_ramba")
    assert all(re.fullmatch(r"[A-Za-z0-9_\-.:/ ]+", k) for k in made)
    assert "synthetic-rhythm-window/AF_or_AFL/roc_auc" in made
    assert "synthetic-third-superclass/NORM_star/roc_auc" in made
    row = evaluation.per_class.query(
        "task == 'synthetic-third' and variant == 'ecg_ramba' and cls == 'PAC' and metric == 'roc_auc'"
        " and estimate == 'ensemble of fold models'"
    ).iloc[0]
    assert made["synthetic-third/PAC/roc_auc"] == row["value"]
    assert made["synthetic-third/PAC/roc_auc_lo"] == row["lo"]
    assert mlflow_metrics(evaluation, "no_hrv") == {}


def test_mlflow_macro_names_carry_their_support(synthetic):
    evaluation = synthetic[0]
    support = evaluation.contexts["source"].head.support
    name = "macro" if support == "protocol" else f"macro {support}"
    assert f"source/{name}/roc_auc" in mlflow_metrics(evaluation, "ecg_ramba")


def test_words_for_numbers():
    assert number(float("nan")) == "–"
    assert number(-0.0001, sign=True) == "0.000"
    assert bracketed(0.5, float("nan"), float("nan")) == "0.500"
    assert bracketed(-0.1, -0.2, 0.05, sign=True) == "-0.100 [-0.200, +0.050]"
    assert (amount(72.83e6), amount(812), amount(float("nan"))) == ("72.8 M", "812", "–")
    assert (duration(42), duration(600), duration(7200)) == ("42 s", "10.0 min", "2.0 h")
