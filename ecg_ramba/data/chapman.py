"""Chapman-Shaoxing and Ningbo: 45,152 ten-second records of as many patients at two hospitals.

Layouts: ecg-arrhythmia 1.0.0 (``WFDBRecords/01/010/JS00001.hea``) and challenge-2021 (``chapman_shaoxing`` and
``ningbo``, with or without g1, g2, …). The hospital follows from the record's number.
"""

import re

from ecg_ramba.data.base import DataSet
from ecg_ramba.data.snomed import Identity, SnomedDataSet

LAST_OF_SHAOXING = 10646
"""JS00001 to JS10646 are Chapman University's and Shaoxing People's Hospital's, later ones Ningbo First Hospital's."""

_FOLDERS = (
    "chapman",
    "chapman-shaoxing-ningbo",
    "ecg-arrhythmia",
    "a-large-scale-12-lead-electrocardiogram-database-for-arrhythmia-study",
)
_CITATION = (
    "Zheng J, Guo H, Chu H. A large scale 12-lead electrocardiogram database for arrhythmia study (version 1.0.0). "
    "PhysioNet (2022). https://doi.org/10.13026/wgex-er52"
)


def hospital_of(number: int) -> str:
    """``shaoxing`` or ``ningbo``, from a record's number."""
    return "shaoxing" if number <= LAST_OF_SHAOXING else "ningbo"


class ChapmanDataSet(SnomedDataSet):
    """The two hospitals together, or one of them.

    Parameters
    ----------
    hospital : str
        ``shaoxing``, ``ningbo``, or "" for both.
    **kwargs
        As for :class:`ecg_ramba.data.snomed.SnomedDataSet`. Record names end in the number that tells the hospital.
    """

    def __init__(self, *, hospital: str = "", **kwargs):
        super().__init__(**kwargs)
        self.hospital = hospital

    def find(self, root):
        """Header files below ``root``, sorted; of one hospital where this is one hospital's data set."""
        found = super().find(root)
        if not self.hospital:
            return found
        return [path for path in found if hospital_of(_number(path.stem)) == self.hospital]

    def identify(self, name: str) -> Identity:
        """One record a patient: the record is the subject."""
        return Identity(
            subject=name,
            subject_known=True,
            publisher_id=name,
            hospital=hospital_of(_number(name)),
        )


def _number(name: str) -> int:
    return int(re.search(r"\d+$", name)[0])


def _chapman(name: str, title: str, hospital: str, folders: tuple[str, ...]) -> ChapmanDataSet:
    return ChapmanDataSet(
        name=name,
        title=title,
        publisher="chapman",
        licence="CC BY 4.0",
        citation=_CITATION,
        folders=folders,
        pattern=r"JS\d{5}",
        layout="headers JS00001.hea … with their .mat files, in WFDBRecords/ or chapman_shaoxing/ and ningbo/",
        hospital=hospital,
        view_of="chapman" if hospital else "",
    )


DATASETS: tuple[DataSet, ...] = (
    _chapman("chapman", "Chapman-Shaoxing and Ningbo 12-lead ECG", "", (*_FOLDERS, "chapman_shaoxing+ningbo")),
    _chapman(
        "chapman-shaoxing",
        "Chapman-Shaoxing part of Chapman-Shaoxing-Ningbo",
        "shaoxing",
        (*_FOLDERS, "chapman_shaoxing", "WFDB_ChapmanShaoxing"),
    ),
    _chapman(
        "chapman-ningbo", "Ningbo part of Chapman-Shaoxing-Ningbo", "ningbo", (*_FOLDERS, "ningbo", "WFDB_Ningbo")
    ),
)
