"""The built page is what its sources say, byte by byte, and obeys the server's Content-Security-Policy."""

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

import ecg_ramba.dashboard

PACKAGE = Path(ecg_ramba.dashboard.__file__).parent
WEB, STATIC = PACKAGE / "web", PACKAGE / "static"
SOURCES = ("src", "public", "index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def call(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A copy of the sources with the packages of the lock file."""
    if shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("dashboard") / "web"
    folder.mkdir()
    for name in SOURCES:
        source = WEB / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    if (WEB / "node_modules").is_dir():
        shutil.copytree(WEB / "node_modules", folder / "node_modules", symlinks=True)
    else:
        done = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, timeout=600
        )
        if done.returncode and re.search("ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT", done.stderr):
            pytest.skip("npm's registry cannot be reached, and node_modules is not there")
        assert done.returncode == 0, done.stderr
    return folder


def test_built_twice_it_is_what_is_committed(sources):
    committed = tree(STATIC)
    for _ in range(2):
        call(sources, "npm", "run", "build")
        built = tree(sources.parent / "static")
        assert sorted(built) == sorted(committed), "run `npm run build` in ecg_ramba/dashboard/web and commit static/"
        assert [name for name in built if built[name] != committed[name]] == []


def test_units_of_the_page(sources):
    said = call(sources, "npx", "vitest", "run", "--no-color")
    assert re.search(r"Tests +\d+ passed", said), said


def test_nothing_is_inline_or_from_elsewhere():
    page = (STATIC / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?![^>]*\ssrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", page) == []
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(addresses) >= 3
    for address in addresses:
        assert (STATIC / address.removeprefix("/")).is_file(), address
    for path in STATIC.rglob("*.css"):
        assert re.findall(r"url\(|@import", path.read_text("utf-8")) == [], path
    for path in STATIC.rglob("*.js"):
        assert re.findall(r"\beval\(|new Function\(", path.read_text("utf-8")) == [], path


@pytest.mark.slow
def test_the_wheel_has_the_page_and_not_its_sources(tmp_path):
    root = PACKAGE.parent.parent
    ignored = shutil.ignore_patterns("node_modules", ".git", "runs", "data", "models", "build", "*.egg-info")
    shutil.copytree(root, tmp_path / "root", ignore=ignored)
    call(tmp_path / "root", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(tmp_path), ".")
    (wheel,) = tmp_path.glob("*.whl")
    inside = {n for n in zipfile.ZipFile(wheel).namelist() if n.startswith("ecg_ramba/dashboard/")}
    assert {f"ecg_ramba/dashboard/static/{name}" for name in tree(STATIC)} <= inside
    assert [name for name in inside if "/web/" in name] == []
