"""Coverage: the truth is what is said, intervals are the evaluation's own, finished pieces are not simulated again."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import studies.__main__
import studies.coverage.study
from ecg_ramba.errors import UserError
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.progress import Progress
from studies.coverage.study import BY_RECORD, BY_SUBJECT, Design, coverage_table, draw_sample, simulate, simulate_all
from studies.coverage.text import found_text, write_coverage

QUICK = Design(draws=200)


def test_the_true_values_are_those_of_very_many_subjects():
    sample = draw_sample(QUICK, 60_000, 0)
    found = [roc_auc_score(sample.positive, s) for s in sample.scores]
    assert found == pytest.approx([QUICK.auc, QUICK.other], abs=0.006)
    assert np.bincount(sample.subject).mean() == pytest.approx(QUICK.records, rel=0.02)
    first = np.flatnonzero(np.diff(sample.subject, prepend=-1))
    first = first[first + 1 < len(sample.subject)]
    pairs = first[sample.subject[first] == sample.subject[first + 1]]
    centred = sample.scores[0] - np.where(sample.positive, sample.scores[0][sample.positive].mean(), 0)
    assert np.corrcoef(centred[pairs], centred[pairs + 1])[0, 1] == pytest.approx(QUICK.correlation, abs=0.02)
    centred = [s - np.where(sample.positive, s[sample.positive].mean(), 0) for s in sample.scores]
    assert np.corrcoef(*centred)[0, 1] == pytest.approx(QUICK.between, abs=0.02)


def test_one_simulation_by_hand():
    row, sample = simulate(QUICK, 20, 3), draw_sample(QUICK, 20, 3)
    found = [roc_auc_score(sample.positive, s) for s in sample.scores]
    assert row["value"] == pytest.approx(found[0])
    assert row["difference"] == pytest.approx(found[0] - found[1])
    assert row["positive_subjects"] + row["negative_subjects"] == 20
    for by in (BY_SUBJECT, BY_RECORD):
        assert row[f"{by}: ROC-AUC, low"] < row["value"] < row[f"{by}: ROC-AUC, high"]
    wide, narrow = (row[f"{by}: ROC-AUC, high"] - row[f"{by}: ROC-AUC, low"] for by in (BY_SUBJECT, BY_RECORD))
    assert wide > narrow
    assert simulate(QUICK, 20, 3) == row
    assert simulate(QUICK, 20, 4)["value"] != row["value"]


def test_one_outcome_only_has_no_value_and_is_counted():
    design = dataclasses.replace(QUICK, prevalence=1e-9)
    row = simulate(design, 6, 0)
    assert np.isnan(row["value"])
    assert row["missing"] == 1
    found = pd.DataFrame([{"subjects": 6, "number": 0} | row])
    table = coverage_table(design, found)
    assert table["coverage"].isna().all()
    assert table["one_outcome"].tolist() == [1] * 6
    assert "No number of subjects here reaches 100" in found_text(table, "ROC-AUC")


def test_coverage_is_counted_right():
    base = dict.fromkeys(simulate(QUICK, 6, 0), 0.0) | {"positive_subjects": 10, "negative_subjects": 10, "value": 0.8}
    hold = {"subjects: ROC-AUC, low": 0.8, "subjects: ROC-AUC, high": 0.9}
    rows = [base | hold, base | hold | {"positive_subjects": 9}, base | {"subjects: ROC-AUC, high": 0.84}]
    table = coverage_table(QUICK, pd.DataFrame([{"subjects": 20, "number": i} | r for i, r in enumerate(rows)]))
    mine = table[(table["bootstrap"] == BY_SUBJECT) & (table["of"] == "ROC-AUC")].iloc[0]
    assert mine["coverage"] == pytest.approx(2 / 3)
    assert (mine["simulations"], mine["reported"], mine["coverage_reported"]) == (3, 2, 0.5)
    assert mine["lo"] < 2 / 3 < mine["hi"]


def test_records_as_if_independent_hold_the_truth_too_seldom(tmp_path):
    found = simulate_all(dataclasses.replace(QUICK, draws=150), [60], 60, tmp_path, local(1), Progress())
    table = coverage_table(QUICK, found).set_index(["bootstrap", "of"])["coverage"]
    assert table[BY_SUBJECT, "ROC-AUC"] > 0.85
    assert table[BY_RECORD, "ROC-AUC"] < 0.85
    assert table[BY_RECORD, "ROC-AUC"] < table[BY_SUBJECT, "ROC-AUC"]


def test_a_stopped_study_goes_on_and_other_settings_are_other_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(studies.coverage.study, "CHUNK", 3)
    done, original = [], studies.coverage.study.simulate
    monkeypatch.setattr(studies.coverage.study, "simulate", lambda d, s, n: done.append((s, n)) or original(d, s, n))
    design = dataclasses.replace(QUICK, draws=20)
    simulate_all(design, [8], 3, tmp_path, local(1), Progress())
    assert len(done) == 3
    found = simulate_all(design, [8, 12], 6, tmp_path, local(1), Progress())
    assert sorted(done[3:]) == [(8, 3), (8, 4), (8, 5), *((12, n) for n in range(6))]
    assert found[["subjects", "number"]].to_numpy().tolist() == [[s, n] for s in (8, 12) for n in range(6)]
    before = len(done)
    again = simulate_all(design, [12, 8], 6, tmp_path, local(1), Progress())
    assert len(done) == before
    pd.testing.assert_frame_equal(again, found)
    simulate_all(dataclasses.replace(design, draws=21), [8], 3, tmp_path, local(1), Progress())
    assert len(done) == before + 3


def test_a_failed_piece_and_too_few_subjects_are_one_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="--subjects 1: two subjects at least"):
        simulate_all(QUICK, [12, 1], 5, tmp_path, local(1), Progress())

    def fails(*_):
        raise MemoryError("none left")

    monkeypatch.setattr(studies.coverage.study, "simulate", fails)
    with pytest.raises(UserError, match="simulations of 12 subjects failed: MemoryError: none left"):
        simulate_all(QUICK, [12], 5, tmp_path, local(1), Progress())


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        studies.coverage.study, "Design", lambda folds: dataclasses.replace(QUICK, draws=40, folds=folds)
    )
    argv = ["coverage", "--simulations", "4", "--subjects", "12", "100", "--workers", "1", "--out", str(tmp_path)]
    assert studies.__main__.main(argv) == 0
    (folder,) = tmp_path.glob("studies/coverage-*")
    assert {f.name for f in folder.iterdir()} == {"coverage.md", "coverage.csv", "simulations.csv", "coverage.png"}
    text = (folder / "coverage.md").read_text()
    assert capsys.readouterr().out.startswith(text)
    assert "Simulated scores: no recording and no model is behind these numbers" in text
    assert "From 100 subjects on 93% to 97% were expected: drawing subjects " in text
    assert f"Command: `nox -s studies -- {' '.join(argv)}`" in text
    assert (folder / "coverage.png").read_bytes()[:4] == b"\x89PNG"
    table = pd.read_csv(folder / "coverage.csv")
    assert table[["subjects", "bootstrap", "of"]].drop_duplicates().shape[0] == 12
    assert len(pd.read_csv(folder / "simulations.csv")) == 8
    assert studies.__main__.main([*argv, "--subjects", "1"]) == 2
    assert "error: --subjects 1: two subjects at least" in capsys.readouterr().err


def test_write_twice_gives_the_same_bytes(tmp_path):
    found = simulate_all(dataclasses.replace(QUICK, draws=20), [12], 3, tmp_path, local(1), Progress())
    first = {p.name: p.read_bytes() for p in write_coverage(QUICK, found, 3, "test", tmp_path)}
    assert {p.name: p.read_bytes() for p in write_coverage(QUICK, found, 3, "test", tmp_path)} == first
