"""Data sets in the form of the PhysioNet/CinC Challenges 2020 and 2021: SNOMED codes in the header's ``Dx`` comment.

Georgia, CPSC-2018 and its extra part, PTB, and PTB-XL as the challenges give it. No subjects are known here, so each
record stands for its own.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ecg_ramba.data.base import DataSet, quality_of
from ecg_ramba.data.labels import snomed_labels, snomed_paced
from ecg_ramba.data.leads import LEADS
from ecg_ramba.data.record import Record
from ecg_ramba.data.wfdb_header import parse_age, parse_sex, read_header
from ecg_ramba.data.wfdb_io import read_waveform

CHALLENGE_2021 = (
    "Reyna MA, Sadr N, Perez Alday EA, et al. Will Two Do? Varying Dimensions in Electrocardiography: The "
    "PhysioNet/Computing in Cardiology Challenge 2021. Computing in Cardiology 48:1-4 (2021). "
    "https://doi.org/10.13026/34va-7q14"
)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whose a record is: subject (and whether that is known), the publisher's id, the hospital."""

    subject: str
    subject_known: bool
    publisher_id: str
    hospital: str = ""


def parse_dx(text: str) -> tuple[str, ...]:
    """SNOMED codes of a ``Dx`` comment in its order, without repetition; empty entries are none."""
    codes = (part.strip() for part in text.split(","))
    return tuple(dict.fromkeys(code for code in codes if code.isdigit()))


class SnomedDataSet(DataSet):
    """Records with SNOMED codes in their headers.

    Parameters
    ----------
    leads : tuple of str
        Leads every record has.
    legacy_gains : collection of float
        Gains that early releases state and that should read 1000 per mV.
    subject_pattern : str
        Regular expression for the whole record name whose first group is the subject; "" where it is not known.
    id_pattern : str
        Regular expression for the whole record name whose first group is the publisher's id; "" is the whole name.
    **kwargs
        As for :class:`ecg_ramba.data.base.DataSet`.
    """

    def __init__(
        self,
        *,
        name: str,
        title: str,
        publisher: str,
        licence: str,
        citation: str,
        folders: tuple[str, ...],
        pattern: str,
        layout: str,
        leads: tuple[str, ...] = LEADS,
        legacy_gains: Collection[float] = (),
        subject_pattern: str = "",
        id_pattern: str = "",
        synthetic: bool = False,
        view_of: str = "",
        annotated: Mapping[str, Iterable[str]] | None = None,
    ):
        super().__init__(
            name=name,
            title=title,
            publisher=publisher,
            licence=licence,
            citation=citation,
            folders=folders,
            pattern=pattern,
            layout=layout,
            synthetic=synthetic,
            view_of=view_of,
            annotated=annotated,
        )
        self.leads = leads
        self.legacy_gains = frozenset(legacy_gains)
        self._subject_pattern = re.compile(subject_pattern) if subject_pattern else None
        self._id_pattern = re.compile(id_pattern) if id_pattern else None

    def identify(self, name: str) -> Identity:
        """Subject, publisher's id and hospital from a record's name."""
        subject = self._subject_pattern.fullmatch(name) if self._subject_pattern else None
        known_as = self._id_pattern.fullmatch(name) if self._id_pattern else None
        return Identity(
            subject=subject[1] if subject else name,
            subject_known=subject is not None,
            publisher_id=known_as[1] if known_as else name,
        )

    def read(self, header: Path) -> Record:
        """Read one record: signal in mV, classes of its SNOMED codes.

        Raises
        ------
        RecordError
            Naming the file at fault and the cause.
        """
        head = read_header(header)
        wave = read_waveform(head, leads=self.leads, legacy_gains=self.legacy_gains)
        fields = head.fields()
        codes = parse_dx(fields.get("dx", ""))
        identity = self.identify(head.name)
        return Record(
            signal=wave.signal,
            leads=wave.leads,
            rate=head.rate,
            units=wave.units,
            source=self.name,
            record=head.name,
            subject=identity.subject,
            subject_known=identity.subject_known,
            publisher=self.publisher,
            publisher_id=identity.publisher_id,
            hospital=identity.hospital,
            codes=codes,
            labels=snomed_labels(codes),
            labelled=bool(codes),
            paced=snomed_paced(codes),
            age=parse_age(fields.get("age", "")),
            sex=parse_sex(fields.get("sex", "")),
            quality=quality_of(wave.signal, wave.leads),
            warnings=wave.warnings,
        )


_CC_BY = "CC BY 4.0"

DATASETS: tuple[DataSet, ...] = (
    SnomedDataSet(
        name="georgia",
        title="Georgia 12-lead ECG Challenge Database (G12EC)",
        publisher="georgia",
        licence=_CC_BY,
        citation=CHALLENGE_2021,
        folders=("georgia", "WFDB_Ga", "g12ec"),
        pattern=r"E\d{5}",
        layout="headers E00001.hea … with their .mat files",
        legacy_gains=(4880.0,),
    ),
    SnomedDataSet(
        name="cpsc2018",
        title="China Physiological Signal Challenge 2018 (CPSC-2018), challenge form",
        publisher="cpsc2018",
        licence=_CC_BY,
        citation=CHALLENGE_2021,
        folders=("cpsc2018", "cpsc_2018", "WFDB_CPSC2018", "Training_WFDB"),
        pattern=r"A\d{4}",
        layout="headers A0001.hea … with their .mat files",
    ),
    SnomedDataSet(
        name="cpsc2018-extra",
        title="Unused part of CPSC-2018, challenge form",
        publisher="cpsc2018",
        licence=_CC_BY,
        citation=CHALLENGE_2021,
        folders=("cpsc2018-extra", "cpsc_2018_extra", "WFDB_CPSC2018_2", "Training_2"),
        pattern=r"Q\d{4}",
        layout="headers Q0001.hea … with their .mat files",
    ),
    SnomedDataSet(
        name="ptb",
        title="PTB Diagnostic ECG Database, challenge form",
        publisher="ptb",
        licence="ODC-By 1.0 (ptbdb), CC BY 4.0 (challenge-2021)",
        citation="Bousseljot R, Kreiseler D, Schnabel A. Biomedizinische Technik 40(s1):317 (1995). " + CHALLENGE_2021,
        folders=("ptb-challenge", "ptb", "WFDB_PTB"),
        pattern=r"S\d{4}",
        layout="headers S0001.hea … with their .mat files",
        legacy_gains=(2_000_000.0,),
    ),
    SnomedDataSet(
        name="ptbxl-challenge",
        title="PTB-XL, challenge form",
        publisher="ptbxl",
        licence=_CC_BY,
        citation="Wagner P, Strodthoff N, et al. PTB-XL. Scientific Data 7:154 (2020). " + CHALLENGE_2021,
        folders=("ptbxl-challenge", "ptb-xl-challenge", "WFDB_PTBXL", "ptb-xl", "ptbxl"),
        pattern=r"HR\d{5}",
        layout="headers HR00001.hea … with their .mat files",
        legacy_gains=(200.0,),
        id_pattern=r"HR0*(\d+)",
    ),
)
