"""Sessions: ``nox -l`` lists them; what follows ``--`` is passed through.

All sessions share one environment, made once from constraints.txt in .nox/shared. ``ECG_RAMBA_ENV=active`` uses the
current environment instead, for example one with a CUDA build of torch and mamba-ssm.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import nox

nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "none"

HERE = Path(__file__).parent
SHARED = HERE / ".nox" / "shared"


def python(session: nox.Session) -> str:
    """The interpreter of the shared environment, which is made or brought up to date first."""
    if os.environ.get("ECG_RAMBA_ENV") == "active":
        return shutil.which("python") or sys.executable
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        session.error(f"Python 3.11 to 3.13 is needed; nox runs on {sys.version.split()[0]}")
    interpreter = SHARED / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = SHARED / "made-from"
    parts = [HERE / "constraints.txt", HERE / "pyproject.toml"]
    made_from = hashlib.sha256(b"".join(p.read_bytes() for p in parts) + sys.version.encode()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != made_from:
        session.log("making the shared environment .nox/shared (once; some minutes)")
        session.run(sys.executable, "-m", "venv", str(SHARED), external=True)
        install = ["install", "--quiet", "--constraint", "constraints.txt", "--editable", ".[dev]"]
        session.run(str(interpreter), "-m", "pip", *install, external=True)
        stamp.write_text(made_from)
    return str(interpreter)


def run(session: nox.Session, *arguments: str, **environment: str) -> None:
    """Run a module of the shared environment."""
    session.run(python(session), "-m", *arguments, external=True, env=environment)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, and the benchmarks once, untimed."""
    # a worker for each core, of one thread each: workers with a thread for each core would wait for each other;
    # a module stays with one worker, so that what its tests share is made once
    run(session, "pytest", "-n", "auto", "--dist", "loadscope", *session.posargs, OMP_NUM_THREADS="1")


@nox.session
def slow(session: nox.Session) -> None:
    """Run what takes hours: planted effects, 45,000 recordings, killed suites, 10,000 damaged files."""
    run(session, "pytest", "-m", "slow", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    run(session, "ruff", "check", ".")
    run(session, "ruff", "format", "--check", ".")


@nox.session
def ablations(session: nox.Session) -> None:
    """Train every variant, score zero-shot, log and report (--list, --only NAME…, --data DIR, --help)."""
    run(session, "ablations", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Time Mamba against attention (pytest-benchmark; -k "core and L625", --benchmark-json FILE)."""
    named = [word for word in session.posargs if word.partition("::")[0].endswith(".py")]
    run(session, "pytest", *([] if named else ["bench"]), "--benchmark-only", *session.posargs)


@nox.session
def studies(session: nox.Session) -> None:
    """Run a named study: robustness, shortcuts, adaptation, lengths, matrix, search MODEL and others (--help)."""
    run(session, "studies", *session.posargs)


@nox.session
def ui(session: nox.Session) -> None:
    """Open the MLflow page on the runs logged in this folder (--port N)."""
    run(session, "mlflow", "ui", "--backend-store-uri", "sqlite:///mlflow.db", *session.posargs)
