"""The download against a local server that has PhysioNet's layout and does what servers and networks do."""

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from ecg_ramba import cli
from ecg_ramba.data.check import check
from ecg_ramba.data.physionet import fetch, state, transfer, web
from ecg_ramba.data.physionet.download import LOCK, download, reader
from ecg_ramba.data.physionet.published import PUBLISHED, parse_sums
from ecg_ramba.data.physionet.web import Patience
from ecg_ramba.data.physionet.web_connection import new_connection, web_address
from ecg_ramba.data.registry import dataset
from ecg_ramba.errors import UserError
from ecg_ramba.harness.progress import Progress
from ecg_ramba.locks import alone
from tests.data.physionet.mirror import QUICK, Mirror, cut, get, hang, other, slow, status, tree

GEORGIA = "challenge-2021/1.0.3"
BELOW = "training/georgia/"
E1 = f"{GEORGIA}/{BELOW}g1/E00001.mat"
DX = ("426783006", "164889003", "426783006,59118001", "55827005", "426177001", "164889003,426177001")


@pytest.fixture(scope="module")
def georgia(tmp_path_factory, files):
    """Hand-made files in the layout of the challenge's Georgia folder."""
    folder = tmp_path_factory.mktemp("georgia")
    for i, dx in enumerate(DX):
        files.write_record(folder / f"g{i // 4 + 1}", f"E0000{i}", files.ecg(12, 600, seed=i), comments=(f"#Dx: {dx}",))
    (folder / "RECORDS").write_text("g1/\n")
    return folder


@pytest.fixture
def site(mirror, georgia):
    """The mirror, with Georgia's files."""
    mirror.names = mirror.publish(GEORGIA, georgia, below=BELOW)
    return mirror


def test_a_whole_data_set_is_found_by_its_reader(site, georgia, tmp_path, capsys):
    assert cli.main(["data", "download", "georgia", "--to", str(tmp_path), "--mirror", site.url]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == f"check it: ecg-ramba data check {tmp_path}"
    assert printed.err.index("CC BY 4.0") < printed.err.index("files to fetch")
    n_bytes = sum(len(content) for content in tree(georgia).values())
    assert f"download georgia: 13 of 13 files, {n_bytes / 1000:.1f} kB in" in printed.err
    assert tree(tmp_path / "georgia") == tree(georgia)
    terms = (tmp_path / "georgia" / "LICENCE_AND_CITATION.txt").read_text()
    assert dataset("georgia").citation in terms
    assert dataset("georgia").licence in terms
    report = check(tmp_path)
    assert [(d.name, d.records) for d in report.datasets] == [("georgia", 6)]
    assert not report.refused + report.unclaimed + report.orphans
    assert all("ecg-ramba" in agent for agent in site.agents)
    listed = (tmp_path / "georgia" / "SHA256SUMS.txt").read_text().splitlines()
    for line in listed:  # the form of sha256sum -c
        sha256, name = line.split("  ")
        assert hashlib.sha256((tmp_path / "georgia" / name).read_bytes()).hexdigest() == sha256


def test_only_the_challenge_s_georgia_is_taken(site, tmp_path):
    line = f"{'0' * 64} training/ptb-xl/g1/HR00001.mat\n"
    site.files[f"{GEORGIA}/SHA256SUMS.txt"] += line.encode()
    outcome, _ = get(site, tmp_path)
    assert (outcome.fetched, outcome.missing, outcome.failed) == (13, [], {})
    assert site.times("HR00001.mat") == 0


def test_what_is_there_is_not_fetched_again(site, tmp_path, monkeypatch):
    get(site, tmp_path)
    changed, touched = (tmp_path / "georgia" / "g1" / f"E0000{i}.mat" for i in (1, 2))
    changed.write_bytes(b"changed")
    os.utime(touched, ns=(1, 1))
    site.asked.clear()
    hashed = []
    monkeypatch.setattr(fetch, "sha256_file", lambda path: hashed.append(path.name) or download_sha(path))
    outcome, _ = get(site, tmp_path)
    assert (outcome.there, outcome.fetched) == (12, 1)
    assert site.asked == [(f"{GEORGIA}/SHA256SUMS.txt", ""), (E1, "")]
    assert sorted(hashed) == ["E00001.mat", "E00001.mat.part", "E00002.mat"]


def download_sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("content", [b"no JSON", b'{"files": 3}', b'{"files": {"RECORDS": 5}}', b"", b"\xff\xfe"])
def test_a_damaged_state_is_none(site, tmp_path, content):
    get(site, tmp_path)
    (tmp_path / "georgia" / state.STATE).write_bytes(content)
    site.asked.clear()
    outcome, said = get(site, tmp_path)
    assert (outcome.there, outcome.fetched) == (13, 0)
    assert "is damaged" in said
    assert len(json.loads((tmp_path / "georgia" / state.STATE).read_text())["files"]) == 13


def test_a_state_of_other_checksums_proves_nothing(site, tmp_path):
    get(site, tmp_path)
    site.files[E1] = b"a correction by the publisher"
    new = hashlib.sha256(site.files[E1]).hexdigest()
    text = site.files[f"{GEORGIA}/SHA256SUMS.txt"].decode()
    site.list(GEORGIA, re.sub(rf"\w+ {BELOW}g1/E00001.mat", f"{new} {BELOW}g1/E00001.mat", text))
    outcome, _ = get(site, tmp_path)
    assert outcome.fetched == 1
    assert (tmp_path / "georgia" / "g1" / "E00001.mat").read_bytes() == site.files[E1]


def test_dropped_connections_are_resumed_where_they_broke(site, tmp_path, georgia):
    site.faults[E1] = [cut(1000), cut(2500), cut(0)]
    outcome, _ = get(site, tmp_path)
    assert outcome.fetched == 13
    assert tree(tmp_path / "georgia") == tree(georgia)
    assert site.ranges_of("E00001.mat") == ["", "bytes=1000-", "bytes=3500-", "bytes=3500-"]


def test_a_server_without_ranges_starts_over(site, tmp_path, georgia):
    site.ranges = False
    site.faults[E1] = [cut(1000), cut(2000)]
    assert get(site, tmp_path)[0].fetched == 13
    assert site.ranges_of("E00001.mat") == ["", "bytes=1000-", "bytes=2000-"]
    assert tree(tmp_path / "georgia") == tree(georgia)


@pytest.mark.parametrize(
    ("part", "ranges"),
    [
        (lambda whole: whole[:777], ["bytes=777-"]),
        (lambda whole: whole, [f"bytes={14424}-"]),  # whole, not yet renamed: 416, and nothing is fetched
        (lambda whole: whole + b"more", [f"bytes={14428}-", ""]),  # 416: start over
        (lambda whole: b"x" * 14424, [f"bytes={14424}-", ""]),
        (lambda whole: b"x" * 100, ["bytes=100-", ""]),  # continued, wrong, deleted, fetched once more
        (lambda whole: b"", [""]),
    ],
)
def test_a_partial_file_of_an_earlier_run(site, tmp_path, georgia, part, ranges):
    place = tmp_path / "georgia" / "g1"
    place.mkdir(parents=True)
    (place / "E00001.mat.part").write_bytes(part(site.files[E1]))
    assert len(site.files[E1]) == 14424
    outcome, _ = get(site, tmp_path)
    assert not outcome.failed
    assert site.ranges_of("E00001.mat") == ranges
    assert tree(tmp_path / "georgia") == tree(georgia)


@pytest.mark.parametrize("said", ["bytes 0-9/14424", "bytes 11-14423/14424", "nonsense", None])
def test_an_answer_with_another_range_than_was_asked_for(site, tmp_path, georgia, said):
    place = tmp_path / "georgia" / "g1"
    place.mkdir(parents=True)
    (place / "E00001.mat.part").write_bytes(site.files[E1][:10])
    headers = {"Content-Range": said} if said else {}
    site.faults[E1] = [lambda handler, content: handler.reply(206, content[11:], headers)]
    assert not get(site, tmp_path)[0].failed
    assert tree(tmp_path / "georgia") == tree(georgia)


def test_wrong_bytes_once_and_always(site, tmp_path):
    site.faults[E1] = [other(b"spoiled")]
    two = E1.replace("E00001", "E00002")
    site.always[two] = other(b"spoiled for good")
    outcome, _ = get(site, tmp_path)
    assert (outcome.fetched, list(outcome.failed)) == (12, ["g1/E00002.mat"])
    assert (site.times("E00001.mat"), site.times("E00002.mat")) == (2, 2)
    assert "E00002.mat: its bytes are not those of the publisher's checksum" in outcome.failed["g1/E00002.mat"]
    assert not list(tmp_path.rglob("*.part"))
    assert not (tmp_path / "georgia" / "g1" / "E00002.mat").exists()


def test_missing_files_are_named_and_the_rest_goes_on(site, tmp_path, capsys):
    del site.files[E1]
    argv = ["data", "download", "georgia", "--to", str(tmp_path), "--mirror", site.url]
    assert cli.main(argv) == 1
    printed = capsys.readouterr()
    assert "1 files are listed but not on the server (404): g1/E00001.mat" in printed.err
    assert "12 files fetched" in printed.out
    assert "ecg-ramba data check" in printed.out


def test_a_server_that_is_busy_is_waited_for(site, tmp_path):
    site.faults[E1] = [status(503, retry_after=1), status(429), status(500)]
    began = time.monotonic()
    outcome, _ = get(site, tmp_path)
    assert time.monotonic() - began >= 1
    assert (outcome.fetched, site.times("E00001.mat")) == (13, 4)


def test_the_list_is_waited_for_too(site, tmp_path):
    site.faults[f"{GEORGIA}/SHA256SUMS.txt"] = [status(503), cut(100), status(429, retry_after="0")]
    assert get(site, tmp_path)[0].fetched == 13


def test_a_retry_after_is_a_number_or_a_date():
    assert web._retry_after("17") == 17
    assert web._retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert web._retry_after("Wed, 21 Oct 2065 07:28:00 GMT") > 3e8
    assert web._retry_after("") == web._retry_after("soon") == web._retry_after("-3") == 0


def test_one_file_that_is_never_given_does_not_stop_the_others(site, tmp_path):
    site.always[E1] = status(503)
    outcome, _ = get(site, tmp_path)
    assert (outcome.fetched, site.times("E00001.mat")) == (12, QUICK.tries)
    assert "503" in outcome.failed["g1/E00001.mat"]
    site.always.clear()
    outcome, _ = get(site, tmp_path)
    assert (outcome.fetched, outcome.there, outcome.failed) == (1, 12, {})


def test_a_server_that_is_busy_for_ever_is_given_up(site, tmp_path):
    for path in site.files:
        site.always[path] = status(503)
    with pytest.raises(UserError, match=r"SHA256SUMS.txt: the server answers 503 .*the same command goes on"):
        get(site, tmp_path)
    assert len(site.asked) == QUICK.tries
    del site.always[f"{GEORGIA}/SHA256SUMS.txt"]
    with pytest.raises(UserError, match=r"503 .*one file after the other fails; .*the same command goes on"):
        get(site, tmp_path, connections=2)
    assert len({path for path, _ in site.asked}) <= 10


def test_a_server_that_asks_for_a_long_wait_is_not_bothered_again(site, tmp_path):
    site.always[f"{GEORGIA}/SHA256SUMS.txt"] = status(429, retry_after=3600)
    with pytest.raises(UserError, match="asks to come back in 60 min"):
        get(site, tmp_path)
    assert len(site.asked) == 1


def test_a_full_disk_stops_at_once_and_says_what_is_missing(site, tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, chunk):
            raise OSError(errno.ENOSPC, "No space left on device")

    def opened(path, mode):
        return Full(path, mode) if "E00003" in path.name else open(path, mode)

    monkeypatch.setattr(fetch, "open", opened, raising=False)
    with pytest.raises(UserError, match=r"E00003.*no space is left on this disk; .*the same command goes on"):
        get(site, tmp_path, connections=1)
    assert site.times("E00004.mat") == site.times("E00005.mat") == 0
    usage = shutil.disk_usage(tmp_path)._replace(free=0)
    with monkeypatch.context() as patch:
        patch.setattr(transfer.Transfer, "_check_space", lambda *_: None)
        patch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(UserError, match=r"about 7\d\d\.\d kB are missing; free some"):
            get(site, tmp_path)
    monkeypatch.undo()
    assert not get(site, tmp_path)[0].failed


def test_a_disk_that_is_too_small_is_refused_before_anything_is_fetched(site, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"has 100\.0 kB free, about 762\.0 kB are needed: 662\.0 kB are missing"):
        get(site, tmp_path)
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    "path",
    [
        "../evil",
        "/etc/evil",
        "g1/../../evil",
        "g1//evil",
        "./evil",
        "C:/evil",
        "g1\\..\\evil",
        "g1/evil\x1b[2J",
        "g1/evil\x00",
        "g1/evil\x85",
        "g1/\u202eevil",
        "evil ",
        "evil/",
        ".download.json",
        ".download-headers/evil",
        "evil.part",
        "..",
    ],
)
def test_hostile_paths_are_refused(site, tmp_path, path):
    inside = path if path.startswith("/") else f"{BELOW}{path}"
    site.files[f"{GEORGIA}/SHA256SUMS.txt"] += f"{'0' * 64}  {inside}\n".encode()
    with pytest.raises(UserError, match=r"SHA256SUMS.txt, line 14 has a path") as caught:
        get(site, tmp_path / "to")
    assert str(caught.value).isprintable()
    assert len(site.asked) == 1
    assert not tree(tmp_path / "to" / "georgia")
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize(
    "line", [b"<!DOCTYPE html>", b"0" * 63 + b" a", b"0" * 64, b"0" * 64 + b"  ", b"g" * 64 + b" a", b"0" * 64 + b"a b"]
)
def test_a_line_that_is_no_checksum_and_path(line):
    with pytest.raises(UserError, match=r"http://x, line 2 is not a checksum and a path"):
        parse_sums(b"0" * 64 + b" ok\n" + line + b"\n", "http://x")


def test_lists_of_checksums():
    one, two = "1" * 64, "ab" * 32
    assert parse_sums(f"{one}  a/b c.txt\r\n{two.upper()} *ü\n\n".encode(), "x") == {"a/b c.txt": one, "ü": two}
    with pytest.raises(UserError, match="line 2: a has two checksums"):
        parse_sums(f"{one} a\n{two} a\n".encode(), "x")
    with pytest.raises(UserError, match="lists no files below training/"):
        parse_sums(f"{one} a\n".encode(), "x", "training/")


def test_names_with_odd_characters(mirror, tmp_path):
    folder = tmp_path / "made"
    (folder / "data").mkdir(parents=True)
    names = ["data/a b.txt", "data/100%.txt", "data/ü#?.txt", "data/%2e%2e"]
    for name in names:
        (folder / name).write_text(name)
    mirror.publish("ludb/1.0.1", folder)
    outcome, _ = get(mirror, tmp_path / "to", name="ludb")
    assert outcome.fetched == 4
    assert tree(tmp_path / "to" / "ludb") == tree(folder)


def test_a_killed_download_goes_on(site, tmp_path, georgia):
    for path in site.files:
        if path.endswith((".mat", ".hea")):
            site.faults[path] = [slow(0.1)]
    site.faults[E1] = [hang(1000)]
    process = start(site, tmp_path, "--connections", "2")
    wait_for(lambda: len(list(tmp_path.rglob("*.mat"))) >= 3 and (tmp_path / "georgia/g1/E00001.mat.part").is_file())
    process.kill()
    process.wait()
    done = {p.name for p in (tmp_path / "georgia").rglob("*.*") if p.suffix in (".mat", ".hea")}
    assert not (tmp_path / "georgia" / state.STATE).exists()
    site.asked.clear()
    outcome, _ = get(site, tmp_path)
    assert outcome.there >= len(done)
    assert not done & {Path(path).name for path, _ in site.asked}
    assert site.ranges_of("E00001.mat") == ["bytes=1000-"]
    assert tree(tmp_path / "georgia") == tree(georgia)


def start(site, to, *more):
    argv = ["data", "download", "georgia", "--to", str(to), "--mirror", site.url, *more]
    root = Path(cli.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-m", "ecg_ramba.cli", *argv],
        cwd=root,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def test_ctrl_c_keeps_what_is_there_and_returns_130(site, tmp_path, georgia):
    site.faults[E1] = [hang(1000)]
    process = start(site, tmp_path)
    wait_for(lambda: (tmp_path / "georgia" / "g1" / "E00001.mat.part").is_file() and site.times("E00005.mat"))
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    site.asked.clear()
    outcome, _ = get(site, tmp_path)
    assert outcome.there == 12
    assert site.asked[1:] == [(E1, "bytes=1000-")]
    assert tree(tmp_path / "georgia") == tree(georgia)


def test_two_processes_in_one_folder(site, tmp_path, georgia):
    for path in site.files:
        site.faults[path] = [slow(0.1)]
    site.faults[E1] = [slow(1)]
    both = [start(site, tmp_path), start(site, tmp_path)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(re.search(r"(\d+) files fetched", out)[1] for out, _ in said) == ["0", "13"]
    assert site.times(".mat") == 6
    assert tree(tmp_path / "georgia") == tree(georgia)


def test_a_second_download_waits_for_the_first(site, tmp_path, georgia):
    folder, said = tmp_path / "georgia", []
    folder.mkdir()
    console = Console(file=io.StringIO(), width=500)

    def second():
        said.append(download("georgia", tmp_path, mirror=site.url, progress=Progress(console), patience=QUICK))

    with alone(folder / LOCK, print):
        thread = threading.Thread(target=second)
        thread.start()
        wait_for(lambda: "waiting for it to end" in console.file.getvalue())
        assert not site.asked
    thread.join()
    assert said[0].fetched == 13


def refusal(capsys, argv):
    assert cli.main(["data", "download", *argv]) == 2
    line = capsys.readouterr().err.strip().split("\n")[-1]
    assert line.startswith("error: ")
    return line


def test_mistakes(capsys, tmp_path, site):
    (tmp_path / "file").write_text("")
    to = ["--to", str(tmp_path / "to")]
    for argv, said in (
        (["ptbx", *to], "no data set to download is called 'ptbx'; did you mean ptbxl"),
        (["ludb", "--to", str(tmp_path / "file")], "file is a file; name a folder"),
        (["ludb", "--to", str(tmp_path / "file" / "below")], "cannot write"),
        (["ludb", *to, "--connections", "9"], "--connections 9: from 1 to 8"),
        (["ludb", *to, "--mirror", "ftp://here"], "is no address of a web server"),
        (["ludb", *to, "--mirror", "physionet.org"], "is no address of a web server"),
        (["ludb", *to, "--mirror", "http://me:secret@here"], "is no address of a web server"),
        (["ludb", *to, "--mirror", "http://[::1"], "is no address of a web server"),
        (["ludb", *to, "--mirror", "http://127.0.0.1:port"], "is no address of a web server"),
        (["ludb", *to, "--mirror", "http://name.invalid"], "name.invalid: the name cannot be resolved .*HTTPS_PROXY"),
        (["ludb", *to, "--mirror", "http://127.0.0.1:9"], "127.0.0.1:9: the connection is refused.*try again"),
        (["ludb", *to, "--mirror", site.url.replace("http", "https")], "no secure connection"),
        (["ludb", *to, "--mirror", site.url], "404 .*check the mirror's address"),
    ):
        assert re.search(said, refusal(capsys, argv)), said


def test_a_silent_server_is_given_up_soon(tmp_path):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        mirror = Mirror()
        mirror.url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UserError, match="no answer in time; check the network"):
            get(mirror, tmp_path, patience=Patience(silent_s=0.2))


def test_a_server_that_goes_away_in_the_middle(site, tmp_path):
    for path in site.files:
        if not path.endswith(".txt"):
            site.always[path] = cut(0)
    with pytest.raises(UserError, match=r"the connection was lost after 0 of .* bytes; one file after the other fails"):
        get(site, tmp_path, connections=1)
    site.always.clear()
    assert not get(site, tmp_path)[0].failed


def test_redirections(site, tmp_path, georgia):
    moved = f"{site.url}/{E1}"
    site.files["elsewhere/E00001.mat"] = site.files[E1]
    site.always[E1] = status(302, Location=f"{site.url}/elsewhere/E00001.mat")
    site.always[E1.replace("E00001", "E00002")] = status(302, Location="ftp://elsewhere/E00002.mat")
    site.always[E1.replace("E00001", "E00003")] = status(301, Location=moved.replace("E00001", "E00003"))
    outcome, _ = get(site, tmp_path)
    assert outcome.fetched == 11
    assert "no address of a web server" in outcome.failed["g1/E00002.mat"]
    assert "redirects without end" in outcome.failed["g1/E00003.mat"]


def test_connections_that_the_server_ends(site, tmp_path, georgia):
    def unsaid(handler, content):
        handler.send_content(content)
        handler.close_connection = True

    def endless(handler, content):  # of no stated length: its end is the connection's
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(content)

    def in_chunks(handler, content):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for piece in (content[:100], content[100:], b""):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    for i, path in enumerate(site.files):
        site.always[path] = (unsaid, endless, in_chunks)[i % 3]
    assert get(site, tmp_path)[0].fetched == 13
    assert tree(tmp_path / "georgia") == tree(georgia)
    assert len(site.asked) == 14


def test_proxies(site, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", site.url.replace("//", "//me:secret@"))
    monkeypatch.setenv("no_proxy", "elsewhere.test")
    url, site.url = site.url, "http://physionet.test/"
    assert get(site, tmp_path)[0].fetched == 13
    monkeypatch.setenv("https_proxy", url)
    made = new_connection(web_address("https://physionet.test/files"))
    assert (made.host, made.port, made._tunnel_host, made._tunnel_port) == (
        *url[7:].split(":")[:1],
        int(url.split(":")[2]),
        "physionet.test",
        443,
    )
    direct = new_connection(web_address("https://elsewhere.test/files"))
    assert direct.host == "elsewhere.test"
    monkeypatch.setenv("http_proxy", "socks5://here:1080")
    with pytest.raises(UserError, match="socks5://here does not speak HTTP"):
        get(site, tmp_path)


def test_help_imports_nothing_but_the_command_line():
    code = (
        "import sys; from ecg_ramba import cli\ntry: cli.main(['data', 'download', '--help'])\nexcept SystemExit: pass"
    )
    code += "\nprint([m for m in sys.modules if m in ('numpy', 'rich', 'ssl') or m.startswith('ecg_ramba.data')])"
    root = Path(cli.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "--sample N" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_data_set_that_can_be_downloaded_is_registered():
    assert all(reader(name) is dataset(name) for name in PUBLISHED)
