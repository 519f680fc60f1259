"""The 27 classes, what published diagnoses map to them, and which of them each publisher annotates.

Everything is in ``labels.toml`` beside this file, with its sources; :func:`mapping_digest` names its content.
"""

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ecg_ramba.errors import UserError

LIKELIHOOD_RULES = ("present", "100")
"""PTB-XL diagnostic codes count when present, or only when their likelihood is 100."""


def _content() -> bytes:
    return files("ecg_ramba.data").joinpath("labels.toml").read_bytes()


@cache
def mapping_digest() -> str:
    """SHA-256 (hex) of ``labels.toml``: names the mapping that a result was made with."""
    return hashlib.sha256(_content()).hexdigest()


def _load() -> dict:
    return tomllib.loads(_content().decode())


_TABLE = _load()

PAPER27: tuple[str, ...] = tuple(entry["name"] for entry in _TABLE["class"])
"""Abbreviations of the 27 classes in the paper's order."""

TITLES: dict[str, str] = {entry["name"]: entry["title"] for entry in _TABLE["class"]}
"""Full name of each class."""

SNOMED_CODES: dict[str, str] = {entry["name"]: entry["snomed"] for entry in _TABLE["class"]}
"""The paper's SNOMED code of each class."""

_SNOMED = {entry["snomed"]: entry["name"] for entry in _TABLE["class"]}
_SNOMED |= {entry["snomed"]: entry["class"] for entry in _TABLE["snomed_extra"]}
_EXTRA = {entry["name"]: entry["class"] for entry in _TABLE["snomed_extra"]}
_SUPERCLASS = {code: name for name, codes in _TABLE["scp_superclass"].items() for code in codes}

SUPERCLASSES: tuple[str, ...] = tuple(_TABLE["scp_superclass"])
"""PTB-XL's diagnostic superclasses."""


@dataclass(frozen=True)
class LabelSpace:
    """The classes a model is trained and scored on.

    Parameters
    ----------
    name : str
        ``paper27`` or ``merged24``.
    classes : tuple of str
        In the paper's order.
    merged : tuple of (str, str)
        Pairs (class, the class it counts as).
    """

    name: str
    classes: tuple[str, ...]
    merged: tuple[tuple[str, str], ...] = ()

    def merge(self, labels: Iterable[str]) -> frozenset[str]:
        """Classes of this space that a set of the 27 amounts to.

        The same holds for annotated classes: a merged class is annotated where any of its members is.
        """
        to = dict(self.merged)
        return frozenset(to.get(name, name) for name in labels)

    def index(self, name: str) -> int:
        """Column of a class."""
        return self.classes.index(name)


def label_space(name: str) -> LabelSpace:
    """The label space of that name: ``paper27``, or ``merged24`` (what the challenges score as one diagnosis is one).

    Raises
    ------
    UserError
        For any other name.
    """
    if name == "paper27":
        return LabelSpace(name="paper27", classes=PAPER27)
    if name == "merged24":
        merged = _TABLE["merge"]
        classes = tuple(c for c in PAPER27 if c not in merged)
        return LabelSpace(name="merged24", classes=classes, merged=tuple(merged.items()))
    raise UserError(f"no label space '{name}': choose paper27 or merged24")


def snomed_labels(codes: Iterable[str]) -> frozenset[str]:
    """Classes of a record's SNOMED codes; codes outside the table are none."""
    return frozenset(_SNOMED[code] for code in codes if code in _SNOMED)


def snomed_paced(codes: Iterable[str]) -> bool:
    """Whether the SNOMED codes say that the rhythm is paced."""
    return not frozenset(_TABLE["snomed_paced"]["codes"]).isdisjoint(codes)


def _counts(code: str, likelihood: float, rule: str) -> bool:
    return rule == "present" or code not in _SUPERCLASS or likelihood >= 100.0


def _check_rule(rule: str) -> None:
    if rule not in LIKELIHOOD_RULES:
        raise UserError(f"no likelihood rule '{rule}': choose {' or '.join(LIKELIHOOD_RULES)}")


def scp_labels(
    scp_codes: Mapping[str, float], heart_axis: str = "", likelihood_rule: str = "present"
) -> frozenset[str]:
    """Classes of a PTB-XL record.

    Parameters
    ----------
    scp_codes : mapping of SCP code to likelihood in percent
        Form and rhythm codes count when present, whatever their likelihood (mostly 0, which means not stated).
    heart_axis : str
        The column of that name; the axis is not among the SCP codes.
    likelihood_rule : str
        For diagnostic codes: ``present``, or ``100`` (only those stated with certainty).

    Raises
    ------
    UserError
        For an unknown rule.
    """
    _check_rule(likelihood_rule)
    table = _TABLE["scp_label"]
    labels = {table[c] for c, p in scp_codes.items() if c in table and _counts(c, p, likelihood_rule)}
    axis = _TABLE["scp_axis"].get(heart_axis.strip())
    return frozenset(labels | ({axis} if axis else set()))


def scp_superclasses(scp_codes: Mapping[str, float], likelihood_rule: str = "present") -> frozenset[str]:
    """PTB-XL's diagnostic superclasses (NORM, MI, STTC, CD, HYP) of a record's SCP codes."""
    _check_rule(likelihood_rule)
    return frozenset(
        _SUPERCLASS[c] for c, p in scp_codes.items() if c in _SUPERCLASS and _counts(c, p, likelihood_rule)
    )


def scp_paced(scp_codes: Iterable[str]) -> bool:
    """Whether the SCP codes say that the rhythm is paced."""
    return not frozenset(_TABLE["scp_paced"]["codes"]).isdisjoint(scp_codes)


def ludb_labels(diagnoses: Iterable[str]) -> frozenset[str]:
    """Classes of the diagnoses in a LUDB header, each as ``Rhythm: Sinus rhythm`` without its full stop."""
    exact, begins = _TABLE["ludb"]["exact"], _TABLE["ludb"]["begins"]
    labels = set()
    for text in diagnoses:
        if text in exact:
            labels.add(exact[text])
        labels |= {name for start, name in begins.items() if text.startswith(start)}
    return frozenset(labels)


def cpsc2021_labels(rhythms: Iterable[str]) -> frozenset[str]:
    """Classes of the rhythms of a CPSC-2021 record's episodes (``AFIB``, ``AFL``)."""
    table = _TABLE["cpsc2021_rhythm"]
    return frozenset(table[rhythm] for rhythm in rhythms if rhythm in table)


def release_counts(dataset_name: str, hospital: str = "") -> dict[str, int]:
    """How many records of a publisher's full release carry each of the 27 classes (0 included).

    ``hospital`` "" sums over the hospitals of a data set. Where several codes of one class may occur in one record,
    their counts are summed, so a figure can exceed the number of records with the class.

    Raises
    ------
    UserError
        For a data set or hospital that the table does not have.
    """
    releases = [r for r in _TABLE["release"] if dataset_name in r["datasets"]]
    chosen = [r for r in releases if hospital in ("", r["hospital"])]
    if not chosen:
        known = sorted({name for r in _TABLE["release"] for name in r["datasets"]})
        where = f"hospital '{hospital}' of data set {dataset_name}" if releases else f"data set {dataset_name}"
        raise UserError(
            f"labels.toml has no release counts for {where} (it has {', '.join(known)}); for a data set of your own "
            "give annotated={'': (its classes)} to the DataSet"
        )
    counts = dict.fromkeys(PAPER27, 0)
    for release in chosen:
        names = _TABLE["scp_label"] | _TABLE["scp_axis"] if release["scheme"] == "scp" else _EXTRA
        for key, n in release["counts"].items():
            counts[names.get(key, key)] += n
    return counts


def release_hospitals(dataset_name: str) -> list[str]:
    """Hospitals whose full release is counted apart, in the table's order; [""] where there is one."""
    return [r["hospital"] for r in _TABLE["release"] if dataset_name in r["datasets"]]


def annotated_classes(dataset_name: str, hospital: str = "") -> frozenset[str]:
    """Which of the 27 classes (before merging) a publisher annotates: those its full release has at least once.

    Never inferred from the records at hand; what is not annotated is unknown there, not negative.
    """
    return frozenset(name for name, n in release_counts(dataset_name, hospital).items() if n > 0)
