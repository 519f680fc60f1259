"""Recordings in every format, made from one signal that is known."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from ecg_ramba.data.leads import LEADS


def ecg(rate=500.0, seconds=10.0, leads=LEADS) -> np.ndarray:
    """(leads, samples) float64 in mV, to the microvolt (synthetic): a beat every 0.8 s; limb leads obey Einthoven."""
    t = np.arange(round(rate * seconds)) / rate
    phase = t % 0.8
    beat = np.exp(-(((phase - 0.3) / 0.015) ** 2)) + 0.25 * np.exp(-(((phase - 0.55) / 0.05) ** 2))
    beat += 0.1 * np.exp(-(((phase - 0.15) / 0.03) ** 2))
    slow = 0.05 * np.sin(2 * np.pi * 0.3 * t)
    one, two = np.round(0.6 * beat + slow, 3), np.round(1.1 * beat - 0.5 * slow, 3)
    rows = {"I": one, "II": two, "III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    for i in range(6):
        rows[f"V{i + 1}"] = np.round((0.3 + 0.25 * i) * beat * (-1 if i == 0 else 1) + 0.02 * i * slow, 3)
    return np.array([rows[lead] for lead in leads])


def wfdb_files(folder: Path, name="A0001", *, signal=None, leads=LEADS, rate=500.0, fmt="16", units="mV", gain=1000.0):
    """{file name: bytes} of a WFDB recording, written by the wfdb package."""
    import wfdb

    folder.mkdir(parents=True, exist_ok=True)
    signal = ecg(rate, 10, leads) if signal is None else signal
    n = len(leads)
    wfdb.wrsamp(
        name,
        fs=rate,
        units=[units] * n,
        sig_name=list(leads),
        p_signal=signal.T,
        fmt=[fmt] * n,
        adc_gain=[gain] * n,
        baseline=[0] * n,
        write_dir=str(folder),
    )
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name.startswith(name)}


def mat_bytes(version="5", **variables) -> bytes:
    """A MATLAB file."""
    from scipy.io import savemat

    out = io.BytesIO()
    savemat(out, variables, format=version, do_compression=version == "5")
    return out.getvalue()


def csv_bytes(signal, names=None, delimiter=",", decimal=".", time=None, preamble="") -> bytes:
    """A table with a column a lead."""
    columns = list(signal) if time is None else [time, *signal]
    rows = np.array(columns).T
    lines = [delimiter.join(f"{v:.10g}".replace(".", decimal) for v in row) for row in rows]
    header = [delimiter.join(names)] if names else []
    return (preamble + "\n".join([*header, *lines]) + "\n").encode()


def json_bytes(signal, leads="", **rest) -> bytes:
    """The documented form."""
    return json.dumps({"leads": leads or ",".join(LEADS), "signal": np.round(signal, 6).tolist(), **rest}).encode()


def edf_bytes(folder: Path, signal, names, rate=500, unit="uV", scale=1000.0, kind="edf") -> bytes:
    """An EDF+ (or BDF+) file, written by pyEDFlib."""
    import pyedflib

    path = folder / f"made.{kind}"
    types = {"edf": (pyedflib.FILETYPE_EDFPLUS, 32767), "bdf": (pyedflib.FILETYPE_BDFPLUS, 8388607)}
    filetype, most = types[kind]
    writer = pyedflib.EdfWriter(str(path), len(names), file_type=filetype)
    writer.setSignalHeaders(
        [
            {
                "label": name,
                "dimension": unit,
                "sample_frequency": rate,
                "physical_min": -5 * scale,
                "physical_max": 5 * scale,
                "digital_min": -most - 1,
                "digital_max": most,
            }
            for name in names
        ]
    )
    writer.writeSamples([np.ascontiguousarray(row * scale) for row in signal])
    writer.close()
    content = path.read_bytes()
    path.unlink()
    return content


def dicom_bytes(signal, names, rate=500.0, unit="uV", per_unit=1000.0, sensitivity=1.25, order="<") -> bytes:
    """A 12-lead ECG waveform object; ``order`` of the bytes as numpy has it."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage, generate_uid

    def code(value, meaning):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "UCUM", meaning
        return Sequence([item])

    channels = []
    for name in names:
        channel = Dataset()
        channel.ChannelSourceSequence = code("5.6.3-9-1", name)
        channel.ChannelSensitivity = str(sensitivity)
        channel.ChannelSensitivityUnitsSequence = code(unit, "microvolt")
        channel.ChannelSensitivityCorrectionFactor = "1"
        channel.ChannelBaseline = "0"
        channel.WaveformBitsStored = 16
        channels.append(channel)
    group = Dataset()
    group.MultiplexGroupTimeOffset = "0"
    group.WaveformOriginality = "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = len(names), signal.shape[1]
    group.SamplingFrequency = str(rate)
    group.ChannelDefinitionSequence = Sequence(channels)
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.WaveformData = np.round(signal.T * per_unit / sensitivity).astype(f"{order}i2").tobytes()
    whole = Dataset()
    whole.SOPClassUID, whole.SOPInstanceUID, whole.Modality = TwelveLeadECGWaveformStorage, generate_uid(), "ECG"
    whole.PatientName = "Nobody^Made Up"
    whole.WaveformSequence = Sequence([group])
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if order == "<" else ExplicitVRBigEndian
    whole.file_meta.MediaStorageSOPClassUID = whole.SOPClassUID
    whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID
    out = io.BytesIO()
    whole.save_as(out, enforce_file_format=True)
    return out.getvalue()


def zip_bytes(files: dict[str, bytes]) -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


class Makers:
    """All of the above."""

    ecg = staticmethod(ecg)
    wfdb = staticmethod(wfdb_files)
    mat = staticmethod(mat_bytes)
    csv = staticmethod(csv_bytes)
    json = staticmethod(json_bytes)
    edf = staticmethod(edf_bytes)
    dicom = staticmethod(dicom_bytes)
    zip = staticmethod(zip_bytes)
