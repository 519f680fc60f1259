"""What a reader must survive: one test or more for each numbered observation on real files."""

import numpy as np
import pytest

from ecg_ramba.data.registry import dataset
from ecg_ramba.data.wfdb_header import parse_age, parse_sex, read_header
from ecg_ramba.data.wfdb_io import read_waveform
from ecg_ramba.errors import RecordError


@pytest.mark.parametrize(
    ("kind", "form", "gain"),
    [("mat", "16+24", "1000/mV"), ("mat", "16x1+24", "1000.0(0)/mV"), ("dat", "16", "1000.0(0)/mV")],
)
@pytest.mark.parametrize("date", ["", " 23-Mar-2021 20:21:11", " 20:21:11 23/03/2021"])
def test_quirk_01_signal_lines_and_dates(tmp_path, files, kind, form, gain, date):
    signal = files.ecg()
    header = files.write_record(
        tmp_path, "JS00001", signal, kind=kind, form=form, gain=gain, record_line=f"JS00001 12 500 5000{date}"
    )
    record = dataset("chapman").read(header)
    np.testing.assert_array_equal(record.signal, (signal / 1000).astype(np.float32))
    assert record.rate == 500
    assert record.warnings == ()


@pytest.mark.parametrize(
    ("comments", "age", "sex"),
    [
        (("#Age: 85", "#Sex: Female"), 85.0, "female"),
        (("# Age: 85", "# Sex: female"), 85.0, "female"),
        (("#Age: NaN", "#Sex: F"), float("nan"), "female"),
        (("#<age>: 51", "#<sex>: M"), 51.0, "male"),
        (("#Age: Unknown", "#Sex: Unknown"), float("nan"), ""),
        ((), float("nan"), ""),
    ],
)
def test_quirk_02_comments(tmp_path, files, comments, age, sex):
    header = files.write_record(tmp_path, "E00001", files.ecg(), comments=(*comments, "#Dx: 426783006"))
    record = dataset("georgia").read(header)
    np.testing.assert_equal(record.age, age)
    assert record.sex == sex
    assert record.labels == {"SNR"}


@pytest.mark.parametrize(
    ("dx", "codes", "labels", "labelled"),
    [
        ("#Dx: ", (), set(), False),
        ("#Dx: ,", (), set(), False),
        ("#Dx: Unknown", (), set(), False),
        ("#Rx: Unknown", (), set(), False),
        ("#Dx: 427084000,,427172004", ("427084000", "427172004"), {"STach", "PVC"}, True),
        ("#Dx: 55827005", ("55827005",), set(), True),
        ("#Dx: 164889003, 59118001 ,164934002", ("164889003", "59118001", "164934002"), {"AF", "RBBB", "TAb"}, True),
    ],
)
def test_quirk_03_diagnoses(tmp_path, files, dx, codes, labels, labelled):
    header = files.write_record(tmp_path, "E00001", files.ecg(), comments=(dx,))
    record = dataset("georgia").read(header)
    assert (record.codes, record.labels, record.labelled) == (codes, labels, labelled)


def test_quirk_04_record_line_names_the_file(tmp_path, files):
    import wfdb
    from wfdb.io.header import HeaderSyntaxError

    signal = files.ecg()
    header = files.write_record(tmp_path, "E07520", signal, record_line="E07520.mat 12 500 5000 18-May-2020 10:00:00")
    with pytest.raises(HeaderSyntaxError):  # the premise: wfdb refuses it
        wfdb.rdrecord(str(header)[:-4])
    record = dataset("georgia").read(header)
    assert record.record == "E07520"
    assert [w.split(":")[0] for w in record.warnings] == ["record line repaired"]
    np.testing.assert_array_equal(record.signal, (signal / 1000).astype(np.float32))


@pytest.mark.parametrize(
    ("name", "record", "gain"),
    [("georgia", "E00001", "4880/mV"), ("ptbxl-challenge", "HR00001", "200/mv"), ("ptb", "S0001", "2000000/mV")],
)
def test_quirk_05_legacy_gains(tmp_path, files, name, record, gain):
    signal = files.ecg()
    legacy = dataset(name).read(files.write_record(tmp_path / "old", record, signal, gain=gain))
    right = dataset(name).read(files.write_record(tmp_path / "new", record, signal))
    np.testing.assert_array_equal(legacy.signal, right.signal)
    assert [w.split(":")[0] for w in legacy.warnings] == ["legacy gain"]
    assert right.warnings == ()


def test_quirk_05_other_gains_are_kept(tmp_path, files):
    signal = files.ecg()
    record = dataset("georgia").read(files.write_record(tmp_path, "E00001", signal, gain="500/mV"))
    np.testing.assert_array_equal(record.signal, (signal / 500).astype(np.float32))


@pytest.mark.parametrize("spell", [str.upper, str.lower, str])
@pytest.mark.parametrize("units", ["mV", "mv"])
def test_quirk_06_units_and_lead_names(tmp_path, files, spell, units):
    signal = files.ecg()
    order = [3, 0, 11, 1, 2, 4, 5, 6, 7, 8, 9, 10]
    leads = [spell(files.TWELVE[i]) for i in order]
    header = files.write_record(tmp_path, "E00001", signal[order], leads=leads, gain=f"1000/{units}")
    record = dataset("georgia").read(header)
    assert record.leads == tuple(files.TWELVE[i] for i in order)
    assert record.units == "mV"
    np.testing.assert_array_equal(record.signal[record.leads.index("aVR")], (signal[3] / 1000).astype(np.float32))


def test_quirk_06_microvolts(tmp_path, files):
    signal = files.ecg()
    record = dataset("georgia").read(files.write_record(tmp_path, "E00001", signal, gain="1/uV"))
    np.testing.assert_allclose(record.signal, signal / 1000, rtol=1e-6)


@pytest.mark.parametrize("rate", [100, 200, 257, 500, 1000])
@pytest.mark.parametrize("n_samples", [600, 3001])
def test_quirk_07_rates_and_lengths(tmp_path, files, rate, n_samples):
    record = dataset("cpsc2018").read(files.write_record(tmp_path, "A0001", files.ecg(12, n_samples), rate=rate))
    assert record.rate == rate
    assert record.seconds == pytest.approx(n_samples / rate)


@pytest.mark.parametrize("signed", [True, False])
def test_quirk_08_checksums_modulo_65536(tmp_path, files, signed):
    header = files.write_record(tmp_path, "E00001", files.ecg(), signed=signed)
    assert dataset("georgia").read(header).warnings == ()


def test_quirk_08_a_wrong_checksum_is_said(tmp_path, files):
    signal = files.ecg()
    header = files.write_record(tmp_path, "E00001", signal)
    signal[4, 100] += 1
    (tmp_path / "E00001.mat").write_bytes(files.mat4(signal))
    (warning,) = dataset("georgia").read(header).warnings
    assert warning.startswith("checksum: ")
    assert "aVL" in warning
    assert "V1" not in warning


def test_quirk_09_gains_and_baselines_of_cpsc2021(tmp_path, files):
    header = files.write_dynamic(tmp_path, "data_8_10", [], gain="58356.07434270172(-585029)/mV")
    record = dataset("cpsc2021").read(header)
    expected = (files.ecg(2, 4000).astype(np.float64) + 585029) / 58356.07434270172
    np.testing.assert_array_equal(record.signal, expected.astype(np.float32))
    assert record.signal.min() > 9  # the offset in mV is there, and left for the preprocessing to remove
    assert record.codes == ("paroxysmal atrial fibrillation",)


@pytest.mark.parametrize(
    ("marks", "episodes"),
    [
        ([(50, 1, ""), (200, 1, "")], []),
        ([(0, 28, "(AFIB"), (30, 1, "None"), (162, 1, "None"), (3999, 28, "(N")], [(0, 20, "AFIB")]),
        ([(0, 28, "(AFIB"), (400, 28, "None"), (800, 28, "(N")], [(0, 4, "AFIB")]),
        ([(10, 28, "(N"), (1000, 28, "(AFL"), (1500, 28, "(N")], [(5, 7.5, "AFL")]),
        ([(1000, 28, "(AFIB"), (2000, 28, "(AFL")], [(5, 10, "AFIB"), (10, 20, "AFL")]),
        ([(1000, 28, "(AFIB")], [(5, 20, "AFIB")]),
        ([(3000, 28, "(AFIB"), (4000, 28, "(N")], [(15, 20, "AFIB")]),
        ([(4000, 28, "(N")], []),
    ],
)
def test_quirk_10_rhythm_episodes(tmp_path, files, marks, episodes):
    record = dataset("cpsc2021").read(files.write_dynamic(tmp_path, "data_1_2", marks))
    assert [(e.start, e.end, e.rhythm) for e in record.episodes] == episodes
    assert record.subject == "1"
    assert record.labels == {{"AFIB": "AF", "AFL": "AFL"}[rhythm] for *_, rhythm in episodes}
    assert record.labelled


def test_quirk_10_borders_are_seconds(tmp_path, files):
    record = dataset("cpsc2021").read(
        files.write_dynamic(tmp_path, "data_1_2", [(1001, 28, "(AFIB"), (1003, 28, "(N")])
    )
    assert [(e.start, e.end) for e in record.episodes] == [(5.005, 5.015)]


def test_quirk_11_dead_leads_and_artefacts(tmp_path, files):
    signal = files.ecg()
    signal[[2, 7]] = [[0], [5]]
    signal[8, 17] = 11_000
    record = dataset("chapman").read(files.write_record(tmp_path, "JS10647", signal))
    assert record.quality.dead_leads == ("III", "V2")
    assert record.quality.peak_mv == pytest.approx(11, abs=0.2)
    assert record.hospital == "ningbo"


def test_quirk_12_duplicates_have_one_digest(tmp_path, files):
    row = (15709.0, 56.0, 1, "{'SR': 0.0}", "", 3)
    root = files.write_ptbxl(tmp_path, [(1, *row), (2, 99.0, *row[1:])])
    same = (root / "records500/00000/00001_hr.dat").read_bytes()
    (root / "records500/00000/00002_hr.dat").write_bytes(same)
    one, two = (dataset("ptbxl").read(root / f"records500/00000/0000{i}_hr.hea") for i in (1, 2))
    assert one.subject != two.subject
    assert one.signal_digest == two.signal_digest


def test_quirk_13_ptbxl_table(tmp_path, files):
    rows = [
        (1, "15709.0", "", 1, "{'AFIB': 0.0, 'IMI': 35.0, 'LVOLT': 0.0}", "ALAD", 10),
        (2, "", 300.0, 0, "{'SR': 0.0, 'NORM': 100.0}", "AXL", 3),
        (3, "7.0", 40.0, 0, "{}", "LAD", 3),
        (4, "8.0", 40.0, 0, "{'PACE': 100.0}", "MID", 3),
    ]
    root = files.write_ptbxl(tmp_path, rows)
    first, second, third, fourth = map(dataset("ptbxl").read, dataset("ptbxl").find(root))
    assert (first.subject, first.publisher, first.publisher_id) == ("15709", "ptbxl", "1")
    assert (first.labels, first.superclasses) == ({"AF", "LAD", "LQRSV"}, {"MI"})
    assert (first.strat_fold, first.sex) == (10, "female")
    assert np.isnan(first.age)
    assert (second.subject, second.subject_known, second.labels) == ("00002_hr", False, {"SNR"})
    assert np.isnan(second.age)  # 300 hides an age over 89
    assert (third.labelled, third.labels) == (False, set())
    assert (fourth.paced, fourth.labels) == (True, {"PR"})
    assert not first.paced
    assert [r.rate for r in map(dataset("ptbxl-100").read, dataset("ptbxl-100").find(root))] == [100.0] * 4


def test_quirk_14_one_gain_a_lead(tmp_path, files):
    signal = files.ecg()
    gains = [756, 1069, 707, 821, 430, 845, 1554, 1359, 1298, 1836, 1527, 1134]
    base = [-3, 1, 3, 0, -3, 2, 0, 1, -1, 1, 5, 1]
    comments = ("#<age>: 64", "#<sex>: M", "#<diagnoses>:", "#Rhythm: Sinus rhythm.", "#I degree AV block. ")
    header = files.write_record(
        tmp_path / "data",
        "2",
        signal,
        kind="dat",
        leads=[lead.lower() for lead in files.TWELVE],
        gain=[f"{g}({b})/mV" for g, b in zip(gains, base, strict=True)],
        comments=comments,
    )
    record = dataset("ludb").read(header)
    expected = (signal - np.array(base)[:, None]) / np.array(gains)[:, None]
    np.testing.assert_array_equal(record.signal, expected.astype(np.float32))
    assert record.codes == ("Rhythm: Sinus rhythm", "I degree AV block")
    assert record.labels == {"SNR", "IAVB"}
    assert (record.subject, record.age, record.sex) == ("2", 64.0, "male")


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 120024\n"


def _cut(path, n):
    path.write_bytes(path.read_bytes()[:n])


@pytest.mark.parametrize(
    ("spoil", "file", "cause"),
    [
        (lambda p: _cut(p / "E00001.mat", 60_000), "E00001.mat", "truncated"),
        (lambda p: _cut(p / "E00001.mat", 10), "E00001.mat", "truncated"),
        (lambda p: _cut(p / "E00001.mat", 0), "E00001.mat", "empty"),
        (lambda p: (p / "E00001.mat").write_bytes(LFS), "E00001.mat", "Git LFS pointer"),
        (lambda p: (p / "E00001.hea").write_bytes(LFS), "E00001.hea", "Git LFS pointer"),
        (lambda p: (p / "E00001.mat").unlink(), "E00001.mat", "missing"),
        (lambda p: _cut(p / "E00001.hea", 0), "E00001.hea", "empty"),
        (lambda p: _cut(p / "E00001.hea", 200), "E00001.hea", "signal"),
        (lambda p: (p / "E00001.hea").write_bytes(b"\x89PNG\r\n\x1a\n\0\0"), "E00001.hea", "not a WFDB header"),
        (lambda p: (p / "E00001.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200_000)), "E00001.mat", "MATLAB v5"),
        (lambda p: (p / "E00001.mat").write_bytes(b"\0" * 120_024), "E00001.mat", "not a MATLAB v4 matrix"),
    ],
)
def test_quirk_15_damaged_files_are_named(tmp_path, files, spoil, file, cause):
    header = files.write_record(tmp_path, "E00001", files.ecg())
    dataset("georgia").read(header)  # the control: it reads before it is spoiled
    spoil(tmp_path)
    with pytest.raises(RecordError, match=cause) as caught:
        dataset("georgia").read(header)
    assert caught.value.path == str(tmp_path / file)
    assert "\n" not in str(caught.value)


def test_quirk_15_truncated_dat(tmp_path, files):
    header = files.write_dynamic(tmp_path, "data_1_1", [])
    _cut(tmp_path / "data_1_1.dat", 9_001)
    with pytest.raises(RecordError, match=r"data_1_1\.dat: truncated: the header says 4000 .* holds 2250"):
        dataset("cpsc2021").read(header)


def test_quirk_15_missing_second_signal_file(tmp_path, files):
    header = files.write_record(tmp_path, "E00001", files.ecg(), kind="dat")
    text = header.read_text().splitlines()
    text[7:13] = [line.replace("E00001.dat", "E00001_b.dat") for line in text[7:13]]
    header.write_text("\n".join(text))
    (tmp_path / "E00001.dat").write_bytes(files.ecg()[:6].T.tobytes())
    with pytest.raises(RecordError, match=r"E00001_b\.dat: the signal file is missing"):
        dataset("georgia").read(header)
    (tmp_path / "E00001_b.dat").write_bytes(files.ecg()[6:].T.tobytes())
    np.testing.assert_array_equal(dataset("georgia").read(header).signal, (files.ecg() / 1000).astype(np.float32))


def test_quirk_15_reduced_leads(tmp_path, files):
    header = files.write_record(tmp_path, "E00001", files.ecg(6), leads=files.TWELVE[:6])
    with pytest.raises(RecordError, match="6 of the 12 leads of this data set: V1, V2, V3, V4, V5, V6 missing"):
        dataset("georgia").read(header)


@pytest.mark.parametrize("atr", [None, b"", b"\x01\x04\x05", b"\x01\x04\x05\x04", LFS])
def test_quirk_15_annotation_files(tmp_path, files, atr):
    header = files.write_dynamic(tmp_path, "data_1_1", [(100, 28, "(AFIB")])
    path = tmp_path / "data_1_1.atr"
    path.unlink() if atr is None else path.write_bytes(atr)
    with pytest.raises(RecordError, match=r"data_1_1\.atr: "):
        dataset("cpsc2021").read(header)


def test_quirk_15_silent_record(tmp_path, files):
    with pytest.raises(RecordError, match="every lead is constant"):
        read_waveform(read_header(files.write_record(tmp_path, "E00001", files.ecg() * 0)))


@pytest.mark.parametrize(("text", "age"), [("85", 85.0), ("89.5", 89.5), ("-1", None), ("300", None), ("", None)])
def test_ages(text, age):
    assert parse_age(text) == age if age is not None else np.isnan(parse_age(text))


@pytest.mark.parametrize(("text", "sex"), [("Male", "male"), (" f ", "female"), ("Other", ""), ("", "")])
def test_sexes(text, sex):
    assert parse_sex(text) == sex
