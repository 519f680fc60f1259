"""The header parser against the wfdb package's, over headers drawn from the format's grammar."""

import tempfile
from pathlib import Path

import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_ramba.data.wfdb_header import read_header
from ecg_ramba.errors import RecordError

GAINS = st.one_of(
    st.integers(1, 200_000).map(str),
    st.floats(1e-3, 1e6, allow_nan=False).map(repr).filter(lambda text: "e" not in text),
    st.just("0"),
)
BASELINES = st.one_of(st.just(""), st.integers(-600_000, 600_000).map(lambda b: f"({b})"))
UNITS = st.sampled_from(["", "/mV", "/mv", "/uV", "/SD"])
FORMATS = st.sampled_from(["16", "16+24", "16x1+24", "16x1", "212", "16:3", "16x2:1+24"])


@st.composite
def headers(draw):
    """A header's text."""
    n = draw(st.integers(1, 12))
    rate = draw(st.sampled_from(["500", "200", "257", "100.5", "1000", "360/360", "500/25(3)"]))
    date = draw(st.sampled_from(["", " 20:21:11", " 20:21:11 23/03/2021"]))
    lines = [f"rec {n} {rate} {draw(st.integers(1, 10**6))}{date}"]
    for i in range(n):
        adc_zero, first, total = (draw(st.integers(-70_000, 70_000)) for _ in range(3))
        gain = draw(GAINS) + draw(BASELINES) + draw(UNITS)
        lines.append(f"rec.dat {draw(FORMATS)} {gain} 16 {adc_zero} {first} {total} 0 lead {i}")
    comments = draw(st.lists(st.sampled_from(["#Age: 3", "# Dx: 1,2", "#<sex>: F", "#", "# free text"]), max_size=4))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return end.join(lines + comments) + draw(st.sampled_from(["", end]))


@settings(max_examples=150, deadline=None)
@given(headers())
def test_equal_to_wfdb(text):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rec.hea"
        path.write_bytes(text.encode())
        ours, theirs = read_header(path), wfdb.rdheader(str(path)[:-4])
    assert ours.rate == theirs.fs
    assert ours.n_samples == theirs.sig_len
    assert [s.gain for s in ours.signals] == theirs.adc_gain
    assert [s.baseline for s in ours.signals] == theirs.baseline
    assert [s.units for s in ours.signals] == theirs.units
    assert [str(s.format) for s in ours.signals] == theirs.fmt
    assert [s.samples_per_frame for s in ours.signals] == theirs.samps_per_frame
    assert [s.skew for s in ours.signals] == [skew or 0 for skew in theirs.skew]
    assert [s.offset for s in ours.signals] == [offset or 0 for offset in theirs.byte_offset]
    assert [s.checksum for s in ours.signals] == theirs.checksum
    assert [s.name for s in ours.signals] == theirs.sig_name
    assert list(ours.comments) == [c.strip() for c in theirs.comments]


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300), headers().flatmap(lambda t: st.integers(0, len(t)).map(lambda n: t[:n].encode()))
    )
)
def test_anything_else_is_refused_in_one_line(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rec.hea"
        path.write_bytes(content)
        try:
            header = read_header(path)
        except RecordError as error:
            said = str(error)
        else:
            said = f"{path}: {len(header.signals)} signals" if header.signals else ""
    assert said.startswith(f"{path}: ")
    assert "\n" not in said


def _header(tmp_path, record_line, *signals):
    path = tmp_path / "rec.hea"
    path.write_text("\n".join([record_line, *signals]))
    return path


LINE = "rec.dat 16 1000/mV 16 0 0 0 0 I"


def test_length_not_stated(tmp_path):
    assert read_header(_header(tmp_path, "rec 1 500", LINE)).n_samples is None
    assert read_header(_header(tmp_path, "rec 1 500 0", LINE)).n_samples is None


@pytest.mark.parametrize(
    ("record_line", "lines", "cause"),
    [
        ("rec 2 500 100", [LINE], "counts 2 signals and describes 1"),
        ("rec 1 500 100", [LINE, LINE], "counts 1 signals and describes 2"),
        ("rec 0 500 100", [], "counts 0 signals"),
        ("rec/3 1 500 100", [LINE], "several segments"),
        ("rec 1", [LINE], "no usable sampling rate"),
        ("rec 1 0 100", [LINE], "no usable sampling rate"),
        ("rec 1 nan 100", [LINE], "no usable sampling rate"),
        ("rec 1 500 -7", [LINE], "no usable length"),
        ("rec 1 500 ²", [LINE], "no usable length"),
        ("rec 1 500 " + "9" * 5000, [LINE], "no usable length"),
        ("rec 1 500 100", ["rec.dat 16 1e999/mV 16 0 0 0 0 I"], "unreadable signal line"),
        ("rec 1 500 100", ["\0rec.dat 16 1000/mV 16 0 0 0 0 I"], "holds zero bytes"),
        ("rec 1 500 100", ["../../rec.dat 16 1000/mV 16 0 0 0 0 I"], "not beside the header"),
        ("rec 1 500 100", ["rec.dat 16 1000/mV 16 0 0 0 0"], "unreadable signal line"),
        ("rec 1 500 100", ["rec.dat 16 many/mV 16 0 0 0 0 I"], "unreadable signal line"),
        ("rec 1 500 100", ["rec.dat 16 1000/mV 16 0 0 x 0 I"], "unreadable signal line"),
    ],
)
def test_refusals(tmp_path, record_line, lines, cause):
    read_header(_header(tmp_path, "rec 1 500 100", LINE))  # the control
    with pytest.raises(RecordError, match=cause):
        read_header(_header(tmp_path, record_line, *lines))


def test_names_in_other_encodings(tmp_path):
    path = tmp_path / "rec.hea"
    path.write_bytes(f"rec 1 500 100\n{LINE}\n#Sex: weiß\n".encode("latin-1"))
    assert read_header(path).fields() == {"sex": "weiß"}


def test_first_of_a_repeated_field_counts(tmp_path):
    path = _header(tmp_path, "rec 1 500 100", LINE, "#Dx: 1", "#Dx: 2", "# no field", "#http://x")
    assert read_header(path).fields()["dx"] == "1"


def test_a_folder_is_no_header(tmp_path):
    (tmp_path / "rec.hea").mkdir()
    with pytest.raises(RecordError, match="cannot be read"):
        read_header(tmp_path / "rec.hea")
