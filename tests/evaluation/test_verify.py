"""A run's report computed again: nothing that was changed goes unseen, and nothing else is called a difference."""

import csv
import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_ramba import cli_runs
from ecg_ramba.document import Figure, Section
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation import verify
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.manifest import check_manifest, write_manifest
from ecg_ramba.evaluation.report import report_sections
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.verify import compare_table, verify_run, verify_text
from ecg_ramba.files import sha256_file, write_json
from ecg_ramba.harness.options import Parser
from ecg_ramba.render import write_document

QUICK = EvaluationConfig(draws=20, permutations=50)


def without_figures(section):
    parts = [without_figures(p) if isinstance(p, Section) else p for p in section.parts if not isinstance(p, Figure)]
    return dataclasses.replace(section, parts=tuple(parts))


@pytest.fixture(scope="module")
def published(tmp_path_factory, fake_suite_class):
    """A synthetic run with its manifest and its report, which lacks nothing but the figures."""
    skills = {"ecg_ramba": 2.0, "no_hrv": 1.0}
    place = tmp_path_factory.mktemp("verify") / "run"
    folder = fake_suite_class(place, n=40, folds=2, rhythm=False, poolings=False, skills=skills).write()
    write_manifest(folder)
    made = evaluate(folder, QUICK)
    sections = [without_figures(s) for s in report_sections(made, ScoreReader.of(made))]
    write_document("Synthetic", "", sections, folder / "report", "report")
    write_json(folder / "report" / "settings.json", dataclasses.asdict(QUICK))
    return folder


@pytest.fixture
def run(published, tmp_path, monkeypatch):
    """A copy of the run with its two main tables alone, to be changed; these alone are then computed again."""
    tables = ("summary", "per_class")
    monkeypatch.setattr(verify, "report_frames", lambda made, reader: {name: getattr(made, name) for name in tables})
    folder = shutil.copytree(published, tmp_path / "run")
    for path in (folder / "report").glob("*.csv"):
        if path.stem not in tables:
            path.unlink()
    return folder


def command(*argv):
    """The command as it is typed, with its exit status."""
    parser = Parser()
    cli_runs.add_run_commands(parser.add_subparsers(parser_class=Parser))
    options = parser.parse_args([str(a) for a in argv])
    return options.run(options)


def edit(path, change):
    """Read a CSV file as rows of text, change them, write them back."""
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    change(rows)
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def test_a_run_as_it_was_written_is_verified(published, capsys):
    found = verify_run(published)
    assert found.problems == []
    names = sorted(p.name for p in (published / "report").glob("*.csv"))
    assert sorted(t.name for t in found.tables) == [f"report/{n}" for n in names]
    assert {"summary.csv", "per_class.csv"} < set(names)
    assert found.digests.files == 7  # five files of the run, and two variants' windows
    assert found.digests.sha256 == sha256_file(published / "manifest.json")
    stored = pd.read_csv(published / "report" / "summary.csv")
    table = next(t for t in found.tables if t.name == "report/summary.csv")
    assert table.rows == len(stored)
    assert table.numbers == int(stored.select_dtypes("number").notna().to_numpy().sum())
    assert command("verify", published) == 0
    said = capsys.readouterr().out
    assert said.startswith("SYNTHETIC DATA")
    assert said.endswith("verified\n")
    for count in (f"{len(names)} computed again", f"{found.totals['numbers']:,} numbers", "7 files are as it says"):
        assert count in said


def place_of(path, **where):
    """Line (from 0, without the header) of the first row with these values, and the header."""
    frame = pd.read_csv(path)
    rows = np.flatnonzero(np.logical_and.reduce([frame[k] == v for k, v in where.items()]))
    return int(rows[0]), list(frame.columns)


WHERE = {"variant": "no_hrv", "metric": "roc_auc", "task": "source"}


@pytest.mark.parametrize(("factor", "found"), [(1 + 1e-6, True), (1 - 3e-7, True), (1 + 1e-10, False), (1.0, False)])
def test_a_changed_number_is_found_where_it_stands_and_rounding_is_not(run, capsys, factor, found):
    path = run / "report" / "summary.csv"
    at, header = place_of(path, **WHERE)
    column = header.index("value")
    before = {}

    def change(rows):
        before["text"] = rows[at + 1][column]
        rows[at + 1][column] = repr(float(rows[at + 1][column]) * factor)
        before["now"] = rows[at + 1][column]

    edit(path, change)
    assert command("verify", run) == int(found)
    said = capsys.readouterr().out
    if found:
        row = "source, synthetic-source, no_hrv, macro, mean over folds, roc_auc"
        line = f"report/summary.csv, line {at + 2} ({row}), value: "
        assert f"{line}stored {before['now']!r}, recomputed {before['text']!r}" in said
        assert "NOT VERIFIED: 1 differences" in said
    assert ("The digests hold, so the predictions are the run's" in said) == found


@pytest.mark.parametrize(
    ("column", "value"),
    [("title", "with HRV"), ("verdict", "helps"), ("units", "41"), ("reference", "True"), ("gap", "0")],
)
def test_changed_words_counts_and_gaps_are_found(run, column, value):
    path = run / "report" / "per_class.csv"
    at, header = place_of(path, **WHERE)
    edit(path, lambda rows: rows[at + 1].__setitem__(header.index(column), value))
    (problem,) = verify_run(run).problems
    assert f", {column}: stored {value!r}" in problem


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.pop(3), "rows, "),
        (lambda rows: rows.append(rows[3]), "rows, "),
        (lambda rows: rows.pop(), "rows, "),
        (lambda rows: [row.pop(4) for row in rows], "has other columns: lacks derived"),
        (lambda rows: [row.append("1") for row in rows], "has other columns"),
        (lambda rows: [row.reverse() for row in rows], "in another order"),
        (lambda rows: rows[5].pop(), "line 6 has not"),
        (lambda rows: rows.clear(), "has other columns"),
    ],
)
def test_tables_of_another_shape(run, change, words):
    edit(run / "report" / "per_class.csv", change)
    assert any(words in p and p.startswith("report/per_class.csv") for p in verify_run(run).problems)


def test_a_table_that_is_gone_added_or_no_text(run):
    (run / "report" / "per_class.csv").unlink()
    (run / "report" / "best.csv").write_text("model\nmine\n")
    (run / "report" / "summary.csv").write_bytes(b"\xff\xfe\x00")
    problems = verify_run(run).problems
    for words in ("per_class.csv: is not there", "best.csv: is no table of this report", "summary.csv: cannot be read"):
        assert any(words in p for p in problems), words


def test_a_swapped_prediction_is_found_by_digest_and_by_table(run):
    path = run / "variants" / "no_hrv" / "windows.parquet"
    rows = pd.read_parquet(path)
    # two records of the source, both of fold 1, one with and one without PAC: the scores change, the keys do not
    labels = pd.read_parquet(run / "labels.parquet").query("task == 'source' and cls == 'PAC' and fold == 1")
    pair = [labels[labels["positive"] == p]["record"].iloc[0] for p in (True, False)]
    at = [np.flatnonzero((rows["dataset"] == "synthetic-source") & (rows["record"] == r)) for r in pair]
    values = rows["PAC"].to_numpy().copy()
    values[at[0]], values[at[1]] = rows["PAC"].to_numpy()[at[1]], rows["PAC"].to_numpy()[at[0]]
    assert (values != rows["PAC"]).any()
    rows.assign(PAC=values).to_parquet(path, index=False)
    found = verify_run(run)
    assert len(found.digests.problems) == 1
    assert "variants/no_hrv/windows.parquet" in found.digests.problems[0]
    differ = [d for t in found.tables for d in t.differences]
    assert {d.row.split(", ")[2] for d in differ if d.table == "report/per_class.csv"} == {"no_hrv"}
    assert "and" in verify_text(found, "0.1.0", most=1)


def test_without_a_manifest_the_tables_are_verified_and_the_digests_said_not_to_be(run, capsys):
    (run / "manifest.json").unlink()
    assert command("verify", run) == 0
    said = capsys.readouterr().out
    assert "digests: NOT VERIFIED, the run has no manifest.json" in said
    assert check_manifest(run) is None


def test_files_that_are_gone_cut_or_not_listed(run):
    (run / "records.parquet").unlink()
    (run / "tasks.json").write_text((run / "tasks.json").read_text() + " ")
    listed = json.loads((run / "manifest.json").read_text())
    del listed["files"]["variants/no_hrv/windows.parquet"]
    (run / "manifest.json").write_text(json.dumps(listed))
    problems = " | ".join(check_manifest(run).problems)
    for words in ("records.parquet is not there", "tasks.json has", "no_hrv/windows.parquet is not in manifest.json"):
        assert words in problems


def test_labels_that_cannot_be_read_are_a_digest_and_a_reason(run, capsys):
    (run / "labels.parquet").write_bytes(b"damaged")
    assert command("verify", run) == 1
    said = capsys.readouterr().out
    assert "labels.parquet has 7 bytes" in said
    assert "the tables cannot be computed" in said
    (run / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"labels\.parquet: cannot be read"):
        verify_run(run)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "lists no files"),
        ('{"files": {"../x": {"bytes": 1, "sha256": "a"}}}', "outside of the run"),
        ('{"files": {"/x": {"bytes": 1, "sha256": "a"}}}', "outside of the run"),
        ('{"files": {"tasks.json": 3}}', "has no size or digest"),
        ("{", "is damaged"),
    ],
)
def test_a_damaged_manifest_is_refused(run, content, words):
    (run / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=words):
        verify_run(run)


def test_what_is_no_run_or_has_no_report(run, tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        verify_run(tmp_path)
    shutil.rmtree(run / "report")
    with pytest.raises(UserError, match="ecg-ramba report"):
        verify_run(run)


def test_settings_that_are_lost_are_said(run):
    (run / "report" / "settings.json").unlink()
    found = verify_run(run)
    assert not found.settings
    assert "the protocol's were taken" in verify_text(found, "0.1.0")
    assert found.problems  # the report was made with other draws than the protocol's


def test_the_challenges_weights_may_lie_elsewhere_and_must_be_the_same(run, tmp_path):
    first, moved = tmp_path / "first.csv", tmp_path / "moved.csv"
    first.write_text(",426783006,164909002\n426783006,1,0.5\n164909002,0.5,1\n")
    made = evaluate(run, dataclasses.replace(QUICK, challenge_weights=str(first)))
    made.summary.to_csv(run / "report" / "summary.csv", index=False, float_format="%.8g")
    write_json(run / "report" / "settings.json", dataclasses.asdict(made.config))
    assert verify_run(run).problems == []
    first.rename(moved)
    with pytest.raises(UserError, match="weights cannot be read"):
        verify_run(run)
    assert verify_run(run, challenge_weights=moved).problems == []
    moved.write_text(moved.read_text().replace("0.5", "0.4"))
    with pytest.raises(UserError, match="weights have changed"):
        verify_run(run, challenge_weights=moved)


def test_a_manifest_needs_its_files(run):
    (run / "variants" / "no_hrv" / "windows.parquet").unlink()
    with pytest.raises(UserError, match=r"windows\.parquet cannot be read"):
        write_manifest(run)


BLOCKED = ("torch", "mlflow", "sktime", "numba", "neurokit2", "wfdb", "optuna", "matplotlib", "rich", "markdown_it")
BLOCKED += ("sklearn", "statsmodels")
ALONE = f"""
import sys

class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Bare())
from ecg_ramba import cli_runs
from ecg_ramba.harness.options import Parser
parser = Parser()
cli_runs.add_run_commands(parser.add_subparsers(parser_class=Parser))
options = parser.parse_args(["verify", sys.argv[1]])
sys.exit(options.run(options))
"""


def test_verify_needs_nothing_that_trains_reads_signals_tracks_or_draws(published):
    done = subprocess.run([sys.executable, "-c", ALONE, str(published)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("verified\n")
    code = ALONE.replace("from ecg_ramba import cli_runs", "import torch")  # the fence holds
    done = subprocess.run([sys.executable, "-c", code, str(published)], capture_output=True, text=True)
    assert "No module named 'torch'" in done.stderr


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)


@given(value=NUMBERS)
def test_a_number_is_itself_to_eight_digits(value, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "one.csv"
    frame = pd.DataFrame({"value": [value]})
    frame.to_csv(path, index=False, float_format="%.8g")
    assert not compare_table("t", path, frame * (1 + 1e-13)).differences
    if 1e-6 < abs(value) < 1e-4:
        return  # between what rounding leaves of nothing and what eight digits tell apart
    for factor in (1 + 2e-7, 1 - 2e-7):
        differs = bool(compare_table("t", path, frame * factor).differences)
        assert differs == (abs(value) > 1e-5)


@pytest.mark.parametrize(("stored", "value", "same"), [
    ("", float("nan"), True), ("nan", float("nan"), True), ("", 0.5, False), ("0.5", float("nan"), False),
    ("inf", float("inf"), True), ("-inf", float("inf"), False), ("0", 1e-17, True), ("-0", 0.0, True),
    ("half", 0.5, False),
])  # fmt: skip
def test_missing_and_boundless_numbers(tmp_path, stored, value, same):
    path = tmp_path / "one.csv"
    path.write_text(f"value\n{stored or chr(34) * 2}\n")
    assert (not compare_table("t", path, pd.DataFrame({"value": [value]})).differences) == same
