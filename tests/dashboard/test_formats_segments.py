"""WFDB records of several segments: put together as the wfdb package does it, by name only."""

import numpy as np
import pytest

from ecg_ramba.data.leads import LEADS

RATE, PART = 500, 2000


@pytest.fixture
def record(make, tmp_path):
    """``record(lines)``: files of a record whose segments are parts of a known signal, and the signal."""
    signal = make.ecg(RATE, 12)

    def made(*lines, leads=(LEADS, LEADS, LEADS)):
        files = {}
        for i, names in enumerate(leads):
            part = signal[[LEADS.index(n) for n in names], i * PART : (i + 1) * PART]
            files |= make.wfdb(tmp_path, f"part{i}", signal=part, leads=names)
        samples = sum(int(line.split()[1]) for line in lines)
        header = f"whole/{len(lines)} 12 {RATE} {samples}\n" + "".join(f"{line}\n" for line in lines)
        (tmp_path / "whole.hea").write_text(header)
        return {"whole.hea": header.encode()} | files, signal

    return made


def by_wfdb(folder):
    import wfdb

    read = wfdb.rdrecord(str(folder / "whole"))
    return dict(zip(read.sig_name, read.p_signal.T, strict=True))


def test_segments_follow_one_another(client, record, tmp_path):
    files, signal = record("part0 2000", "part1 2000", "part2 2000")
    item = client.one(files)
    assert (item["name"], item["format"], item["error"]) == ("whole", "WFDB", "")
    assert item["understood"]["samples"] == 3 * PART
    assert "3 segments put together" in item["understood"]["notes"]
    right = by_wfdb(tmp_path)
    for i, lead in enumerate(LEADS):
        found = client.lead(item["id"], lead)
        assert np.abs(found - right[lead]).max() < 1e-6
        assert np.abs(found - signal[i]).max() < 1e-3
    assert [i["name"] for i in client.get("/api/recordings").json()["items"]].count("part0") == 0


def test_gaps_and_leads_that_a_segment_lacks_are_missing(client, record, make, tmp_path):
    some = LEADS[:2] + LEADS[6:]
    layout = "layout 12 500 0\n" + "".join(f"~ 0 1000/mV 16 0 0 0 0 {lead}\n" for lead in LEADS)
    (tmp_path / "layout.hea").write_text(layout)
    files, _ = record("layout 0", "part0 2000", "~ 500", "part1 2000", leads=(LEADS, some))
    item = client.one(files | {"layout.hea": layout.encode()})
    assert item["understood"]["samples"] == 2 * PART + 500
    assert "gaps between segments make 1.0 s without a sample" in item["understood"]["notes"]
    right = by_wfdb(tmp_path)
    for lead in ("II", "V1", "aVF"):
        np.testing.assert_allclose(client.lead(item["id"], lead), right[lead], atol=1e-6)
    gone = np.isnan(client.lead(item["id"], "aVF"))
    assert not gone[:PART].any()
    assert gone[PART:].all()
    assert len(client.get("/api/recordings?search=layout").json()["items"]) == 0


def test_in_an_archive(client, record, make):
    files, _ = record("part0 2000", "part1 2000", leads=(LEADS, LEADS))
    item = client.one(("all.zip", make.zip({f"folder/{name}": content for name, content in files.items()})))
    assert (item["name"], item["understood"]["samples"]) == ("whole", 2 * PART)


WRONG = {
    "not sent with it": ("part0 2000", "part9 2000"),
    "has 2000 samples, and the header says 1999": ("part0 2000", "part1 1999"),
    "does not list them": ("part0 2000", "part1 many"),
    "all gaps": ("~ 2000", "~ 2000"),
    "consists of segments itself": ("whole 2000",),
}


@pytest.mark.parametrize("why", WRONG)
def test_what_cannot_be_put_together_says_why(client, record, why):
    lines = [line for line in WRONG[why] if line != "part1 many"]
    files, _ = record(*lines, leads=(LEADS, LEADS))
    if lines != list(WRONG[why]):
        files["whole.hea"] = f"whole/2 12 {RATE} 4000\npart0 2000\npart1 many\n".encode()
    refused = [i for i in (client.settled(one["id"]) for one in client.upload(files)["items"]) if i["name"] == "whole"]
    assert [item["status"] for item in refused] == ["refused"]
    assert why in refused[0]["error"]


def test_no_segment_is_read_that_was_not_sent(client, record, tmp_path):
    outside = tmp_path / "secret.hea"
    files, _ = record("part0 2000", "part1 2000", leads=(LEADS, LEADS))
    outside.write_bytes(files["part1.hea"])
    for name in (str(outside.with_suffix("")), "../secret", f"{'../' * 12}{outside.with_suffix('')}"):
        header = f"whole/2 12 {RATE} 4000\npart0 2000\n{name} 2000\n".encode()
        (item,) = client.upload(files | {"whole.hea": header, "part1.hea": b"", "part1.dat": b""})["items"][:1]
        refused = client.settled(item["id"])
        assert (refused["status"], "not sent with it" in refused["error"]) == ("refused", True)


def test_another_rate_is_refused(client, record, make, tmp_path):
    files, signal = record("part0 2000", "part1 2000", leads=(LEADS, LEADS))
    files |= make.wfdb(tmp_path, "part1", signal=signal[:, :PART], rate=250.0)
    item = client.one(files)
    assert (item["status"], "different rates (250, 500)" in item["error"]) == ("refused", True)


def test_edf_in_pieces_says_so(client, make, tmp_path):
    content = bytearray(make.edf(tmp_path, make.ecg(), LEADS))
    content[192:197] = b"EDF+D"
    item = client.one(("pieces.edf", bytes(content)))
    assert item["status"] == "refused"
    assert "EDF+D file: 13 signals in 10 records with gaps" in item["error"]
    assert "EDF+C" in item["error"]


def test_dicom_of_either_byte_order_is_the_same(client, make):
    signal = make.ecg()
    one, other = (client.one((f"{order}.dcm", make.dicom(signal, LEADS, order=order))) for order in "<>")
    assert (one["error"], other["error"]) == ("", "")
    for lead in LEADS:
        np.testing.assert_array_equal(client.lead(one["id"], lead), client.lead(other["id"], lead))
