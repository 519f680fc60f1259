"""Hand-made WFDB files, written byte by byte and not by the reader's own code or the wfdb package."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from tests.data.physionet.mirror import Mirror, serve

TWELVE = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def ecg(n_leads=12, n_samples=5000, seed=0):
    """Integers that look nothing alike from lead to lead."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return rng.integers(-2000, 2000, size=(n_leads, n_samples)).astype(np.int16)


def mat4(signal):
    """Bytes of a MATLAB v4 file with the int16 matrix ``val``."""
    return struct.pack("<5i", 30, signal.shape[0], signal.shape[1], 0, 4) + b"val\0" + signal.T.astype("<i2").tobytes()


def write_record(
    folder,
    name,
    signal,
    *,
    leads=TWELVE,
    rate=500,
    kind="mat",
    form=None,
    gain="1000/mV",
    comments=("#Age: 50", "#Sex: Male", "#Dx: 426783006"),
    record_line=None,
    n_stated=None,
    signed=True,
):
    """Write a header and its signal file; the header's path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    form = form or ("16+24" if kind == "mat" else "16")
    n = signal.shape[1] if n_stated is None else n_stated
    lines = [record_line or f"{name} {len(leads)} {rate} {n}"]
    gains = [gain] * len(leads) if isinstance(gain, str) else gain
    for row, lead, g in zip(signal, leads, gains, strict=True):
        total = int(row.astype(np.int64).sum()) % 65536
        if signed and total >= 32768:
            total -= 65536
        lines.append(f"{name}.{kind} {form} {g} 16 0 {row[0]} {total} 0 {lead}")
    (folder / f"{name}.hea").write_text("\n".join([*lines, *comments]) + "\n", encoding="utf-8")
    content = mat4(signal) if kind == "mat" else signal.T.astype("<i2").tobytes()
    (folder / f"{name}.{kind}").write_bytes(content)
    return folder / f"{name}.hea"


def annotations(marks):
    """Bytes of a WFDB annotation file from (sample, code, aux note) in order; code 28 is ``+``, 1 is a normal beat."""
    out, last = b"", 0
    for sample, code, aux in marks:
        delta, last = sample - last, sample
        if delta > 1023:
            out += struct.pack("<H", 59 << 10) + struct.pack("<HH", delta >> 16, delta & 0xFFFF)
            delta = 0
        out += struct.pack("<H", (code << 10) | delta)
        if aux:
            note = aux.encode()
            out += struct.pack("<H", (63 << 10) | len(note)) + note + b"\0" * (len(note) % 2)
    return out + b"\0\0"


def write_dynamic(folder, name, marks, n_samples=4000, comment="# paroxysmal atrial fibrillation", **kwargs):
    """A two-lead 200 Hz record with its ``.atr``; the header's path."""
    header = write_record(
        folder,
        name,
        ecg(2, n_samples),
        leads=("I", "II"),
        rate=200,
        kind="dat",
        gain=kwargs.pop("gain", "38180.879946031266(-2839)/mV"),
        comments=(comment,),
        signed=False,
        **kwargs,
    )
    (Path(folder) / f"{name}.atr").write_bytes(annotations(marks))
    return header


PTBXL_HEAD = "ecg_id,patient_id,age,sex,height,report,scp_codes,heart_axis,pacemaker,strat_fold,filename_lr,filename_hr"


def write_ptbxl(root, rows, gain="1000.0(0)/mV", both=True):
    """PTB-XL's layout with one record a row of (ecg_id, patient_id, age, sex, scp text, axis, fold)."""
    root = Path(root)
    lines = [PTBXL_HEAD]
    for ecg_id, patient, age, sex, scp, axis, fold in rows:
        lines.append(f'{ecg_id},{patient},{age},{sex},,"sinus, rhythm","{scp}",{axis},,{fold},lr,hr')
        for folder, ending, rate, n in (("records500", "hr", 500, 5000), ("records100", "lr", 100, 1000)):
            if both or ending == "hr":
                write_record(
                    root / folder / "00000",
                    f"{ecg_id:05d}_{ending}",
                    ecg(12, n, seed=ecg_id),
                    leads=[lead.upper() for lead in TWELVE],
                    rate=rate,
                    kind="dat",
                    gain=gain,
                    comments=(),
                    signed=False,
                )
    (root / "ptbxl_database.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


class Files:
    """The writers above, as one fixture."""

    TWELVE = TWELVE
    ecg = staticmethod(ecg)
    mat4 = staticmethod(mat4)
    write_record = staticmethod(write_record)
    annotations = staticmethod(annotations)
    write_dynamic = staticmethod(write_dynamic)
    write_ptbxl = staticmethod(write_ptbxl)


@pytest.fixture(scope="session")
def files():
    """Writers of WFDB files."""
    return Files


@pytest.fixture(scope="session")
def real_data():
    """The folder of real records, where there is one."""
    place = os.environ.get("ECG_RAMBA_DATA")
    if not place:
        pytest.skip("ECG_RAMBA_DATA is not set: no real records to test against")
    return Path(place)


@pytest.fixture
def mirror(monkeypatch):
    """A local server with PhysioNet's layout, empty as yet, that no proxy stands before."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with serve(Mirror()) as made:
        yield made
