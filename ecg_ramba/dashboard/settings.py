"""How a server is set up: where it keeps what, and what it refuses."""

from dataclasses import dataclass, field
from pathlib import Path

from ecg_ramba.dashboard.limited import Limits


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A server's configuration.

    Parameters
    ----------
    state : Path
        Folder for recordings, results and history.
    models : Path or None
        Folder with ``fold*_best*.pt``; None: those trained from the page, if any.
    host, port : str, int
        Where it listens.
    token : str
        What a client must show; "" asks for none, which only a loopback address may do.
    upload_mb : int
        Of one upload.
    files : int
        Of one upload, those in archives included.
    unpacked_mb : int
        Of all archives of an upload, unpacked.
    hours : float
        Of a recording.
    reader : Limits
        Of a process that reads a file.
    readers : int
        Files read at a time.
    worker_mb : int
        Memory of the process with the models, beyond what they take.
    filtered_mb : int
        Of filtered leads on disk, beyond the one looked at; what was not looked at for longest goes first.
    static : Path
        The built page.
    """

    state: Path
    models: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8765
    token: str = ""
    upload_mb: int = 256
    files: int = 200
    unpacked_mb: int = 1024
    hours: float = 48.0
    reader: Limits = field(default_factory=Limits)
    readers: int = 2
    worker_mb: int = 8192
    filtered_mb: int = 2048
    static: Path = Path(__file__).parent / "static"

    @property
    def recordings(self) -> Path:
        """One folder a recording, named by its id."""
        return self.state / "recordings"

    @property
    def incoming(self) -> Path:
        """Uploads that are not yet recordings; emptied at each start."""
        return self.state / "incoming"
