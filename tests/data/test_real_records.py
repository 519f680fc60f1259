"""Real records against the index that came with them, an account of the same files made by others."""

import csv

import pytest

from ecg_ramba.data.registry import dataset, locate

NAMES = {
    "chapman-shaoxing-ningbo": ("chapman",),
    "cpsc-2021": ("cpsc2021",),
    "georgia": ("georgia",),
    "cpsc-2018": ("cpsc2018",),
    "cpsc-2018-extra": ("cpsc2018-extra",),
    "ptb-xl": ("ptbxl", "ptbxl-100"),
    "ptb-xl-derived": ("ptbxl-derived",),
    "ptb-xl-challenge": ("ptbxl-challenge",),
    "ptb-challenge": ("ptb",),
    "ludb": ("ludb",),
}
LUDB_WORDS = {"AF": "Atrial fibrillation", "AFL": "Atrial flutter, typical", "SB": "Sinus bradycardia", "PR": "pacing"}


@pytest.fixture(scope="module")
def index(real_data):
    with open(real_data / "RECORDS_INDEX.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    return {(row["dataset"], row["record"]): row for row in rows}


@pytest.mark.parametrize("folder", NAMES)
def test_records_subjects_labels_rates(real_data, index, folder):
    expected = {record: row for (where, record), row in index.items() if where == folder}
    read = {}
    for name in NAMES[folder]:
        d = dataset(name)
        for header in d.find(locate(real_data, [name])[name]):
            record = d.read(header)
            read[record.record] = record
            assert record.source == name
            assert record.labels <= d.annotated(record.hospital), "a class that the publisher is said not to annotate"
    assert set(read) == set(expected)
    for name, row in expected.items():
        record = read[name]
        assert record.rate == float(row["fs"])
        assert record.signal.shape == (int(row["n_leads"]), int(row["n_samples"]))
        assert record.labelled
        assert record.quality.dead_leads == ()
        stated = row["labels"].split("|")
        if row["label_scheme"] == "LUDB header text":
            for label, words in LUDB_WORDS.items():
                assert (label in record.labels) == (words in stated), name
        elif "SNOMED" in row["label_scheme"]:
            assert set(record.codes) == {label.split(":")[1] for label in stated}
        else:
            assert set(record.codes) == set(stated)
        if row["patient_id"] and folder != "ptb-xl-challenge":
            assert record.subject == row["patient_id"].removeprefix("LUDB ")
            assert record.subject_known


def test_copies_have_one_identity(real_data):
    places = locate(real_data, ["ptbxl", "ptbxl-challenge"])
    original = {r.publisher_id: r for r in map(dataset("ptbxl").read, dataset("ptbxl").find(places["ptbxl"])[:10])}
    for header in dataset("ptbxl-challenge").find(places["ptbxl-challenge"])[:10]:
        copy = dataset("ptbxl-challenge").read(header)
        assert copy.publisher == "ptbxl"
        assert copy.signal_digest == original[copy.publisher_id].signal_digest
        assert not copy.subject_known


def test_episodes_of_cpsc2021(real_data):
    d = dataset("cpsc2021")
    records = {h.stem: d.read(h) for h in d.find(locate(real_data, ["cpsc2021"])["cpsc2021"])}
    assert sum(len(r.episodes) for r in records.values()) == 18
    assert sum(r.seconds for r in records.values()) / 60 == pytest.approx(71, abs=0.5)
    assert len({r.subject for r in records.values()}) == 6
    assert {r.labels for r in records.values() if r.codes == ("non atrial fibrillation",)} == {frozenset()}
    for r in records.values():
        if r.codes == ("persistent atrial fibrillation",):
            (episode,) = r.episodes
            assert (episode.start, episode.end) == (0, r.seconds)
    assert [e.rhythm for e in records["data_25_24"].episodes] == ["AFL"] * 3
    assert [(e.start, e.end) for e in records["data_101_6"].episodes][-1] == (21303 / 200, 22355 / 200)


def test_folds_and_sex_of_ptbxl(real_data):
    d = dataset("ptbxl")
    first = d.read(d.find(locate(real_data, ["ptbxl"])["ptbxl"])[0])
    assert (first.record, first.subject, first.strat_fold, first.sex, first.age) == (
        "00001_hr",
        "15709",
        3,
        "female",
        56,
    )
    assert first.superclasses == {"NORM"}
