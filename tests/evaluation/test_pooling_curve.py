"""Pooling curves: brute-force pooling, the suite's own rows, scipy's rank correlation, known burdens, bad input."""

import dataclasses
import io
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from ecg_ramba.document import Figure, walk
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation import scored
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.lines import line_styles
from ecg_ramba.evaluation.pooled import POOLINGS, label, pooled_scores
from ecg_ramba.evaluation.pooling import Pooling
from ecg_ramba.evaluation.pooling_burden import BAND_TITLES, SPEARMAN, band_of, spearman
from ecg_ramba.evaluation.pooling_curve import COLUMNS, METRICS, TITLES, curves, section
from ecg_ramba.evaluation.pooling_figures import draw_curves
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.scores import unit_scores
from ecg_ramba.render import markdown, write_document

RECORDS = "synthetic-rhythm-record"
CONFIG = EvaluationConfig(draws=200)


def burdened(cls, folder, skill=8.0, subjects=60, seeds=1, **options):
    """A fake suite whose AF records have burdens from a twentieth to all of their 20 segments."""
    suite = cls(folder, n=40, seeds=seeds, skills={"ecg_ramba": skill, "no_hrv": 1.0, "class_prior": None}, **options)
    rows = []
    for i in range(2 * subjects):
        inside = 0 if i % 2 else 1 + (i // 2) % 20
        rows += [(f"q{i:03d}", s, f"p{i // 2:03d}", s < inside, 20) for s in range(20)]
    suite.segments = pd.DataFrame(rows, columns=["record", "segment", "subject", "positive", "length"])
    suite.labels = suite._labels()
    suite.windows = {name: suite._windows(of) for name, of in suite.skills.items()}
    return suite


@pytest.fixture(scope="module")
def evaluated(fake_suite_class, tmp_path_factory):
    suite = burdened(fake_suite_class, tmp_path_factory.mktemp("pooling") / "suite")
    return evaluate(suite.write(), CONFIG), suite


@pytest.fixture(scope="module")
def made(evaluated):
    return curves(evaluated[0], ScoreReader.of(evaluated[0]))


def test_scores_are_brute_force_pooling_and_those_of_the_evaluation(evaluated):
    evaluation, suite = evaluated
    reader, variant = ScoreReader.of(evaluation), evaluation.suite.reference
    context = evaluation.contexts[RECORDS]
    predictions = reader.windows(variant, context.task)
    found = pooled_scores(predictions, context.task, context.units, POOLINGS, "here")
    frame = suite.windows["ecg_ramba"]
    frame = frame[frame["dataset"] == "synthetic-rhythm"]
    mean = frame.astype({"AF": float, "AFL": float}).groupby(["record", "segment", "start"])[["AF", "AFL"]].mean()
    windows = {r: of.to_numpy() for r, of in mean.max(axis=1).groupby("record")}
    rules = {
        "geometric": lambda p: math.exp(np.log(p).mean()),
        "max": max,
        **{f"Q = {q}": lambda p, q=q: (np.mean(p**q)) ** (1 / q) for q in (1, 2, 3, 5, 8)},
    }
    for rule, scores in zip(POOLINGS, found, strict=True):
        by_hand = [rules[label(rule)](windows[r]) for r in context.units.record]
        assert scores[0, :, 0] == pytest.approx(by_hand, abs=2e-7), label(rule)
    for name in evaluation.contexts:
        context = evaluation.contexts[name]
        predictions = reader.windows(variant, context.task)
        found = pooled_scores(predictions, context.task, context.units, POOLINGS, "here")
        for rule, scores in zip(POOLINGS, found, strict=True):
            same = unit_scores(predictions, context.task, context.units, rule, "here").headline
            assert np.array_equal(scores, same, equal_nan=True), name


def test_rows_are_those_that_the_suite_has_for_its_own_pooling_variants(evaluated, made):
    evaluation, _ = evaluated
    own = made.table[made.table["variant"] == "ecg_ramba"]
    names = {"Q = 3": "ecg_ramba", "max": "pool_max", "Q = 1": "pool_mean"}
    compared = 0
    for row in own[own["pooling"].isin(names)].to_dict("records"):
        at = evaluation.summary
        at = at[(at["task"] == row["task"]) & (at["variant"] == names[row["pooling"]]) & (at["cls"] == row["cls"])]
        at = at[(at["metric"] == row["metric"]) & at["estimate"].isin(["mean over folds", "ensemble of fold models"])]
        assert row["value"] == pytest.approx(at["value"].item())
        if row["metric"] in ("roc_auc", "average_precision"):
            assert (row["lo"], row["hi"]) == pytest.approx(tuple(at[["lo", "hi"]].iloc[0]), abs=1e-5, nan_ok=True)
            if row["pooling"] != "Q = 3":
                pair = tuple(at[["diff", "diff_lo", "diff_hi"]].iloc[0])
                assert (row["diff"], row["diff_lo"], row["diff_hi"]) == pytest.approx(pair, abs=1e-5, nan_ok=True)
        compared += 1
    assert compared > 60
    default = made.table[made.table["pooling"] == "Q = 3"]
    assert (default[["diff", "diff_lo", "diff_hi"]].fillna(0) == 0).all(axis=None)
    assert list(made.table.columns) == list(COLUMNS)
    assert set(made.table["metric"]) == set(METRICS)


def test_a_constant_model_moves_under_no_pooling(made):
    prior = made.table[made.table["variant"] == "class_prior"]
    assert prior[prior["metric"] == "roc_auc"]["value"].to_numpy() == pytest.approx(0.5)
    assert prior["diff"].abs().max() < 1e-6
    moved = made.table[(made.table["variant"] == "ecg_ramba") & (made.table["task"] == RECORDS)]
    assert moved[moved["metric"] == "brier"]["diff"].abs().max() > 0.01


def test_each_variants_windows_are_read_once(evaluated, monkeypatch):
    evaluation, read, original = evaluated[0], [], scored.read_predictions
    monkeypatch.setattr(scored, "read_predictions", lambda *a: read.append((a[1], a[2])) or original(*a))
    curves(evaluation, ScoreReader.of(evaluation))
    assert len(read) == len(set(read)) == 3 * 3, "three models on three data sets, whatever the poolings"


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3)), min_size=3, max_size=25))
def test_rank_correlation_is_scipys_on_the_repeated_sample(rows):
    x, y, weight = (np.array(v, float) for v in zip(*rows, strict=True))
    times = weight.astype(int)
    repeated = [np.repeat(v, times) for v in (x, y)]
    found = spearman(x, y, np.stack([weight, np.ones(len(x))], axis=1))
    for value, pair in zip(found, (repeated, (x, y)), strict=True):
        if any(len(np.unique(v)) < 2 for v in pair):
            assert np.isnan(value)
        else:
            assert value == pytest.approx(spearmanr(*pair).statistic, abs=1e-9)


def test_burden_and_score_go_together_where_the_pooling_lets_them(made):
    rows = made.burden.frames()["pooling_burden"]
    own = rows[rows["variant"] == "ecg_ramba"]
    rho = own[own["figure"] == SPEARMAN].set_index("pooling")
    assert rho.loc["Q = 1", "value"] > 0.9, "the mean of near errorless windows is the burden"
    assert rho.loc["Q = 1", "lo"] > rho.loc["max", "value"]
    assert rho.loc["max", "diff_hi"] < 0
    records = made.burden.frames()["pooling_burden_records"]
    for rule in POOLINGS:
        of = records[(records["variant"] == "ecg_ramba") & (records["pooling"] == label(rule))]
        assert rho.loc[label(rule), "value"] == pytest.approx(spearmanr(of["burden"], of["score"]).statistic)
    prior = rows[(rows["variant"] == "class_prior") & (rows["figure"] == SPEARMAN)]
    assert prior["value"].isna().all()
    assert set(prior["reason"]) == {"no rank correlation: every AF record has one score"}


def test_sensitivity_by_band_of_burden_is_by_hand_and_says_what_can_be_reached(made):
    frames = made.burden.frames()
    rows, records = frames["pooling_burden"], frames["pooling_burden_records"]
    rows, records = (f[f["variant"] == "ecg_ramba"] for f in (rows, records))
    edges = {"below 12.5 %": (0, 0.125), "12.5 to 50 %": (0.125, 0.5), "50 to 100 %": (0.5, 1), "100 %": (1, 9)}
    assert set(edges) == set(BAND_TITLES)
    for rule in POOLINGS:
        of = records[records["pooling"] == label(rule)]
        for title, (low, high) in edges.items():
            inside = of[(of["burden"] >= low) & (of["burden"] < high)]
            row = rows[(rows["pooling"] == label(rule)) & (rows["band"] == title)].iloc[0]
            assert row["value"] == pytest.approx((inside["score"] >= 0.5).mean())
            assert row["records"] == len(inside)
            assert row["reachable"] == (inside["burden"] >= rule.burden_limit).sum()
            few = inside["subject"].nunique() < 10
            assert bool(row["reason"]) == few == math.isnan(row["lo"])
    mean = rows[(rows["pooling"] == "Q = 1") & (rows["band"] == "below 12.5 %")].iloc[0]
    assert mean["reachable"] == 0
    assert mean["value"] == 0, "near errorless windows of which too few are AF"
    assert rows[(rows["pooling"] == "max") & (rows["band"] == "below 12.5 %")].iloc[0]["value"] == 1


def test_af_records_of_unknown_burden_are_counted_and_left_out(fake_suite_class, tmp_path):
    suite = burdened(fake_suite_class, tmp_path / "suite", subjects=20, poolings=False)
    at = suite.labels["task"].eq("synthetic-rhythm-window") & suite.labels["record"].isin(["q000", "q004"])
    suite.labels = suite.labels[~at]
    evaluation = evaluate(suite.write(), CONFIG)
    made = section(evaluation, ScoreReader.of(evaluation))
    rows = made.frames["pooling_burden"]
    assert set(rows["no_burden"]) == {2}
    assert rows[rows["band"] == "all"]["records"].unique().tolist() == [18]
    assert not set(made.frames["pooling_burden_records"]["record"]) & {"q000", "q004"}
    assert "2 AF records have no labelled segment and are left out. " in markdown("t", "o", [made])
    assert "Small sample: fewer than 30 AF records" in markdown("t", "o", [made])


def test_bands_are_closed_below():
    assert band_of(np.array([0.0, 0.1249, 0.125, 0.5, 0.999, 1.0])).tolist() == [0, 0, 1, 2, 2, 3]


def test_shuffled_windows_have_no_rank_correlation(fake_suite_class, tmp_path):
    """The negative control: the burden of a record says nothing about windows drawn without regard to it."""
    suite = burdened(fake_suite_class, tmp_path / "suite", shuffle=True)
    rows = curves(e := evaluate(suite.write(), CONFIG), ScoreReader.of(e)).burden.frames()["pooling_burden"]
    rho = rows[(rows["figure"] == SPEARMAN) & (rows["variant"] == "ecg_ramba")]
    assert (rho["value"].abs() < 0.45).all()
    assert (rho["lo"] < 0.1).all()
    assert (rho["hi"] > -0.1).all()


def test_three_seeds_are_averaged_with_each_draws_own_shares(fake_suite_class, tmp_path):
    suite = burdened(fake_suite_class, tmp_path / "suite", subjects=12, seeds=3, folds=2, poolings=False)
    evaluation = evaluate(suite.write(), CONFIG)
    found = curves(evaluation, ScoreReader.of(evaluation)).burden.frames()["pooling_burden"]
    context, reader = evaluation.contexts[RECORDS], ScoreReader.of(evaluation)
    predictions = reader.windows(evaluation.suite.reference, context.task)
    scores = pooled_scores(predictions, context.task, context.units, [Pooling(q=1.0)], "")[0][:, :, 0]
    at = np.flatnonzero(context.units.positive[:, 0])
    share = evaluation.burdens[0].share
    row = found[(found["variant"] == "ecg_ramba") & (found["pooling"] == "Q = 1") & (found["figure"] == SPEARMAN)].iloc[
        0
    ]
    assert row["value"] == pytest.approx(np.mean([spearmanr(share, s[at]).statistic for s in scores]))
    drawn = []
    for count, shares in zip(context.draws.counts.T, context.draws.seeds.T, strict=True):
        pick = np.repeat(np.arange(len(at)), count[context.units.subject[at]])
        each = [spearmanr(share[pick], s[at][pick]).statistic for s in scores]
        drawn.append(sum(w * r for w, r in zip(shares, each, strict=True)))
    assert (row["lo"], row["hi"]) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    assert row["how_sure"] == "3 training runs, seeds resampled"


@pytest.mark.drawn
def test_the_section_is_written_with_figures_and_says_synthetic(evaluated, tmp_path):
    evaluation, _ = evaluated
    done = []
    made = section(evaluation, ScoreReader.of(evaluation), lambda *a: done.append(a))
    assert done[-1] == (3, 3)
    names = [p.name for _, s in walk((made,)) for p in s.parts if isinstance(p, Figure)]
    assert f"pooling-burden-{RECORDS}" in names
    assert all(s.title.startswith("Synthetic: ") for _, s in walk((made,)))
    titles = [s.title for _, s in walk((made,))]
    assert titles.index(f"Synthetic: {RECORDS}: pooling") < titles.index("Synthetic: synthetic-third: pooling")
    shown = tuple(p for p in made.parts if RECORDS in getattr(p, "title", RECORDS))  # figures take their time
    made = dataclasses.replace(made, parts=shown)
    files = write_document("Synthetic: pooling", "SYNTHETIC DATA", [made], tmp_path, "pooling")
    text = files[0].read_text()
    assert "nan" not in text.replace("annotat", "").lower().split()
    assert "fixed in advance" in text
    assert "Sensitivity, 100 %: no interval: 3 positive subjects, 10 needed." in text
    assert "Small sample" not in text, "sixty AF records"
    assert "single training run" in text
    assert {"pooling_curve.csv", "pooling_burden.csv", "pooling_burden_records.csv"} <= {f.name for f in files}
    assert (tmp_path / f"pooling-burden-{RECORDS}.png").stat().st_size > 10_000
    written = pd.read_csv(tmp_path / "pooling_curve.csv")
    assert set(written["data"]) == {"synthetic"}
    assert set(written["pooling"]) == {label(p) for p in POOLINGS}


def test_a_failed_variant_is_named_and_a_vanished_file_is_one_line(fake_suite):
    suite = fake_suite(n=40)
    suite.variants[1] |= {"status": "failed", "reason": "fold 1: out of memory"}
    folder = suite.write()
    evaluation = evaluate(folder, CONFIG)
    made = section(evaluation, ScoreReader.of(evaluation))
    text = markdown("t", "o", [made])
    assert "`no_hrv`: fold 1: out of memory" in text
    assert "no_hrv" not in set(made.frames["pooling_curve"]["variant"])
    (folder / "variants" / "ecg_ramba" / "windows.parquet").unlink()
    with pytest.raises(UserError, match=r"windows\.parquet: no such file; run the suite again"):
        section(evaluation, ScoreReader.of(evaluation))


def test_without_episodes_or_support_there_are_words_and_no_numbers(fake_suite):
    suite = fake_suite(n=40, rhythm=False)
    at = suite.labels["task"].eq("synthetic-third-superclass")
    suite.labels.loc[at, "positive"] = False
    evaluation = evaluate(suite.write(), CONFIG)
    made = section(evaluation, ScoreReader.of(evaluation))
    assert set(made.frames) == {"pooling_curve"}
    rows = made.frames["pooling_curve"]
    bare = rows[rows["task"] == "synthetic-third-superclass"]
    assert bare["value"].isna().all()
    assert (bare["reason"] == "no class has both positives and negatives").all()
    text = markdown("t", "o", [made])
    assert "No figure: no class has both positives and negatives." in text


def test_a_suite_without_any_numbers_says_so(fake_suite):
    suite = fake_suite(n=40, poolings=False)
    for row in suite.variants:
        row |= {"status": "failed", "reason": "no"}
    evaluation = evaluate(suite.write(), CONFIG)
    made = section(evaluation, ScoreReader.of(evaluation))
    assert made.parts[0].markdown == "No variant has numbers, so nothing can be pooled."


def test_lines_are_told_apart_without_colour_and_the_reference_is_black():
    names = [f"m{i}" for i in range(18)]
    styles = line_styles(["ref", *names], "ref")
    assert styles["ref"]["color"] == "#000000"
    seen = {(s["marker"], str(s["linestyle"])) for s in styles.values()}
    assert len(seen) == 19


def test_a_figure_is_the_same_bytes_twice(evaluated, made):
    rows = made.table[made.table["task"] == RECORDS]
    files = []
    for _ in range(2):
        drawn = draw_curves(evaluated[0], RECORDS, "AF|AFL", rows, TITLES)
        drawn.savefig(file := io.BytesIO(), format="pdf", metadata={"CreationDate": None})
        files.append(file.getvalue())
    assert files[0] == files[1]
