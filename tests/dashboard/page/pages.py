"""Servers of the page under test, and where things are on its paper."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PX_PER_MM = 96 / 25.4
RATE, BEAT, FIRST = 500, 0.8, 0.3
"""Of the recording that is uploaded: its R peaks are at 0.3 s, 1.1 s, …"""


class Server:
    """``ecg-ramba serve`` in a process of its own.

    Parameters
    ----------
    folder : Path
        Its ``--state``; what it says goes to ``serve.log`` beside it.
    models : Path, optional
        Its ``--models``.
    program : str
        The module that is run, with the command line of ``ecg-ramba``.
    """

    def __init__(self, folder: Path, models: Path | None = None, program: str = "ecg_ramba.cli"):
        self.folder, self.models, self.program = folder, models, program
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self) -> None:
        command = [sys.executable, "-m", self.program, "serve", "--port", str(self.port)]
        command += ["--state", str(self.folder)] + (["--models", str(self.models)] if self.models else [])
        with open(self.folder.parent / "serve.log", "ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"}, cwd=Path.cwd()
            )
        until(lambda: self.answers(), 180, lambda: (self.folder.parent / "serve.log").read_text())

    def answers(self) -> bool:
        assert self.process.poll() is None, (self.folder.parent / "serve.log").read_text()
        try:
            return "models" in self.get("/api/state")
        except OSError:
            return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def get(self, path: str) -> dict:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def items(self) -> list[dict]:
        return self.get("/api/recordings")["items"]


def until(true, seconds: float, said: Callable[[], object] = lambda: "") -> None:
    """Wait until something is true; fail with what was said last."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, f"not within {seconds} s\n{said()}"
        time.sleep(0.1)


LAYOUTS = {"3 × 4 + strip": (4, 3), "6 × 2": (6, 1), "12 × 1": (12, 1)}
"""Rows of a layout, and the row that shows lead II from the left edge on."""


def place(page, layout, speed, time_s, mv, gain):
    """Where a point of lead II is, by the paper's own rules: a margin of 9 mm, rows as high as fit."""
    box = page.get_by_test_id("ecg").bounding_box()
    rows, row = LAYOUTS[layout]
    pitch = min(42 * PX_PER_MM, max(13 * PX_PER_MM, (box["height"] - 6) / rows))
    x = round(9 * PX_PER_MM) + time_s * speed * PX_PER_MM
    y = 6 + (row + 0.56) * pitch - mv * gain * PX_PER_MM
    return box["x"] + x, box["y"] + y


def read_calliper(page):
    row = page.get_by_test_id("calliper").last
    return {f: float(row.locator(f"[data-field={f}]").inner_text().replace("−", "-")) for f in ("ms", "rate", "mv")}


def drag(page, begin, end):
    page.mouse.move(*begin)
    page.mouse.down()
    page.mouse.move(*begin)
    page.mouse.move((begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2)
    page.mouse.move(*end)
    page.mouse.up()


def begin_of(page) -> float:
    """Seconds."""
    return float(page.get_by_test_id("calliper").last.locator("td").first.inner_text().removesuffix(" s"))


def whole_samples(page) -> bool:
    """Whether the ends are on samples, as they are once these are here."""
    samples = read_calliper(page)["ms"] * RATE / 1000, begin_of(page) * RATE
    return all(abs(value - round(value)) < 1e-6 for value in samples)
