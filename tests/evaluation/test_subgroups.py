"""Subgroups against scikit-learn on the units by hand, a planted difference and a null, support and bad input."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, t
from sklearn.metrics import average_precision_score, roc_auc_score

from ecg_ramba.document import Figure, Table, Text, walk
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.people import read_people
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.subgroup_rows import subgroup_frame
from ecg_ramba.evaluation.subgroup_text import subgroups_section
from ecg_ramba.evaluation.subgroups import UNKNOWN, age_band

QUICK = EvaluationConfig(draws=120)
THIRD, RHYTHM = "synthetic-third", "synthetic-rhythm"


def only(frame, **where):
    found = frame[np.logical_and.reduce([frame[k] == v for k, v in where.items()])]
    assert len(found) == 1
    return found.iloc[0]


@pytest.fixture(scope="module")
def done(tmp_path_factory, fake_suite_class):
    suite = fake_suite_class(tmp_path_factory.mktemp("groups") / "suite", n=300, poolings=False)
    evaluation = evaluate(suite.write(), QUICK)
    section = subgroups_section(evaluation, ScoreReader.of(evaluation))
    return evaluation, section, section.frames["subgroups"]


def by_hand(evaluation, variant, task, cls, attribute):
    """Labels, scores, subjects, folds and attribute of a task's units, joined by record."""
    context = evaluation.contexts[task]
    chosen = next(v for v in evaluation.suite.variants if v.name == variant)
    k = [s.name for s in context.task.scores].index(cls)
    people = read_people(evaluation.suite)
    people = people[people["dataset"] == context.task.dataset].set_index("record")[attribute]
    units = context.units
    return pd.DataFrame({
        "y": units.positive[:, k], "score": ScoreReader.of(evaluation).scores(chosen, context.task).headline[0, :, k],
        "subject": units.subject, "fold": units.fold, "value": people.loc[units.record].to_numpy(),
    })  # fmt: skip


@pytest.mark.parametrize(("attribute", "value"), [("sex", "female"), ("hospital", "North"), ("device", "Beta")])
def test_a_targets_subgroup_is_scikit_learn_on_its_units(done, attribute, value):
    evaluation, _, frame = done
    own = by_hand(evaluation, "no_hrv", THIRD, "PAC", attribute)
    inside, outside = own[own["value"] == value], own[own["value"] != value]
    row = only(frame, task=THIRD, variant="no_hrv", cls="PAC", attribute=attribute, group=value)
    for metric, score in (("roc_auc", roc_auc_score), ("average_precision", average_precision_score)):
        a, b = (score(part["y"], part["score"]) for part in (inside, outside))
        assert row[metric] == pytest.approx(a)
        assert row[f"{metric}_elsewhere"] == pytest.approx(b)
        assert row[f"{metric}_diff"] == pytest.approx(a - b)
        assert row[f"{metric}_lo"] < row[metric] < row[f"{metric}_hi"]
        assert row[f"{metric}_diff_lo"] < row[f"{metric}_diff"] < row[f"{metric}_diff_hi"]
    assert row["units"] == len(inside)
    assert row["subjects"] == inside["subject"].nunique()
    assert row["positives"] == inside["y"].sum()
    assert row["positive_subjects"] == inside[inside["y"]]["subject"].nunique()
    assert row["prevalence"] == pytest.approx(inside["y"].mean())


def test_a_source_subgroup_is_the_mean_over_folds(done):
    evaluation, _, frame = done
    own = by_hand(evaluation, "no_hrv", "source", "SNR", "sex")
    expected = np.mean([roc_auc_score(f["y"], f["score"]) for _, f in own[own["value"] == "male"].groupby("fold")])
    row = only(frame, task="source", variant="no_hrv", cls="SNR", attribute="sex", group="male")
    assert row["roc_auc"] == pytest.approx(expected)
    assert row["estimate"] == "mean over folds"


def test_draws_are_the_tasks_draws_on_the_subgroups_units_spread_for_its_few_subjects(done):
    evaluation, _, frame = done
    own, draws = by_hand(evaluation, "no_hrv", THIRD, "PAC", "sex"), evaluation.contexts[THIRD].draws.counts
    sides = [own[own["value"] == value] for value in ("female", "male")]
    values = []
    for side in sides:
        point = roc_auc_score(side["y"], side["score"])
        drawn = [roc_auc_score(side["y"], side["score"], sample_weight=w) for w in draws[side["subject"]].T]
        n = side.groupby("y")["subject"].nunique().min()
        factor = math.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1) / norm.ppf(0.975)
        assert factor > 1.02
        values.append(np.clip(point + factor * (np.array(drawn) - point), 0, 1))
    expected = np.quantile([values[0], values[0] - values[1]], [0.025, 0.975], axis=1).T
    row = only(frame, task=THIRD, variant="no_hrv", cls="PAC", attribute="sex", group="female")
    assert (row["roc_auc_lo"], row["roc_auc_hi"]) == pytest.approx(tuple(expected[0]), abs=1e-6)
    assert (row["roc_auc_diff_lo"], row["roc_auc_diff_hi"]) == pytest.approx(tuple(expected[1]), abs=1e-6)
    other = only(frame, task=THIRD, variant="no_hrv", cls="PAC", attribute="sex", group="male")
    assert other["roc_auc_diff"] == pytest.approx(-row["roc_auc_diff"]), "each sex is the other's complement"
    assert (other["roc_auc_diff_lo"], other["roc_auc_diff_hi"]) == pytest.approx(tuple(-expected[1][::-1]), abs=1e-6)


def test_the_macro_is_over_classes_that_both_sides_support(done):
    _, _, frame = done
    rows = frame[(frame["task"] == THIRD) & (frame["variant"] == "no_hrv") & (frame["attribute"] == "hospital")]
    macro = only(rows, group="North", cls="macro")
    classes = rows[(rows["group"] == "North") & rows["cls"].isin(macro["classes"].split("; "))]
    assert len(classes) >= 3
    assert (classes["reason"] == "").all()
    assert (classes["elsewhere_reason"] == "").all()
    assert macro["roc_auc"] == pytest.approx(classes["roc_auc"].mean())
    assert macro["roc_auc_diff"] == pytest.approx(classes["roc_auc_diff"].mean())
    assert macro["roc_auc_lo"] < macro["roc_auc"] < macro["roc_auc_hi"]


def test_unknown_is_a_row_of_its_own_and_all_units_are_counted_once(done):
    evaluation, _, frame = done
    rows = frame[(frame["task"] == THIRD) & (frame["variant"] == "ecg_ramba") & (frame["cls"] == "SNR")]
    for attribute in ("age", "device"):
        own = rows[rows["attribute"] == attribute]
        assert UNKNOWN in set(own["group"])
        assert own["units"].sum() == len(evaluation.contexts[THIRD].units)
    assert list(rows[rows["attribute"] == "age"]["group"]) == ["<40", "40-59", "60-79", ">=80", UNKNOWN]
    assert UNKNOWN not in set(rows[rows["attribute"] == "sex"]["group"])


def test_small_subgroups_have_no_interval_and_are_not_printed(done):
    _, section, frame = done
    rows = frame[(frame["task"] == f"{RHYTHM}-record") & (frame["variant"] == "ecg_ramba")]
    small = rows[(rows["positive_subjects"] < 10) | (rows["negative_subjects"] < 10)]
    assert len(small) == len(rows) > 0
    assert small["reason"].str.contains("no interval|no figure").all()
    assert small["roc_auc_lo"].isna().all()
    (task,) = [p for p in section.parts if not isinstance(p, Text) and f"{RHYTHM}-record" in p.title]
    assert not [p for p in task.parts if isinstance(p, Table | Figure)]
    assert "positive subjects, 10 needed" in task.parts[0].markdown


@pytest.fixture(scope="module")
def planted(tmp_path_factory, fake_suite_class):
    """One hospital of the target, known by its records, whose scores are noise."""
    suite = fake_suite_class(
        tmp_path_factory.mktemp("planted") / "suite", n=100, n_target=500, rhythm=False, poolings=False,
        skills={"ecg_ramba": 2.0, "no_hrv": 2.0},
    )  # fmt: skip
    people = suite.people()
    south = people[(people["dataset"] == THIRD) & (people["hospital"] == "South")]["record"]
    frame, rng = suite.windows["no_hrv"], np.random.default_rng(0)
    at = ((frame["dataset"] == THIRD) & frame["record"].isin(south)).to_numpy()
    frame.loc[at, list(suite.prevalence)] = rng.random((at.sum(), len(suite.prevalence))).astype(np.float32)
    evaluation = evaluate(suite.write(), QUICK)
    return subgroup_frame(evaluation, ScoreReader.of(evaluation), read_people(evaluation.suite))


def test_a_planted_difference_is_found_and_none_where_there_is_none(planted):
    where = {"task": THIRD, "cls": "macro", "attribute": "hospital", "group": "South"}
    bad, good = (only(planted, variant=v, **where) for v in ("no_hrv", "ecg_ramba"))
    assert bad["roc_auc"] == pytest.approx(0.5, abs=0.06)
    assert bad["roc_auc_diff_hi"] < -0.2
    assert good["roc_auc_diff_lo"] < 0 < good["roc_auc_diff_hi"]


def test_ages_fall_into_bands():
    age = [0, 39.9, 40, 59.9, 60, 79.9, 80, 300, np.nan, -1]
    bands = ["<40", "<40", "40-59", "40-59", "60-79", "60-79", ">=80", ">=80", UNKNOWN, UNKNOWN]
    assert age_band(age).tolist() == bands


def small_run(fake_suite, change):
    suite = fake_suite(n=80, rhythm=False, poolings=False, skills={"ecg_ramba": 1.0})
    suite.write()
    path = suite.folder / "records.parquet"
    people = change(pd.read_parquet(path))
    path.unlink() if people is None else people.to_parquet(path, index=False)
    evaluation = evaluate(suite.folder, QUICK)
    return subgroups_section(evaluation, ScoreReader.of(evaluation))


def test_an_older_run_says_that_it_is_one(fake_suite):
    section = small_run(fake_suite, lambda people: None)
    assert section.parts[0].markdown.startswith("This run is older than records.parquet")
    assert section.frames == {}


def test_records_without_a_row_and_doubled_ones_are_refused(fake_suite):
    with pytest.raises(UserError, match=r"records\.parquet: no row for synthetic-source record r00003"):
        small_run(fake_suite, lambda p: p[~((p["dataset"] == "synthetic-source") & (p["record"] == "r00003"))])
    with pytest.raises(UserError, match="twice"):
        small_run(fake_suite, lambda p: pd.concat([p, p.iloc[[4]]]))


def test_an_attribute_of_one_value_is_not_shown(fake_suite):
    section = small_run(fake_suite, lambda p: p.assign(sex="male", device="", age=math.nan))
    assert set(section.frames["subgroups"]["attribute"]) == {"hospital"}
    section = small_run(fake_suite, lambda p: p.assign(sex="", device="", age=math.nan, hospital="X"))
    assert "No subgroups" in section.parts[0].markdown


def test_the_report_says_synthetic_and_uncorrected(done):
    _, section, frame = done
    assert all(s.title.startswith("Synthetic: ") for _, s in walk((section,)))
    captions = [p.caption for _, s in walk((section,)) for p in s.parts if isinstance(p, Table | Figure)]
    assert captions
    assert all(c.startswith("Synthetic: ") for c in captions)
    assert "Nothing is corrected for the number of rows" in section.parts[0].markdown
    assert set(frame["data"]) == {"synthetic"}
    (figure,) = [p for _, s in walk((section,)) for p in s.parts if isinstance(p, Figure) and p.name.endswith(THIRD)]
    drawn = figure.draw()
    assert len(drawn.axes) == 2
    assert any("SYNTHETIC" in t.get_text() for t in drawn.texts)
