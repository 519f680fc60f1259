"""LUDB: 200 ten-second records of 200 subjects, one gain a lead, rhythm and diagnoses as text in the header."""

import re
from pathlib import Path

from ecg_ramba.data.base import DataSet, quality_of
from ecg_ramba.data.labels import ludb_labels
from ecg_ramba.data.record import Record
from ecg_ramba.data.wfdb_header import parse_age, parse_sex, read_header
from ecg_ramba.data.wfdb_io import read_waveform

_PERSONAL = re.compile(r"\s*<")


class LudbDataSet(DataSet):
    """Records ``data/1.hea`` … with diagnoses as sentences after ``<diagnoses>:``."""

    def find(self, root: Path) -> list[Path]:
        """Header files of the ``data`` folder, sorted; numbers alone are too common a name to look for elsewhere."""
        return [path for path in super().find(root) if path.parent.name == "data"]

    def read(self, header: Path) -> Record:
        """Read one record.

        Raises
        ------
        RecordError
            Naming the file at fault and the cause.
        """
        head = read_header(header)
        wave = read_waveform(head)
        fields = head.fields()
        diagnoses = tuple(c.rstrip(". ") for c in head.comments if c and not _PERSONAL.match(c))
        return Record(
            signal=wave.signal,
            leads=wave.leads,
            rate=head.rate,
            units=wave.units,
            source=self.name,
            record=head.name,
            subject=head.name,
            publisher=self.publisher,
            publisher_id=head.name,
            codes=diagnoses,
            labels=ludb_labels(diagnoses),
            labelled=bool(diagnoses),
            paced="PR" in ludb_labels(diagnoses),
            age=parse_age(fields.get("age", "")),
            sex=parse_sex(fields.get("sex", "")),
            quality=quality_of(wave.signal, wave.leads),
            warnings=wave.warnings,
        )


DATASETS: tuple[DataSet, ...] = (
    LudbDataSet(
        name="ludb",
        title="Lobachevsky University Electrocardiography Database (LUDB) 1.0.1",
        publisher="ludb",
        licence="ODC-By 1.0",
        citation=(
            "Kalyakulina AI, Yusipov II, Moskalenko VA, et al. LUDB: A New Open-Access Validation Tool for "
            "Electrocardiogram Delineation Algorithms. IEEE Access 8:186181-186190 (2020)."
        ),
        folders=("ludb", "lobachevsky-university-electrocardiography-database"),
        pattern=r"\d{1,3}",
        layout="data/1.hea … with their .dat files",
    ),
)
