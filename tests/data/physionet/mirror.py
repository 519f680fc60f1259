"""A local server with PhysioNet's layout and faults on demand, for the tests of the download."""

import contextlib
import hashlib
import io
import re
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from rich.console import Console

from ecg_ramba.data.physionet.download import download
from ecg_ramba.data.physionet.web import Patience
from ecg_ramba.harness.progress import Progress

QUICK = Patience(tries=4, first_s=0.01, asked_s=5, connect_s=2, silent_s=5)


def status(code, **headers):
    """Answer with a status and headers (``retry_after=1`` is ``Retry-After: 1``)."""

    def answer(handler, content):
        handler.reply(code, b"later", {k.replace("_", "-"): str(v) for k, v in headers.items()})

    return answer


def cut(n_bytes):
    """Close the connection after that many bytes of the answer."""

    def answer(handler, content):
        handler.send_content(content, stop_after=n_bytes)
        handler.close_connection = True

    return answer


def other(content):
    """Send other bytes than the list promises."""
    return lambda handler, _: handler.send_content(content)


def slow(seconds):
    """Answer late."""

    def answer(handler, content):
        time.sleep(seconds)
        handler.send_content(content)

    return answer


def hang(n_bytes, seconds=20):
    """Send the first bytes, and then nothing for a while."""

    def answer(handler, content):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        with contextlib.suppress(OSError):
            for piece in (content[:n_bytes], b""):
                handler.wfile.write(piece)
            handler.connection.settimeout(seconds)
            handler.connection.recv(1)
        handler.close_connection = True

    return answer


class Mirror:
    """What the server has, what it does wrong, and what it was asked.

    ``faults``: path -> answers, each used once; ``always``: path -> the answer to every request. ``ranges`` False
    ignores ``Range``. ``asked`` holds (path, Range or "") of every request in order.
    """

    def __init__(self):
        self.files, self.asked, self.agents = {}, [], set()
        self.faults, self.always = defaultdict(list), {}
        self.ranges = True
        self.url = ""

    def publish(self, root, folder, below=""):
        """Take the files of a folder as those of ``root`` (slug/version), and list them with their checksums."""
        paths = sorted(p for p in folder.rglob("*") if p.is_file())
        files = {f"{below}{p.relative_to(folder).as_posix()}": p.read_bytes() for p in paths}
        self.files |= {f"{root}/{name}": content for name, content in files.items()}
        self.list(root, "".join(f"{hashlib.sha256(c).hexdigest()} {name}\n" for name, c in files.items()))
        return [name.removeprefix(below) for name in files]

    def list(self, root, text):
        """Set the list of checksums."""
        self.files[f"{root}/SHA256SUMS.txt"] = text.encode()

    def times(self, ending):
        """How often files with such an ending were asked for."""
        return sum(path.endswith(ending) for path, _ in self.asked)

    def ranges_of(self, ending):
        """The byte ranges that such a file was asked for with, in order."""
        return [wanted for path, wanted in self.asked if path.endswith(ending)]


@contextlib.contextmanager
def serve(mirror):
    """Run the server in a thread."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and content go out apart; together with late ACKs that takes 40 ms

        def do_GET(self):
            path = unquote(re.sub(r"^http://[^/]+", "", self.path)).lstrip("/")
            mirror.asked.append((path, self.headers.get("Range", "")))
            mirror.agents.add(self.headers.get("User-Agent"))
            fault = mirror.faults[path].pop(0) if mirror.faults[path] else mirror.always.get(path)
            if fault:
                fault(self, mirror.files.get(path, b""))
            elif path in mirror.files:
                self.send_content(mirror.files[path])
            else:
                self.reply(404, b"not here", {})

        def send_content(self, content, stop_after=None):
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if not wanted or not mirror.ranges:
                return self.reply(200, content, {}, stop_after)
            start = int(wanted[1])
            if start >= len(content):
                return self.reply(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            said = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return self.reply(206, content[start:], {"Content-Range": said}, stop_after)

        def reply(self, code, content, headers, stop_after=None):
            self.send_response(code)
            for key, value in {"Content-Length": len(content), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(content[:stop_after])

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_):
            pass  # a killed client is part of the tests

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    mirror.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield mirror
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def get(site, to, name="georgia", patience=QUICK, **options):
    """Download; the outcome and what was said."""
    console = Console(file=io.StringIO(), width=500)
    made = download(name, to, mirror=site.url, progress=Progress(console), patience=patience, **options)
    return made, console.file.getvalue()


def tree(folder):
    """Content of every file that is not hidden and not the download's own."""
    ours = ("SHA256SUMS.txt", "LICENCE_AND_CITATION.txt")
    paths = [p for p in folder.rglob("*") if p.is_file() and not p.relative_to(folder).parts[0].startswith(".")]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths if p.name not in ours}
