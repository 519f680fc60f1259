"""What is refused, and the sentence that says so."""

import io
import struct
import zipfile

import numpy as np
import pytest

from ecg_ramba.dashboard.formats.archive import unpack
from ecg_ramba.dashboard.formats.reading import FormatError
from ecg_ramba.dashboard.formats.sniff import kind_of, read_files
from ecg_ramba.dashboard.formats.understand import understand
from ecg_ramba.dashboard.limited import Limits, call
from ecg_ramba.data.leads import LEADS


def refuse(tmp_path, content, name, pattern, **answers):
    path = tmp_path / "sent0"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=pattern) as refused:
        understand(read_files({name: path}, "x", kind_of(content[:1024], name)), answers, 48)
    assert str(tmp_path) not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("content", "name", "pattern"),
    [
        (b"", "x.csv", "empty"),
        (b"hello, this is a letter\n" * 20, "x.mat", r"named \.mat but is a text file"),
        (b"hello, this is a letter\n" * 20, "x.csv", "without a table"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "x.png", "picture"),
        (b"\x93NUMPY\x01\x00" + bytes(100), "x.npy", "NumPy"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "x.mat", r"v7\.3"),
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64" + bytes(600), "x.mat", r"v7\.3"),
        (bytes(range(256)) * 8, "x.dat", r"drop its \.hea"),
        (bytes(range(256)) * 8, "x.xyz", "not known"),
        (b"version https://git-lfs.github.com/spec/v1\n", "x.mat", "Git LFS"),
        (b'{"a": 1}', "x.json", "the form is"),
        (b'{"signal": ', "x.json", "damaged"),
        (b"[" * 100_000, "x.json", "too deep|damaged"),
        (b'{"signal": [[1, 2], [1]], "rate": 500}', "x.json", "differ in length"),
        (b'{"signal": [[1, "a"]], "rate": 500}', "x.json", "other than numbers"),
        (b'{"signal": [[1, 2, 3]], "rate": "fast"}', "x.json", "no number"),
        (b'{"signal": [[1, 2, 3]], "rate": 1e9}', "x.json", "no ECG has"),
        (b'{"signal": [[1]], "rate": 500}', "x.json", "1 sample "),
        (b'{"signal": [[1, 1, 1]], "rate": 10, "leads": "II"}', "x.json", "constant"),
        (b'{"signal": [[null, null, null]], "rate": 10, "leads": "II"}', "x.json", "no number at all"),
        (b'{"signal": [[0, 1, 0]], "rate": 500, "leads": "II"}', "x.json", "too short"),
        (b'{"signal": [[0, 1, 0]], "rate": 10, "leads": "II", "units": "mmHg"}', "x.json", "no potential"),
        (b'[{"signal": [[1]]}, {"signal": [[1]]}]', "x.json", "2 recordings"),
        (b"1,2,3\n" * 100 + b"1,2,x\n" + b"1,2,3\n" * 30_000, "x.csv", r"line 101 .* 'x'"),
        (b"1,2,x\n" + b"1,2,3\n" * 100, "x.csv", r"line 1 .* is no row of 3 numbers"),
        (b"0,15\n0,16\n0,17\n" * 100, "x.csv", "decimal commas"),
        ((b",".join([b"1.5"] * 70) + b"\n") * 80, "x.csv", "70 columns"),
        (b"0       " + b"garbage " * 100, "x.edf", "begins as EDF"),
        (bytes(128) + b"DICM" + b"garbage!" * 100, "x.dcm", "DICOM"),
    ],
)
def test_a_sentence_each(tmp_path, content, name, pattern):
    refuse(tmp_path, content, name, pattern)


def test_a_day_too_long_and_a_rate_that_makes_it_so(make, tmp_path):
    content = make.json(np.tile(make.ecg(leads=("II",)), 6), leads="II", rate=500)
    path = tmp_path / "sent0"
    path.write_bytes(content)
    reading = read_files({"x": path}, "x", "JSON")
    assert understand(reading, {}, 1.0).rate == 500
    with pytest.raises(FormatError, match=r"h long; recordings of up to 0\.01 h"):
        understand(reading, {}, 0.01)


def test_answers_that_do_not_fit(make, tmp_path):
    content = make.csv(make.ecg(leads=("I", "II")))
    refuse(tmp_path, content, "x.csv", "3 lead names for 2", rate=500, leads=["I", "II", "III"])
    refuse(tmp_path, content, "x.csv", "named twice", rate=500, leads=["I", "I"])
    refuse(tmp_path, content, "x.csv", "'V9' is none of", rate=500, leads=["I", "V9"])
    refuse(tmp_path, content, "x.csv", "every channel is left out", rate=500, leads=["-", "-"])
    refuse(tmp_path, content, "x.csv", "no unit of an ECG", rate=500, leads=["I", "II"], units="furlong")


def test_matlab_without_a_matrix(make, tmp_path):
    refuse(tmp_path, make.mat(a=np.zeros((3, 3)), b="text"), "x.mat", "holds a 3x3")
    refuse(tmp_path, make.mat(a=make.ecg(), b=make.ecg()), "x.mat", "several matrices")


def matlab5(elements: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<HH", 0x0100, 0x4D49) + elements


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def test_matlab_function_handles_and_objects(tmp_path):
    flags = element(6, struct.pack("<II", 16, 0))
    inner = element(14, element(6, struct.pack("<II", 6, 0)) + element(5, struct.pack("<ii", 1, 1)) + element(1, b"x"))
    handle = flags + element(5, struct.pack("<ii", 1, 1)) + element(1, b"f") + inner
    refuse(tmp_path, matlab5(element(14, handle)), "x.mat", "function or object|no MATLAB file")
    opaque = element(6, struct.pack("<II", 17, 0)) + element(1, b"o") + element(1, b"MCOS") + element(1, b"string")
    opaque += inner
    refuse(tmp_path, matlab5(element(14, opaque)), "x.mat", "function or object|no MATLAB file")


def archive(files, **attributes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in attributes.items():
                setattr(info, key, value)
            made.writestr(info, content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (archive([("../../evil.hea", b"x")]), "outside"),
        (archive([("/etc/passwd", b"x")]), "outside"),
        (archive([("a\\..\\b", b"x")]), "outside"),
        (archive([("C:evil", b"x")]), "outside"),
        (archive([("link", b"/etc/passwd")], external_attr=0o120777 << 16), "link"),
        (archive([("device", b"x")], external_attr=0o020666 << 16), "device"),
        (archive([("inner.zip", b"PK\x05\x06")]), "another archive"),
        (archive([("inner.dat", archive([("x", b"y")]))]), "another archive"),
        (archive([("x", b"a"), ("x", b"b")]), "twice"),
        (archive([("bomb.csv", bytes(20_000_000))]), "grows more than"),
        (archive([(f"{i}.csv", b"x") for i in range(30)]), "30 files; at most 20"),
        (archive([(f"{i}.csv", np.random.default_rng(i).bytes(2**20)) for i in range(6)]), "more than 5 MB"),
        (archive([("x.csv", b"some text to pack")])[:-10], "damaged"),
        (b"PK\x03\x04" + bytes(200), "damaged"),
    ],
)
def test_archives(tmp_path, content, pattern):
    path, folder = tmp_path / "sent", tmp_path / "out"
    path.write_bytes(content)
    folder.mkdir()
    with pytest.raises(FormatError, match=pattern):
        unpack(str(path), str(folder), 20, 5)
    assert not (tmp_path / "evil.hea").exists()


def test_encrypted_archive(tmp_path):
    content = bytearray(archive([("x.csv", b"1,2,3\n")]))
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1
    content[6] |= 1
    path = tmp_path / "sent"
    path.write_bytes(content)
    with pytest.raises(FormatError, match="encrypted"):
        unpack(str(path), str(tmp_path), 20, 5)


# What a reader could do to the server, in functions that the limited process calls by name.


def hang():
    while True:
        pass


def sleep():
    import time

    time.sleep(1000)


def crash():
    import os

    os.kill(os.getpid(), 11)


def swallow():
    return len(bytearray(10**10))


def fail():
    raise KeyError("nobody thought of this")


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("hang", "more than 1 s"),
        ("sleep", "more than 2 s"),
        ("crash", "broke down"),
        ("swallow", "more than 300 MB"),
        ("fail", "cannot be read .KeyError: 'nobody"),
    ],
)
def test_limits_hold(name, pattern, monkeypatch, request):
    with pytest.raises(FormatError, match=pattern):
        call(
            f"{__name__}:{name}",
            {},
            Limits(cpu_seconds=1 if name == "hang" else 30, seconds=2 if name == "sleep" else 60, memory_mb=300),
        )


def test_an_edf_file_that_is_cut_short_is_not_filled_with_zeros(make, tmp_path):
    content = make.edf(tmp_path, make.ecg(), list(LEADS))
    refuse(tmp_path, content[: len(content) // 2], "x.edf", "begins as EDF, but")
