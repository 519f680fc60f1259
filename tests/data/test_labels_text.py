"""``ecg-ramba data labels``: every class once, counts that add up, unknown where a publisher never annotates."""

import io
import re

import pytest
from rich.console import Console

from ecg_ramba import cli
from ecg_ramba.data.check import check
from ecg_ramba.data.labels import PAPER27, annotated_classes, release_counts
from ecg_ramba.data.labels_text import of_releases, of_report, render_labels


def text(places):
    console = Console(file=io.StringIO(), width=400)
    render_labels(places, "a test", console)
    return console.file.getvalue()


def test_releases_by_hospital():
    places = of_releases()
    assert {"chapman shaoxing", "chapman ningbo", "ptbxl", "georgia"} <= set(places)
    counts, annotated = places["chapman ningbo"]
    assert counts == {c: n for c, n in release_counts("chapman", "ningbo").items() if n}
    assert annotated == annotated_classes("chapman", "ningbo")
    lines = {line.split()[0]: line for line in text(places).splitlines() if line.split() and line.split()[0] in PAPER27}
    assert list(lines) == list(PAPER27)
    assert "chapman shaoxing 1,780" in lines["AF"]
    assert lines["AF"].rstrip().endswith("chapman ningbo"), "unknown there"
    assert "counts as RBBB" in lines["CRBBB"]


def test_counts_of_a_folder_add_up(cohort):
    report = check(cohort)
    places = of_report(report)
    for d in report.datasets:
        mine = [counts for name, (counts, _) in places.items() if name.split()[0] == d.name]
        assert {c: sum(m.get(c, 0) for m in mine) for c in d.labels} == d.labels
    assert "synthetic-source" in text(places)


@pytest.mark.parametrize("folder", [False, True])
def test_the_command(cohort, capsys, monkeypatch, folder):
    monkeypatch.setenv("COLUMNS", "300")
    assert cli.main(["data", "labels", *([str(cohort)] if folder else [])]) == 0
    printed = capsys.readouterr().out
    assert re.search("AF +164889003 atrial fibrillation", printed)
    assert ("synthetic-source" in printed) == folder
