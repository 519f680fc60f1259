"""Which format a file is, by its first bytes before its name, and the reader that goes with it."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ecg_ramba.dashboard.formats.reading import FormatError, Reading

KNOWN = "WFDB (.hea with its .dat or .mat, or both in a .zip), MATLAB .mat, CSV, JSON, EDF and DICOM are read"

_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"%PDF", b"BM")
_ARCHIVES = (b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")


def kind_of(head: bytes, name: str) -> str:
    """``MATLAB``, ``CSV``, ``JSON``, ``EDF``, ``DICOM``, ``zip`` or ``HDF5`` from a file's first KB and its name.

    Raises
    ------
    FormatError
        If it is none of them; the sentence says what it looks like.
    """
    suffix = PurePosixPath(name.lower()).suffix
    if not head:
        raise FormatError("the file is empty (0 bytes)")
    if head.startswith(b"version https://git-lfs"):
        raise FormatError("it is a Git LFS pointer, not the file: fetch it with `git lfs pull`")
    if head[128:132] == b"DICM":
        return "DICOM"
    if head[:8] in (b"0       ", b"\xffBIOSEMI"):
        return "EDF"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return "zip"
    if head.startswith(b"\x89HDF\r\n\x1a\n") or head[:19] == b"MATLAB 7.3 MAT-file":
        return "HDF5"
    if head.startswith(b"MATLAB 5.0"):
        return "MATLAB"
    if head.startswith(b"\x93NUMPY"):
        raise FormatError(f"it is a NumPy file; {KNOWN}: save it as CSV or .mat")
    if head.startswith(_IMAGES):
        raise FormatError(f"it is a picture or a PDF, from which no signal is read; {KNOWN}")
    if head.startswith(_ARCHIVES):
        raise FormatError(f"it is an archive other than .zip; unpack it, or make a .zip; {KNOWN}")
    text = _looks_like_text(head)
    if suffix == ".mat":
        if text:
            raise FormatError("it is named .mat but is a text file; if it is a table of samples, name it .csv")
        return "MATLAB"
    if suffix == ".dat" and not text:
        raise FormatError("a .dat file says nothing of its samples without its WFDB header; drop its .hea with it")
    if suffix in (".edf", ".bdf"):
        raise FormatError("it is named as an EDF file but does not begin as one")
    if suffix in (".dcm", ".dicom") or head[:4] in (b"\x08\x00\x05\x00", b"\x08\x00\x00\x00", b"\x08\x00\x16\x00"):
        raise FormatError("it lacks the mark that a DICOM file has at byte 128 (DICM): it is damaged, or none")
    if text:
        return "JSON" if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") else "CSV"
    raise FormatError(f"its format is not known; {KNOWN}")


def _looks_like_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return not any(byte < 9 or 13 < byte < 32 for byte in head)


def read_files(files: Mapping[str, Path], name: str, kind: str) -> Reading:
    """Read a recording by its format's reader; the heavy libraries are imported there."""
    if kind == "WFDB":
        from ecg_ramba.dashboard.formats.wfdb import read_wfdb

        return read_wfdb(files, name)
    (path,) = files.values()
    if kind == "MATLAB":
        from ecg_ramba.dashboard.formats.matlab import read_matlab

        return read_matlab(path)
    if kind == "CSV":
        from ecg_ramba.dashboard.formats.table import read_table

        return read_table(path)
    if kind == "JSON":
        from ecg_ramba.dashboard.formats.plain_json import read_json_recording

        return read_json_recording(path)
    if kind == "EDF":
        from ecg_ramba.dashboard.formats.edf import read_edf

        return read_edf(path)
    if kind == "DICOM":
        from ecg_ramba.dashboard.formats.dicom import read_dicom

        return read_dicom(path)
    if kind == "HDF5":
        raise FormatError("it is a MATLAB v7.3 (HDF5) file, which is not read; save it in MATLAB with save(…, '-v7')")
    raise AssertionError(kind)
