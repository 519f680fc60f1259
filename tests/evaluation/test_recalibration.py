"""Maps against statsmodels and scikit-learn, and that nothing of a target or of a held-out fold can reach one."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.isotonic import IsotonicRegression

from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.evaluation.calibration import equal_width, logit, reliability
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.recalibration import (
    METHODS,
    SourceScores,
    fit_isotonic,
    fit_maps,
    fit_platt,
    no_maps,
    recalibrated,
)
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.evaluation.suite import Score

QUICK = EvaluationConfig(draws=20)
THIRD, RHYTHM = "synthetic-third", "synthetic-rhythm"


def overconfident(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(-0.5, 1.2, n)
    return rng.random(n) < 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(-2.5 * x))


def test_platt_is_a_logistic_regression_on_platts_targets():
    y, score = overconfident(300)
    yes, no = y.sum(), (~y).sum()
    target = np.where(y, (yes + 1) / (yes + 2), 1 / (no + 2))
    expected = sm.GLM(target, sm.add_constant(logit(score)), family=sm.families.Binomial()).fit().params
    made = fit_platt(y, score)
    assert (made.intercept, made.slope) == pytest.approx(tuple(expected), abs=1e-6)
    x = made.intercept + made.slope * logit(score)
    assert made(score) == pytest.approx(1 / (1 + np.exp(-x)))


def test_platt_has_a_map_for_scores_without_overlap():
    made = fit_platt(np.array([0, 0, 1, 1], bool), np.array([0.1, 0.2, 0.8, 0.9]))
    assert 0 < made.slope < np.inf


def test_isotonic_is_scikit_learns_and_level_outside():
    y, score = overconfident(300)
    expected = IsotonicRegression(out_of_bounds="clip").fit(score, y.astype(float))
    at = np.concatenate([score, [0.0, 1.0], np.linspace(0, 1, 50)])
    assert fit_isotonic(y, score)(at) == pytest.approx(expected.predict(at), abs=1e-12)


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
def test_without_two_outcomes_there_is_no_map(make):
    for y, said in (
        ([True] * 4, "4 units, positives only"),
        ([False] * 3, "3 units, negatives only"),
        ([], "no units"),
    ):
        with pytest.raises(UserError, match=f"no map: {said}"):
            make(np.array(y, bool), np.linspace(0.1, 0.9, len(y)))


def test_platt_needs_two_scores():
    with pytest.raises(UserError, match="all 4 units have the same score"):
        fit_platt(np.array([0, 1, 0, 1], bool), np.full(4, 0.3))


def toy(seed=0, n=200, folds=4):
    rng = np.random.default_rng(seed)
    classes = (Score("A", "max", ("A",)), Score("A|B", "max", ("A", "B")))
    positive = rng.random((n, 2)) < 0.4
    score = np.clip(rng.normal(0.35 + 0.3 * positive, 0.2, (1, n, 2)), 0, 1)
    return SourceScores(classes, score, positive, rng.random((n, 2)) < 0.9, np.arange(n) % folds + 1)


def same(a, b) -> bool:
    """Bit for bit."""
    if isinstance(a, str) or isinstance(b, str):
        return a == b
    return all(np.array_equal(x, y) for x, y in zip(dataclasses.astuple(a), dataclasses.astuple(b), strict=True))


def noised(source, at, seed=7):
    """Scores and labels of the units ``at`` replaced by noise."""
    rng = np.random.default_rng(seed)
    score, positive = source.score.copy(), source.positive.copy()
    score[:, at] = rng.random(score[:, at].shape)
    positive[at] = rng.random(positive[at].shape) < 0.5
    return dataclasses.replace(source, score=score, positive=positive)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_of_a_held_out_fold_reaches_its_map(method):
    source = toy()
    before, after = fit_maps(source, method), fit_maps(noised(source, source.fold == 2), method)
    for cls in source.classes:
        (a,), (b,) = before[cls], after[cls]
        assert same(a.by_fold[2], b.by_fold[2])
        assert not same(a.by_fold[1], b.by_fold[1]), "the other folds do learn from it"
        assert not same(a.everywhere, b.everywhere)
    after = fit_maps(noised(source, ~source.scored.any(axis=1)), method)
    assert all(same(before[c][0].everywhere, after[c][0].everywhere) for c in source.classes), "nor what is not scored"


@pytest.mark.parametrize("method", METHODS)
def test_a_class_that_is_known_in_one_fold_only_has_a_map_for_targets_alone(method):
    source = toy()
    positive = source.positive & (source.fold == 1)[:, None]
    (made,) = fit_maps(dataclasses.replace(source, positive=positive), method)[source.classes[0]]
    assert "negatives only" in made.by_fold
    assert not isinstance(made.everywhere, str)


@pytest.fixture(scope="module")
def pair(tmp_path_factory, fake_suite_class):
    """A suite, and the same with all labels and scores of its targets replaced by noise."""
    made = []
    for name in ("as-is", "noise"):
        suite = fake_suite_class(tmp_path_factory.mktemp("maps") / name, n=120, seeds=2)
        if name == "noise":
            rng = np.random.default_rng(1)
            at = suite.labels["dataset"] != "synthetic-source"
            suite.labels.loc[at, "positive"] = rng.random(at.sum()) < 0.5
            for variant, frame in suite.windows.items():
                frame = frame.copy()
                rows, classes = (frame["dataset"] != "synthetic-source").to_numpy(), list(suite.prevalence)
                frame.loc[rows, classes] = rng.random((rows.sum(), len(classes))).astype(np.float32)
                suite.windows[variant] = frame
        made.append(evaluate(suite.write(), QUICK))
    return made


def maps_of(evaluation, variant, method):
    context = evaluation.contexts["source"]
    chosen = next(v for v in evaluation.suite.variants if v.name == variant)
    return fit_maps(SourceScores.of(context, ScoreReader.of(evaluation).scores(chosen, context.task)), method)


@pytest.mark.parametrize("method", METHODS)
def test_noise_in_place_of_every_target_label_and_score_leaves_the_maps_as_they_were(pair, method):
    first, second = pair
    scores = [ScoreReader.of(e).scores(e.suite.reference, e.contexts[THIRD].task).headline for e in pair]
    assert not np.array_equal(*scores), "the noise is there"
    assert not np.array_equal(first.contexts[THIRD].units.positive, second.contexts[THIRD].units.positive)
    a, b = (maps_of(e, "ecg_ramba", method) for e in pair)
    assert list(a) == list(b)
    compared = 0
    for cls in a:
        for one, other in zip(a[cls], b[cls], strict=True):
            assert same(one.everywhere, other.everywhere)
            assert all(same(one.by_fold[f], other.by_fold[f]) for f in one.by_fold)
            compared += 1
    assert compared == 2 * 7, "two seeds, seven scores"


def test_a_map_is_never_fitted_on_a_target(pair):
    evaluation = pair[0]
    context = evaluation.contexts[THIRD]
    scores = ScoreReader.of(evaluation).scores(evaluation.suite.reference, context.task)
    with pytest.raises(LeakageError, match=f"target task {THIRD}"):
        SourceScores.of(context, scores)


@pytest.mark.parametrize("method", METHODS)
def test_each_source_fold_has_its_own_map_and_a_target_the_one_of_all(pair, method):
    evaluation = pair[0]
    maps, reader = maps_of(evaluation, "no_hrv", method), ScoreReader.of(evaluation)
    variant = next(v for v in evaluation.suite.variants if v.name == "no_hrv")
    source, third = evaluation.contexts["source"], evaluation.contexts[THIRD]
    own = reader.scores(variant, source.task).headline
    k = [s.name for s in source.task.scores].index("PAC")
    got = recalibrated(source, source.task.scores[k], own[:, :, k], maps)
    for seed in range(2):
        for fold in range(1, 6):
            outside, inside = source.units.fold != fold, source.units.fold == fold
            expected = METHODS[method](source.units.positive[outside, k], own[seed, outside, k])
            assert np.array_equal(got[seed, inside], expected(own[seed, inside, k]))
    abroad = reader.scores(variant, third.task).headline[:, :, k]
    got = recalibrated(third, third.task.scores[k], abroad, maps)
    for seed in range(2):
        expected = METHODS[method](source.units.positive[:, k], own[seed, :, k])
        assert np.array_equal(got[seed], expected(abroad[seed]))


def test_a_score_that_the_source_does_not_have_has_no_map_but_a_reason(pair):
    evaluation = pair[0]
    maps = maps_of(evaluation, "ecg_ramba", "Platt")
    superclass = evaluation.contexts[f"{THIRD}-superclass"]
    reasons = {s.name: no_maps(superclass, s, maps) for s in superclass.task.scores}
    assert reasons["NORM"] == "no map: the source has this score as SNR, with labels of another meaning"
    assert reasons["CD"] == "no map: the source has no score max(LBBB, IAVB) with labels of CD"
    assert reasons["NORM*"].startswith("no map: the source has no score 1-max(LBBB, IAVB)")
    rhythm = evaluation.contexts[f"{RHYTHM}-window"]
    assert no_maps(rhythm, rhythm.task.scores[0], maps) == "", "AF|AFL is a score of the source too"


@pytest.mark.parametrize("method", METHODS)
def test_recalibration_repairs_overconfident_scores(method):
    y, score = overconfident(4000)
    seen, new = np.arange(4000) < 2000, np.arange(4000) >= 2000
    mapped = METHODS[method](y[seen], score[seen])(score[new])
    before, after = (reliability(y[new], s, equal_width(s, 15), 15).ece for s in (score[new], mapped))
    assert after < 0.4 * before


@pytest.mark.parametrize("method", METHODS)
def test_maps_keep_the_order_of_scores(method):
    y, score = overconfident(500)
    mapped = METHODS[method](y, score)(np.sort(score))
    assert (np.diff(mapped) >= 0).all()
    ties = len(score) - len(pd.unique(mapped))
    assert (ties > 0) == (method == "isotonic")
