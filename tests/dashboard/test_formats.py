"""Each format's reader gives back the samples that were written, with names, units and rate where they are there."""

import numpy as np
import pytest

from ecg_ramba.dashboard.formats.reading import FormatError
from ecg_ramba.dashboard.formats.sniff import kind_of, read_files
from ecg_ramba.dashboard.formats.understand import understand
from ecg_ramba.data.leads import LEADS

HALF_BIT = 0.0006
"""Millivolts: what rounding to whole microvolts leaves."""


@pytest.fixture
def read(tmp_path):
    """Reads bytes as they would be uploaded: ``read(content, name, **answers)`` gives (understood, millivolts)."""

    def reading(content, name, **answers):
        files = content if isinstance(content, dict) else {name: content}
        paths = {}
        for i, (sent, part) in enumerate(files.items()):
            paths[sent] = tmp_path / f"sent{i}"
            paths[sent].write_bytes(part)
        kind = "WFDB" if any(n.endswith(".hea") for n in files) else kind_of(content[:1024], name)
        found = read_files(paths, name.rpartition(".")[0], kind)
        understood = understand(found, answers, 48)
        scale = understood.scale or [np.nan] * len(understood.leads)
        values = {lead: found.signal[i] * scale[i] for i, lead in enumerate(understood.leads) if lead != "-"}
        return understood, values

    return reading


def check(values, truth, leads=LEADS, tolerance=HALF_BIT):
    assert list(values) == list(leads)
    np.testing.assert_allclose(np.array(list(values.values())), truth, atol=tolerance, rtol=0)


def fields(understood):
    return [q.field for q in understood.questions]


@pytest.mark.parametrize("fmt", ["16", "24", "32", "80", "212", "516", "524"])
def test_wfdb_in_every_format_that_wfdb_writes(make, tmp_path, read, fmt):
    truth, gain = make.ecg(seconds=4.0), 40.0 if fmt == "80" else 1000.0
    understood, values = read(make.wfdb(tmp_path / "w", signal=truth, fmt=fmt, gain=gain), "A0001.hea")
    assert (understood.rate, understood.units, fields(understood)) == (500.0, "mV", [])
    check(values, truth, tolerance=0.6 / gain)


def test_wfdb_in_microvolts_and_of_few_leads(make, tmp_path, read):
    truth = make.ecg(257.0, 6.0, ("V5", "II"))
    files = make.wfdb(tmp_path / "w", signal=truth * 1000, leads=("V5", "MLII"), rate=257.0, units="uV", gain=1.0)
    understood, values = read(files, "A0001.hea")
    check(values, truth, ("V5", "II"))
    assert understood.rate == 257.0
    assert any("MLII is a modified limb lead" in note for note in understood.notes)


def test_wfdb_of_fifteen_leads(make, tmp_path, read):
    truth = make.ecg()
    leads = (*LEADS, "vx", "vy", "vz")
    files = make.wfdb(tmp_path / "w", signal=np.vstack([truth, truth[:3]]), leads=leads)
    understood, values = read(files, "A0001.hea")
    check(values, truth)
    assert any("left out: vx, vy, vz" in note for note in understood.notes)


def test_wfdb_with_unknown_names_is_asked(make, tmp_path, read):
    files = make.wfdb(tmp_path / "w", signal=make.ecg(leads=("I", "II")), leads=("ECG1", "ECG2"))
    understood, _ = read(files, "A0001.hea")
    assert fields(understood) == ["leads"]
    assert understood.questions[0].suggested == "I, II"
    understood, values = read(files, "A0001.hea", leads=["-", "V2"])
    check(values, make.ecg(leads=("II",)), ("V2",))


def test_wfdb_header_cannot_name_a_path(make, tmp_path, read):
    files = make.wfdb(tmp_path / "w")
    files["A0001.hea"] = files["A0001.hea"].replace(b"A0001.dat", b"../../../../etc/passwd")
    with pytest.raises(FormatError, match="not beside the header"):
        read(files, "A0001.hea")


@pytest.mark.parametrize("version", ["4", "5"])
def test_matlab(make, read, version):
    truth = make.ecg()
    understood, values = read(make.mat(version, val=truth, fs=500.0), "x.mat")
    check(values, truth, tolerance=1e-6)
    assert (understood.rate, understood.units) == (500.0, "mV")
    assert any("usual order" in note for note in understood.notes)
    understood, values = read(make.mat(version, val=truth.T, fs=500.0), "x.mat")
    check(values, truth, tolerance=1e-6)


def test_matlab_structure_with_names_and_units(make, read):
    truth = make.ecg(leads=("V2", "II"))
    names = np.array(["V2", "II"], dtype=object)
    content = make.mat(ECG={"data": truth * 1000, "fs": 250, "leads": names, "units": "uV"})
    understood, values = read(content, "x.mat")
    check(values, truth, ("V2", "II"), 1e-6)
    assert (understood.rate, understood.units, fields(understood)) == (250.0, "uV", [])


def test_matlab_counts_are_asked(make, read):
    understood, _ = read(make.mat(val=np.round(make.ecg() * 1000).astype(np.int16)), "x.mat")
    assert fields(understood) == ["rate", "units"]
    assert [q.suggested for q in understood.questions] == ["500", "uV"]
    understood, values = read(make.mat(val=make.ecg() * 1000), "x.mat", rate=500, units="uV")
    check(values, make.ecg(), tolerance=1e-6)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " "])
@pytest.mark.parametrize("decimal", [".", ","])
def test_csv_delimiters_and_decimal_comma(make, read, delimiter, decimal):
    if delimiter == decimal:
        return
    truth = make.ecg()
    content = make.csv(truth, LEADS, delimiter, decimal, time=np.arange(5000) / 500)
    content = content.replace(LEADS[0].encode(), b"time" + delimiter.encode() + LEADS[0].encode(), 1)
    understood, values = read(content, "x.csv")
    check(values, truth, tolerance=1e-9)
    assert (understood.rate, understood.units, fields(understood)) == (500.0, "mV", [])


@pytest.mark.parametrize(
    ("header", "per_second", "rate"),
    [("time (ms)", 1000, 250.0), ("t [s]", 1, 250.0), ("Time", 1, 250.0), ("time_ms", 1000, 250.0)],
)
def test_csv_time_column(make, read, header, per_second, rate):
    truth = make.ecg(rate, leads=("II",))
    time = np.arange(truth.shape[1]) / rate * per_second
    understood, values = read(make.csv(truth, [header, "II (mV)"], time=time), "x.csv")
    check(values, truth, ("II",), 1e-9)
    assert understood.rate == rate


def test_csv_without_header_and_rate_asks(make, read):
    understood, values = read(make.csv(make.ecg()), "x.csv")
    assert fields(understood) == ["rate"]
    assert understood.questions[0].suggested == "500"
    check(values, make.ecg(), tolerance=1e-9)
    understood, _ = read(make.csv(make.ecg(), time=np.arange(5000)), "x.csv")
    assert any("counts the samples" in note for note in understood.notes)


def test_csv_states_rate_and_units_above(make, read):
    content = make.csv(make.ecg(1000.0) * 1000, LEADS, ";", preamble="# Sampling rate: 1000 Hz\n# units: uV\n")
    understood, values = read(content, "x.csv")
    assert (understood.rate, understood.units, fields(understood)) == (1000.0, "uV", [])
    check(values, make.ecg(1000.0), tolerance=1e-6)


def test_csv_leads_as_rows_and_gaps(make, read):
    truth = make.ecg(leads=("I", "II"))
    truth[1, 100:150] = np.nan
    content = make.csv(truth, ["I", "II"]).replace(b"nan", b"")
    understood, values = read(content, "x.csv", rate=500)
    np.testing.assert_allclose(values["II"], truth[1], atol=1e-9)
    lying = "\n".join(",".join(f"{v:g}" for v in row) for row in make.ecg()).encode()
    understood, values = read(lying, "x.csv", rate=500)
    check(values, make.ecg(), tolerance=1e-4)
    assert "leads are rows" in understood.notes


def test_csv_in_utf16(make, read):
    content = make.csv(make.ecg(), LEADS, "\t").decode().encode("utf-16")
    _, values = read(content, "x.txt", rate=500)
    check(values, make.ecg(), tolerance=1e-9)


def test_json(make, read):
    understood, values = read(make.json(make.ecg(), rate=500), "x.json")
    check(values, make.ecg(), tolerance=1e-6)
    assert fields(understood) == []
    wrapped = b'{"dataframe_records": [' + make.json(make.ecg() * 1000, rate=500, units="uV") + b"]}"
    understood, values = read(wrapped, "x.json")
    check(values, make.ecg(), tolerance=1e-6)
    assert understood.units == "uV"


def test_json_in_the_wrong_unit_is_asked(make, read):
    understood, _ = read(make.json(make.ecg() * 1000, rate=500), "x.json")
    assert fields(understood) == ["units"]
    assert "no ECG does" in understood.questions[0].text


@pytest.mark.parametrize("kind", ["edf", "bdf"])
def test_edf(make, tmp_path, read, kind):
    truth = make.ecg()
    names = [f"ECG {lead}" for lead in LEADS]
    understood, values = read(make.edf(tmp_path, truth, names, kind=kind), f"x.{kind}")
    check(values, truth, tolerance=0.001)
    assert (understood.rate, understood.units, fields(understood)) == (500.0, "uV", [])


def test_edf_with_other_signals(make, tmp_path, read):
    truth = make.ecg(leads=("II",))
    content = make.edf(tmp_path, np.vstack([truth, truth]), ["EEG Fp1", "ECG II"])
    understood, values = read(content, "x.edf")
    check(values, truth, ("II",), 0.001)
    assert any("EEG Fp1" in note for note in understood.notes)


def test_dicom(make, read):
    truth = make.ecg(1000.0)
    names = [f"Lead {lead}" + (" (Einthoven)" if lead == "I" else "") for lead in LEADS]
    understood, values = read(make.dicom(truth, names, 1000.0), "x.dcm")
    check(values, truth, tolerance=0.001)
    assert (understood.rate, understood.units, fields(understood)) == (1000.0, "uV", [])
    assert "Nobody" not in str(understood)


@pytest.mark.parametrize("count", [1, 2, 3, 6, 8, 15])
def test_unnamed_leads_are_asked(make, read, count):
    truth = np.vstack([make.ecg(), make.ecg()])[:count]
    understood, _ = read(make.json(truth, leads=",".join(f"ch{i}" for i in range(count)), rate=500), "x.json")
    assert fields(understood) == ["leads"]
    assert len(understood.questions[0].suggested.split(", ")) == count


def test_twelve_unnamed_leads_that_are_not_in_order_are_asked(make, read):
    understood, _ = read(make.csv(make.ecg()[::-1]), "x.csv", rate=500)
    assert fields(understood) == ["leads"]
