"""PTB-XL: 21,799 ten-second records of 18,869 patients, at 500 and at 100 Hz, with SCP codes in ``ptbxl_database.csv``.

Layout: ``records500/00000/00001_hr.hea`` and ``records100/00000/00001_lr.hea`` beside the table. ``ptbxl-derived``
is the same layout with signals that somebody else filtered and standardised (units ``SD``): never mixed with the
originals.
"""

import ast
import csv
import io
from functools import lru_cache
from pathlib import Path

from ecg_ramba.data.base import DataSet, quality_of
from ecg_ramba.data.labels import scp_labels, scp_paced, scp_superclasses
from ecg_ramba.data.record import Record
from ecg_ramba.data.wfdb_header import parse_age, read_bytes, read_header
from ecg_ramba.data.wfdb_io import read_waveform
from ecg_ramba.errors import RecordError

TABLE = "ptbxl_database.csv"
_COLUMNS = ("ecg_id", "patient_id", "age", "sex", "scp_codes", "heart_axis", "strat_fold")
_OPTIONAL = ("device",)
_SEX = {"0": "male", "1": "female"}


@lru_cache(maxsize=4)
def _read_table(path: Path, changed_ns: int, size: int) -> dict[int, dict[str, str]]:
    # The time and size are part of the key so that a table replaced on disk is read again.
    text = read_bytes(path, "table of records").decode("utf-8-sig")
    rows = csv.DictReader(io.StringIO(text))
    missing = [c for c in _COLUMNS if c not in (rows.fieldnames or ())]
    if missing:
        raise RecordError(path, f"columns {', '.join(missing)} are missing")
    try:
        return {int(float(row["ecg_id"])): {c: row.get(c) or "" for c in (*_COLUMNS, *_OPTIONAL)} for row in rows}
    except (ValueError, TypeError) as error:
        raise RecordError(path, f"a row without a usable ecg_id: {error}") from error


def read_table(root: Path) -> dict[int, dict[str, str]]:
    """Rows of ``ptbxl_database.csv`` by ``ecg_id``; read once a process as long as the file does not change.

    Raises
    ------
    RecordError
        When the table is missing, unreadable or lacks a column.
    """
    path = Path(root) / TABLE
    try:
        stat = path.stat()
    except OSError as error:
        raise RecordError(path, f"the table of records is missing: {error.strerror}") from None
    return _read_table(path.resolve(), stat.st_mtime_ns, stat.st_size)


def parse_scp(path: Path, text: str) -> dict[str, float]:
    """SCP codes and likelihoods, from the text of a Python dict.

    Raises
    ------
    RecordError
        When the text is something else.
    """
    try:
        found = ast.literal_eval(text) if text.strip() else {}
        return {str(code): float(likelihood) for code, likelihood in found.items()}
    except (ValueError, SyntaxError, TypeError, AttributeError, MemoryError, RecursionError) as error:
        raise RecordError(path, f"scp_codes is no dict of codes: '{text[:60]}' ({type(error).__name__})") from None


class PtbXlDataSet(DataSet):
    """PTB-XL's own layout.

    Parameters
    ----------
    records : str
        Folder of the signals: ``records500`` or ``records100``.
    units : str
        ``mV``, or ``SD`` for the derived form.
    likelihood_rule : str
        For diagnostic codes: ``present`` or ``100``.
    **kwargs
        As for :class:`ecg_ramba.data.base.DataSet`.
    """

    def __init__(self, *, records: str, units: str = "mV", likelihood_rule: str = "present", **kwargs):
        super().__init__(**kwargs)
        self.records = records
        self.units = units
        self.likelihood_rule = likelihood_rule

    def find(self, root: Path) -> list[Path]:
        """Header files of this rate, sorted; none where the table or the folder is missing or the units differ."""
        root = Path(root)
        if not (root / TABLE).is_file() or not (root / self.records).is_dir():
            return []
        found = super().find(root / self.records)
        return found if found and _units_below(found) == self.units else []

    def read(self, header: Path) -> Record:
        """Read one record and its row of the table.

        Raises
        ------
        RecordError
            Naming the file at fault and the cause; a record without a row is refused.
        """
        head = read_header(header)
        root = head.path.absolute().parent.parent.parent
        if not self.pattern.fullmatch(head.name):
            raise RecordError(head.path, f"not a record of {self.name}: looked for {self.layout}")
        ecg_id = int(head.name.split("_")[0])
        row = read_table(root).get(ecg_id)
        if row is None:
            raise RecordError(head.path, f"{TABLE} has no row for ecg_id {ecg_id}")
        wave = read_waveform(head)
        if wave.units != self.units:
            raise RecordError(head.path, f"units {wave.units}, where {self.name} has {self.units}")
        scp = parse_scp(root / TABLE, row["scp_codes"])
        patient = row["patient_id"].removesuffix(".0")
        return Record(
            signal=wave.signal,
            leads=wave.leads,
            rate=head.rate,
            units=wave.units,
            source=self.name,
            record=head.name,
            subject=patient or head.name,
            subject_known=bool(patient),
            publisher=self.publisher,
            publisher_id=str(ecg_id),
            codes=tuple(scp),
            labels=scp_labels(scp, row["heart_axis"], self.likelihood_rule) if scp else frozenset(),
            labelled=bool(scp),
            superclasses=scp_superclasses(scp, self.likelihood_rule),
            paced=scp_paced(scp),
            strat_fold=_fold(row["strat_fold"]),
            age=parse_age(row["age"]),
            sex=_SEX.get(row["sex"].removesuffix(".0"), ""),
            device=" ".join(row["device"].split()),
            quality=quality_of(wave.signal, wave.leads, wave.units),
            warnings=wave.warnings,
        )


def _fold(text: str) -> int:
    """The publisher's fold (``3`` or ``3.0``), 0 where none is given."""
    text = text.strip().removesuffix(".0")
    return int(text) if text.isdigit() else 0


def _units_below(headers: list[Path]) -> str:
    """Units of the first header that can be read, ``mV`` where none can (each is then refused by itself)."""
    for path in headers[:20]:
        try:
            return "SD" if read_header(path).signals[0].units == "SD" else "mV"
        except RecordError:
            continue
    return "mV"


_TITLE = "PTB-XL, a large publicly available electrocardiography dataset"
_CITATION = "Wagner P, Strodthoff N, Bousseljot RD, et al. PTB-XL. Scientific Data 7:154 (2020). https://doi.org/10.1038/s41597-020-0495-6"
_FOLDERS = ("ptbxl", "ptb-xl", "ptb-xl-a-large-publicly-available-electrocardiography-dataset")


def _ptbxl(name: str, title: str, rate: int, folders: tuple[str, ...], units: str = "mV") -> PtbXlDataSet:
    ending = "hr" if rate == 500 else "lr"
    return PtbXlDataSet(
        name=name,
        title=title,
        publisher="ptbxl",
        licence="CC BY 4.0",
        citation=_CITATION,
        folders=folders,
        pattern=rf"\d{{5}}_{ending}",
        layout=f"{TABLE} and records{rate}/00000/00001_{ending}.hea … with their .dat files in {units}",
        records=f"records{rate}",
        units=units,
    )


DATASETS: tuple[DataSet, ...] = (
    _ptbxl("ptbxl", f"{_TITLE} (500 Hz)", 500, _FOLDERS),
    _ptbxl("ptbxl-100", f"{_TITLE} (100 Hz)", 100, _FOLDERS),
    _ptbxl(
        "ptbxl-derived",
        "DERIVED from PTB-XL: 0.5-40 Hz, standardised per lead by a third party",
        500,
        ("ptbxl-derived", "ptb-xl-derived"),
        units="SD",
    ),
)
