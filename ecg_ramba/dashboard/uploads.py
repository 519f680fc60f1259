"""Multipart bodies streamed to disk: no file is ever held in memory, and none is written under a client's name."""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from starlette.requests import ClientDisconnect, Request

from ecg_ramba.errors import UserError

MOST_FIELDS = 20
LONGEST_FIELD = 10_000
LONGEST_NAME = 200


class UploadError(UserError):
    """An upload that is refused as a whole; ``status`` is HTTP's."""

    def __init__(self, message: str, status: int = 422):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Sent:
    """A file that was sent: the name that is shown, and the place that we chose for it."""

    name: str
    path: Path


@dataclass
class Form:
    """What a request held: files and text fields."""

    files: list[Sent] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)


def shown_name(name: str) -> str:
    """A client's file name as text to show and to match by: printable, ``/`` between folders, of bounded length."""
    name = name.replace("%22", '"')  # as browsers write a quote in a form
    name = "".join(c if c.isprintable() else "?" for c in name.replace("\\", "/"))
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return "/".join(parts)[-LONGEST_NAME:] or "file"


def stem(name: str) -> str:
    """A name without folders and ending."""
    return PurePosixPath(name).stem or "file"


async def receive(request: Request, folder: Path, *, most_mb: int, most_files: int) -> Form:
    """Stream a multipart request's files into a folder, as ``0``, ``1``, …

    Parameters
    ----------
    request : Request
        With ``multipart/form-data``.
    folder : Path
        Exists, is empty, and is ours.
    most_mb, most_files : int
        What is refused beyond; checked as the bytes come, whatever the request says of its length.

    Raises
    ------
    UploadError
        With HTTP's status.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise UploadError("send files as multipart/form-data, in fields called files", 415)
    stated = request.headers.get("content-length", "")
    too_large = UploadError(
        f"more than {most_mb} MB at once; send fewer files, or allow more with ecg-ramba serve --upload-mb N", 413
    )
    if stated.isdecimal() and int(stated) > most_mb * 2**20:
        raise too_large
    parts = _Parts(folder, most_files)
    received = 0
    try:
        parser = MultipartParser(options[b"boundary"], parts.callbacks())
        async for chunk in request.stream():
            received += len(chunk)
            if received > most_mb * 2**20:
                raise too_large
            # Into the system's write cache, a few kilobytes at a time: a thread for each would cost more.
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise UploadError(f"the multipart body is damaged ({error}); send it again", 400) from None
    except ClientDisconnect:
        raise UploadError("the connection ended before the upload did; send it again", 400) from None
    finally:
        parts.close()
    if not parts.ended:
        raise UploadError("the multipart body ends in the middle; send it again", 400)
    return parts.form


class _Parts:
    """Callbacks of the multipart parser."""

    def __init__(self, folder: Path, most_files: int):
        self.folder, self.most_files = folder, most_files
        self.form, self.ended = Form(), False
        self._file = None
        self._header, self._value, self._disposition = b"", b"", b""
        self._field, self._text = "", b""

    def callbacks(self) -> dict:
        names = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end")
        return {f"on_{name}": getattr(self, name) for name in (*names, "headers_finished", "end")}

    def part_begin(self) -> None:
        self._disposition = b""

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def headers_finished(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._disposition)
        self._field, self._text = options.get(b"name", b"").decode("utf-8", "replace")[:100], b""
        if b"filename" not in options:
            if len(self.form.fields) >= MOST_FIELDS:
                raise UploadError(f"more than {MOST_FIELDS} fields")
            return
        if len(self.form.files) >= self.most_files:
            raise UploadError(f"more than {self.most_files} files at once; send fewer, or a .zip", 413)
        path = self.folder / str(len(self.form.files))
        self._file = open(path, "xb")  # noqa: SIM115  closed when its part ends, or with the upload
        self.form.files.append(Sent(shown_name(options[b"filename"].decode("utf-8", "replace")), path))

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
            return
        if len(self._text) + end - start > LONGEST_FIELD:
            raise UploadError(f"the field {self._field!r} is longer than {LONGEST_FIELD} bytes")
        self._text += data[start:end]

    def part_end(self) -> None:
        if self._file is None:
            self.form.fields[self._field] = self._text.decode("utf-8", "replace")
        self.close()

    def end(self) -> None:
        self.ended = True

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
