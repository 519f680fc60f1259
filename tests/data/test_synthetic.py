import re

import numpy as np
import pytest
import wfdb

from ecg_ramba.data.base import header_files
from ecg_ramba.data.synthetic import (
    CODES,
    DATASETS,
    MANIFEST,
    PLANTS,
    RHYTHM,
    SOURCE,
    THIRD,
    CohortConfig,
    cohort_dir,
    factors,
    rate_pattern,
    synthesize,
)
from ecg_ramba.data.synthetic_signal import FAST, HUM_HZ, SLOW, beat_times, beats, disturbance, draw_person
from ecg_ramba.errors import UserError
from ecg_ramba.features.rhythm import r_peaks
from ecg_ramba.files import read_json, sha256_file
from ecg_ramba.signal import SignalConfig, preprocess

TINY = CohortConfig(source=8, third=4, subjects=8)
BY_NAME = {d.name: d for d in DATASETS}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    out = tmp_path_factory.mktemp("cohort") / "made"
    synthesize(out, TINY)
    return out


def records(cohort, name):
    return [BY_NAME[name].read(h) for h in BY_NAME[name].find(cohort / name)]


def contents(folder):
    return {p.relative_to(folder).as_posix(): sha256_file(p) for p in folder.rglob("*") if p.is_file()}


def test_the_readers_see_every_record_and_nothing_to_repair(cohort):
    for name, n in ((SOURCE.name, 8), (THIRD.name, 4), (RHYTHM.name, 16)):
        found = records(cohort, name)
        assert len(found) == n
        assert len({r.signal_digest for r in found}) == n
        assert all(r.warnings == () and r.units == "mV" and r.quality.dead_leads == () for r in found)
        assert all(BY_NAME[name].synthetic for _ in found)


@pytest.mark.parametrize("name", [SOURCE.name, RHYTHM.name])
def test_wfdb_reads_the_same_millivolts_and_checksums(cohort, name):
    for header in BY_NAME[name].find(cohort / name)[:3]:
        theirs = wfdb.rdrecord(str(header.with_suffix("")), physical=False)
        record = BY_NAME[name].read(header)
        assert tuple(theirs.sig_name) == record.leads
        assert theirs.fs == record.rate
        assert [c % 65536 for c in theirs.checksum] == [c % 65536 for c in theirs.calc_checksum()]
        np.testing.assert_allclose(record.signal, theirs.dac().T, atol=1e-5)


def test_every_header_and_the_folder_say_synthetic(cohort):
    headers = list(cohort.rglob("*.hea"))
    assert len(headers) == 28
    assert all("synthetic" in h.read_text().lower() for h in headers)
    assert read_json(cohort / MANIFEST)["synthetic"] is True
    assert "No patient" in (cohort / "README.txt").read_text()
    assert header_files(cohort, re.compile(".*")) == []  # a search for real records passes them by


def test_deterministic_from_the_seed(tmp_path, cohort):
    synthesize(tmp_path / "again", TINY)
    assert contents(tmp_path / "again") == contents(cohort)
    synthesize(tmp_path / "other", CohortConfig(seed=1, source=8, third=4, subjects=8))
    ours, other = contents(cohort), contents(tmp_path / "other")
    assert not {h for f, h in ours.items() if f.endswith((".mat", ".dat"))} & set(other.values())


def test_more_records_do_not_change_the_signal_of_a_person(tmp_path):
    for n in (2, 4):
        synthesize(tmp_path / str(n), CohortConfig(source=n, third=1, subjects=1, rhythm=False, morphology=False))
    files = [tmp_path / str(n) / SOURCE.name / "SYNS00001.mat" for n in (2, 4)]
    labels = [factors(n, 0, SOURCE.name)["QAb"][0] for n in (2, 4)]
    assert (files[0].read_bytes() == files[1].read_bytes()) == (labels[0] == labels[1])


def test_half_of_the_records_have_each_label():
    for n in (60, 61):
        for seed in range(3):
            found = factors(n, seed, SOURCE.name)
            assert set(found) == set(PLANTS)
            assert all(v.sum() == n // 2 for v in found.values())
    many = factors(4000, 0, SOURCE.name)
    pairs = np.corrcoef(np.array(list(many.values()), dtype=float)) - np.eye(4)
    assert np.abs(pairs).max() < 0.06
    assert not np.array_equal(factors(60, 0, SOURCE.name)["AF"], factors(60, 0, THIRD.name)["AF"])


def test_labels_in_the_headers_are_the_plants(cohort):
    labels = factors(8, 0, SOURCE.name)
    for i, record in enumerate(records(cohort, SOURCE.name)):
        expected = {label for label, has in labels.items() if has[i]} or {"SNR"}
        assert record.labels == expected
        assert set(record.codes) == {CODES[label] for label in expected}


def test_the_ends_of_a_tile_are_fair_coins_in_both_classes():
    rng = np.random.default_rng(0)
    for positive in (True, False):
        drawn = np.array([rate_pattern(positive, rng) for _ in range(4000)])
        assert set(drawn.ravel()) == {SLOW, FAST}
        assert ((drawn[:, 0] != drawn[:, 1]) == positive).all()
        assert abs((drawn == SLOW).mean(axis=0) - 0.5).max() < 0.03


def test_beat_times_follow_the_pattern():
    for first, last in [(SLOW, FAST), (FAST, FAST)]:
        times = beat_times([(first, last)] * 2, 0.8, np.random.default_rng(1))
        assert times[0] < 0
        assert times[-1] >= 20
        for start, factor in [(0, first), (2.5, 1), (5, 1), (7.5, last), (10, first), (17.5, last)]:
            inside = (times[:-1] >= start) & (times[:-1] < start + 2.5)
            assert np.diff(times)[inside].mean() == pytest.approx(0.8 * factor, rel=0.06)


def test_r_peaks_are_found_where_they_are_put_whatever_the_morphology():
    rng = np.random.default_rng(0)
    for wide in (False, True):
        for inverted in (False, True):
            hit = total = found = 0
            for _ in range(12):
                person = draw_person(SOURCE, rng)
                times = beat_times([rate_pattern(rng.random() < 0.5, rng)], person.nn, rng)
                signal = beats(times, person, SOURCE, 10, wide=wide, inverted=inverted)
                signal += disturbance(person, SOURCE, 10, rng, hum=False)
                record = _record(signal)
                peaks = r_peaks(preprocess(record).signal[0, 1]) / 500
                true = times[(times > 0.5) & (times < 9.7)]
                hit += sum(np.abs(peaks - t).min() < 0.03 for t in true)
                total += len(true)
                found += ((peaks > 0.47) & (peaks < 9.73)).sum()
            assert hit / total > 0.97, (wide, inverted)
            assert abs(found - total) / total < 0.03, (wide, inverted)


def _record(signal, leads=("I", "II")):
    from ecg_ramba.data.record import Record

    return Record(
        signal=signal[: len(leads)].astype(np.float32), leads=leads, rate=500.0, source="toy", record="r", subject="s",
        publisher="toy", publisher_id="r",
    )  # fmt: skip


def test_the_shortcut_is_at_the_source_only(cohort):
    def hum(record):
        spectrum = np.abs(np.fft.rfft(preprocess(record, SignalConfig(normalise="none")).signal[0], axis=1))
        at = round(HUM_HZ * 10)
        around = np.r_[at - 12 : at - 3, at + 4 : at + 13]
        return np.median(spectrum[:, at] / np.median(spectrum[:, around], axis=1))

    def by_label(name):
        found = records(cohort, name)
        return [[hum(r) for r in found if ("QAb" in r.labels) == has] for has in (True, False)]

    with_label, without = by_label(SOURCE.name)
    assert min(with_label) > 2 * max(without)
    abroad = [ratio for ratios in by_label(THIRD.name) for ratio in ratios]
    assert max(abroad) < min(with_label)


def test_limb_leads_obey_einthoven(cohort):
    for record in records(cohort, THIRD.name):
        i, ii, iii, avr, avl, avf = record.signal[:6].astype(float)
        for ours, law in [(iii, ii - i), (avr, -(i + ii) / 2), (avl, i - ii / 2), (avf, ii - i / 2)]:
            np.testing.assert_allclose(ours, law, atol=0.0021)  # each is rounded to 1 microvolt


def test_episodes_cover_whole_tiles_but_for_some(cohort):
    kinds, borders = set(), []
    for record in records(cohort, RHYTHM.name):
        assert 40 <= record.seconds <= 60
        assert (record.labels == {"AF"}) == bool(record.episodes) == record.record.endswith("_1")
        kinds.add(record.codes[0])
        for episode in record.episodes:
            assert episode.rhythm == "AFIB"
            borders.append((int(record.subject), episode.start % 10, episode.end % 10, episode.start, record.seconds))
            if record.subject == "0":
                assert (episode.start, episode.end) == (0, record.seconds)
    assert kinds == {
        "persistent atrial fibrillation",
        "paroxysmal atrial fibrillation",
        "non atrial fibrillation",
    }
    for subject, start, end, _, _ in borders:
        assert end == 0
        assert (start != 0) == (subject % 4 == 3)


def test_beats_are_annotated(cohort):
    header = BY_NAME[RHYTHM.name].find(cohort / RHYTHM.name)[2]
    marks = wfdb.rdann(str(header.with_suffix("")), "atr")
    beats_at = np.array([s for s, symbol in zip(marks.sample, marks.symbol, strict=True) if symbol == "N"]) / 200
    record = BY_NAME[RHYTHM.name].read(header)
    cut = preprocess(record)
    peaks = np.concatenate([r_peaks(s[1]) / 500 + t for s, t in zip(cut.signal, cut.start, strict=True)])
    near = [np.abs(beats_at - p).min() < 0.03 for p in peaks]
    assert np.mean(near) > 0.97
    assert len(peaks) > 0.85 * len(beats_at)


def test_a_foreign_folder_is_left_alone(tmp_path, cohort):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="not a synthetic cohort"):
        synthesize(tmp_path, TINY)
    assert (tmp_path / "mine.txt").read_text() == "precious"
    with pytest.raises(UserError, match="not a synthetic cohort"):
        synthesize(tmp_path / "mine.txt", TINY)
    with pytest.raises(UserError, match="other settings"):
        synthesize(cohort, CohortConfig(seed=9))
    with pytest.raises(UserError, match="at least one record"):
        CohortConfig(source=0)


def test_a_whole_cohort_is_kept_and_a_damaged_one_made_again(tmp_path):
    config = CohortConfig(source=2, third=1, subjects=1)
    steps = []
    folder = cohort_dir(tmp_path, config, progress=lambda *a: steps.append(a))
    assert steps == [(i + 1, 5) for i in range(5)]
    before = contents(folder)
    assert cohort_dir(tmp_path, config, progress=lambda *a: steps.append(a)) == folder
    assert len(steps) == 5
    victim = next((folder / SOURCE.name).glob("*.mat"))
    victim.write_bytes(victim.read_bytes()[:-2] + b"xx")
    assert cohort_dir(tmp_path, config) == folder
    assert contents(folder) == before
    assert cohort_dir(tmp_path, CohortConfig(seed=1, source=2, third=1, subjects=1)) != folder


def test_a_crash_leaves_nothing(tmp_path):
    def crash(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "out", TINY, progress=crash)
    assert list(tmp_path.iterdir()) == []
