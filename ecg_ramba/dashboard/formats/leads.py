"""Lead names as makers of recorders and files write them."""

import re

from ecg_ramba.data.leads import LEADS, canonical_lead

_BEFORE = re.compile(
    r"^(?:(?:mdc_ecg_lead|mdc_ecg|ecg|ekg|lead|ableitung|channel|chan)(?:[\s_:.\-]+|(?=[IVa])))+", re.I
)
_AFTER = re.compile(r"\s*(?:[\(\[].*|[\-,;:_ ]+(?:mv|uv|µv|μv|v|ref|wilson|einthoven|goldberger))$", re.I)

_ALIASES = {"di": "I", "dii": "II", "diii": "III", "d1": "I", "d2": "II", "d3": "III"}
_ALIASES |= {f"c{i}": f"V{i}" for i in range(1, 7)}
_MODIFIED = {"mli": "I", "mlii": "II", "mliii": "III", "ml1": "I", "ml2": "II", "ml3": "III"}

GUESSES = {
    1: ("II",),
    2: ("I", "II"),
    3: ("I", "II", "III"),
    6: LEADS[:6],
    8: ("I", "II", *LEADS[6:]),
    12: LEADS,
    15: (*LEADS, "-", "-", "-"),
}
"""What is suggested for so many unnamed channels; ``-`` leaves one out."""


def lead_of(name: str) -> str | None:
    """The standard lead that a channel's name means (``ECG aVR``, ``Lead I (Einthoven)``, ``DII``, ``MLII``)."""
    name = name.strip().strip("\"'")
    for text in (name, _AFTER.sub("", name), _AFTER.sub("", _BEFORE.sub("", name))):
        text = text.strip()
        found = canonical_lead(text) or _ALIASES.get(text.lower()) or _MODIFIED.get(text.lower())
        if found:
            return found
    return None


def is_modified(name: str) -> bool:
    """Whether a name is that of a modified limb lead (MLII: electrodes on the chest), read as the standard one."""
    return name.strip().lower() in _MODIFIED
