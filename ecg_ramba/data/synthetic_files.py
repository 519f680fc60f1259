"""Write synthetic recordings as the publishers of real ones do: MATLAB and 16-bit WFDB files with their headers."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecg_ramba.data.synthetic_signal import Site

SAYS_SO = "Synthetic: made by ecg_ramba, not a patient"
"""Comment in every header."""

GAIN = 1000
"""Units per mV of the 12-lead files."""


def write_snomed(folder: Path, name: str, signal: np.ndarray, site: Site, codes: str, age: int, sex: str) -> None:
    """Write ``name.hea`` and ``name.mat`` (MATLAB version 4, WFDB format 16+24) with SNOMED codes.

    Parameters
    ----------
    folder : Path
        Where.
    name : str
        Record name.
    signal : (leads, samples) array
        In mV, in the order of ``site.leads``.
    site : Site
        Leads and rate.
    codes : str
        SNOMED codes, separated by commas.
    age : int
        In years.
    sex : str
        ``Female`` or ``Male``.
    """
    values = np.clip(np.rint(signal * GAIN), -32767, 32767).astype("<i2")
    # MATLAB 4 header: type (little-endian int16), rows, columns, imaginary part, length of the name; then the name
    head = struct.pack("<5i", 30, *values.shape, 0, 4) + b"val\0"
    (folder / f"{name}.mat").write_bytes(head + values.T.tobytes())
    lines = [f"{name} {len(values)} {site.rate} {values.shape[1]}"]
    for lead, row in zip(site.leads, values, strict=True):
        checksum = (int(row.sum(dtype=np.int64)) + 0x8000) % 0x10000 - 0x8000
        lines.append(f"{name}.mat 16+24 {GAIN}/mV 16 0 {row[0]} {checksum} 0 {lead}")
    lines += [f"#Age: {age}", f"#Sex: {sex}", f"#Dx: {codes}", "#Rx: Unknown", "#Hx: Unknown", "#Sx: Unknown"]
    (folder / f"{name}.hea").write_text("\n".join([*lines, f"#{SAYS_SO}"]) + "\n", encoding="ascii")


def write_two_lead(
    folder: Path,
    name: str,
    signal: np.ndarray,
    site: Site,
    beats: np.ndarray,
    episodes: Sequence[tuple[float, float]],
    rng: np.random.Generator,
) -> None:
    """Write ``name.hea``, ``name.dat`` and ``name.atr`` in the manner of CPSC-2021: odd gains, rhythm marks.

    Parameters
    ----------
    folder : Path
        Where.
    name : str
        Record name.
    signal : (leads, samples) array
        In mV.
    site : Site
        Leads and rate.
    beats : (n,) array
        R peaks in seconds; those outside the record are left out.
    episodes : sequence of (float, float)
        AF from and to, in seconds.
    rng : numpy.random.Generator
        Of the gains.
    """
    import wfdb

    n = signal.shape[1]
    gains = rng.uniform(6000, 9000, len(signal))
    middle = np.rint(np.median(signal, axis=1) * gains)
    digital = np.clip(np.rint(signal * gains[:, None] - middle[:, None]), -32767, 32767).astype(np.int64)
    whole = [(a, b) for a, b in episodes if a <= 0 and round(b * site.rate) >= n]
    kind = "persistent atrial fibrillation" if whole else "paroxysmal atrial fibrillation"
    wfdb.wrsamp(
        name,
        fs=site.rate,
        units=["mV"] * len(signal),
        sig_name=list(site.leads),
        d_signal=digital.T,
        fmt=["16"] * len(signal),
        adc_gain=gains.tolist(),
        baseline=(-middle).astype(int).tolist(),
        comments=[kind if episodes else "non atrial fibrillation", SAYS_SO],
        write_dir=str(folder),
    )
    marks = [(round(t * site.rate), "N", "") for t in beats if 0 <= t < (n - 1) / site.rate]
    for start, end in episodes:
        marks += [(round(start * site.rate), "+", "(AFIB"), (min(round(end * site.rate), n - 1), "+", "(N")]
    marks.sort()
    wfdb.wrann(
        name,
        "atr",
        sample=np.array([m[0] for m in marks]),
        symbol=[m[1] for m in marks],
        aux_note=[m[2] for m in marks],
        fs=site.rate,
        write_dir=str(folder),
    )
