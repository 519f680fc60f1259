"""DICOM ECG waveforms (12-lead ECG, general ECG, ambulatory ECG), by pydicom. Names of people are not read.

Source of codes and structure: DICOM PS3.3 C.10.9 (waveform module), CID 3001 (ECG leads).
"""

from pathlib import Path

import numpy as np

from ecg_ramba.dashboard.formats.leads import lead_of
from ecg_ramba.dashboard.formats.reading import FormatError, Reading, checked_channels, checked_rate


def read_dicom(path: Path) -> Reading:
    """Read a recording: of several groups of channels the one with the most leads, then the longest.

    Raises
    ------
    FormatError
        If it is damaged, or holds no waveform of an ECG.
    """
    import pydicom
    from pydicom.errors import BytesLengthException, InvalidDicomError

    try:
        whole = pydicom.dcmread(path, specific_tags=["SOPClassUID", "WaveformSequence", "Modality"])
        groups = list(whole.get("WaveformSequence") or [])
        if not groups:
            kind = whole.get("SOPClassUID")
            name = getattr(kind, "name", None) or "of an unknown kind"
            raise FormatError(f"it is a DICOM file ({name}) without a waveform; ECG waveforms are read, not pictures")
        order = ">" if whole.original_encoding[1] is False else "<"
        found = [_group(group, order) for group in groups]
    except (InvalidDicomError, BytesLengthException, OSError, EOFError) as error:
        raise FormatError(f"it is a DICOM file that cannot be read ({error})") from None
    except (AttributeError, KeyError, ValueError, TypeError, IndexError, NotImplementedError) as error:
        raise FormatError(f"its waveform is not described as DICOM has it ({type(error).__name__}: {error})") from None
    best = max(found, key=lambda r: (sum(lead_of(n) is not None for n in r.names), r.signal.shape[1] / r.rate))
    if len(found) > 1:
        said = f"{len(best.names)} channels, {best.signal.shape[1] / best.rate:.1f} s"
        return best.with_notes(f"the file holds {len(found)} groups of channels: shown is that of {said}")
    return best


_TYPES = {"SB": "i1", "UB": "u1", "SS": "i2", "US": "u2", "SL": "i4", "UL": "u4"}


def _group(group, order: str) -> Reading:
    """One multiplex group: samples times sensitivity and its correction, plus the baseline.

    ``order`` of the bytes: ``<``, or ``>`` in the retired transfer syntax with the most significant one first.
    """
    channels, samples = int(group.NumberOfWaveformChannels), int(group.NumberOfWaveformSamples)
    checked_channels(channels, "its waveform")
    kind = _TYPES.get(str(group.WaveformSampleInterpretation))
    if kind is None:
        raise FormatError(f"its samples are {str(group.WaveformSampleInterpretation)[:10]!r}, which is not read")
    content = group.WaveformData
    kind = order + kind
    needed = channels * samples * np.dtype(kind).itemsize
    if len(content) < needed:
        raise FormatError(f"its waveform is cut short: {samples} samples of {channels} channels stated")
    raw = np.frombuffer(content, dtype=kind, count=channels * samples).reshape(samples, channels).T
    signal = raw.astype(np.float64)
    padding = group.get("WaveformPaddingValue")
    if isinstance(padding, bytes) and len(padding) >= np.dtype(kind).itemsize:
        signal[raw == np.frombuffer(padding, dtype=kind, count=1)[0]] = np.nan
    names, units = [], []
    for row, channel in zip(signal, group.ChannelDefinitionSequence, strict=True):
        names.append(_name(channel))
        if "ChannelSensitivity" in channel:
            row *= float(channel.ChannelSensitivity) * float(channel.get("ChannelSensitivityCorrectionFactor", 1))
            row += float(channel.get("ChannelBaseline") or 0)
            units.append(str(channel.ChannelSensitivityUnitsSequence[0].CodeValue))
        else:
            units.append("")
    return Reading(
        format="DICOM",
        signal=signal,
        names=tuple(names),
        units=tuple(units),
        rate=checked_rate(group.SamplingFrequency, "its sampling frequency"),
    )


def _name(channel) -> str:
    """A channel's lead: by its code's meaning (``Lead aVR``), or its label."""
    sources = channel.get("ChannelSourceSequence") or []
    meaning = str(sources[0].get("CodeMeaning", "")) if sources else ""
    label = str(channel.get("ChannelLabel", "") or "")
    return meaning if lead_of(meaning) or not lead_of(label) else label
