"""The stream factorial: every subset of signal, MiniRocket and HRV under a Mamba and an attention backbone of equal
size, and beside a ResNet and a Transformer. It separates "the streams help" from "Mamba helps".
"""

from ecg_ramba.harness.config import Variant

STREAMS = ("signal", "morphology", "rhythm")
_TITLES = {"signal": "signal", "morphology": "MiniRocket", "rhythm": "HRV"}
_SHORT = {"signal": "signal", "morphology": "minirocket", "rhythm": "hrv"}


def levels(backbone: str, *present: str) -> dict[str, str]:
    """A variant's place in the design: its backbone, and which streams there are."""
    return {"backbone": backbone, **{name: "on" if name in present else "off" for name in STREAMS}}


def _named(present: tuple[str, ...]) -> tuple[str, str]:
    """``signal_hrv`` and ``signal, HRV``."""
    return "_".join(_SHORT[s] for s in present), ", ".join(_TITLES[s] for s in present)


def _switches(present: tuple[str, ...]) -> dict[str, bool]:
    return {f"use_{name}": name in present for name in STREAMS}


def _mamba(*present: str) -> Variant:
    name, title = _named(present)
    return Variant(
        name=f"mamba_{name}",
        title=f"Mamba: {title}",
        changes=_switches(present),
        group="factorial",
        factors=levels("mamba", *present),
        claim=f"more than {title} is needed",
    )


def _attention(*present: str) -> Variant:
    name, title = _named(present)
    return Variant(
        name=f"attention_{name}",
        title=f"attention: {title}",
        changes=_switches(present) | {"backbone": "attention"},
        group="factorial",
        factors=levels("attention", *present),
        claim=f"Mamba reads {title} better than attention of equal size",
    )


def _beside(model: str, title: str, *present: str) -> Variant:
    name, streams = _named(present)
    return Variant(
        name=f"{model}_{name}",
        title=f"{title}, {streams}",
        model=model,
        changes={f"use_{s}": True for s in present},
        group="factorial",
        factors=levels(model.removesuffix("1d"), "signal", *present),
        claim=f"{streams} helps any encoder of the signal",
    )


_SUBSETS = (
    *(("signal", "morphology", "rhythm"), ("signal", "morphology"), ("signal", "rhythm"), ("morphology", "rhythm")),
    *(("signal",), ("morphology",), ("rhythm",)),
)
_EXTRA = (("rhythm",), ("morphology",), ("morphology", "rhythm"))

FACTORIAL = (
    _mamba("morphology"),
    _mamba("rhythm"),
    *(_attention(*present) for present in _SUBSETS),
    *(_beside("resnet1d", "ResNet-1D", *present) for present in _EXTRA),
    *(_beside("transformer", "patch Transformer", *present) for present in _EXTRA),
)
"""What the default selection does not hold of the design already."""
