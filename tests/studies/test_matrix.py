"""Leave-one-source-out: one suite a source, the same numbers as alone, and a reason where there is none."""

import dataclasses

import pandas as pd
import pytest

from ecg_ramba.data.synthetic import CohortConfig, synthesize
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.variants import all_variants
from studies.matrix import matrix_table, run_matrix, there, write_matrix

pytestmark = pytest.mark.slow
SITES = ("synthetic-source", "synthetic-third", "synthetic-rhythm")


@pytest.fixture(scope="module")
def suites(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("matrix")
    cohort = out / "cohort"
    synthesize(cohort, CohortConfig(source=24, third=24, subjects=3))
    variants = [all_variants()[n] for n in ("hrv_logistic", "class_prior")]
    return out, run_matrix(tiny, variants, SITES, cohort, out, local(1), Progress(), "test")


def test_each_source_once_and_what_cannot_be_one_has_a_reason(suites):
    _, made = suites
    assert [s.source for s in made] == list(SITES)
    for suite in made[:2]:
        assert suite.evaluation.suite.info["source"] == suite.source
        assert set(suite.evaluation.suite.info["targets"]) == set(SITES) - {suite.source}
    assert made[2].evaluation is None
    assert "synthetic-rhythm" in made[2].reason or "subjects" in made[2].reason


def test_numbers_are_those_of_the_suites(suites):
    _, made = suites
    table = matrix_table(made)
    assert (table["data"].replace("", "synthetic") == "synthetic").all()
    for suite in made[:2]:
        summary = evaluate(suite.result.folder).summary
        for row in table[(table["source"] == suite.source) & table["value"].notna()].to_dict("records"):
            same = summary[(summary["task"] == row["task"]) & (summary["variant"] == row["variant"])]
            same = same[
                (same["metric"] == "roc_auc") & same["estimate"].isin(["mean over folds", "ensemble of fold models"])
            ]
            assert row["value"] in set(same["value"])
    home = table[(table["source"] == table["dataset"])]
    assert set(home["task"]) == {"source"}


def test_files_say_synthetic_and_name_what_is_no_source(suites):
    out, made = suites
    md, csv, png = write_matrix(made, out / "m")
    text = md.read_text()
    assert text.startswith("# Synthetic data: ")
    assert "synthetic-rhythm is no source here: " in text
    assert "| synthetic-source | " in text
    assert len(pd.read_csv(csv)) == len(matrix_table(made))
    assert png.read_bytes()[:4] == b"\x89PNG"


def test_one_data_set_is_no_matrix(tiny, cohort, tmp_path):
    variants = [all_variants()["class_prior"]]
    with pytest.raises(UserError, match="two data sets or more"):
        run_matrix(tiny, variants, SITES[:1], cohort, tmp_path, local(1), Progress(), "")
    few = dataclasses.replace(tiny, folds=11)
    with pytest.raises(UserError, match="can be a source"):
        run_matrix(few, variants, SITES[1:], cohort, tmp_path, local(1), Progress(), "")


def test_what_is_there(cohort):
    assert set(there(None)) == set(SITES)
    assert set(there(cohort)) == set(SITES)
