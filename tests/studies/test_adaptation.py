"""Adaptation: nobody on both sides, fits as scikit-learn's and statsmodels', nothing of the test subjects in a fit."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from torch import nn

import studies.__main__
import studies.running
from ecg_ramba.data.labels import label_space
from ecg_ramba.errors import LeakageError, UserError
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.scored import ScoreReader
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.inputs import window_table
from ecg_ramba.harness.progress import Progress
from ecg_ramba.models import Batch, InputShape, model_names, model_spec
from studies.adaptation import study as study_module
from studies.adaptation.adapt import window_labels
from studies.adaptation.fit import ALONE, BOTH, LEAST, PENALTY, equal_votes, fit_change, fit_map, lacking
from studies.adaptation.heads import HeadJob, find_head
from studies.adaptation.score import score_target
from studies.adaptation.split import check_apart, conditions, split_target
from studies.adaptation.study import network_cells, prepare_target, run_study
from studies.adaptation.variant import adapt_variant

CONFIG = EvaluationConfig(draws=100)
SHARES, DRAWS = (0.0, 10.0, 25.0), 2
NAMES = ("ecg_ramba", "resnet1d", "hrv_logistic", "pool_max")

# ---- the split


def records(subjects, signals=None):
    return pd.DataFrame(
        {
            "record": [f"r{i:03d}" for i in range(len(subjects))],
            "subject": [str(s) for s in subjects],
            "signal_digest": [f"d{i}" for i in range(len(subjects))] if signals is None else signals,
        }
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 25), min_size=30, max_size=90), st.integers(0, 5))
def test_sides_share_nobody_and_shares_are_nested(subjects, seed):
    frame = records(subjects, [f"d{i // 2 if i < 10 else i}" for i in range(len(subjects))])
    labels = np.random.default_rng(seed).random((len(subjects), 3)) < 0.4
    try:
        split = split_target(frame, labels, "toy", 3, seed)
    except UserError:  # subjects of very unequal size may leave a side empty
        reject()
    assert split.test.any()
    assert not split.test.all()
    for draw in range(3):
        before = np.zeros(len(subjects), bool)
        for share in (0, 1, 5, 10):
            adapting = split.adapting(share, draw)
            check_apart(frame, split.test, adapting)
            assert (adapting | ~before).all(), "what a smaller share used, a larger one uses too"
            assert len(np.unique(split.group[adapting])) == split.count(share)
            before = adapting
    again = split_target(frame, labels, "toy", 3, seed)
    assert again.key == split.key
    assert np.array_equal(again.order, split.order)


def test_half_of_the_subjects_test_stratified_and_one_subject_at_least_adapts():
    labels = np.zeros((200, 2), bool)
    labels[:40, 0] = True
    split = split_target(records(range(200)), labels, "toy", 5, 0)
    assert split.test_subjects == 100
    assert split.test[:40].sum() == 20
    assert [split.count(s) for s in (0, 0.1, 1, 5, 10)] == [0, 1, 2, 10, 20]
    assert len({tuple(o[:10]) for o in split.order}) == 5
    with pytest.raises(UserError, match=r"--shares 60: 120 of the 200 subjects of toy.*only 100.*ask for 50 at most"):
        split.count(60)
    assert conditions([10, 0, 5], 2) == [(0, 0), (5, 0), (5, 1), (10, 0), (10, 1)]
    other = split_target(records(range(200)), labels, "toy", 5, 1)
    assert not np.array_equal(other.test, split.test)


def test_a_subject_or_signal_on_both_sides_is_refused():
    test = np.array([True, True, False, False])
    check_apart(records("aabc"), test, ~test)
    with pytest.raises(LeakageError, match=r"share a subject \(records r001, r002\)"):
        check_apart(records("abbc"), test, ~test)
    with pytest.raises(LeakageError, match=r"share a signal \(records r000, r003\)"):
        check_apart(records("abcd", ["x", "y", "z", "x"]), test, ~test)


def test_one_subject_cannot_be_halved():
    with pytest.raises(UserError, match="toy cannot be halved into subjects that test and subjects that adapt"):
        split_target(records(["a"] * 8), np.zeros((8, 1), bool), "toy", 2, 0)


# ---- the fits


def sample(n=80, seed=0):
    rng = np.random.default_rng(seed)
    score = rng.random(n)
    positive = rng.random(n) < expit(2 * logit(np.clip(score, 0.01, 0.99)) - 1)
    return positive, score, np.arange(n) // 2


def test_the_map_is_statsmodels_with_platts_targets():
    positive, score, subject = sample()
    yes, no = positive.sum(), (~positive).sum()
    target = np.where(positive, (yes + 1) / (yes + 2), 1 / (no + 2))
    made = fit_map(positive, score, subject)
    assert made.kind == BOTH
    expected = sm.GLM(target, sm.add_constant(logit(score)), family=sm.families.Binomial()).fit(tol=1e-12)
    assert (made.made.intercept, made.made.slope) == pytest.approx(tuple(expected.params), rel=1e-6)
    few = np.flatnonzero(positive)[: LEAST - 1].tolist() + np.flatnonzero(~positive)[:20].tolist()
    alone = fit_map(positive[few], score[few], np.arange(len(few)))
    assert alone.kind == ALONE
    assert alone.made.slope == 1
    yes, no = LEAST - 1, 20
    target = np.where(positive[few], (yes + 1) / (yes + 2), 1 / (no + 2))
    ones = np.ones((len(few), 1))
    expected = sm.GLM(target, ones, family=sm.families.Binomial(), offset=logit(score[few])).fit(tol=1e-12)
    assert alone.made.intercept == pytest.approx(expected.params[0], rel=1e-6)


def test_a_map_never_turns_the_order_round():
    positive, score, subject = sample()
    made = fit_map(positive, 1 - score, subject)
    assert made.kind == ALONE
    assert made.reason == "the fitted slope turns the order of the scores round"
    flat = fit_map(positive, np.full(len(score), 0.3), subject)
    assert (flat.kind, flat.made.slope) == (ALONE, 1.0)
    assert "same score" in flat.reason


def test_without_both_outcomes_there_is_no_fit_but_a_reason():
    _, score, subject = sample(6)
    assert fit_map(np.zeros(6, bool), score, subject).reason == "no positive among 3 labelled adaptation subjects"
    assert fit_map(np.ones(2, bool), score[:2], subject[:2]).reason == (
        "no negative among 1 labelled adaptation subject"
    )
    assert lacking(np.zeros(0, bool), np.zeros(0, int)) == "no labelled adaptation subject"
    assert fit_map(np.zeros(6, bool), score, subject).made is None


@pytest.mark.parametrize(("n", "width"), [(60, 5), (12, 40)])
def test_the_change_is_scikit_learns_and_a_general_minimisers(n, width):
    """Both where there are more windows than weights and where there are fewer."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(n)
    x, subject = rng.normal(0, 2, (n, width)), np.arange(n) // 3
    y = (rng.random(n) < expit(x[:, 0])).astype(float)
    y[:2] = 0, 1
    weight = equal_votes(subject)
    assert np.bincount(subject, weight) == pytest.approx(1)
    padded = np.column_stack([x, np.ones(n)])
    ridge = PENALTY * (weight @ (padded**2).sum(1)) / weight.sum()
    found = fit_change(x, np.zeros(n), y, weight)
    oracle = LogisticRegression(C=1 / ridge, fit_intercept=False, tol=1e-10, max_iter=10_000)
    oracle.fit(padded, y, sample_weight=weight)
    assert found == pytest.approx(oracle.coef_.ravel(), abs=1e-6)
    offset = rng.normal(0, 2, n)

    def loss(d):
        z = offset + padded @ d
        return weight @ (np.logaddexp(0, z) - y * z) + ridge / 2 * d @ d

    moved = fit_change(x, offset, y, weight)
    slow = minimize(loss, np.zeros(width + 1), method="BFGS", options={"gtol": 1e-9})
    assert moved == pytest.approx(slow.x, abs=1e-5)
    assert loss(moved) <= loss(np.zeros(width + 1))
    assert np.abs(moved - found).max() > 1e-3, "the source's weights count"


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.integers(1, 40), st.integers(0, 2**31 - 1), st.floats(-3, 3))
def test_the_fit_ends_where_its_gradient_is_zero(n, width, seed, size):
    """Windows of a recording are much alike: rows that are nearly the same among them, of any scale."""
    rng = np.random.default_rng(seed)
    x = 10**size * (
        rng.normal(size=(1 + n // 3, width))[rng.integers(0, 1 + n // 3, n)] + rng.normal(0, 1e-3, (n, width))
    )
    y, offset, weight = (rng.random(n) < 0.3).astype(float), rng.normal(0, 4, n), rng.uniform(0.01, 1, n)
    change = fit_change(x, offset, y, weight)
    padded = np.column_stack([x, np.ones(n)])
    ridge = PENALTY * (weight @ (padded**2).sum(1)) / weight.sum()
    gradient = padded.T @ (weight * (expit(offset + padded @ change) - y)) + ridge * change
    assert np.abs(gradient).max() < 1e-8 * weight.sum() * np.abs(padded).max()


def test_the_penalty_is_of_the_logits_whatever_the_scale_and_width():
    rng = np.random.default_rng(3)
    x, y = rng.normal(0, 10, (40, 8)), (np.arange(40) % 2).astype(float)
    weight = np.ones(40)
    a = fit_change(x, np.zeros(40), y, weight)
    b = fit_change(100 * x, np.zeros(40), y, weight)
    assert 100 * x @ b[:-1] + b[-1] == pytest.approx(x @ a[:-1] + a[-1], abs=2e-2)
    wide = fit_change(np.tile(x, 4), np.zeros(40), y, weight)
    assert np.tile(x, 4) @ wide[:-1] + wide[-1] == pytest.approx(x @ a[:-1] + a[-1], abs=2e-2)
    strong = fit_change(x, np.zeros(40), y, weight, penalty=1e6)
    assert np.abs(strong).max() < 1e-6


def test_separable_windows_have_a_finite_change():
    x, y = np.array([[-5.0], [-4.0], [4.0], [5.0]]), np.array([0.0, 0, 1, 1])
    made = fit_change(x, np.zeros(4), y, np.ones(4))
    assert np.isfinite(made).all()
    assert made[0] > 0


# ---- the head

SHAPE = InputShape(components=(4, 3, 2), rhythm=6, embedding=24, classes=5)


def batch(n=3):
    rng = np.random.default_rng(0)

    def tensor(*shape):
        return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

    return Batch(
        leads=torch.ones(n, 12, dtype=torch.bool),
        signal=tensor(n, 12, 2500),
        valid=torch.ones(n, 2500, dtype=torch.bool),
        morphology=tensor(n, 3, 4),
        rhythm=tensor(n, 6),
        rhythm_valid=torch.ones(n, 6, dtype=torch.bool),
        embedding=tensor(n, 24),
    )


@pytest.mark.parametrize("name", [n for n in model_names() if model_spec(n).kind == "network"])
def test_the_head_of_every_registered_network_is_found(name):
    torch.manual_seed(0)
    spec = model_spec(name)
    network, heard = spec.build(spec.profile("small"), SHAPE).eval(), []
    head = find_head(network, batch(), SHAPE.classes)
    head.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    with torch.inference_mode():
        logits = network(batch())
        assert torch.equal(head(heard[0]), logits)
    assert len(head._forward_hooks) == 0, "no hook of the search stays behind"


class Toy(nn.Module):
    def __init__(self, end):
        super().__init__()
        self.one, self.two, self.end = nn.Linear(6, 5), nn.Linear(5, 5), end

    def forward(self, b):
        return self.end(self, b.rhythm)


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (lambda m, x: x[:, :5], "has no linear layer with 5 outputs"),
        (lambda m, x: torch.sigmoid(m.two(m.one(x))), "is not the output of its last linear layer"),
        (lambda m, x: m.two(m.two(m.one(x))), "does not read one vector a window"),
        (lambda m, x: m.one(x[:, None]).mean(1), "does not read one vector a window"),
    ],
)
def test_a_network_without_such_a_layer_is_a_reason(end, why):
    with pytest.raises(UserError, match=f"no head to adapt: .*{why}"):
        find_head(Toy(end).eval(), batch(), 5)


def test_the_last_of_two_such_layers_is_taken():
    toy = Toy(lambda m, x: m.two(m.one(x))).eval()
    assert find_head(toy, batch(), 5) is toy.two


# ---- labels of windows


def test_windows_have_their_records_labels_or_their_segments_episodes(prepared_toy):
    space = label_space("merged24")
    plain = prepared_toy([{"AF"}, {"SNR"}, set()], n_segments=[2, 1, 1])
    table = window_table(plain)
    split = split_target(plain.records.assign(subject=["a", "b", "c"]), np.zeros((3, 1), bool), "toy", 1, 0)
    labels = window_labels(plain, table, space, split)
    assert labels.y[:, space.index("AF")].tolist() == [True] * 6 + [False] * 6
    assert labels.known.all()
    episodes = [[[0.0, 15.0, "AFIB"]], [], [[0.0, 10.0, "AFL"]]]
    rhythm = prepared_toy([{"AF"}, set(), {"AFL"}], n_segments=[3, 1, 1], episodes=episodes)
    table = window_table(rhythm)
    labels = window_labels(rhythm, table, space, split)
    af, afl = space.index("AF"), space.index("AFL")
    known = labels.known[:, af].reshape(-1, 3).all(1).tolist()
    assert known == [True, False, True, True, True], "a segment across a border is unknown"
    assert labels.y[:, af].reshape(-1, 3).all(1).tolist() == [True, False, False, False, False]
    assert labels.y[:, afl].reshape(-1, 3).all(1).tolist() == [False, False, False, False, True]
    assert not labels.known[:, space.index("LBBB")].any(), "a diagnosis of the record says nothing of a part of it"


# ---- whole studies


@pytest.fixture(scope="module")
def finished(run_tiny, tmp_path_factory):
    """A tiny suite, adapted: (result, evaluation, studies, results' folder)."""
    out = tmp_path_factory.mktemp("adaptation")
    result = run_tiny(out, NAMES)
    evaluation = evaluate(result.folder, CONFIG)
    return result, evaluation, run_study(result, evaluation, SHARES, DRAWS, local(1), Progress()), out


def test_nothing_adapted_is_zero_shot_to_the_last_bit(finished):
    _, evaluation, studies, _ = finished
    reader, compared, moved = ScoreReader.of(evaluation), 0, {"calibration": 0, "head": 0}
    for study in studies:
        for variant in (v for v in evaluation.suite.variants if v.name in study.adapted):
            made = study.adapted[variant.name]
            for i, (name, whole) in enumerate(study.whole.items()):
                chosen = np.isin(whole.units.record.astype(str), study.split.record[study.split.test])
                expected = reader.scores(variant, whole.task).headline[:, chosen]
                assert study.test[name].units.record.tolist() == whole.units.record[chosen].tolist()
                for kind in moved:
                    if getattr(made, kind):
                        scores = getattr(made, kind)[i]
                        assert np.array_equal(scores[0], expected, equal_nan=True), (variant.name, name, kind)
                        moved[kind] += (scores[1:] != scores[0]).any()
                        compared += 1
    assert compared > 10
    assert min(moved.values()) > 0, "labels of some draw change some scores"


def test_a_class_that_is_not_adapted_keeps_its_scores_to_the_last_bit(finished):
    _, _, studies, _ = finished
    study = next(s for s in studies if s.name == "synthetic-third")
    made, kept = study.adapted["resnet1d"], 0
    (context,) = study.test.values()
    names = [s.name for s in context.task.scores]
    for note in made.notes:
        a = study.conditions.index((note["share"], note["draw"]))
        if note["reason"] and note["cls"] in names:
            scores = made.head[0][..., names.index(note["cls"])]
            assert np.array_equal(scores[a], scores[0], equal_nan=True)
            kept += 1
    assert kept
    assert any(not n["reason"] for n in made.notes)


def test_what_has_no_head_says_why_and_is_calibrated(finished):
    _, evaluation, studies, _ = finished
    for study in studies:
        assert set(study.adapted) == {"ecg_ramba", "resnet1d", "hrv_logistic"}, "another pooling is no model"
        assert study.adapted["hrv_logistic"].reason == (
            "no head to adapt: it is no network but an estimator; calibration alone"
        )
        assert not study.adapted["hrv_logistic"].head
        assert study.adapted["hrv_logistic"].calibration
        table, _ = score_target(evaluation, study)
        bare = table[(table["variant"] == "hrv_logistic") & (table["study"] == "head")]
        assert bare["value"].isna().all()
        assert bare["reason"].str.startswith("no head to adapt").all()


def test_the_study_goes_on_where_it_was_stopped(finished, monkeypatch):
    result, evaluation, studies, out = finished
    before = {p: p.stat().st_mtime_ns for p in (out / "pieces").rglob("*")}
    monkeypatch.setattr(study_module, "adapt_variant", lambda *a: pytest.fail("computed again"))
    again = run_study(result, evaluation, SHARES, DRAWS, local(1), Progress())
    assert {p: p.stat().st_mtime_ns for p in (out / "pieces").rglob("*")} == before
    for one, other in zip(studies, again, strict=True):
        for name, made in one.adapted.items():
            assert np.array_equal(made.change, other.adapted[name].change)
            assert repr(made.maps) == repr(other.adapted[name].maps)


def fitted(studies):
    """Everything that was fitted, by target and variant: heads bit for bit, maps as numbers in full precision."""
    return {
        (s.name, name): (made.change.tobytes(), made.fitted.tobytes(), repr(made.maps), repr(made.notes))
        for s in studies
        for name, made in s.adapted.items()
    }


def rerun_with_noise(finished, run_tiny, cohort, replace_by_noise, place, chosen):
    result, _, studies, out = finished
    noisy = place / "noisy"
    shutil.copytree(cohort, noisy)
    records = {s.name: dict(zip(s.split.record, chosen(s), strict=True)) for s in studies}
    assert replace_by_noise(noisy, lambda p: records.get(p.parent.name, {}).get(p.stem, False)) >= 3
    changed = run_tiny(out, NAMES, data=noisy)
    assert {c["key"] for c in changed.cells["resnet1d"]} == {c["key"] for c in result.cells["resnet1d"]}
    evaluation = evaluate(changed.folder, CONFIG)
    return evaluation, run_study(changed, evaluation, SHARES, DRAWS, local(1), Progress())


def test_noise_in_place_of_the_test_subjects_signals_changes_nothing_fitted(
    finished, run_tiny, cohort, replace_by_noise, tmp_path
):
    _, _, studies, _ = finished
    _, changed = rerun_with_noise(finished, run_tiny, cohort, replace_by_noise, tmp_path, lambda s: s.split.test)
    assert fitted(changed) == fitted(studies)
    one, other = (next(s for s in of if s.name == "synthetic-third").adapted["resnet1d"] for of in (studies, changed))
    assert (one.head[0][0] != other.head[0][0]).any(), "the scores of the test subjects follow their signals"


def test_other_adaptation_subjects_change_what_is_fitted_and_nothing_at_zero(
    finished, run_tiny, cohort, replace_by_noise, tmp_path
):
    """The negative control: the same replacement on the other side reaches the fits, but not the zero-shot scores."""
    _, _, studies, _ = finished
    _, changed = rerun_with_noise(finished, run_tiny, cohort, replace_by_noise, tmp_path, lambda s: ~s.split.test)
    assert fitted(changed) != fitted(studies)
    for one, other in zip(studies, changed, strict=True):
        for name, made in one.adapted.items():
            for kind in ("calibration", "head"):
                for a, b in zip(getattr(made, kind), getattr(other.adapted[name], kind), strict=True):
                    # a network's rounding may follow what else is in a batch, and no more than that
                    assert a[0] == pytest.approx(b[0], abs=1e-6, nan_ok=True), (one.name, name)


def with_labels(context, evaluation, study, flipped):
    """The same suite and study with the labels of some recordings turned round, the split held."""
    place = next(i for i, t in enumerate(context.targets) if t.name == study.name)
    target = context.targets[place]
    everything = tuple(sorted(set(context.truth.space.classes)))
    labels = [
        tuple(sorted(set(everything) - set(own))) if flip else own
        for own, flip in zip(target.records["labels"], flipped, strict=True)
    ]
    records = target.records.assign(labels=labels)
    targets = tuple(dataclasses.replace(t, records=records) if t is target else t for t in context.targets)
    names = dict(zip(study.split.record, flipped, strict=True))
    whole = {}
    for name, task in study.whole.items():
        at = np.array([names[r] for r in task.units.record])[:, None]
        units = dataclasses.replace(task.units, positive=np.where(at, ~task.units.positive, task.units.positive))
        whole[name] = dataclasses.replace(task, units=units)
    return dataclasses.replace(context, targets=targets), dataclasses.replace(study, whole=whole, adapted={})


def test_other_labels_of_the_test_subjects_change_nothing_fitted(finished):
    result, evaluation, studies, _ = finished
    study = next(s for s in studies if s.name == "synthetic-third")
    cells, _ = network_cells(result, [v for v in evaluation.suite.variants if v.name == "resnet1d"])
    place = [t.name for t in result.context.targets].index(study.name)
    jobs = [HeadJob(cell, place) for cell in cells["resnet1d"]]
    (variant,) = (v for v in evaluation.suite.variants if v.name == "resnet1d")
    base = study.adapted["resnet1d"]
    for flipped, same in ((study.split.test, True), (~study.split.test, False)):
        context, changed = with_labels(result.context, evaluation, study, flipped)
        made = adapt_variant(context, evaluation, ScoreReader.of(evaluation), variant, changed, jobs)
        assert np.array_equal(made.change, base.change) == same
        assert (repr(made.maps) == repr(base.maps)) == same
        for a, b in zip(made.head + made.calibration, base.head + base.calibration, strict=True):
            assert np.array_equal(a, b, equal_nan=True) == same


def test_stored_windows_of_other_models_are_refused(finished):
    result, evaluation, studies, _ = finished
    study = studies[-1]
    cells, _ = network_cells(result, [v for v in evaluation.suite.variants if v.name == "resnet1d"])
    jobs = [HeadJob(cell, len(result.context.targets) - 1) for cell in cells["resnet1d"]]
    (other,) = (v for v in evaluation.suite.variants if v.name == "ecg_ramba")
    with pytest.raises(UserError, match="not those of the trained models; run the suite again"):
        adapt_variant(result.context, evaluation, ScoreReader.of(evaluation), other, study, jobs)


def test_means_spreads_and_differences_are_those_of_the_draws(finished):
    _, evaluation, studies, _ = finished
    study = next(s for s in studies if s.name == "synthetic-rhythm")
    table, by_draw = score_target(evaluation, study)
    table, by_draw = (frame[frame["task"] == "synthetic-rhythm-window"] for frame in (table, by_draw))
    named = table[table["value"].notna()]
    assert len(named) == (3 + 2) * len(study.shares) * 8, "three models calibrated, two heads, eight metrics"
    for row in named.to_dict("records"):
        of = by_draw[(by_draw["variant"] == row["variant"]) & (by_draw["study"] == row["study"])]
        of = of[(of["metric"] == row["metric"]) & (of["cls"] == row["cls"])].drop_duplicates(["share", "draw"])
        own, zero = (of[of["share"] == s]["value"] for s in (row["share"], 0.0))
        assert row["value"] == pytest.approx(own.mean())
        assert row["change"] == pytest.approx(own.mean() - zero.mean(), abs=1e-12)
        if row["share"]:
            assert row["spread"] == pytest.approx(own.std())
            assert row["access"] == "target labels used"
        else:
            assert row["access"] == "zero-shot"
            assert row["change"] == 0
        reference = named[(named["variant"] == "ecg_ramba") & (named["study"] == row["study"])]
        reference = reference[(reference["share"] == row["share"]) & (reference["metric"] == row["metric"])]
        reference = reference[reference["cls"] == row["cls"]]["value"].item()
        if row["variant"] != "ecg_ramba":
            assert row["diff"] == pytest.approx(row["value"] - reference, abs=1e-12)
        else:
            assert np.isnan(row["diff"])


def test_a_target_that_cannot_be_halved_is_a_row_with_its_reason_and_too_large_a_share_an_error(finished):
    result, evaluation, _, _ = finished
    target = next(t for t in result.context.targets if t.name == "synthetic-third")
    alone = dataclasses.replace(target, records=target.records.assign(subject="one"))
    made = prepare_target(alone, result.context, evaluation, SHARES, DRAWS)
    assert made.split is None
    assert "synthetic-third cannot be halved" in made.reason
    with pytest.raises(UserError, match=r"--shares 90: 11 of the 12 subjects"):
        prepare_target(target, result.context, evaluation, (90.0,), DRAWS)
    unscored = dataclasses.replace(target, name="elsewhere")
    assert "elsewhere is not scored" in prepare_target(unscored, result.context, evaluation, SHARES, DRAWS).reason


@pytest.mark.drawn
def test_the_command_says_synthetic_not_zero_shot_and_small(finished, cohort, tiny, monkeypatch, capsys):
    out = finished[-1]
    original, logged = studies.running.suite_config, []
    changed = {"budget": tiny.budget, "features": tiny.features}
    monkeypatch.setattr(studies.running, "suite_config", lambda o: dataclasses.replace(original(o), **changed))
    monkeypatch.setattr(studies.running, "check_tracking", lambda uri: None)
    monkeypatch.setattr(studies.running, "write_report", lambda e, folder, *_: [folder / "report" / "report.md"])
    monkeypatch.setattr(studies.running, "log_suite", lambda r, e, files, *_: logged.extend(files) or "logged")
    argv = ["adaptation", "--only", "resnet1d", "hrv_logistic", "--shares", "1", "25", "--draws-of-subjects", "2"]
    argv += ["--data", str(cohort), "--source", "synthetic-source", "--target", "synthetic-rhythm", "synthetic-third"]
    argv += ["--folds", "2", "--workers", "1", "--out", str(out)]
    assert studies.__main__.main(argv) == 0
    (folder,) = out.glob("studies/adaptation-*")
    text = (folder / "adaptation.md").read_text()
    assert capsys.readouterr().out.startswith(text)
    assert text.startswith("# Synthetic: Adaptation study, not zero-shot. ")
    assert "NOT ZERO-SHOT: every number at a share above 0 % used labels of target subjects." in text
    assert "SYNTHETIC DATA" in text
    assert "Small sample: fewer than 10 adaptation subjects" in text
    assert "12 subjects with 12 recordings; 6 test" in text
    assert "1 %: 1 (8.3%), 25 %: 3 (25.0%)" in text
    assert "no network but an estimator; calibration alone" in text
    assert "single training run" in text
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert all("Synthetic: " in line for line in headings)
    frames = {f.stem: pd.read_csv(f) for f in folder.glob("*.csv")}
    assert set(frames) == {"adaptation", "adaptation_draws", "adaptation_maps", "adaptation_heads"}
    assert set(frames["adaptation"]["data"]) == {"synthetic"}
    assert set(frames["adaptation_draws"]["access"]) == {"zero-shot", "target labels used"}
    assert {f.name for f in logged} >= {"adaptation.md", "adaptation.csv", "report.md"}
    drawn = list(folder.glob("adaptation-*.png"))
    assert drawn
    assert all(f.stat().st_size > 10_000 for f in drawn)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--shares", "0"], "error: --shares 0: name a share above 0 as well"),
        (["--shares", "101"], "'101' is not a share in per cent"),
        (["--shares", "-3"], "'-3' is not a share in per cent"),
        (["--draws-of-subjects", "0"], "'0' is not a whole number of at least 1"),
    ],
)
def test_options_that_make_no_study_are_one_line(options, said, capsys):
    try:
        status = studies.__main__.main(["adaptation", *options])
    except SystemExit as error:
        status = error.code
    assert status == 2
    assert said in capsys.readouterr().err
