"""Fold models, servers, and recordings whose truth is known."""

import dataclasses
import shutil

import numpy as np
import pytest

from ecg_ramba.data.leads import LEADS
from ecg_ramba.data.record import Record
from ecg_ramba.harness.predict import read_recording
from ecg_ramba.harness.served import checkpoints_of
from ecg_ramba.harness.trained import load_models
from tests.dashboard.clients import opened
from tests.dashboard.makers import Makers


def make_record(signal, leads, rate=500.0, units="mV", name="r"):
    return Record(
        signal=np.asarray(signal, np.float32),
        leads=tuple(leads),
        rate=float(rate),
        units=units,
        source="file",
        record=name,
        subject=name,
        publisher="file",
        publisher_id=name,
    )


@pytest.fixture(scope="session")
def record_of():
    """``record_of(signal, leads, rate=500, units="mV")``."""
    return make_record


@pytest.fixture(scope="session")
def checkpoints(run_tiny, tmp_path_factory):
    """Checkpoints of tiny fold models by name."""
    result = run_tiny(
        tmp_path_factory.mktemp("rooms") / "runs", ("ecg_ramba", "hrv_logistic", "minirocket_linear", "class_prior")
    )
    names = ("ecg_ramba", "hrv_logistic", "minirocket_linear", "class_prior")
    return {name: checkpoints_of(result.folder, name) for name in names}


@pytest.fixture(scope="session")
def models(checkpoints):
    """Tiny ECG-RAMBA fold models."""
    return load_models(checkpoints["ecg_ramba"])


@pytest.fixture(scope="session")
def recording_file(cohort):
    """The header of a synthetic recording of 10 s."""
    return sorted((cohort / "synthetic-third").rglob("*.hea"))[0]


@pytest.fixture(scope="session")
def recording(recording_file):
    """A synthetic recording."""
    return read_recording(recording_file)


def gaussian_beats(times, seconds, rate, pr=0.16, qt=0.38, p=0.15):
    """P, QRS and T as bells: P begins ``pr`` before QRS, T ends ``qt`` after its begin (at 2.5 standard deviations)."""
    t = np.arange(round(seconds * rate)) / rate
    out = np.zeros(len(t))
    for at in times:
        onset = at - 0.04
        waves = ((onset - pr + 0.05, 0.02, p), (at, 0.012, 1.2), (at + 0.03, 0.012, -0.25))
        for centre, width, height in (*waves, (onset + qt - 0.1, 0.04, 0.35)):
            out += height * np.exp(-(((t - centre) / width) ** 2) / 2)
    return out


@pytest.fixture(scope="session")
def twelve_leads(record_of):
    """``twelve_leads(times, seconds, rate=500, **waves)``: twelve leads of one beat shape, with a little noise."""

    def make(times, seconds=10.0, rate=500.0, noise=0.003, seed=0, **waves):
        beat = gaussian_beats(times, seconds, rate, **waves)
        rng = np.random.default_rng(seed)
        gains = {"I": 0.7, "II": 1.0} | {f"V{i}": g for i, g in enumerate((-0.6, -0.3, 0.5, 1.1, 1.0, 0.8), 1)}
        rows = {n: g * beat + noise * rng.normal(size=len(beat)) for n, g in gains.items()}
        one, two = rows["I"], rows["II"]
        rows |= {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
        return record_of([rows[n] for n in LEADS], LEADS, rate)

    return make


def with_leads(record, names):
    rows = [record.leads.index(n) for n in names]
    return dataclasses.replace(record, signal=record.signal[rows], leads=tuple(names))


@pytest.fixture(scope="session")
def make():
    """Makers of recordings in every format."""
    return Makers


@pytest.fixture(scope="session")
def open_server():
    """Opens servers: ``with open_server(settings) as client``."""
    return opened


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A client of a server without models."""
    from ecg_ramba.dashboard.settings import Settings

    with opened(Settings(state=tmp_path_factory.mktemp("state"))) as made:
        yield made


@pytest.fixture(scope="session")
def models_folder(checkpoints, tmp_path_factory):
    """A folder of tiny fold models, as ``ecg-ramba train`` leaves it."""
    folder = tmp_path_factory.mktemp("models")
    for i, path in enumerate(checkpoints["ecg_ramba"], 1):
        shutil.copyfile(path, folder / f"fold{i}_best.pt")
    return folder
