"""``ecg-ramba serve`` as it is started: addresses, tokens, news, mistakes."""

import contextlib
import json
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def served(state, *options):
    """The command; gives its lines of output and the address."""
    port = free_port()
    command = [sys.executable, "-m", "ecg_ramba.cli", "serve", "--state", str(state), "--port", str(port), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        first = process.stdout.readline().strip()
        assert first, process.communicate()[1]
        yield first, f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def ask(url, headers=None, data=None, method=None):
    request = urllib.request.Request(url, data, headers or {}, method=method)
    return urllib.request.urlopen(request, timeout=30)


def test_on_loopback_no_token_and_news_arrive(tmp_path):
    with served(tmp_path / "s") as (line, url, process):
        assert line == f"{url}/"
        assert "No models" in process.stdout.readline()
        answer = ask(f"{url}/api/state")
        assert "server" not in answer.headers
        assert json.load(answer)["models"] is None
        stream = ask(f"{url}/api/events")
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.readline() == b"event: state\n"
        assert json.loads(stream.readline().removeprefix(b"data: "))["models"] is None
        body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x.csv"\r\n\r\nletter\r\n--b--\r\n'
        headers = {"X-ECG-RAMBA": "1", "Content-Type": "multipart/form-data; boundary=b"}
        item = json.load(ask(f"{url}/api/uploads", headers, body))["items"][0]
        lines = []
        while not (lines and lines[-1].startswith(b"data") and json.loads(lines[-1][6:])["status"] == "refused"):
            lines.append(stream.readline())
        assert b"event: item\n" in lines
        assert json.loads(lines[-1][6:])["id"] == item["id"]
        with pytest.raises(urllib.error.HTTPError, match="403"):
            ask(f"{url}/api/recordings", method="DELETE")
        with pytest.raises(urllib.error.HTTPError, match="421"):
            ask(f"{url}/api/state", {"Host": "evil.example"})
        other = subprocess.run(
            [
                sys.executable,
                "-m",
                "ecg_ramba.cli",
                "serve",
                "--state",
                str(tmp_path / "s"),
                "--port",
                str(free_port()),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (other.returncode, "another server uses" in other.stderr) == (2, True)


def test_elsewhere_a_token_is_made(tmp_path):
    with served(tmp_path / "s", "--host", "0.0.0.0") as (line, url, _):
        token = re.fullmatch(r"http://0\.0\.0\.0:\d+/\?token=([\w-]{20,})", line)[1]
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(f"{url}/api/state")
        assert json.load(ask(f"{url}/api/state", {"Authorization": f"Bearer {token}"}))["models"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--token", "short"], "at least 16"),
        (["--token", "spaces and ; other things"], "letters, digits"),
        (["--port", "99999"], "ports end at 65535"),
        (["--models", "nowhere"], "no checkpoint found"),
    ],
)
def test_mistakes_are_a_line(tmp_path, options, said):
    command = [
        sys.executable,
        "-m",
        "ecg_ramba.cli",
        "serve",
        "--state",
        str(tmp_path / "s"),
        "--port",
        str(free_port()),
    ]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "ecg_ramba.cli", "serve", "--state", str(tmp_path / "s"), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "choose another --port" in done.stderr
