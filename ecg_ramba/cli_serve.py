"""``ecg-ramba serve``: the reading room, a web page on this machine."""

import argparse
from pathlib import Path

from ecg_ramba.errors import UserError
from ecg_ramba.harness.options import positive

SHORTEST_TOKEN = 16


def add_serve_command(commands) -> None:
    """The command."""
    serve = commands.add_parser("serve", help="read ECGs in the browser", description=serve_command.__doc__)
    serve.add_argument(
        "--models", type=Path, metavar="DIR", help="folder with checkpoints (default: models, where there are any)"
    )
    serve.add_argument("--port", type=positive, default=8765, metavar="N", help="default 8765")
    serve.add_argument(
        "--host", default="127.0.0.1", metavar="H", help="where to listen (default 127.0.0.1: this machine only)"
    )
    serve.add_argument(
        "--token",
        default="",
        metavar="TOKEN",
        help="what a client must know; needed, and made if not given, where --host is not this machine",
    )
    serve.add_argument(
        "--state", type=Path, default=Path("readings"), metavar="DIR", help="recordings and history (default: readings)"
    )
    limits = serve.add_argument_group("limits")
    limits.add_argument("--upload-mb", type=positive, default=256, metavar="N", help="of one upload (default 256)")
    limits.add_argument("--hours", type=positive, default=48, metavar="N", help="of a recording (default 48)")
    limits.add_argument(
        "--reader-mb", type=positive, default=2048, metavar="N", help="memory of reading a file (default 2048)"
    )
    limits.add_argument(
        "--worker-mb", type=positive, default=8192, metavar="N", help="memory of the analysis (default 8192)"
    )
    limits.add_argument(
        "--filtered-mb",
        type=positive,
        default=2048,
        metavar="N",
        help="filtered leads kept on disk, for all recordings (default 2048)",
    )
    serve.set_defaults(run=serve_command)


def serve_command(options: argparse.Namespace) -> int:
    """Read ECGs in the browser: upload, view, measure, predict. A research tool, not a medical device."""
    import logging
    import secrets

    try:
        import uvicorn

        from ecg_ramba.dashboard.server import create_app
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed; pip install -c constraints.txt -e .[serve]") from None
    from ecg_ramba.dashboard.limited import Limits
    from ecg_ramba.dashboard.room import Room
    from ecg_ramba.dashboard.security import is_loopback
    from ecg_ramba.dashboard.settings import Settings
    from ecg_ramba.dashboard.training import has_models

    if options.port > 65535:
        raise UserError(f"--port {options.port}: ports end at 65535")
    token = options.token or ("" if is_loopback(options.host) else secrets.token_urlsafe(24))
    if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or not set(token.lower()) <= _TOKEN):
        raise UserError(
            f"--token needs at least {SHORTEST_TOKEN} letters, digits, - or _; leave it out to have one made"
        )
    models = options.models or (Path("models") if has_models(Path("models")) else None)
    settings = Settings(
        state=options.state.absolute(),
        models=models,
        host=options.host,
        port=options.port,
        token=token,
        upload_mb=options.upload_mb,
        hours=options.hours,
        reader=Limits(memory_mb=options.reader_mb),
        worker_mb=options.worker_mb,
        filtered_mb=options.filtered_mb,
    )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    config = uvicorn.Config(
        create_app(settings, room := Room(settings)),
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=500,
        timeout_graceful_shutdown=3,
    )
    try:
        listening = config.bind_socket()
    except SystemExit:
        raise UserError(f"cannot listen at {options.host} port {options.port}; choose another --port") from None
    try:
        room.open()
        listening.listen(128)  # who follows the address at once waits, and is not refused
        shown = f"[{options.host}]" if ":" in options.host else options.host
        print(f"http://{shown}:{options.port}/{f'?token={token}' if token else ''}", flush=True)
        print(_what_is_loaded(room, settings), flush=True)
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        room.close()
        listening.close()
    return 0


_TOKEN = set("abcdefghijklmnopqrstuvwxyz0123456789-_")


def _what_is_loaded(room, settings) -> str:
    facts = room.models.facts
    if facts is None:
        said = "No models: recordings are shown and measured; the page offers to train some on synthetic recordings."
    else:
        kind = "SYNTHETIC recordings: says nothing of patients" if facts["synthetic"] else facts["trained_on"]
        said = f"{facts['folds']} fold models of {facts['name']}, trained on {kind}."
    return f"{said}\nRecordings stay in {settings.state}. A research tool, not a medical device. Ctrl-C ends it."
