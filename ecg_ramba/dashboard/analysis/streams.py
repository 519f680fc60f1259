"""What each input stream does for a prediction, by taking it away.

The same trained networks read the same windows once more with one stream replaced by what they get where it is absent:

``signal``
    every lead absent: the lead mask is off and the samples are zero, as for leads that a recording lacks. Of a model
    that counts missing leads as present (the published release's way), zeros.
``morphology`` (MiniRocket)
    all components zero: their mean over the training windows, since they are centred there.
``rhythm`` (HRV)
    every figure marked as not measurable, as in a segment without a beat.

Nothing is trained again, so this says what the model at hand draws from a stream, not what the stream is worth: for
that there are the ablations. The three changes need not add up to anything.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ecg_ramba.harness.checkpoint import FoldModel
from ecg_ramba.harness.inputs import WindowSource

NAMES = {"signal": "signal", "morphology": "minirocket", "rhythm": "hrv"}
"""Streams that can be taken away, with their names on the page."""

TITLES = {"signal": "raw signal", "minirocket": "MiniRocket morphology", "hrv": "heart-rate variability"}

HOW = {
    "signal": "the stream replaced by a signal without any lead (zeros, every lead marked absent)",
    "minirocket": "the stream replaced by its mean over the training windows (all components zero)",
    "hrv": "the stream replaced by figures that are all marked as not measurable",
}


def removable(model: FoldModel) -> list[str]:
    """Names of the streams of a model, in the page's order."""
    return [name for stream, name in NAMES.items() if stream in model.streams]


def without(source: WindowSource, name: str, model: FoldModel) -> WindowSource:
    """The same windows with one stream replaced; see the module's text.

    Parameters
    ----------
    source : WindowSource
    name : str
        ``signal``, ``minirocket`` or ``hrv``.
    model : FoldModel
        Whose windows they are.
    """
    if name == "minirocket":
        return dataclasses.replace(source, morphology=_zeros(source.morphology.shape))
    if name == "hrv":
        figures = source.rhythm.shape
        return dataclasses.replace(
            source, rhythm=np.zeros(figures, np.float32), rhythm_valid=np.zeros(figures, dtype=bool)
        )
    data = source.data
    leads = np.zeros_like(data.leads) if model.signal.missing == "derive" else data.leads
    return dataclasses.replace(
        source, data=dataclasses.replace(data, segments=_zeros(data.segments.shape), leads=leads)
    )


def _zeros(shape: tuple[int, ...]) -> np.ndarray:
    """Zeros that take no memory; read only."""
    return np.broadcast_to(np.float32(0), shape)
