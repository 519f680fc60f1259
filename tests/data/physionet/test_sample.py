"""Samples: the greedy choice against brute force, and the records that each data set gives up for it."""

import csv
import itertools
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_ramba.data.check import check
from ecg_ramba.data.labels import ludb_labels
from ecg_ramba.data.physionet.sample import _of_ludb, by_record, diverse
from ecg_ramba.data.registry import dataset
from ecg_ramba.data.wfdb_header import read_header
from ecg_ramba.errors import UserError
from tests.data.physionet.mirror import get, tree

labelled = st.dictionaries(st.text("abcdef", min_size=1), st.frozensets(st.sampled_from("ABCDEF")), max_size=8)


def union(labels, chosen):
    return frozenset().union(*(labels[r] for r in chosen))


@given(labelled, st.integers(0, 9), st.integers(0, 3))
@settings(deadline=None, max_examples=100)
def test_a_choice(labels, n, seed):
    chosen = diverse(labels, n, seed)
    assert len(chosen) == len(set(chosen)) == min(n, len(labels))
    assert set(chosen) <= set(labels)
    assert chosen == diverse(dict(reversed(labels.items())), n, seed)
    assert chosen == diverse(labels, len(labels), seed)[:n]
    best = max((len(union(labels, c)) for c in itertools.combinations(labels, len(chosen))), default=0)
    found = len(union(labels, chosen))
    # The bound of greedy covering; with as many records as labels nothing is left out.
    assert found >= math.ceil((1 - 1 / math.e) * best - 1e-9)
    if n >= len(union(labels, labels)):
        assert found == best == len(union(labels, labels))


def test_rare_labels_come_first_and_all_are_covered_evenly():
    labels = {f"n{i}": frozenset({"normal"}) for i in range(90)} | {f"a{i}": frozenset({"AF"}) for i in range(9)}
    labels |= {"rare": frozenset({"VF"}), "none": frozenset()}
    assert diverse(labels, 1) == ["rare"]
    assert {r[0] for r in diverse(labels, 3)} == {"r", "a", "n"}
    nine = diverse(labels, 9)
    assert [sum(r[0] == kind for r in nine) for kind in "ran"] == [1, 4, 4]
    assert diverse(labels, 101)[-1] == "none"
    assert diverse(labels, 9, seed=1) != nine
    assert diverse({}, 3) == diverse(labels, 0) == []


@pytest.mark.parametrize(
    ("name", "paths", "records"),
    [
        ("chapman", ["WFDBRecords/01/010/JS00001.hea", "WFDBRecords/01/010/JS00001.mat"], 1),
        ("cpsc2021", ["Training_set_I/data_0_1.hea", "Training_set_I/data_0_1.atr", "Training_set_I/data_0_10.hea"], 2),
        (
            "ptbxl",
            ["records500/00000/00001_hr.hea", "records100/00000/00001_lr.dat", "records500/00000/00002_hr.dat"],
            2,
        ),
        ("ludb", ["data/1.hea", "data/1.avr", "data/10.i", "data/10.hea"], 2),
    ],
)
def test_files_of_a_record(name, paths, records):
    found = by_record(dataset(name), [*paths, "RECORDS", "a/LICENSE.txt"])
    assert len(found) == records + 1
    assert found[""] == ["RECORDS", "a/LICENSE.txt"]
    assert sorted(p for files in found.values() for p in files) == sorted([*paths, "RECORDS", "a/LICENSE.txt"])


def taken(place, name, report):
    """Names of the records that a sample has, once it is seen that nothing else is there."""
    assert not report.refused + report.unclaimed + report.orphans
    return sorted(p.stem for p in dataset(name).find(place / name))


def test_of_chapman(mirror, files, tmp_path):
    folder = tmp_path / "made"
    dx = {f"JS{i:05d}": "426177001" for i in range(1, 31)} | {"JS00007": "164889003,426177001", "JS20000": "59118001"}
    for i, (name, codes) in enumerate(dx.items()):
        signal = files.ecg(12, 600, seed=i)
        files.write_record(folder / "WFDBRecords" / "01", name, signal, comments=(f"#Dx: {codes}",))
    (folder / "WFDBRecords" / "01" / "JS00003.hea").write_text("damaged")
    (folder / "ConditionNames_SNOMED-CT.csv").write_text("names")
    mirror.publish("ecg-arrhythmia/1.0.0", folder)
    del mirror.files["ecg-arrhythmia/1.0.0/WFDBRecords/01/JS00004.hea"]
    outcome, said = get(mirror, tmp_path, "chapman", sample=4)
    assert mirror.times(".hea") == 31 + 4  # ten headers for each record wanted are more than there are
    assert mirror.times(".mat") == 4
    assert re.search(r"2 headers cannot be had or read, .*: \S*JS0000[34].hea, \S*JS0000[34].hea", said)
    assert "with 3 of the 3 labels of the 29 records" in said
    names = taken(tmp_path, "chapman", check(tmp_path / "chapman"))
    assert {"JS00007", "JS20000"} < set(names)
    assert len(names) == 4
    assert (tmp_path / "chapman" / "ConditionNames_SNOMED-CT.csv").is_file()
    mirror.asked.clear()
    again, _ = get(mirror, tmp_path, "chapman", sample=4)
    assert (again.fetched, again.there) == (0, outcome.fetched)
    assert {path.split("/")[-1] for path, _ in mirror.asked} == {"SHA256SUMS.txt", "JS00004.hea"}
    few, _ = get(mirror, tmp_path / "few", "chapman", sample=1)
    assert few.fetched == 3
    assert len(list((tmp_path / "few" / "chapman" / ".download-headers").rglob("*.hea"))) in (9, 10)


def test_of_cpsc2021(mirror, files, tmp_path):
    folder = tmp_path / "made"
    for subject, kind in enumerate(["non", "paroxysmal", "persistent", "non", "non", "non"]):
        for i in range(3):
            marks = [] if kind == "non" else [(0, 28, "(AFIB"), (500, 28, "(N")]
            name, place = f"data_{subject}_{i}", folder / f"Training_set_{'I' * (1 + subject % 2)}"
            files.write_dynamic(place, name, marks, n_samples=600, comment=f"# {kind} atrial fibrillation")
    mirror.publish("cpsc2021/1.0.0", folder)
    _, said = get(mirror, tmp_path / "to", "cpsc2021", sample=4)
    names = taken(tmp_path / "to", "cpsc2021", check(tmp_path / "to"))
    assert "3 of the 3 labels" in said
    subjects = [name.split("_")[1] for name in names]
    assert len(set(subjects)) == 4
    assert {"1", "2"} < set(subjects)
    assert mirror.times(".hea") == 6 + 4
    get(mirror, tmp_path / "more", "cpsc2021", sample=8)
    names = taken(tmp_path / "more", "cpsc2021", check(tmp_path / "more"))
    assert (len(names), len({name.split("_")[1] for name in names})) == (8, 6)


def test_of_ptbxl(mirror, files, tmp_path):
    common, rare = "{'NORM': 100.0, 'SR': 0.0}", "{'IMI': 100.0, 'AFIB': 0.0}"
    rows = [(i, f"{i}.0", 50.0, 1, rare if i == 5 else common, "", 1) for i in range(1, 9)]
    files.write_ptbxl(tmp_path / "made", rows)
    mirror.publish("ptb-xl/1.0.3", tmp_path / "made")
    outcome, said = get(mirror, tmp_path / "to", "ptbxl", sample=2)
    assert "with 4 of the 4 labels of the 8 records" in said
    assert outcome.fetched == 1 + 2 * 4
    report = check(tmp_path / "to")
    assert [(d.name, d.records) for d in report.datasets] == [("ptbxl", 2), ("ptbxl-100", 2)]
    assert "00005_hr" in taken(tmp_path / "to", "ptbxl", report)
    assert get(mirror, tmp_path / "to", "ptbxl", sample=99)[0].fetched == 6 * 4
    assert len(check(tmp_path / "to", ["ptbxl"]).datasets) == 1


def test_of_ptbxl_without_its_table(mirror, files, tmp_path):
    files.write_ptbxl(tmp_path / "made", [(1, "1.0", 50.0, 1, "{}", "", 1)])
    mirror.publish("ptb-xl/1.0.3", tmp_path / "made")
    del mirror.files["ptb-xl/1.0.3/ptbxl_database.csv"]
    with pytest.raises(UserError, match=r"ptbxl_database.csv: the table of records is missing"):
        get(mirror, tmp_path / "to", "ptbxl", sample=1)


@pytest.mark.parametrize("table", [True, False])
def test_of_ludb(mirror, files, tmp_path, table):
    folder = tmp_path / "made"
    for i in range(1, 13):
        rhythm = "Atrial fibrillation" if i == 7 else "Sinus rhythm"
        comments = ("#<age>: 51", "#<diagnoses>:", f"#Rhythm: {rhythm}.")
        files.write_record(folder / "data", str(i), files.ecg(12, 600, seed=i), kind="dat", comments=comments)
        (folder / "data" / f"{i}.avr").write_bytes(b"beats")
    if table:
        rows = [["ID", "Sex", "Age", "Rhythms"]]
        rows += [[f"{i}", "M\n", "50\n", "Atrial fibrillation" if i == 7 else "Sinus rhythm"] for i in range(1, 13)]
        with open(folder / "ludb.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows)
    mirror.publish("ludb/1.0.1", folder)
    outcome, said = get(mirror, tmp_path, "ludb", sample=2)
    assert outcome.fetched == table + 2 * 3
    assert "with 2 of the 2 labels of the 12 records" in said
    assert mirror.times(".hea") == (2 if table else 12 + 2)
    assert "7" in taken(tmp_path, "ludb", check(tmp_path / "ludb"))
    assert len(tree(tmp_path / "ludb")) == outcome.fetched


def test_ludb_s_table_says_what_its_headers_say(real_data):
    table = real_data / "ludb" / "ludb.csv"
    headers = {p.stem: p for p in dataset("ludb").find(real_data / "ludb")}
    found = _of_ludb(table, [f"data/{name}" for name in headers])
    assert len(found) == len(headers)
    for name, path in headers.items():
        read = ludb_labels(c.rstrip(". ") for c in read_header(path).comments)
        assert ("AF" in read) == ("Atrial fibrillation" in found[f"data/{name}"])
        assert ("SNR" in read) == ("Sinus rhythm" in found[f"data/{name}"])
