"""``ecg-ramba audit``: every check of a run, as a list to print and as ``audit.md`` and ``audit.json``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ecg_ramba import __version__
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.manifest import check_manifest
from ecg_ramba.evaluation.people import read_people
from ecg_ramba.evaluation.suite import read_suite
from ecg_ramba.files import read_json, write_json, write_text
from ecg_ramba.harness.audit.checks import FAIL, PASS, UNCHECKED, Check, Stored, judge, plural, unchecked
from ecg_ramba.harness.audit.data import check_data
from ecg_ramba.harness.audit.fits import check_fits
from ecg_ramba.harness.audit.people import check_people
from ecg_ramba.harness.audit.predictions import check_predictions
from ecg_ramba.harness.audit.settings import check_overlap, check_settings
from ecg_ramba.markdown import markdown_table

FILES = "files"
STEM = "audit"


@dataclass(frozen=True)
class Audit:
    """All checks of a run, in the order of the list."""

    folder: Path
    key: str
    synthetic: bool
    checks: tuple[Check, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many lines have each status."""
        return {status: sum(c.status == status for c in self.checks) for status in (PASS, FAIL, UNCHECKED)}


def read_stored(folder: Path) -> Stored:
    """Everything of a run that is audited.

    Raises
    ------
    UserError
        If its own files are missing or damaged.
    """
    suite = read_suite(folder)
    splits, cells = ((folder / name) for name in ("splits.json", "cells.json"))
    content = read_json(splits) if splits.is_file() else {}
    listed = read_json(cells) if cells.is_file() else None
    held_out = content.get("held_out_fold") if isinstance(content, Mapping) else content
    if splits.is_file() and not (isinstance(held_out, Mapping) and all(isinstance(f, int) for f in held_out.values())):
        raise UserError(f"{splits} is damaged (no held-out folds in it); run the suite again")
    needed = {"variant", "fold", "seed", "key"}
    if listed is not None and not (
        isinstance(listed, list) and all(isinstance(c, dict) and needed <= set(c) for c in listed)
    ):
        raise UserError(f"{cells} is damaged (no list of cells); run the suite again")
    return Stored(suite, read_people(suite), held_out, listed, read_json(folder / "variants.json"), dict(content))


def audit_run(folder: Path, data_dir: Path | None = None, out: Path | None = None) -> Audit:
    """Audit a finished run.

    Parameters
    ----------
    folder : Path
        ``OUT/suites/KEY``, or ``OUT/evaluations/KEY``.
    data_dir : Path, optional
        Folder with the data sets, to read them again.
    out : Path, optional
        Where checkpoints, the cells' predictions and the cache lie; by default ``OUT``, two above the run.

    Raises
    ------
    UserError
        If there is no run, or its own files are damaged.
    """
    folder = Path(folder)
    if not (folder / "suite.json").is_file():
        raise UserError(f"{folder} is no finished run (it has no suite.json); name a folder such as runs/suites/KEY")
    stored = read_stored(folder)
    out = Path(out) if out else folder.resolve().parent.parent
    fits, fitted = check_fits(stored, out)
    models = {f.variant: f.about["model"] for f in fitted}
    checks = [_files(folder), *check_people(stored), *fits]
    checks += check_predictions(stored, out)
    checks += [*check_settings(stored), *check_overlap(stored, models)]
    checks += check_data(stored, data_dir, out, fitted)
    return Audit(folder, stored.suite.info["key"], stored.suite.synthetic, tuple(checks))


def _files(folder: Path) -> Check:
    claim = "every stored file has the digest of manifest.json"
    digests = check_manifest(folder)
    if digests is None:
        return unchecked(FILES, claim, "the run has no manifest.json (it was made by an older version)")
    return judge(FILES, claim, digests.problems, plural(digests.files, "file"))


def audit_lines(audit: Audit) -> list[str]:
    """The checklist as it is printed."""
    lines = ["SYNTHETIC DATA: this tests the suite and says nothing of patients."] if audit.synthetic else []
    lines += [f"{c.status:<11}  {c.part}: {c.claim} ({c.detail})" for c in audit.checks]
    return [*lines, summary(audit)]


def summary(audit: Audit) -> str:
    """How many lines passed, in one."""
    n = audit.counts
    return f"{n[PASS]} passed, {n[FAIL]} failed, {n[UNCHECKED]} not checked"


def write_audit(audit: Audit) -> list[Path]:
    """Write ``report/audit.md`` and ``report/audit.json`` in the run's folder, and return them."""
    folder = audit.folder / "report"
    rows = [[f"**{c.status}**", c.part, c.claim, c.detail] for c in audit.checks]
    kind = "Synthetic data: audit" if audit.synthetic else "Audit"
    parts = [
        f"# {kind} of the run {audit.key[:16]}",
        *(["> **SYNTHETIC DATA: this tests the suite and says nothing of patients.**"] if audit.synthetic else []),
        f"{summary(audit)}. Version {__version__}. What is not checked is neither right nor wrong; the line says why.",
        markdown_table(["status", "part", "claim", "counted, or what is wrong, or why not checked"], rows),
    ]
    write_text(folder / f"{STEM}.md", "\n\n".join(parts) + "\n")
    content = {"run": audit.key, "version": __version__, "synthetic": audit.synthetic, "counts": audit.counts}
    write_json(folder / f"{STEM}.json", content | {"checks": [asdict(c) for c in audit.checks]})
    return [folder / f"{STEM}.md", folder / f"{STEM}.json"]
