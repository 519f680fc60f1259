"""The reading room's predictions are those of ``predict``, for every pooling, and say what each stream does."""

import dataclasses
import json

import numpy as np
import pytest

from ecg_ramba.dashboard.analysis import pieces as pieces_module
from ecg_ramba.dashboard.analysis.groups import GROUPS, group_distribution
from ecg_ramba.dashboard.analysis.inference import POOLINGS, infer, model_facts, models_digest
from ecg_ramba.dashboard.analysis.pieces import piece_of_window, pieces
from ecg_ramba.data.labels import PAPER27
from ecg_ramba.data.store import prepared_from_record
from ecg_ramba.errors import RecordError
from ecg_ramba.harness.inputs import window_table
from ecg_ramba.harness.predict import predict_record
from ecg_ramba.harness.probabilities import probabilities
from ecg_ramba.harness.trained import load_models


@pytest.fixture(scope="module")
def found(models, recording):
    return infer(models, recording)


def longer(record, times):
    """The recording several times in a row, with a little drift so that no two stretches are equal."""
    signal = np.tile(record.signal, (1, times))
    drift = 1 + 0.1 * np.sin(np.arange(signal.shape[1]) / 5000)
    return dataclasses.replace(record, signal=(signal * drift).astype(np.float32))


@pytest.mark.parametrize("pooling", POOLINGS.values(), ids=list(POOLINGS))
def test_every_pooling_equals_predict(models, recording, found, pooling):
    said = found.json(pooling)
    expected = predict_record(models, recording, pooling).classes.to_dict("records")
    assert [c["class"] for c in said["classes"]] == [r["class"] for r in expected]
    assert any(r["folds"] for r in expected)
    for mine, theirs in zip(said["classes"], expected, strict=True):
        for name in ("probability", "fold_min", "fold_max"):
            if theirs["folds"]:
                assert mine[name] == theirs[name]
            else:
                assert mine[name] is None
        assert mine["folds"] == theirs["folds"]
        assert mine["why"] == ("" if theirs["folds"] else "not trained: too few subjects")
        assert mine["positive"] == bool(theirs["folds"] and theirs["probability"] >= 0.5)


def test_windows_are_those_of_the_suite_and_their_mean_over_folds(models, recording, found):
    said = found.json()
    assert [w["start"] for w in said["windows"]] == [0.0, 2.5, 5.0]
    assert [w["stop"] for w in said["windows"]] == [5.0, 7.5, 10.0]
    data = prepared_from_record(recording, models[0].signal)
    table = window_table(data)
    stack = np.stack([probabilities(m, data, table, np.arange(len(table)), None) for m in models])
    np.testing.assert_array_equal(found.probability, stack)
    for i, window in enumerate(said["windows"]):
        for name, p in window["probability"].items():
            column = stack[:, i, models[0].classes.index(name)]
            assert p == pytest.approx(np.nanmean(column), abs=1e-6)


def test_a_last_window_ends_where_the_recording_ends(models, recording):
    short = dataclasses.replace(recording, signal=recording.signal[:, : int(6.5 * recording.rate)])
    windows = infer(models, short).json()["windows"]
    assert [(w["start"], w["stop"]) for w in windows] == [(0.0, 5.0), (2.5, 6.5)]


def test_it_is_json(found):
    for pooling in POOLINGS.values():
        answer = found.json(pooling)
        assert json.loads(json.dumps(answer, allow_nan=False)) == answer


def test_synthetic_models_say_so(found):
    said = found.json()
    assert said["synthetic"]
    assert "synthetic" in said["not_for_use"]


def test_streams_are_those_of_the_model_and_each_change_is_a_recomputation(models, recording, found):
    """Without HRV: the same as every figure not measurable. Without MiniRocket: the same as the training mean."""
    said = {s["stream"]: s for s in found.json()["streams"]}
    assert list(said) == ["signal", "minirocket", "hrv"]
    data = prepared_from_record(recording, models[0].signal)
    table = window_table(data)
    rows = np.arange(len(table))
    blind = dataclasses.replace(data, rhythm=np.full_like(data.rhythm, np.nan))
    expected = np.stack([probabilities(m, blind, table, rows, None) for m in models])
    np.testing.assert_allclose(found.removed[2], expected, atol=1e-6)
    assert not np.allclose(found.removed[2], found.probability, atol=1e-4, equal_nan=True)

    class Nothing:
        """A transform whose components are all at their mean."""

        def __init__(self, real):
            self.real, self.components, self.rocket, self.dtype = real, real.components, real.rocket, real.dtype

        digest = "nothing"

        def transform(self, windows, threads=1):
            return np.zeros((len(windows), sum(self.components)), dtype=self.dtype)

    mean = [dataclasses.replace(m, morphology=Nothing(m.morphology)) for m in models]
    expected = np.stack([probabilities(m, data, table, rows, None) for m in mean])
    np.testing.assert_allclose(found.removed[1], expected, atol=1e-6)


def test_without_the_signal_nothing_of_it_is_read(models, recording, found):
    """Another signal with the same MiniRocket components and HRV would give the same: those are kept from the first."""
    assert np.isfinite(found.removed[0][np.isfinite(found.probability)]).all()
    louder = dataclasses.replace(recording, signal=recording.signal * 3)
    again = infer(models, louder)  # the z-score takes the gain away, so only rounding is left in any stream
    np.testing.assert_allclose(again.removed[0], found.removed[0], atol=1e-3)


def test_a_change_is_pooled_without_minus_pooled_with(models, found):
    said = found.json(POOLINGS["max"])
    for number, stream in enumerate(said["streams"]):
        for name, change in stream["change"].items():
            c = models[0].classes.index(name)
            of = np.isfinite(found.probability[:, :, c]).all(1)
            before = found.probability[of][:, :, c].mean(0).max()
            after = found.removed[number][of][:, :, c].mean(0).max()
            assert change == pytest.approx(after - before, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "streams"), [("hrv_logistic", ["hrv"]), ("minirocket_linear", ["minirocket"]), ("class_prior", [])]
)
def test_other_models_are_predicted_too(checkpoints, recording, name, streams):
    models = load_models(checkpoints[name])
    found = infer(models, recording)
    said = found.json()
    expected = predict_record(models, recording).classes
    assert [c["probability"] for c in said["classes"]] == [
        None if np.isnan(p) else p for p in expected["probability"].tolist()
    ]
    assert [s["stream"] for s in said["streams"] or []] == streams
    assert not said["model"]["saliency"]
    json.dumps(said, allow_nan=False)


def test_a_long_recording_is_read_in_pieces(models, recording, monkeypatch):
    whole = longer(recording, 7)  # 70 s
    monkeypatch.setattr(pieces_module, "WHOLE_SECONDS", 30)
    steps = []
    found = infer(models, whole, lambda *step: steps.append(step))
    starts = found.start
    assert len(starts) == 21
    np.testing.assert_allclose(starts, [10 * s + o for s in range(7) for o in (0, 2.5, 5)])
    assert steps[-1] == ("predicting", 6, 6)
    first = dataclasses.replace(whole, signal=whole.signal[:, 15000:30000])
    np.testing.assert_array_equal(found.probability[:, 9:18], infer(models, first).probability)
    assert "pieces" in found.json()["notes"][0]


def test_pieces_that_cannot_be_read_are_left_out_and_said(models, recording, monkeypatch):
    whole = longer(recording, 27)
    whole.signal[3, 30_000] = np.nan  # the second minute and a half
    monkeypatch.setattr(pieces_module, "WHOLE_SECONDS", 50)
    found = infer(models[:1], whole)
    assert not ((found.start >= 50) & (found.start < 100)).any()
    assert len(found.start) == 3 * 22
    assert any("left out" in note for note in found.json()["notes"])
    piece = piece_of_window(whole, models[0].signal, 15)
    assert piece.start == 100.0
    assert piece.first == 15


@pytest.mark.parametrize("rate", [100.0, 257.0, 360.0, 500.0, 1000.0])
@pytest.mark.parametrize("seconds", [5.0, 7.4, 10.0, 14.99, 15.0, 63.2])
def test_windows_counted_from_the_length_are_those_that_are_cut(models, record_of, rate, seconds):
    rng = np.random.default_rng(0)
    record = record_of(rng.normal(size=(2, round(seconds * rate))), ("I", "II"), rate)
    (piece,) = pieces(record, models[0].signal)
    assert piece.windows == len(piece.prepared(models[0].signal)[1])


def test_the_tail_of_a_long_recording_is_not_lost(models, record_of, monkeypatch):
    monkeypatch.setattr(pieces_module, "WHOLE_SECONDS", 30)
    for seconds, ends in ((63.0, [30, 63.0]), (66.0, [30, 60, 66.0])):
        record = record_of(np.random.default_rng(0).normal(size=(1, int(seconds * 500))), ("II",))
        found = [p.start + p.record.seconds for p in pieces(record, models[0].signal)]
        assert found == ends


def test_what_cannot_be_read_is_refused_with_the_cause(models, record_of):
    with pytest.raises(RecordError, match="shorter than the 5 s"):
        infer(models, record_of(np.ones((1, 100)), ("II",)))
    broken = np.random.default_rng(0).normal(size=(1, 5000))
    broken[0, 7] = np.nan
    with pytest.raises(RecordError, match="not numbers in lead II"):
        infer(models, record_of(broken, ("II",)))


def test_groups_sum_to_one_and_follow_the_odds():
    rng = np.random.default_rng(0)
    for _ in range(50):
        p = dict(zip(PAPER27, rng.random(27).tolist(), strict=True))
        groups, _ = group_distribution(p)
        shares = {g["group"]: g["probability"] for g in groups}
        assert sum(shares.values()) == pytest.approx(1)
        top = {g: max(p[c] for c in of) for g, of in GROUPS.items()}
        # exactly one of four independent events, by counting all sixteen outcomes
        alone = {g: top[g] * np.prod([1 - top[h] for h in GROUPS if h != g]) for g in GROUPS}
        for g in GROUPS:
            assert shares[g] == pytest.approx(alone[g] / sum(alone.values()))


def test_groups_that_were_not_trained_have_no_share():
    groups, rule = group_distribution({"SNR": 0.9, "AF": 0.1, "SB": None})
    shares = {g["group"]: g["probability"] for g in groups}
    assert shares["GSVT"] is None
    assert shares["SB"] is None
    assert shares["Normal"] + shares["AF"] == pytest.approx(1)
    assert shares["Normal"] == pytest.approx(9 / (9 + 1 / 9))
    assert "Not trained, so left out: GSVT, SB" in rule
    groups, rule = group_distribution({"AF": 0.4})
    assert all(g["probability"] is None for g in groups)
    assert "only AF was trained" in rule
    groups, _ = group_distribution({})
    assert all(g["probability"] is None for g in groups)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_certain_probabilities_stay_finite(p):
    groups, _ = group_distribution(dict.fromkeys(PAPER27, p))
    assert [g["probability"] for g in groups] == pytest.approx([0.25] * 4)


def test_the_digest_names_the_weights(models, checkpoints):
    facts = model_facts(models)
    assert facts["digest"] == models_digest(load_models(checkpoints["ecg_ramba"]))
    assert facts["digest"] != models_digest(models[:1])
    other = load_models(checkpoints["ecg_ramba"])
    next(iter(other[0].fitted.parameters())).data.view(-1)[0] += 1e-3
    assert models_digest(other) != facts["digest"]
    assert facts["streams"] == ["signal", "minirocket", "hrv"]
    assert facts["saliency"]


def test_unlike_the_training_data(models, recording, found):
    """The cohort's own recording is like it; one that beats at 200 a minute, or of noise, is not."""
    assert found.json()["warnings"] == []
    rng = np.random.default_rng(0)
    noise = dataclasses.replace(recording, signal=rng.normal(size=recording.signal.shape).astype(np.float32))
    kinds = {w["kind"] for w in infer(models, noise).json()["warnings"]}
    assert kinds == {"unlike_training"}
