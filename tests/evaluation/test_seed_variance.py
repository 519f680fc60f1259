"""Variance of seeds and of subjects against statsmodels, DeLong by hand, and planted components."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from sklearn.metrics import roc_auc_score

from ecg_ramba.evaluation.seed_variance import components, influence, influence_table


def planted(rng, subjects, seeds, subject_sd, seed_sd, rest_sd):
    return (
        0.8
        + subject_sd * rng.standard_normal((subjects, 1))
        + seed_sd * rng.standard_normal(seeds)
        + rest_sd * rng.standard_normal((subjects, seeds))
    )


def test_components_equal_restricted_maximum_likelihood():
    table = planted(np.random.default_rng(3), 14, 5, 0.5, 0.3, 0.4)
    made = components(table)
    assert made.negative == ()
    frame = pd.DataFrame(
        {"y": table.ravel(), "subject": np.repeat(np.arange(14), 5), "seed": np.tile(np.arange(5), 14)}
    )
    model = smf.mixedlm(
        "y ~ 1", frame, groups=np.ones(len(frame)), vc_formula={"subject": "0 + C(subject)", "seed": "0 + C(seed)"}
    )
    fitted = model.fit(reml=True)
    by_name = dict(zip(model.exog_vc.names, fitted.vcomp, strict=True))
    assert made.by_subjects * 14 == pytest.approx(by_name["subject"], rel=1e-3)
    assert made.by_seeds * 5 == pytest.approx(by_name["seed"], rel=1e-3)
    assert made.by_both * 14 * 5 == pytest.approx(fitted.scale, rel=1e-3)
    assert made.value == pytest.approx(fitted.fe_params["Intercept"])


def test_planted_components_are_found_on_average():
    rng = np.random.default_rng(1)
    made = [components(planted(rng, 60, 4, 0.6, 0.2, 0.3)) for _ in range(400)]
    assert np.mean([m.by_subjects for m in made]) == pytest.approx(0.6**2 / 60, rel=0.05)
    assert np.mean([m.by_seeds for m in made]) == pytest.approx(0.2**2 / 4, rel=0.1)
    assert np.mean([m.by_both for m in made]) == pytest.approx(0.3**2 / 240, rel=0.05)
    held = [m.seed_low <= np.hypot(0.2, 0.3 / np.sqrt(60)) <= m.seed_high for m in made]
    assert 0.92 < np.mean(held) < 0.98
    assert all(sum(m.shares) == pytest.approx(1) for m in made)


def test_without_a_seed_effect_its_component_is_often_negative_and_set_to_zero():
    rng = np.random.default_rng(2)
    made = [components(planted(rng, 40, 3, 0.5, 0.0, 0.3)) for _ in range(100)]
    zero = [m for m in made if m.negative == ("seeds",)]
    assert 30 < len(zero) < 90
    assert all(m.by_seeds == 0 and m.shares[1] == 0 for m in zero)


def test_equal_models_have_no_variance_between_seeds():
    made = components(np.repeat(np.random.default_rng(0).normal(0.8, 0.1, (30, 1)), 3, axis=1))
    assert made.seed_sd == pytest.approx(0, abs=1e-12)
    assert made.shares[0] == pytest.approx(1)
    constant = components(np.full((5, 3), 0.5))
    assert np.isnan(constant.shares).all()
    with pytest.raises(ValueError, match="1 seeds"):
        components(np.zeros((5, 1)))


def delong_variance(positive, score):
    """Of unclustered units, from all pairs (DeLong et al. 1988)."""
    x, y = score[positive], score[~positive]
    kernel = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    return kernel.mean(1).var(ddof=1) / len(x) + kernel.mean(0).var(ddof=1) / len(y)


def test_influence_of_single_units_is_delongs():
    rng = np.random.default_rng(5)
    positive = rng.random(400) < 0.4
    score = np.round(rng.normal(0, 1, 400) + positive, 1)
    auc, moved = influence(positive, score, np.arange(400), 400)
    assert auc == pytest.approx(roc_auc_score(positive, score))
    assert moved.sum() == pytest.approx(0, abs=1e-12)
    assert (moved**2).sum() == pytest.approx(delong_variance(positive, score), rel=0.01)


def test_influence_is_how_a_subject_moves_the_score():
    """Against the infinitesimal jackknife: a little more weight for one subject."""
    rng = np.random.default_rng(6)
    subject = rng.integers(0, 25, 150)
    positive = rng.random(150) < 0.5
    score = np.round(rng.normal(0, 1, 150) + positive, 1)
    auc, moved = influence(positive, score, subject, 25)
    for j in range(25):
        weight = np.where(subject == j, 1 + 1e-6, 1.0)
        slope = (roc_auc_score(positive, score, sample_weight=weight) - auc) / 1e-6
        assert moved[j] == pytest.approx(slope, abs=1e-5)


def test_the_table_has_the_scores_as_its_means():
    moved = np.array([[0.1, -0.1, 0.0], [0.2, 0.0, -0.2]])
    table = influence_table([0.7, 0.8], moved)
    assert table.shape == (3, 2)
    assert table.mean(axis=0) == pytest.approx([0.7, 0.8])
    assert table[0] == pytest.approx([0.7 + 0.3, 0.8 + 0.6])
