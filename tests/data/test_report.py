"""The report on a folder: what it counts is there, what would leak is found, and the page needs no other file."""

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from ecg_ramba import cli
from ecg_ramba.data.check import load_report
from ecg_ramba.data.reading import read_folder
from ecg_ramba.data.report import facts
from ecg_ramba.data.report.report import write_report
from ecg_ramba.errors import UserError


@pytest.fixture
def folder(tmp_path, files):
    """Georgia with labels, a dead lead, an artefact, a copy, a scaled copy and a broken file; PTB-XL in three forms."""
    root = tmp_path / "data"
    georgia = root / "georgia"
    for i, dx in enumerate(["426783006", "164889003,59118001", "", "426783006"]):
        comments = (f"#Age: {40 + i}", "#Sex: Female", f"#Dx: {dx}")
        files.write_record(georgia, f"E0000{i}", files.ecg(12, 5000, seed=i), comments=comments)
    files.write_record(georgia, "E00005", files.ecg(12, 5000, seed=1))  # the samples of E00001
    files.write_record(georgia, "E00006", files.ecg(12, 5000, seed=2) // 2)  # E00002, half as large
    broken = files.ecg(12, 5000, seed=6)
    broken[[3, 4]] = 0
    broken[7, 100] = 32000
    files.write_record(georgia, "E00007", broken)
    files.write_record(georgia, "E00008", files.ecg(12, 5000, seed=8))
    (georgia / "E00008.mat").write_bytes(b"")
    rows = [(7, "3.0", 50.0, 1, "{'SR': 0.0}", "", 1), (8, "3.0", 51.0, 1, "{'SR': 0.0}", "", 2)]
    files.write_ptbxl(root / "ptbxl", rows, both=False)
    files.write_record(root / "ptbxl-challenge", "HR00007", files.ecg(12, 5000, seed=7), comments=("#Dx: 426783006",))
    return root


@pytest.fixture
def found(folder):
    return read_folder(folder, fingerprints=True)


def test_counts(found):
    frame = facts.records_frame(found)
    counts = facts.label_counts(frame)
    assert counts.loc["SNR"].to_dict() == {"georgia": 5, "ptbxl": 2, "ptbxl-challenge": 1}
    assert counts.loc["AF"].to_dict() == {"georgia": 1, "ptbxl": 0, "ptbxl-challenge": 0}
    georgia, ptbxl, _ = facts.people(frame)
    assert georgia[:4] == ["georgia", "7", "7*", "1"]
    assert ptbxl[:6] == ["ptbxl", "2", "1", "2", "50 (50 to 51)", "0"]
    assert ptbxl[6] == "100%"
    assert facts.parts(frame) == [["ptbxl", "1", "2", "1"]]
    signals = {row[0]: row for row in facts.signals(frame)}
    assert signals["georgia"][1:5] == ["500", "10 s", "1 (14.3%)", "1 (14.3%)"]


def test_the_worst_comes_first(found):
    frame = facts.records_frame(found).set_index("name")
    assert frame["badness"].idxmax() == "georgia/E00007"
    # two of twelve leads, all of the 32 mV beyond 5, and noise that obeys no law
    assert frame.loc["georgia/E00007", "badness"] == pytest.approx(2 / 12 + 1 + 1)


def test_what_would_leak(found):
    frame, near = facts.records_frame(found), facts.near_pairs(found)
    names = frame["name"].to_numpy()
    pairs = {frozenset((names[a], names[b])): r for a, b, _, r in near.itertuples(index=False)}
    assert pairs == {frozenset(("georgia/E00002", "georgia/E00006")): facts.DIFFERENT}
    table = facts.overlaps(frame, load_report(found, True).duplicates, near)
    assert table.loc["georgia"].to_dict() == {"georgia": 4, "ptbxl": 0, "ptbxl-challenge": 0}
    assert table.loc["ptbxl"].to_dict() == {"georgia": 0, "ptbxl": 0, "ptbxl-challenge": 1}


def test_relations(found):
    by = {f"{c.dataset}/{c.record}": c for c in found.checked}
    assert facts.relation(by["ptbxl/00007_hr"], by["ptbxl-challenge/HR00007"]) == facts.SAME
    assert facts.relation(by["ptbxl/00007_hr"], by["ptbxl/00008_hr"]) == facts.SUBJECT
    assert facts.relation(by["georgia/E00001"], by["georgia/E00005"]) == facts.DIFFERENT


def test_the_page(folder, tmp_path):
    out = tmp_path / "out"
    written = write_report(folder, out, gallery=3)
    names = [path.name for path in written]
    assert names[:5] == ["report.md", "report.html", "records.csv", "near_duplicates.csv", "refused.csv"]
    text, page = (out / "report.md").read_text(), (out / "report.html").read_text()
    for words in ("the signal file is empty", "georgia/E00007", "CC BY 4.0", "unknown", "different subjects | 1 |"):
        assert words in text
    assert "11 recordings below" in text
    assert ": 10 load." in text
    images = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert len(images) == 4 + 3
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in images)
    assert page.count("data:image/png;base64,") == len(images)
    assert not re.search(r'(src|href)="(?!data:|#)', page), "nothing is fetched from elsewhere"
    assert len(pd.read_csv(out / "records.csv")) == 10
    assert pd.read_csv(out / "refused.csv")["record"].tolist() == ["E00008"]
    assert "SYNTHETIC" not in text


def test_the_same_twice(folder, tmp_path):
    for name in ("a", "b"):
        write_report(folder, tmp_path / name, gallery=1)
    one, other = (
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*") if p.is_file()} for n in "ab"
    )
    assert one == other


def test_from_the_command_line(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["data", "report", str(folder), "--only", "ptbxl", "--to", str(out), "--gallery", "0"]) == 0
    assert capsys.readouterr().out == f"report: {out / 'report.html'}\n"
    assert "georgia" not in (out / "report.md").read_text()
    assert cli.main(["data", "report", str(folder), "--gallery", "-1", "--to", str(out)]) == 2
    assert "--gallery -1: 0 or more" in capsys.readouterr().err


def test_synthetic_recordings_are_called_so(cohort, tmp_path):
    write_report(cohort, tmp_path, ["synthetic-third"], gallery=0)
    assert (tmp_path / "report.md").read_text().split("\n\n")[1].startswith("> **SYNTHETIC, nobody's recordings")


def test_nothing_that_loads_is_an_error(tmp_path, files):
    files.write_record(tmp_path / "georgia", "E00001", files.ecg(12, 600))
    (tmp_path / "georgia" / "E00001.mat").write_bytes(b"")
    with pytest.raises(UserError, match=r"no record of .* loads; the first of 1: .*E00001\.mat"):
        write_report(tmp_path, tmp_path / "out")


def test_real_recordings(real_data):
    """PTB-XL's other forms are near their originals; nobody else's recordings are."""
    found = read_folder(real_data, fingerprints=True, workers=2)
    near = facts.near_pairs(found)
    assert set(near["relation"]) == {facts.SAME}
    forms = Counter(c.publisher_id for c in found.checked if c.dataset in ("ptbxl", "ptbxl-100"))
    pairs = {
        found.checked[a].publisher_id
        for a, b in zip(near["one"], near["other"], strict=True)
        if {found.checked[a].dataset, found.checked[b].dataset} == {"ptbxl", "ptbxl-100"}
    }
    assert len(pairs) > 0.98 * sum(n > 1 for n in forms.values()) > 300
    assert np.isfinite(near["similarity"]).all()
