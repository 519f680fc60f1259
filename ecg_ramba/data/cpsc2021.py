"""CPSC-2021: two-lead dynamic ECG of 105 subjects with episodes of atrial fibrillation and flutter in ``.atr`` files.

The rhythm of a beat annotation file: ``+`` marks whose note begins with ``(``. ``(N`` closes an episode, any other mark
closes the one before it and opens its own, and an episode still open closes at the end of the record.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

from ecg_ramba.data.base import DataSet, quality_of
from ecg_ramba.data.labels import cpsc2021_labels
from ecg_ramba.data.record import Episode, Record
from ecg_ramba.data.wfdb_header import Header, parse_age, parse_sex, read_bytes, read_header
from ecg_ramba.data.wfdb_io import read_waveform
from ecg_ramba.errors import RecordError

NORMAL = "N"
CLASS_COMMENTS = ("non atrial fibrillation", "paroxysmal atrial fibrillation", "persistent atrial fibrillation")


def read_rhythm_marks(header: Header, extension: str = "atr") -> list[tuple[int, str]]:
    """Rhythm marks of a record's annotation file: (sample, rhythm without its bracket), in order.

    Raises
    ------
    RecordError
        When the annotation file is missing, empty, truncated or unreadable: the record's rhythm is then unknown.
    """
    import wfdb

    path = header.path.with_suffix(f".{extension}")
    content = read_bytes(path, "annotation file")
    if len(content) % 2 or not content.endswith(b"\0\0"):
        raise RecordError(path, "truncated: the annotation file lacks its end mark")
    try:
        marks = wfdb.rdann(str(path.with_suffix("")), extension)
        notes = list(zip(marks.sample, marks.symbol, marks.aux_note, strict=True))
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise RecordError(path, f"not a WFDB annotation file: {error}") from error
    found = [(int(at), note.strip("\0 ")) for at, symbol, note in notes if symbol == "+"]
    return sorted(((at, note[1:]) for at, note in found if note.startswith("(")), key=lambda mark: mark[0])


def episodes_of(marks: Iterable[tuple[int, str]], n_samples: int, rate: float) -> tuple[Episode, ...]:
    """Episodes of every rhythm but the normal one.

    Parameters
    ----------
    marks : iterable of (int, str)
        Sample and rhythm, in order. A mark on the last sample or after it is the end of the record.
    n_samples, rate
        Length and rate of the record.

    Returns
    -------
    tuple of Episode
        In seconds, end exclusive, none empty.
    """
    marks = [*marks, (n_samples, NORMAL)]
    episodes = []
    for (start, rhythm), (end, _) in pairwise(marks):
        # The releases end a rhythm that lasts to the end with a mark on the last sample, or one after it.
        end = n_samples if end >= n_samples - 1 else end
        if rhythm != NORMAL and start < end:
            episodes.append(Episode(start=start / rate, end=end / rate, rhythm=rhythm))
    return tuple(episodes)


class Cpsc2021DataSet(DataSet):
    """Two-lead recordings with rhythm episodes.

    Parameters
    ----------
    leads : tuple of str
        Leads every record has.
    subject_pattern : str
        Regular expression for the whole record name whose first group is the subject.
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
        pattern: str = r"data_\d+_\d+",
        layout: str = "data_S_N.hea with .dat and .atr, flat or in Training_set_I and Training_set_II",
        leads: tuple[str, ...] = ("I", "II"),
        subject_pattern: str = r"data_(\d+)_\d+",
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
        self._subject_pattern = re.compile(subject_pattern)

    def read(self, header: Path) -> Record:
        """Read one record with its episodes; its labels are AF and AFL where an episode is.

        Raises
        ------
        RecordError
            Naming the file at fault and the cause; a record without its annotation file is refused, not negative.
        """
        head = read_header(header)
        wave = read_waveform(head, leads=self.leads)
        subject = self._subject_pattern.fullmatch(head.name)
        if subject is None:
            raise RecordError(head.path, f"the record's name does not tell its subject (expected {self.layout})")
        marks, n_samples = read_rhythm_marks(head), wave.signal.shape[1]
        episodes = episodes_of(marks, n_samples, head.rate)
        labels = cpsc2021_labels(e.rhythm for e in episodes)
        stated = next((c for c in head.comments if c.lower() in CLASS_COMMENTS), "")
        warnings = list(wave.warnings)
        if stated and (stated.lower() != CLASS_COMMENTS[0]) != bool(labels):
            warnings.append(f"class comment: the header says {stated}, the .atr has {len(episodes)} episodes")
        if marks and marks[-1][0] > n_samples:
            warnings.append(f"rhythm mark: at sample {marks[-1][0]} of a record of {n_samples}")
        fields = head.fields()
        return Record(
            signal=wave.signal,
            leads=wave.leads,
            rate=head.rate,
            units=wave.units,
            source=self.name,
            record=head.name,
            subject=subject[1],
            publisher=self.publisher,
            publisher_id=head.name,
            codes=(stated,) if stated else (),
            labels=labels,
            episodes=episodes,
            age=parse_age(fields.get("age", "")),
            sex=parse_sex(fields.get("sex", "")),
            quality=quality_of(wave.signal, wave.leads),
            warnings=tuple(warnings),
        )


DATASETS: tuple[DataSet, ...] = (
    Cpsc2021DataSet(
        name="cpsc2021",
        title="CPSC-2021: paroxysmal atrial fibrillation events from dynamic ECG recordings",
        publisher="cpsc2021",
        licence="CC BY 4.0",
        citation=(
            "Wang X, Ma C, Zhang X, Gao H, Clifford GD, Liu C. Paroxysmal Atrial Fibrillation Events Detection from "
            "Dynamic ECG Recordings: The 4th China Physiological Signal Challenge 2021 (version 1.0.0). PhysioNet "
            "(2021). https://doi.org/10.13026/ksya-qw89"
        ),
        folders=(
            "cpsc2021",
            "cpsc-2021",
            "paroxysmal-atrial-fibrillation-events-detection-from-dynamic-ecg-recordings"
            "-the-4th-china-physiological-signal-challenge-2021",
        ),
    ),
)
