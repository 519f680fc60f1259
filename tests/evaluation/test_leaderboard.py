"""Several runs in one table: the reports' numbers, ranked together only where they were measured alike."""

import base64
import hashlib
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from ecg_ramba import cli_runs
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.leaderboard import board_table, read_board
from ecg_ramba.evaluation.leaderboard_page import board_page, board_sections, board_title, opening, write_board
from ecg_ramba.files import write_json
from ecg_ramba.harness.options import Parser
from ecg_ramba.render import markdown

QUICK = EvaluationConfig(draws=40)
THIRD = "synthetic-third"


def report(folder, config=QUICK):
    """What the leaderboard reads of a report, without its figures."""
    made = evaluate(folder, config)
    (folder / "report").mkdir(exist_ok=True)
    made.summary.to_csv(folder / "report" / "summary.csv", index=False, float_format="%.8g")
    write_json(folder / "report" / "settings.json", vars(config))
    return folder


@pytest.fixture(scope="module")
def stored(tmp_path_factory, fake_suite_class):
    """A synthetic run with a variant that failed, and its report."""
    suite = fake_suite_class(tmp_path_factory.mktemp("board") / "first", n=60, rhythm=False, poolings=False)
    suite.variants.append(
        suite.variants[0] | {"name": "broken", "title": "<b>broken</b>", "status": "failed", "reference": False,
                             "reason": "loss became | NaN & <worse>", "windows": None, "parameters": None}
    )  # fmt: skip
    return report(suite.write())


@pytest.fixture
def first(stored, tmp_path):
    return shutil.copytree(stored, tmp_path / "first")


@pytest.fixture
def second(stored, tmp_path):
    """The same labels and other models: their titles, and their windows exchanged."""
    folder = shutil.copytree(stored, tmp_path / "second")
    rows = json.loads((folder / "variants.json").read_text())[:2]
    for row, title in zip(rows, ("A new model", "Another"), strict=True):
        row |= {"title": title, "windows": rows[1 - rows.index(row)]["windows"] if row["reference"] else row["windows"]}
    (folder / "variants.json").write_text(json.dumps(rows))
    return report(folder)


def page_rows(text):
    return re.findall(r"<tr[^>]*>(.*?)</tr>", text.split("<tbody>")[1], re.S)


def test_runs_with_the_same_units_are_ranked_together(first, second):
    (group,) = read_board([first, second])
    assert group.runs == ["first", "second"]
    assert (len(group.entries), group.why) == (6, [])
    values = [e.cells[(THIRD, "macro")]["value"] for e in group.ranked() if not e.failure]
    assert values == sorted(values, reverse=True)
    assert [bool(e.failure) for e in group.ranked()] == [False] * 5 + [True]
    at_home = [e.cells[("source", "macro")]["value"] for e in group.ranked(("source", "macro")) if not e.failure]
    assert at_home == sorted(at_home, reverse=True)


def test_the_numbers_are_those_of_the_reports(first, second):
    table = board_table(read_board([first, second]))
    for name, folder in (("first", first), ("second", second)):
        summary = pd.read_csv(folder / "report" / "summary.csv")
        summary = summary[summary["status"] == "ok"]
        own = table[(table["run"] == name) & (table["status"] == "ok")]
        assert len(own) == len(
            summary[
                (summary["metric"] == "roc_auc")
                & summary["estimate"].isin(["mean over folds", "ensemble of fold models"])
            ]
        )
        for row in own.to_dict("records"):
            at = summary[
                (summary["variant"] == row["variant"])
                & (summary["task"] == row["task"])
                & (summary["cls"] == row["cls"])
            ]
            at = at[at["estimate"].isin(["mean over folds", "ensemble of fold models"])].set_index("metric")
            for column, metric in (("roc_auc", "roc_auc"), ("average_precision", "average_precision")):
                for end, of in (("", "value"), ("_lo", "lo"), ("_hi", "hi")):
                    np.testing.assert_equal(row[column + end], at.loc[metric, of])
            assert row["support"] == at.loc["roc_auc", "support"]
            assert row["units"] == at.loc["roc_auc", "units"]
    failed = table[table["status"] == "failed"]
    assert list(failed["reason"]) == ["loss became | NaN & <worse>"]
    assert failed["roc_auc"].isna().all()


def relabel(folder, how):
    path = folder / "labels.parquet"
    how(pd.read_parquet(path)).to_parquet(path, index=False)


def edit(folder, name, **fields):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def flip(frame):
    at = (frame["task"] == THIRD) & (frame["record"] == "r00003") & (frame["cls"] == "PAC")
    return frame.assign(positive=frame["positive"] ^ at)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("labels", f"{THIRD}: other units, folds or labels"),
        ("fewer", f"{THIRD}: 59 units and not 60"),
        ("mapping", "source: another label mapping"),
        ("settings", "evaluated with draws = 40, min_positives = 3 and not draws = 40"),
        ("folds", "source: other units, folds or labels"),
        ("tasks", "second and first have no task in common"),
    ],
)
def test_runs_that_were_measured_otherwise_stand_apart_and_it_is_said_why(first, second, how, words):
    config = QUICK
    if how == "labels":
        relabel(second, flip)
    elif how == "fewer":
        relabel(second, lambda f: f[(f["task"] != THIRD) | (f["record"] != "r00003")])
    elif how == "mapping":
        edit(second, "suite.json", mapping_digest="x" * 64)
    elif how == "settings":
        config = EvaluationConfig(draws=40, min_positives=3)
    elif how == "folds":
        info = json.loads((second / "suite.json").read_text())
        home = lambda f: f["dataset"] == "synthetic-source"  # noqa: E731
        other = {1: 2, 2: 1}
        turn = lambda f: f.assign(fold=f["fold"].where(~home(f), f["fold"].replace(other)))  # noqa: E731
        relabel(second, turn)
        for path in (second / "variants").glob("*/windows.parquet"):
            turn(pd.read_parquet(path)).to_parquet(path, index=False)
        assert info["folds"] == 5
    elif how == "tasks":
        rename = lambda name: f"x-{name}"  # noqa: E731
        tasks = json.loads((second / "tasks.json").read_text())
        (second / "tasks.json").write_text(json.dumps([t | {"task": rename(t["task"])} for t in tasks]))
        relabel(second, lambda f: f.assign(task=f["task"].map(rename)))
    groups = read_board([first, report(second, config)])
    assert [g.runs for g in groups] == [["first"], ["second"]]
    said = "; ".join(groups[1].why)
    assert words in said
    for text in (board_page(groups), markdown("t", "", board_sections(groups))):
        assert "Ranking 2 of 2" in text
        assert words in text


def test_runs_that_share_a_task_alone_stand_together(first, second):
    tasks = json.loads((second / "tasks.json").read_text())
    (second / "tasks.json").write_text(json.dumps([t for t in tasks if t["task"] != THIRD]))
    relabel(second, lambda f: f[f["task"] != THIRD])
    (group,) = read_board([first, report(second)])
    text = board_page([group])
    assert "not scored" in text
    assert text.count("not scored") == 2  # two variants of the second run


def test_failed_and_unsupported_figures_are_rows_with_their_reason(first):
    strict = EvaluationConfig(draws=40, min_positives=10_000)
    groups = read_board([report(first, strict)])
    text = board_page(groups)
    assert "below protocol support" in text
    assert "<strong>failed</strong><small>loss became | NaN &amp; &lt;worse&gt;</small>" in text
    assert "failed: loss became \\| NaN" in markdown("t", "", board_sections(groups))
    none = EvaluationConfig(draws=40, min_positives=10_000, explore_positives=10_000)
    groups = read_board([report(first, none)])
    assert "no macro figure" in board_page(groups)
    assert "no macro figure" in markdown("t", "", board_sections(groups))
    macro = board_table(groups).query("cls == 'macro' and status == 'ok'")
    assert macro["roc_auc"].isna().all()
    assert macro["reason"].str.contains("no macro figure").all()


def test_synthetic_is_said(first, second):
    groups = read_board([first, second])
    assert opening(groups).startswith("SYNTHETIC DATA")
    assert board_title(groups).startswith("Synthetic")
    assert board_page(groups).count('class="mark synthetic"') == 6
    assert set(board_table(groups)["data"]) == {"synthetic"}
    edit(second, "suite.json", synthetic=False)
    groups = read_board([first, second])
    assert "Some rows are SYNTHETIC DATA" in opening(groups)
    assert board_page(groups).count('class="mark synthetic"') == 4
    edit(first, "suite.json", synthetic=False)
    assert opening(read_board([first])) == "Real data."


def test_the_page_is_whole_by_itself_and_escapes_what_it_is_given(first, second, tmp_path):
    files = write_board(read_board([first, second]), tmp_path / "out")
    assert [f.name for f in files] == ["leaderboard.md", "leaderboard.html", "leaderboard.csv"]
    text = files[1].read_text()
    assert not re.search(r"https?://|src=|<link|@import|url\(", text)
    assert "<b>broken" not in text
    assert "&lt;b&gt;broken" in text
    assert 'name="viewport" content="width=device-width' in text
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    widths = {len(re.findall("<td", row)) for row in page_rows(text)}
    assert widths == {len(re.findall("<th ", text))}
    assert board_page(read_board([first, second])) == text  # the same bytes again


def test_what_cannot_stand_on_a_board(first, second, tmp_path):
    with pytest.raises(UserError, match="named twice"):
        read_board([first, first / ".." / "first"])
    with pytest.raises(UserError, match="no such file"):
        read_board([tmp_path])
    (second / "report" / "summary.csv").unlink()
    with pytest.raises(UserError, match="ecg-ramba report"):
        read_board([first, second])
    (second / "report" / "summary.csv").write_text("variant,task\na,b\n")
    with pytest.raises(UserError, match="of another version"):
        read_board([first, second])
    report(second)
    summary = pd.read_csv(second / "report" / "summary.csv")
    summary[summary["variant"] != "no_hrv"].to_csv(second / "report" / "summary.csv", index=False)
    with pytest.raises(UserError, match="not of this run's variants"):
        read_board([first, second])


def test_runs_of_one_name_are_told_apart(first, tmp_path):
    other = shutil.copytree(first, tmp_path / "elsewhere" / "first")
    (group,) = read_board([first, other])
    assert group.runs == [f"{first.parent.name}/first", "elsewhere/first"]


def test_the_command(first, second, tmp_path, capsys):
    parser = Parser()
    cli_runs.add_run_commands(parser.add_subparsers(parser_class=Parser))
    options = parser.parse_args(["leaderboard", str(first), str(second), "--out", str(tmp_path / "out")])
    assert options.run(options) == 0
    said = capsys.readouterr().out
    assert "ranking 1: 6 models of first, second; 1 failed" in said
    assert (tmp_path / "out" / "leaderboard.html").is_file()
