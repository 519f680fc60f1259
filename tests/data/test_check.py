"""The load report: everything is counted once, nothing is lost, and each refusal has its cause."""

import io
import json

import pytest
from rich.console import Console

from ecg_ramba.data.check import check
from ecg_ramba.data.check_text import render
from ecg_ramba.data.labels import mapping_digest
from ecg_ramba.errors import UserError


def _text(report):
    console = Console(file=io.StringIO(), width=200)
    render(report, console)
    return console.file.getvalue()


@pytest.fixture
def folder(tmp_path, files):
    georgia = tmp_path / "georgia"
    for i, dx in enumerate(["426783006", "164889003,59118001", "", "55827005", "10370003"]):
        files.write_record(georgia, f"E0000{i}", files.ecg(12, 600, seed=i), comments=(f"#Dx: {dx}",))
    files.write_record(georgia, "E00005", files.ecg(12, 600, seed=1))  # the samples of E00001
    flat = files.ecg(12, 600, seed=6)
    flat[[3, 4]] = 0
    files.write_record(georgia, "E00006", flat, gain="4880/mV", record_line="E00006.mat 12 500 600")
    files.write_record(georgia, "E00007", files.ecg(12, 600, seed=7))
    (georgia / "E00007.mat").write_bytes((georgia / "E00007.mat").read_bytes()[:500])
    files.write_record(georgia, "E00008", files.ecg(12, 600, seed=8))
    (georgia / "E00008.mat").unlink()
    files.write_record(georgia, "X1", files.ecg(12, 600, seed=9))
    (georgia / "E00009.mat").write_bytes(b"no header")
    files.write_dynamic(tmp_path / "cpsc2021", "data_1_1", [(100, 28, "(AFIB")])
    files.write_ptbxl(tmp_path / "ptbxl", [(7, "3.0", 50.0, 1, "{'SR': 0.0}", "", 1)], both=True)
    files.write_record(
        tmp_path / "ptbxl-challenge", "HR00007", files.ecg(12, 5000, seed=7), comments=("#Dx: 426783006",)
    )
    return tmp_path


def test_report(folder):
    seen = []
    report = check(folder, progress=lambda done, total: seen.append((done, total)))
    by_name = {d.name: d for d in report.datasets}
    assert set(by_name) == {"georgia", "cpsc2021", "ptbxl", "ptbxl-100", "ptbxl-challenge"}
    georgia = by_name["georgia"]
    assert (georgia.files, georgia.records, georgia.unlabelled, georgia.none_of_classes) == (9, 7, 1, 1)
    assert georgia.labels == {"AF": 1, "PR": 1, "RBBB": 1, "SNR": 3}
    assert (georgia.subjects, georgia.subjects_known, georgia.paced) == (7, False, 1)
    assert georgia.dead_leads == {"aVL": 1, "aVR": 1}
    assert georgia.records_with_dead_leads == 1
    assert georgia.warnings == {"legacy gain": 1, "record line repaired": 1}
    assert (georgia.rates, georgia.seconds_min) == ({"500": 7}, 1.2)
    assert [(r.record, r.cause.split(":")[0]) for r in report.refused] == [
        ("E00007", "truncated"),
        ("E00008", "the signal file is missing"),
    ]
    assert by_name["cpsc2021"].episodes == 1
    assert ["georgia/E00001", "georgia/E00005"] in report.duplicates
    assert ["ptbxl/00007_hr", "ptbxl-challenge/HR00007"] in report.duplicates
    assert report.same_identity == [["ptbxl/00007_hr", "ptbxl-100/00007_lr", "ptbxl-challenge/HR00007"]]
    assert [path.rsplit("/", 1)[1] for path in report.unclaimed] == ["X1.hea"]
    assert [path.rsplit("/", 1)[1] for path in report.orphans] == ["E00009.mat"]
    assert seen[-1] == (13, 13)
    assert report.labels_sha256 == mapping_digest()
    # Nothing is lost: every header is loaded, refused or said to be nobody's.
    assert report.records + len(report.refused) + len(report.unclaimed) == len(list(folder.rglob("*.hea")))


def test_report_as_text_and_json(folder):
    report = check(folder)
    text = _text(report)
    for said in ("georgia", "7*", "SNR 3, AF 1", "1 x legacy gain", "E00007.mat: truncated", "X1.hea", "E00009.mat"):
        assert said in text
    assert "13 records: 11 load, 2 refused" in text
    assert json.loads(report.to_json())["refused"][0]["file"].endswith("E00007.mat")


def test_processes_read_the_same(folder, files):
    for i in range(80):
        files.write_record(folder / "cpsc2018", f"A{i:04d}", files.ecg(12, 600, seed=100 + i))
    assert check(folder, workers=2).to_json() == check(folder).to_json()


def test_only_named_data_sets(folder):
    report = check(folder, ["cpsc2021"])
    assert [d.name for d in report.datasets] == ["cpsc2021"]
    assert report.unclaimed == []
    with pytest.raises(UserError, match="ludb"):
        check(folder, ["ludb"])


def test_a_clean_folder_has_nothing_to_say(tmp_path, files):
    files.write_record(tmp_path / "georgia", "E00001", files.ecg(12, 600))
    report = check(tmp_path)
    assert (report.refused, report.duplicates, report.same_identity, report.unclaimed) == ([], [], [], [])
    assert "No records with the same samples" in _text(report)


def test_all_real_records_load(real_data):
    report = check(real_data)
    total = sum(d.files for d in report.datasets)
    assert report.records + len(report.refused) == total
    assert len(report.refused) == 0, report.refused
    assert report.unclaimed == []
    # PROVENANCE: no two records with one signal but HR00001-HR00010 and 00001_hr-00010_hr.
    assert report.duplicates == [[f"ptbxl/{i:05d}_hr", f"ptbxl-challenge/HR{i:05d}"] for i in range(1, 11)]
