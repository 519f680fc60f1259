"""The label tables as text for a terminal: what each class is, how often it is where, and where it is unknown."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ecg_ramba.data.check import Report
from ecg_ramba.data.labels import (
    PAPER27,
    SNOMED_CODES,
    TITLES,
    label_space,
    mapping_digest,
    release_counts,
    release_hospitals,
)
from ecg_ramba.data.registry import dataset, datasets

Places = dict[str, tuple[dict[str, int], frozenset[str]]]
"""Place -> records with each of the 27 classes there, and the classes that are annotated there."""


def of_releases() -> Places:
    """The publishers' full releases, data sets and hospitals apart, as ``labels.toml`` counts them."""
    places = {}
    for d in datasets().values():
        if d.view_of or d.synthetic or d.name.startswith("ptbxl-"):
            continue  # parts and other forms of what is listed
        for hospital in release_hospitals(d.name):
            counts = release_counts(d.name, hospital)
            places[_place(d.name, hospital)] = ({c: n for c, n in counts.items() if n}, d.annotated(hospital))
    return places


def of_report(report: Report) -> Places:
    """The recordings that were read, data sets and hospitals apart."""
    return {
        _place(d.name, hospital): (counts, dataset(d.name).annotated(hospital))
        for d in report.datasets
        for hospital, counts in d.labels_at.items()
    }


def _place(name: str, hospital: str) -> str:
    return f"{name} {hospital}".strip()


def render_labels(places: Places, what: str, console: Console) -> None:
    """Print one line a class: its code, what it counts as, its records at each place, and where it is unknown.

    Parameters
    ----------
    places : dict
        See :data:`Places`.
    what : str
        What is counted, for the title.
    console : rich.console.Console
    """
    merged = dict(label_space("merged24").merged)
    table = Table(title=f"The 27 classes in {what}", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("class", no_wrap=True)
    for column in ("SNOMED, name", "records", "unknown in"):
        table.add_column(column)
    for name in PAPER27:
        text = f"{SNOMED_CODES[name]} {TITLES[name]}" + (f"; counts as {merged[name]}" if name in merged else "")
        records = ", ".join(f"{place} {counts[name]:,}" for place, (counts, _) in places.items() if counts.get(name))
        unknown = ", ".join(place for place, (_, annotated) in places.items() if name not in annotated)
        table.add_row(name, text, records or "none", unknown or "–")
    console.print(table)
    pairs = "; ".join(f"{a} = {b}" for a, b in merged.items())
    console.print(
        f"merged24, the default, has 24 of them: {pairs}. paper27 keeps all (--labels paper27).", highlight=False
    )
    console.print(
        "Unknown: the publisher's full release never gives the class there, so its absence says nothing; it is left "
        "out of the training loss and of the metrics, never taken as negative.",
        highlight=False,
    )
    console.print(f"Mapping: labels.toml {mapping_digest()[:16]}", highlight=False)
