"""The planted effects, on five seeds fixed here, seen by cheap models: what each kind of input can and cannot tell.

Models are fitted on the source site and scored at the third, so that the seeds' records are independent of the fit.
"""

import dataclasses

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecg_ramba.data.synthetic import DATASETS, PLANTS, RHYTHM, SOURCE, THIRD, CohortConfig, rate_pattern, synthesize
from ecg_ramba.data.synthetic_signal import beat_times, beats, disturbance, draw_person
from ecg_ramba.features.minirocket import MiniRocket
from ecg_ramba.features.rhythm import r_peaks, rhythm_features, variability
from ecg_ramba.features.standardise import RhythmTransform
from ecg_ramba.signal import SignalConfig, WindowView, band_pass, preprocess

SEEDS = (0, 1, 2, 3, 4)
STARTS = (0, 1250, 2500)


class Prepared:
    """One site of one cohort: segments, labels of the plants, rhythm figures."""

    def __init__(self, folder, dataset):
        segments, labels, rhythm = [], [], []
        for header in dataset.find(folder / dataset.name):
            record = dataset.read(header)
            cut = preprocess(record)
            for segment, start in zip(cut.signal, cut.start, strict=True):
                if record.episodes is None:
                    labels.append([label in record.labels for label in PLANTS])
                else:
                    overlap = sum(max(0, min(e.end, start + 10) - max(e.start, start)) for e in record.episodes)
                    if 0 < overlap < 9.999:
                        continue
                    labels.append([overlap > 0, False, False, False])
                segments.append(segment)
                rhythm.append(rhythm_features(segment, cut.leads, 5000))
        self.segments, self.rhythm = np.array(segments), np.array(rhythm)
        self.labels = dict(zip(PLANTS, np.array(labels).T, strict=True))

    @property
    def windows(self):
        n = len(self.segments)
        return WindowView(self.segments, np.repeat(np.arange(n), 3), np.tile(STARTS, n))[:]


def site(folder, name):
    return Prepared(folder, next(d for d in DATASETS if d.name == name))


def hrv_scores(source, target, label):
    transform = RhythmTransform.fit(source.rhythm)
    model = LogisticRegression(C=0.3, max_iter=2000).fit(transform.transform(source.rhythm)[0], source.labels[label])
    return model.decision_function(transform.transform(target.rhythm)[0])


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """(input, label, site) -> for each seed the truth and the scores of its units."""
    out = {}

    def keep(key, truth, score):
        out.setdefault(key, []).append((np.asarray(truth), np.asarray(score)))

    for seed in SEEDS:
        folder = tmp_path_factory.mktemp(f"seed{seed}") / "cohort"
        synthesize(folder, CohortConfig(seed=seed))
        source, third, rhythm = (site(folder, s.name) for s in (SOURCE, THIRD, RHYTHM))
        for label in PLANTS:
            keep(("hrv", label, "third"), third.labels[label], hrv_scores(source, third, label))
        keep(("hrv", "AF", "rhythm"), rhythm.labels["AF"], hrv_scores(source, rhythm, "AF"))

        rocket = MiniRocket.fit(source.windows, seed, num_kernels=1008)
        train, test = (rocket.transform(s.windows, threads=2) for s in (source, third))
        for label in PLANTS:
            y = np.repeat(source.labels[label], 3)
            model = make_pipeline(StandardScaler(), RidgeClassifier(300.0)).fit(train, y)
            pooled = model.decision_function(test).reshape(-1, 3).mean(axis=1)
            keep(("rocket", label, "third"), third.labels[label], pooled)
            half = np.arange(len(y)) < len(y) // 2  # whole records: the first half of the source trains
            model = make_pipeline(StandardScaler(), RidgeClassifier(300.0)).fit(train[half], y[half])
            at_home = model.decision_function(train[~half]).reshape(-1, 3).mean(axis=1)
            keep(("rocket", label, "source"), source.labels[label][len(source.segments) // 2 :], at_home)
    return out


def area(truth, score):
    """Area under the ROC curve along the last axis, by ranks."""
    truth, ranks = np.asarray(truth, dtype=bool), rankdata(score, axis=-1)
    positive = truth.sum(axis=-1)
    wins = np.where(truth, ranks, 0).sum(axis=-1) - positive * (positive + 1) / 2
    return wins / (positive * (truth.shape[-1] - positive))


def areas(runs):
    return [float(area(truth, score)) for truth, score in runs]


def pooled_interval(runs, draws=1000):
    """95 % bootstrap interval over units of the mean area over seeds."""
    rng = np.random.default_rng(0)
    means = np.zeros(draws)
    for truth, score in runs:
        at = rng.integers(0, len(truth), (draws, len(truth)))
        means += area(truth[at], score[at]) / len(runs)
    return np.quantile(means, [0.025, 0.975])


def assert_found(runs):
    assert min(areas(runs)) > 0.8
    assert pooled_interval(runs)[0] > 0.9


def assert_chance(runs):
    low, high = pooled_interval(runs)
    assert low <= 0.5 <= high, (low, high, areas(runs))


def test_rhythm_figures_find_the_rhythm_plant(scores):
    assert_found(scores["hrv", "AF", "third"])
    assert_found(scores["hrv", "AF", "rhythm"])


@pytest.mark.parametrize("label", ["LBBB", "TInv", "QAb"])
def test_rhythm_figures_are_at_chance_on_the_others(scores, label):
    assert_chance(scores["hrv", label, "third"])


@pytest.mark.parametrize("label", ["LBBB", "TInv"])
def test_windows_find_the_morphology_plants_at_home_and_abroad(scores, label):
    assert_found(scores["rocket", label, "source"])
    assert_found(scores["rocket", label, "third"])


def test_windows_are_at_chance_on_the_rhythm_plant(scores):
    assert_chance(scores["rocket", "AF", "third"])


def test_the_shortcut_works_at_the_source_only(scores):
    assert_found(scores["rocket", "QAb", "source"])
    assert_chance(scores["rocket", "QAb", "third"])


def test_without_a_plant_its_label_cannot_be_found(tmp_path):
    bare = CohortConfig(source=60, third=60, subjects=1, rhythm=False, morphology=False, shortcut=False)
    synthesize(tmp_path / "bare", bare)
    source, third = site(tmp_path / "bare", SOURCE.name), site(tmp_path / "bare", THIRD.name)
    assert_chance([(third.labels["AF"], hrv_scores(source, third, "AF"))])


def single_windows(site, n, seed):
    """Labels of the rhythm plant and simple figures of each of the three windows of n segments, two leads."""
    rng = np.random.default_rng(seed)
    truth, figures, whole = [], [[], [], []], []
    for _ in range(n):
        positive = rng.random() < 0.5
        person = draw_person(site, rng)
        times = beat_times([rate_pattern(positive, rng)], person.nn, rng)
        signal = beats(times, person, site, 10, wide=False, inverted=False)
        signal = band_pass(signal + disturbance(person, site, 10, rng, hum=False), SignalConfig())
        signal /= signal.std(axis=1, keepdims=True)
        truth.append(positive)
        whole.append(np.ptp(np.diff(r_peaks(signal[1]))))
        for row, start in zip(figures, STARTS, strict=True):
            window = signal[:, start : start + 2500]
            peaks = r_peaks(window[1])
            level = [window.std(axis=1), np.abs(np.diff(window)).mean(axis=1), np.median(window[:, peaks], axis=1)]
            row.append([*variability(np.diff(peaks) * 2.0), len(peaks), *np.concatenate(level)])
    return np.array(truth), [np.array(f) for f in figures], np.array(whole)


def area_of_single_windows(site, seed):
    """Of a model with products, since extreme against middling is what would tell; fitted on half of the segments."""
    truth, figures, whole = single_windows(site, 700, seed)
    assert area(truth, whole) > 0.9  # ten seconds do tell
    found = []
    for values in figures:
        values, _ = RhythmTransform.fit(values).transform(values)
        both = np.concatenate([values, values**2, values[:, :1] * values[:, -6:]], axis=1)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
        model.fit(both[:350], truth[:350])
        found.append(float(area(truth[350:], model.decision_function(both[350:]))))
    return found


def test_one_window_has_the_same_law_in_both_classes_of_the_rhythm_plant():
    limb = dataclasses.replace(SOURCE, leads=("I", "II"))
    found = area_of_single_windows(limb, 0)
    assert np.abs(np.array(found) - 0.5).max() < 0.1, found  # 3.2 standard errors


def test_without_wander_a_window_would_tell_the_beats_of_the_whole_recording():
    # negative control of the test above: the z-score over the recording leaks the count of beats
    bare = dataclasses.replace(SOURCE, leads=("I", "II"), wander=0.0, noise=0.003)
    found = area_of_single_windows(bare, 0)
    assert max(found) > 0.65, found
