"""Unpacking: the archive's layout and bytes, nothing outside the folder, nothing lost to damage or a stop."""

import stat
import zipfile
from types import SimpleNamespace

import pytest

from ecg_ramba import cli
from ecg_ramba.data import unpack as module
from ecg_ramba.data.check import check
from ecg_ramba.data.unpack import unpack
from ecg_ramba.errors import UserError


@pytest.fixture
def georgia(tmp_path, files):
    """A data set's folder and its archive, as PhysioNet packs it."""
    folder = tmp_path / "georgia"
    for i in range(3):
        files.write_record(folder / "g1", f"E0000{i}", files.ecg(12, 5000, seed=i))
    archive = tmp_path / "georgia.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            packed.write(path, path.relative_to(tmp_path))
    return folder, archive


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_was_packed_is_there_and_is_read(georgia, tmp_path):
    folder, archive = georgia
    seen = []
    outcome = unpack(archive, tmp_path / "out", lambda *a: seen.append(a))
    assert (outcome.written, outcome.there, outcome.failed) == (6, 0, {})
    assert tree(tmp_path / "out" / "georgia") == tree(folder)
    assert seen[-1] == (6, 6)
    assert check(tmp_path / "out").records == 3


def test_what_is_there_is_left_and_what_is_not_whole_is_written_again(georgia, tmp_path):
    folder, archive = georgia
    unpack(archive, tmp_path / "out")
    damaged, gone = tmp_path / "out/georgia/g1/E00000.mat", tmp_path / "out/georgia/g1/E00001.hea"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    gone.unlink()
    outcome = unpack(archive, tmp_path / "out")
    assert (outcome.written, outcome.there) == (2, 4)
    assert tree(tmp_path / "out" / "georgia") == tree(folder)


@pytest.mark.parametrize(
    "name", ["../evil.hea", "a/../../evil.hea", "/etc/evil.hea", "..\\evil.hea", "C:/evil.hea", "a/..", "\\evil"]
)
def test_a_path_outside_its_folder_is_refused_and_nothing_is_written(tmp_path, name):
    archive = tmp_path / "bad.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("georgia/E00001.hea", "x")
        packed.writestr(name, "evil")
    with pytest.raises(UserError, match="holds a path outside its folder"):
        unpack(archive, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["bad.zip"]


def test_links_encrypted_files_and_doubled_paths_are_refused(tmp_path):
    archive = tmp_path / "bad.zip"
    link = zipfile.ZipInfo("georgia/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="holds a link"):
        unpack(archive, tmp_path / "out")
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("georgia/a", "1")
        packed.writestr("georgia/A", "2")
    with pytest.raises(UserError, match="'georgia/A' twice"):
        unpack(archive, tmp_path / "out")
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("georgia/a", "1")
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the central directory's flag
    archive.write_bytes(content)
    with pytest.raises(UserError, match="is encrypted"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_is_named_and_the_others_go_on(georgia, tmp_path):
    folder, archive = georgia
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as packed:
        victim = packed.getinfo("georgia/g1/E00001.mat")
    content[victim.header_offset + 5000] ^= 0xFF
    archive.write_bytes(content)
    outcome = unpack(archive, tmp_path / "out")
    assert list(outcome.failed) == ["georgia/g1/E00001.mat"]
    assert outcome.written == 5
    assert set(tree(folder)) - set(tree(tmp_path / "out" / "georgia")) == {"g1/E00001.mat"}


def test_what_is_no_archive(georgia, tmp_path):
    _, archive = georgia
    archive.write_bytes(archive.read_bytes()[:1000])
    for path, words in (
        (archive, "is no zip archive, or is cut short"),
        (tmp_path / "none.zip", "is not there"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(UserError, match=words):
            unpack(path, tmp_path / "out")


def test_what_the_disk_cannot_hold_is_not_begun(georgia, tmp_path, monkeypatch):
    monkeypatch.setattr("ecg_ramba.files.shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"the files of georgia\.zip take about"):
        unpack(georgia[1], tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_stopped_it_goes_on(georgia, tmp_path, monkeypatch):
    folder, archive = georgia
    real, calls = module.write_atomic, []

    def once(*arguments):
        calls.append(None)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, "write_atomic", once)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, tmp_path / "out")
    outcome = unpack(archive, tmp_path / "out")
    assert (outcome.written, outcome.there) == (3, 3)
    assert tree(tmp_path / "out" / "georgia") == tree(folder)


def test_from_the_command_line(georgia, tmp_path, capsys):
    _, archive = georgia
    assert cli.main(["data", "unpack", str(archive), "--to", str(tmp_path / "out")]) == 0
    assert "6 files unpacked, 0 were there" in capsys.readouterr().out
    assert cli.main(["data", "unpack", str(tmp_path / "none.zip"), "--to", str(tmp_path / "out")]) == 2


def test_a_folder_with_archives_alone_says_how(georgia, tmp_path):
    _, archive = georgia
    place = tmp_path / "only"
    place.mkdir()
    archive.rename(place / "georgia.zip")
    with pytest.raises(UserError, match=r"unpack georgia\.zip first: ecg-ramba data unpack"):
        check(place)
