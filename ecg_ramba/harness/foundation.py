"""Foundation models, each by a TOML file: where its weights are, what it is given, what its pretraining saw.

::

    name = "founder"
    title = "Founder"                     # default: the name
    reference = "its paper"
    weights = "founder.ts"                # TorchScript, beside this file; or, or also:
    # python = "package.module:function"  # returns a callable; it is called with the path of the weights, if any
    rate = 500                            # samples per second that it wants
    leads = ["I", "II", "III", …]         # default: the standard twelve
    seconds = 10                          # what it reads at a time: 5 (default), or whole segments of 10
    samples = 5000                        # default: as many seconds at that rate; another number needs
    pad = true                            # … zeros after them, or their end cut off
    units = "z-score"                     # each lead over its recording, 0.5 to 40 Hz: there is nothing else yet
    output = "embedding"                  # or "logits": (B, D) values a window either way

    [overlap]                             # for the source and every target: none, pretraining or unknown
    chapman = "none"
    ptbxl = "pretraining: 8 of its 10 folds"

The file that it names runs code of whoever made it, so name only what you trust.
"""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecg_ramba.data.leads import LEADS, canonical_lead
from ecg_ramba.errors import UserError
from ecg_ramba.features.embedding import Embedder, fingerprint, samples_of_window
from ecg_ramba.harness.config import Variant
from ecg_ramba.signal import SEGMENT, WINDOW

STATUSES = ("none", "pretraining", "unknown")
KEYS = {
    **dict.fromkeys(("name", "title", "reference", "weights", "python", "units", "output"), str),
    **{"rate": (int, float), "seconds": int, "samples": int, "leads": list, "pad": bool, "overlap": dict},
}
_KINDS = {str: "a text", int: "a whole number", list: "a list", bool: "true or false", dict: "a table"}
_RATES = (1, 10_000)
_LONGEST = 1_000_000


def foundation_variants(paths: Sequence[Path], datasets: Sequence[str]) -> list[Variant]:
    """A variant of each description: the model frozen, a linear probe on what it returns.

    Parameters
    ----------
    paths : sequence of Path
    datasets : sequence of str
        Source and targets of the run, for each of which the description must state the overlap.

    Raises
    ------
    UserError
        For a description that is missing, damaged, incomplete or wrong, in one line.
    """
    made: dict[str, Variant] = {}
    for path in paths:
        variant = _variant(path, _read(path), datasets)
        if variant.name in made:
            raise UserError(f"{path}: another description is called {variant.name!r}; rename one")
        made[variant.name] = variant
    return list(made.values())


def _read(path: Path) -> dict[str, Any]:
    """The description's content, every value of its kind."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"--foundation {path}: there is no such file") from None
    except OSError as error:
        raise UserError(f"--foundation {path}: cannot be read ({error.strerror})") from None
    except ValueError as error:  # no TOML, or no UTF-8
        raise UserError(f"--foundation {path}: is no TOML ({str(error).splitlines()[0]})") from None
    unknown = sorted(set(content) - set(KEYS))
    if unknown:
        raise UserError(f"{path}: knows no {', '.join(unknown)}; there are: {', '.join(KEYS)}")
    for key, value in content.items():
        kind = KEYS[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise UserError(f"{path}: {key} is {value!r}; {_KINDS.get(kind, 'a number')} is needed")
    absent = [k for k in ("name", "reference", "rate", "units") if not content.get(k)]
    if absent:
        raise UserError(f"{path}: lacks {', '.join(absent)}")
    return content


def _variant(path: Path, content: dict[str, Any], datasets: Sequence[str]) -> Variant:
    name, output = content["name"], content.get("output", "embedding")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise UserError(f"{path}: the name {name!r} is also a folder's; use letters, digits, - and _")
    if content["units"] != "z-score":
        raise UserError(f"{path}: units is {content['units']!r}; leads come as their z-score, and nothing else yet")
    if output not in ("embedding", "logits"):
        raise UserError(f"{path}: output is {output!r}; use embedding or logits")
    changes = {"name": name, "output": output, **_files(path, content), **_input(path, content)}
    changes["overlap"] = stated(path, content.get("overlap"), datasets)
    kind = "linear probe" if output == "embedding" else "linear probe on its logits"
    return Variant(
        name=name,
        title=f"{_line(content.get('title') or name)}, {kind}",
        model="foundation_probe",
        changes=changes,
        settings={} if changes["window"] == WINDOW else {"inputs.samples": changes["window"]},
        group="foundation",
        claim=f"a pretrained model, frozen, would do ({_line(content['reference'])})",
    )


def _files(path: Path, content: dict[str, Any]) -> dict[str, str]:
    """The weights as an absolute path, the Python function, and the SHA-256 of both."""
    weights, python = content.get("weights", ""), content.get("python", "")
    if not (weights or python):
        raise UserError(f'{path}: lacks weights (a TorchScript file) or python ("package.module:function")')
    if python and not re.fullmatch(r"[\w.]+:\w+", python):
        raise UserError(f'{path}: python is {python!r}; write "package.module:function"')
    weights = str((path.parent / Path(weights).expanduser()).resolve()) if weights else ""
    try:
        return {"weights": weights, "python": python, "sha256": fingerprint(weights, python)}
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _input(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Rate, leads, window and samples."""
    rate = float(content["rate"])
    if not (math.isfinite(rate) and _RATES[0] <= rate <= _RATES[1]):
        raise UserError(f"{path}: rate is {rate:g}; {_RATES[0]} to {_RATES[1]} samples per second are possible")
    leads = tuple(canonical_lead(str(lead)) or str(lead) for lead in content.get("leads", LEADS))
    wrong = [lead for lead in leads if lead not in LEADS] or [lead for lead in leads if leads.count(lead) > 1]
    if wrong or not leads:
        raise UserError(f"{path}: leads holds {wrong[0] if wrong else 'none'}; name each once, of {', '.join(LEADS)}")
    if content.get("seconds", 5) not in (5, 10):
        raise UserError(f"{path}: seconds is {content['seconds']}; 5 (a window) and 10 (a segment) are possible")
    window = WINDOW if content.get("seconds", 5) == 5 else SEGMENT
    own = samples_of_window(rate, window)
    samples = content.get("samples", own)
    if not 0 < samples <= _LONGEST:
        raise UserError(f"{path}: samples is {samples}; 1 to {_LONGEST} are possible")
    if samples != own and not content.get("pad", False):
        raise UserError(
            f"{path}: samples is {samples}, and {content.get('seconds', 5)} s are {own} at {rate:g} Hz; pad = true "
            f"{'puts zeros after it' if samples > own else 'cuts off its end'}"
        )
    return {"rate": rate, "leads": leads, "window": window, "samples": samples}


def stated(where: Path | str, overlap: Mapping[str, Any] | None, datasets: Sequence[str]) -> dict[str, str]:
    """What a description states of each of these data sets: ``none``, ``pretraining`` or ``unknown``, and why.

    Raises
    ------
    UserError
        If one has no statement, or one that begins with no such word.
    """
    lacking = [name for name in datasets if name not in (overlap or {})]
    if lacking:
        words = f'{lacking[0]} = "none", "pretraining" or "unknown"'
        also = f", and the same for {', '.join(lacking[1:])}" if lacking[1:] else ""
        raise UserError(
            f"{where}: does not state what the model's pretraining saw of {lacking[0]}; add to [overlap]: {words}{also}"
        )
    found = {}
    for name in overlap:
        status, _, why = str(overlap[name]).partition(":")
        if status.strip() not in STATUSES:
            raise UserError(
                f'{where}: the overlap with {name} is {overlap[name]!r}; write "none", "pretraining" or "unknown", '
                "with words after a colon if you like"
            )
        found[name] = ": ".join(filter(None, (status.strip(), _line(why))))
    return found


def _line(text: str) -> str:
    return " ".join(text.split())


def overlap_row(config: Any, source: str, datasets: Sequence[str]) -> dict[str, Any]:
    """``note`` and ``overlap`` of a row of variants.json; empty for a model that nobody pretrained.

    ``overlap``: data set -> the word of its statement.

    Raises
    ------
    UserError
        If a data set has no statement.
    """
    if not isinstance(config, Embedder):
        return {"note": "", "overlap": {}}
    said = stated(f"foundation model {config.name!r}", config.overlap, datasets)
    said = {name: said[name] for name in datasets}
    parts = []
    for name, statement in said.items():
        status, _, why = statement.partition(": ")
        lost = "" if status == "none" else f", so not {'held out' if name == source else 'zero-shot'} there"
        parts.append(f"{name} {status}{f' ({why})' if why else ''}{lost}")
    file = Path(config.weights).name if config.weights else config.python
    note = (
        f"the frozen model {file} (SHA-256 {config.sha256[:12]}), given {len(config.leads)} leads as z-scores at "
        f"{config.rate:g} Hz, {config.samples} samples; parameters and training time are those of the probe alone. "
        f"Overlap of the pretraining with the data, as stated by whoever ran this: {'; '.join(parts)}"
    )
    return {"note": note, "overlap": {name: statement.partition(":")[0] for name, statement in said.items()}}
