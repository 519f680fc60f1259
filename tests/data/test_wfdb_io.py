"""Signals against the wfdb package, on every real record and on formats written by it; lengths and invalid samples."""

import numpy as np
import pytest
import wfdb

from ecg_ramba.data.leads import LEADS
from ecg_ramba.data.wfdb_header import read_header
from ecg_ramba.data.wfdb_io import read_waveform
from ecg_ramba.errors import RecordError


def test_every_sample_of_every_real_record_equals_wfdb(real_data):
    headers = sorted(real_data.rglob("*.hea"))
    assert headers
    for path in headers:
        header = read_header(path)
        theirs = wfdb.rdrecord(str(path)[:-4])
        wanted = LEADS if len(header.signals) == 12 else ("I", "II")
        ours = read_waveform(header, leads=wanted)
        assert [lead.lower() for lead in ours.leads] == [lead.lower() for lead in theirs.sig_name], path
        assert header.rate == theirs.fs
        assert ours.units.lower() == theirs.units[0].lower()
        np.testing.assert_array_equal(ours.signal, theirs.p_signal.T.astype(np.float32), err_msg=str(path))
        assert ours.warnings == ()


@pytest.mark.parametrize("fmt", ["16", "212", "24", "32", "80"])
def test_other_formats_go_through_wfdb(tmp_path, files, fmt):
    signal = files.ecg() // 20  # small enough for eight bits
    wfdb.wrsamp(
        "E00001",
        fs=500,
        units=["mV"] * 12,
        sig_name=list(LEADS),
        d_signal=signal.T.astype(np.int64),
        fmt=[fmt] * 12,
        adc_gain=[100.0] * 12,
        baseline=[3] * 12,
        write_dir=str(tmp_path),
    )
    ours = read_waveform(read_header(tmp_path / "E00001.hea"))
    np.testing.assert_array_equal(ours.signal, ((signal - 3.0) / 100).astype(np.float32))
    with_right_gain = read_waveform(read_header(tmp_path / "E00001.hea"), legacy_gains={100.0})
    np.testing.assert_allclose(with_right_gain.signal, (signal - 3.0) / 1000, rtol=1e-6)


def test_a_damaged_file_of_another_format(tmp_path, files):
    header = files.write_record(tmp_path, "E00001", files.ecg(), kind="dat", form="212")
    (tmp_path / "E00001.dat").write_bytes(b"\1" * 5000)
    with pytest.raises(RecordError, match="wfdb cannot read it"):
        read_waveform(read_header(header))


def test_length_from_the_file_where_none_is_stated(tmp_path, files):
    signal = files.ecg(12, 700)
    header = files.write_record(tmp_path, "E00001", signal, n_stated=0)
    assert read_waveform(read_header(header)).signal.shape == (12, 700)


@pytest.mark.parametrize("kind", ["mat", "dat"])
@pytest.mark.parametrize("stated", [4000, 6000])
def test_a_lying_length_is_put_right_by_the_checksums(tmp_path, files, kind, stated):
    signal = files.ecg()
    header = files.write_record(tmp_path, "E00001", signal, kind=kind, n_stated=stated)
    wave = read_waveform(read_header(header))
    np.testing.assert_array_equal(wave.signal, (signal / 1000).astype(np.float32))
    assert [w.split(":")[0] for w in wave.warnings] == ["length"]
    assert str(stated) in wave.warnings[0]


def test_a_longer_file_whose_header_is_right(tmp_path, files):
    signal = files.ecg()
    header = files.write_record(tmp_path, "E00001", signal, kind="dat")
    longer = np.concatenate([signal, files.ecg(12, 100, seed=1)], axis=1)
    (tmp_path / "E00001.dat").write_bytes(longer.T.astype("<i2").tobytes())
    wave = read_waveform(read_header(header))
    np.testing.assert_array_equal(wave.signal, (signal / 1000).astype(np.float32))
    assert "checksums fit 5000" in wave.warnings[0]


@pytest.mark.parametrize(("stated", "cause"), [(4000, "longer than its header says"), (6000, "truncated")])
def test_a_lying_length_is_refused_where_the_checksums_fit_neither(tmp_path, files, stated, cause):
    header = files.write_record(tmp_path, "E00001", files.ecg(), n_stated=stated)
    (tmp_path / "E00001.mat").write_bytes(files.mat4(files.ecg(seed=1)))
    with pytest.raises(RecordError, match=f"{cause}: the header says {stated} samples a lead, the file holds 5000"):
        read_waveform(read_header(header))


@pytest.mark.parametrize("form", ["16+24", "24+24", "212x2+24"])
def test_an_absurd_length_allocates_nothing(tmp_path, files, form):
    header = files.write_record(tmp_path, "E00001", files.ecg(), n_stated=10**14, form=form)
    (tmp_path / "E00001.mat").write_bytes(files.mat4(files.ecg(seed=1)))
    with pytest.raises(RecordError, match="truncated"):
        read_waveform(read_header(header))


def test_invalid_samples_are_refused_with_their_leads(tmp_path, files):
    signal = files.ecg()
    signal[6, 10:13] = -32768
    header = files.write_record(tmp_path, "E00001", signal)
    assert np.isnan(wfdb.rdrecord(str(header)[:-4]).p_signal).sum() == 3  # the format's own mark, not ours
    with pytest.raises(RecordError, match=r"samples that are not valid, of 5000 a lead: {'V1': 3}"):
        read_waveform(read_header(header))


def test_a_mat_whose_offset_is_not_stated(tmp_path, files):
    signal = files.ecg()
    wave = read_waveform(read_header(files.write_record(tmp_path, "E00001", signal, form="16")))
    np.testing.assert_array_equal(wave.signal, (signal / 1000).astype(np.float32))
    assert [w.split(":")[0] for w in wave.warnings] == ["offset"]


def test_further_leads_are_left_out_and_said(tmp_path, files):
    header = files.write_record(tmp_path, "S0001", files.ecg(15), leads=(*files.TWELVE, "vx", "vy", "vz"))
    wave = read_waveform(read_header(header))
    assert wave.leads == LEADS
    assert wave.warnings == ("further leads left out: vx, vy, vz",)


def test_a_lead_twice(tmp_path, files):
    header = files.write_record(tmp_path, "E00001", files.ecg(), leads=(*files.TWELVE[:11], "v5"))
    with pytest.raises(RecordError, match="a lead occurs twice"):
        read_waveform(read_header(header))


@pytest.mark.parametrize("gain", ["1000/mmHg", ["1000/mV"] * 11 + ["1000/SD"]])
def test_unknown_units(tmp_path, files, gain):
    header = files.write_record(tmp_path, "E00001", files.ecg(), gain=gain)
    with pytest.raises(RecordError, match="unknown units"):
        read_waveform(read_header(header))


def test_gain_that_is_not_stated_is_the_formats(tmp_path, files):
    header = files.write_record(tmp_path, "E00001", files.ecg(), gain="0/mV")
    wave = read_waveform(read_header(header))
    assert [w.split(":")[0] for w in wave.warnings] == ["gain"]
    np.testing.assert_array_equal(wave.signal, wfdb.rdrecord(str(header)[:-4]).p_signal.T.astype(np.float32))
