"""The synthetic cohort: three sites with planted effects, in real WFDB files, deterministic from a seed.

The 12-lead sites, ``synthetic-source`` and ``synthetic-third``: 500 Hz, 10 s, SNOMED codes. The two-lead one,
``synthetic-rhythm``: leads I and II, 200 Hz, rhythm episodes. Each label is an independent coin, with exactly as many
heads as tails over the records of a site:

=========  ==================  ==============================================================================
label      plant               what carries it
=========  ==================  ==============================================================================
AF         rhythm              the first and the last 2.5 s of 10 s differ in rate; beats are the same, and so is
                               the law of every 5 s window: only what sees all 10 s can tell
LBBB       morphology          a wide QRS complex, at the same law of RR intervals
TInv       morphology          an inverted T wave, likewise
QAb        shortcut            25 Hz hum at the source; nothing at all at the third site
=========  ==================  ==============================================================================

A record with none of them has the code for sinus rhythm. It tests the suite and says nothing of patients.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_ramba.data.cpsc2021 import Cpsc2021DataSet
from ecg_ramba.data.leads import LEADS
from ecg_ramba.data.snomed import SnomedDataSet
from ecg_ramba.data.synthetic_files import write_snomed, write_two_lead
from ecg_ramba.data.synthetic_signal import (
    FAST,
    SLOW,
    TILE_S,
    Site,
    beat_times,
    beats,
    disturbance,
    draw_person,
    recorded,
)
from ecg_ramba.errors import UserError
from ecg_ramba.files import building, is_complete, read_json, write_json, write_text
from ecg_ramba.keys import digest, plain, seed_for

COHORT_VERSION = 2
MANIFEST = "synthetic_cohort.json"

PLANTS = {"AF": "rhythm", "LBBB": "morphology", "TInv": "morphology", "QAb": "shortcut"}
"""Label -> the kind of effect that carries it."""

CODES = {"AF": "164889003", "LBBB": "164909002", "TInv": "59931005", "QAb": "164917005", "SNR": "426783006"}
"""Label -> SNOMED code written to the header."""

SOURCE = Site(
    name="synthetic-source", leads=LEADS, rate=500, heart_rate=(74, 5), gain=1.0, noise=0.03, wander=0.3, drift=0.3
)
RHYTHM = Site(
    name="synthetic-rhythm",
    leads=("I", "II"),
    rate=200,
    heart_rate=(80, 5),
    gain=1.4,
    noise=0.04,
    wander=0.45,
    drift=0.6,
)
THIRD = Site(
    name="synthetic-third", leads=LEADS, rate=500, heart_rate=(68, 5), gain=0.7, noise=0.02, wander=0.2, drift=0.1
)
PREFIX = {SOURCE.name: "SYNS", THIRD.name: "SYNT"}

_README = """Synthetic electrocardiograms, made by ecg_ramba to test itself. No patient, no measurement.
The effects in them are planted, and the label codes name nothing but the plants. See synthetic_cohort.json.
"""


@dataclass(frozen=True, kw_only=True)
class CohortConfig:
    """Which cohort to make.

    Parameters
    ----------
    seed : int
        Decides everything that is drawn.
    source, third : int
        Records of the two 12-lead sites.
    subjects : int
        Subjects of the two-lead site, two records each: one with episodes, one without.
    rhythm, morphology, shortcut : bool
        False leaves the labels of that kind in place and takes their effect away.
    """

    seed: int = 0
    source: int = 60
    third: int = 60
    subjects: int = 12
    rhythm: bool = True
    morphology: bool = True
    shortcut: bool = True

    def __post_init__(self):
        if min(self.source, self.third, self.subjects) < 1:
            raise UserError("a synthetic cohort has at least one record at each site")


def synthesize(
    out: Path, config: CohortConfig = CohortConfig(), progress: Callable[[int, int], None] | None = None
) -> None:
    """Write the cohort to ``out``: whole, or not at all.

    A folder that holds the same cohort already is left as it is.

    Parameters
    ----------
    out : Path
        A folder that is new, empty, or was made by this function.
    config : CohortConfig
        Seed, sizes, plants.
    progress : callable, optional
        Called with (records done, records in all).

    Raises
    ------
    UserError
        If ``out`` holds anything else, or cannot be written.
    """
    out = Path(out)
    if out.exists():
        if not out.is_dir() or (any(out.iterdir()) and not (out / MANIFEST).is_file()):
            raise UserError(f"{out} exists and is not a synthetic cohort; name a new or an empty folder")
        if (out / MANIFEST).is_file():
            if read_json(out / MANIFEST) != _manifest(config):
                raise UserError(f"{out} holds a synthetic cohort of other settings; delete it or name another folder")
            if is_complete(out):
                return
    _write(out, config, progress)


def cohort_dir(
    cache_dir: Path, config: CohortConfig = CohortConfig(), progress: Callable[[int, int], None] | None = None
) -> Path:
    """The folder of a cohort below a cache, made on first use and again if it is damaged."""
    folder = cache_dir / "synthetic" / f"cohort-{digest([COHORT_VERSION, config])[:12]}"
    if not is_complete(folder):
        _write(folder, config, progress)
    return folder


def factors(n: int, seed: int, site: str) -> dict[str, np.ndarray]:
    """The labels of a site's records: for each plant (n,) bool with n // 2 True, independent of the others."""
    found = {}
    for label in PLANTS:
        rng = np.random.Generator(np.random.PCG64(seed_for(seed, site, "labels", label)))
        found[label] = rng.permutation(n) < n // 2
    return found


def rate_pattern(positive: bool, rng: np.random.Generator) -> tuple[float, float]:
    """RR factors of a tile's ends: each slow or fast with equal chance, different where positive and equal if not."""
    first = rng.random() < 0.5
    last = first != positive
    return (SLOW if first else FAST, SLOW if last else FAST)


def _manifest(config: CohortConfig) -> dict:
    return {"synthetic": True, "version": COHORT_VERSION, "config": plain(config), "plants": PLANTS, "codes": CODES}


def _write(out: Path, config: CohortConfig, progress: Callable[[int, int], None] | None) -> None:
    """Put a whole cohort at ``out``, in place of what is there."""
    total = config.source + config.third + 2 * config.subjects
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    with building(out) as folder:
        write_text(folder / "README.txt", _README)
        write_json(folder / MANIFEST, _manifest(config))
        for site, n in ((SOURCE, config.source), (THIRD, config.third)):
            _twelve_lead_site(folder / site.name, site, n, config, one_more)
        _two_lead_site(folder / RHYTHM.name, config, one_more)


def _random(config: CohortConfig, *axes) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed_for(config.seed, *axes)))


def _twelve_lead_site(folder: Path, site: Site, n: int, config: CohortConfig, one_more: Callable[[], None]) -> None:
    folder.mkdir()
    labels = factors(n, config.seed, site.name)
    for i in range(n):
        rng = _random(config, site.name, "record", i)
        has = {label: bool(values[i]) for label, values in labels.items()}
        person = draw_person(site, rng)
        times = beat_times([rate_pattern(has["AF"] and config.rhythm, rng)], person.nn, rng)
        heart = beats(
            times,
            person,
            site,
            TILE_S,
            wide=has["LBBB"] and config.morphology,
            inverted=has["TInv"] and config.morphology,
        )
        hum = has["QAb"] and config.shortcut and site is SOURCE
        signal = recorded(heart + disturbance(person, site, TILE_S, rng, hum=hum), site)
        names = [label for label in PLANTS if has[label]] or ["SNR"]
        codes = ",".join(CODES[label] for label in names)
        age, sex = int(rng.integers(25, 85)), ("Female", "Male")[rng.integers(2)]
        write_snomed(folder, f"{PREFIX[site.name]}{i + 1:05d}", signal, site, codes, age, sex)
        one_more()


def _two_lead_site(folder: Path, config: CohortConfig, one_more: Callable[[], None]) -> None:
    """Two records a subject: one with episodes (the first subject's: nothing else), one without."""
    folder.mkdir()
    for subject in range(config.subjects):
        person = draw_person(RHYTHM, _random(config, RHYTHM.name, "subject", subject))
        for record, with_episodes in enumerate((True, False), start=1):
            rng = _random(config, RHYTHM.name, "record", subject, record)
            tiles = int(rng.integers(4, 7))
            episodes = _episodes(tiles, subject, rng) if with_episodes else []
            inside = [any(a < (t + 1) * TILE_S and b > t * TILE_S for a, b in episodes) for t in range(tiles)]
            pattern = [rate_pattern(af and config.rhythm, rng) for af in inside]
            seconds = tiles * TILE_S
            times = beat_times(pattern, person.nn, rng)
            heart = beats(times, person, RHYTHM, seconds, wide=False, inverted=False)
            signal = heart + disturbance(person, RHYTHM, seconds, rng, hum=False)
            write_two_lead(folder, f"data_{subject}_{record}", signal, RHYTHM, times, episodes, rng)
            one_more()


def _episodes(tiles: int, subject: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    """One episode of AF in seconds: the whole record for the first subject, else most of it.

    It begins and ends on borders of tiles, but for every fourth subject, where it begins inside one: that tile is
    neither inside nor outside.
    """
    if subject == 0:
        return [(0.0, tiles * TILE_S)]
    length = tiles - 1 if subject % 4 == 3 else int(rng.integers(tiles - 2, tiles))
    first = int(rng.integers(0, tiles - length + 1))
    late = rng.uniform(2, 8) if subject % 4 == 3 else 0.0
    return [(first * TILE_S + late, (first + length) * TILE_S)]


_LICENCE = "MIT, as the code that makes it"
_CITATION = "Made by this project; no patient and no measurement."

DATASETS = (
    SnomedDataSet(
        name=SOURCE.name,
        title="Synthetic source site",
        publisher=SOURCE.name,
        licence=_LICENCE,
        citation=_CITATION,
        folders=(SOURCE.name,),
        pattern=rf"{PREFIX[SOURCE.name]}\d{{5}}",
        layout="headers SYNS00001.hea … with their .mat files",
        synthetic=True,
        annotated={"": CODES},
    ),
    Cpsc2021DataSet(
        name=RHYTHM.name,
        title="Synthetic two-lead site",
        publisher=RHYTHM.name,
        licence=_LICENCE,
        citation=_CITATION,
        folders=(RHYTHM.name,),
        synthetic=True,
        annotated={"": ("AF", "AFL")},
    ),
    SnomedDataSet(
        name=THIRD.name,
        title="Synthetic third site",
        publisher=THIRD.name,
        licence=_LICENCE,
        citation=_CITATION,
        folders=(THIRD.name,),
        pattern=rf"{PREFIX[THIRD.name]}\d{{5}}",
        layout="headers SYNT00001.hea … with their .mat files",
        synthetic=True,
        annotated={"": CODES},
    ),
)
