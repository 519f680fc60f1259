"""Damaged files of every format: each is read or refused with a sentence; no reader breaks down or takes over 5 s."""

import json
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ecg_ramba.dashboard.formats.reading import FormatError
from ecg_ramba.dashboard.grouping import group
from ecg_ramba.dashboard.limited import Limits, call
from ecg_ramba.dashboard.uploads import Sent
from ecg_ramba.data.leads import LEADS

LIMITS = Limits(cpu_seconds=5, seconds=60, memory_mb=1024)
FATAL = ("broke down", "and was stopped")
NUMBERS = (b"0", b"-1", b"99999999999999999999", b"1e308", b"-1e-308", b"nan", b"inf", b"2147483648", b"65535", b"")
BYTES = (
    b"\x00",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\x00" * 16,
    b"\r\n",
    b"(",
    b"{",
)


@pytest.fixture(scope="module")
def seeds(make, tmp_path_factory):
    """Sound uploads to damage: name -> {file name: bytes}."""
    tmp = tmp_path_factory.mktemp("seeds")
    short = make.ecg(100.0, 3.0)
    two = short[:2]
    made = {f"wfdb{f}": make.wfdb(tmp / f, signal=short, rate=100.0, fmt=f) for f in ("16", "24", "212", "516")}
    made["mat4"] = {"x.mat": make.mat("4", val=short, fs=100.0)}
    fields = {"data": two, "fs": 100.0, "leads": np.array(["I", "II"], dtype=object)}
    made["mat5"] = {"x.mat": make.mat("5", val=short, ECG=fields, name="text")}
    made["csv"] = {"x.csv": make.csv(two, ["t", "I", "II"], time=np.arange(300) / 100, preamble="# rate: 100\n")}
    made["csv-comma"] = {"x.csv": make.csv(two, ["I", "II"], ";", ",")}
    made["json"] = {"x.json": make.json(two, "I,II", rate=100, units="mV")}
    made["edf"] = {"x.edf": make.edf(tmp, short, list(LEADS), 100)}
    made["bdf"] = {"x.bdf": make.edf(tmp, two, ["I", "II"], 100, kind="bdf")}
    made["dicom"] = {"x.dcm": make.dicom(short, [f"Lead {lead}" for lead in LEADS], 100.0)}
    made["dicom-big"] = {"x.dcm": make.dicom(short, [f"Lead {lead}" for lead in LEADS], 100.0, order=">")}
    parts = make.wfdb(tmp / "s", "p0", signal=two, leads=("I", "II"), rate=100.0)
    parts |= make.wfdb(tmp / "s", "p1", signal=short[1:3], leads=("II", "III"), rate=100.0)
    made["segments"] = {"x.hea": b"x/3 3 100 700\np0 300\n~ 100\np1 300\n"} | parts
    made["zip"] = {"x.zip": make.zip(made["wfdb16"] | made["csv"])}
    return made


def damaged(content: bytes, rng: random.Random) -> bytes:
    """A file with one to six injuries, most of them near its begin, where the meaning is."""
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        size = max(1, len(made))
        at = rng.randrange(min(size, 2000)) if rng.random() < 0.8 else rng.randrange(size)
        kind = rng.randrange(8)
        if kind == 0:
            made[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            made[at : at + 1] = bytes([(made[at] if at < len(made) else 0) ^ (1 << rng.randrange(8))])
        elif kind == 2:
            del made[at:]
        elif kind == 3:
            del made[at : at + rng.randrange(1, 50)]
        elif kind == 4:
            made[at:at] = made[at : at + rng.randrange(1, 200)]
        elif kind == 5:
            piece = rng.choice(BYTES)
            made[at : at + len(piece)] = piece
        elif kind == 6:
            made[at:at] = rng.choice(BYTES)
        else:  # a number in text becomes another
            end = at
            while end < len(made) and chr(made[end]) in "0123456789.-+eE":
                end += 1
            made[at:end] = rng.choice(NUMBERS)
    return bytes(made)


def outcome(files: dict[str, bytes], place: Path) -> str:
    """What becomes of an upload: ``read``, ``asked``, or the sentences of its refusal."""
    place.mkdir()
    try:
        sent = []
        for i, (name, content) in enumerate(files.items()):
            (place / str(i)).write_bytes(content)
            sent.append(Sent(name, place / str(i)))

        def unpack(one):
            (place / "out").mkdir()
            arguments = {"path": str(one.path), "folder": str(place / "out"), "most_files": 20, "most_mb": 20}
            made = call("ecg_ramba.dashboard.formats.archive:unpack", arguments, LIMITS)
            return [Sent(m["name"], Path(m["path"])) for m in made]

        said = []
        for i, one in enumerate(group(sent, unpack).recordings):
            if one.refused:
                said.append(one.refused)
                continue
            (place / f"r{i}").mkdir()
            arguments = {"files": {n: str(p) for n, p in one.files.items()}, "name": one.name, "kind": one.kind}
            arguments |= {"folder": str(place / f"r{i}"), "answers": {}, "hours": 48}
            try:
                found = call("ecg_ramba.dashboard.read:read", arguments, LIMITS)
            except FormatError as error:
                said.append(str(error))
                continue
            json.dumps(found, allow_nan=False)
            said.append("asked" if found["questions"] else "read")
        return " | ".join(said) or "nothing"
    finally:
        shutil.rmtree(place)


def fuzz(seeds, count, tmp_path) -> dict[str, int]:
    """Damage and read; fails on the first reader that breaks down, with what breaks it kept."""
    names = sorted(seeds)

    def one(number: int) -> str:
        rng = random.Random(number)
        name = names[number % len(names)]
        files = dict(seeds[name])
        hurt = rng.choice(sorted(files))
        files[hurt] = damaged(files[hurt], rng)
        said = outcome(files, tmp_path / str(number))
        assert not any(fatal in said for fatal in FATAL), f"number {number}, a {name}: {said}"
        return said

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(one, range(count)))
    return {
        "read": sum(said == "read" for said in outcomes),
        "asked": sum(said == "asked" for said in outcomes),
        "refused": sum(said not in ("read", "asked") for said in outcomes),
        "unforeseen": sum("cannot be read (" in said and "Error: " in said for said in outcomes),
    }


def test_sound_files_are_read(seeds, tmp_path):
    for name, files in seeds.items():
        said = outcome(dict(files), tmp_path / name)
        assert said in ("read", "asked", "read | read"), (name, said)


def test_two_hundred_damaged_files(seeds, tmp_path):
    counts = fuzz(seeds, 200, tmp_path)
    assert min(counts["read"], counts["refused"]) > 20, counts


@pytest.mark.slow
def test_ten_thousand_damaged_files(seeds, tmp_path):
    counts = fuzz(seeds, 10_000, tmp_path)
    print(counts)
    assert min(counts["read"], counts["refused"]) > 1000, counts
