"""From what a file says to what is known of a recording, and what a person must be asked.

Nothing is guessed silently: an assumption is a note, and where more than one reading is likely it is a question.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from ecg_ramba.dashboard.formats.leads import GUESSES, is_modified, lead_of
from ecg_ramba.dashboard.formats.reading import FormatError, Reading, checked_rate
from ecg_ramba.dashboard.formats.units import MILLIVOLTS, excerpt, likely_unit, span, unit_of
from ecg_ramba.data.leads import LEADS

LEFT_OUT = "-"
"""In place of a lead's name: this channel is left out."""

RATES = (100, 125, 128, 200, 250, 257, 360, 400, 500, 512, 1000)
"""Usual rates, as options of a question."""

SHORTEST_S = 0.2
HIGHEST_MV = 100.0
"""A lead that spans more is not in the unit that its file states."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a person is asked: ``field`` is rate, units or leads; ``options`` may be empty (then any answer)."""

    field: str
    text: str
    options: tuple[str, ...] = ()
    suggested: str | None = None


@dataclass(kw_only=True)
class Understood:
    """What is known of a recording.

    ``leads`` has one entry a channel of the file: a standard name, or ``-`` for one that is left out. ``scale`` are
    the millivolts in one unit of each channel, None while a unit is asked.
    """

    leads: list[str]
    rate: float | None
    units: str | None
    scale: list[float] | None
    samples: int
    notes: list[str] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)

    def json(self) -> dict:
        """As the page shows it."""
        known = [name for name in self.leads if name != LEFT_OUT]
        return {
            "leads": known,
            "rate": self.rate,
            "units": self.units,
            "seconds": self.samples / self.rate if self.rate else None,
            "samples": self.samples,
            "notes": self.notes,
        }

    def questions_json(self) -> list[dict]:
        """The questions, as the page shows them."""
        return [asdict(q) | {"options": list(q.options)} for q in self.questions]


def understand(reading: Reading, answers: Mapping, hours: float) -> Understood:
    """What is known of a recording, with a person's answers in place of what its file says.

    Parameters
    ----------
    reading : Reading
        As a format's reader gave it.
    answers : mapping
        ``rate`` (number), ``units`` (mV, uV or V), ``leads`` (a name or ``-`` for each channel); any may be absent.
    hours : float
        Longest recording that is taken.

    Raises
    ------
    FormatError
        If an answer does not fit, or the recording can be of no use whatever is answered.
    """
    samples = reading.signal.shape[1]
    if samples < 2:
        raise FormatError(f"{_what(reading)} has {samples} sample{'s' * (samples != 1)} a channel: nothing to read")
    made = Understood(leads=[], rate=None, units=None, scale=None, samples=samples, notes=list(reading.notes))
    made.leads = _leads(reading, answers.get("leads"), made)
    chosen = [i for i, name in enumerate(made.leads) if name != LEFT_OUT]
    made.rate = _rate(reading, answers.get("rate"), made)
    _units(reading, answers.get("units"), chosen, made)
    if made.rate:
        seconds = samples / made.rate
        if seconds > hours * 3600:
            raise FormatError(
                f"{_what(reading)} at {made.rate:g} samples a second is {seconds / 3600:.1f} h long; "
                f"recordings of up to {hours:g} h are taken (ecg-ramba serve --hours N): cut it"
            )
        if seconds < SHORTEST_S:
            raise FormatError(f"{_what(reading)} is {seconds:.3f} s long: too short to show anything")
    return made


def _what(reading: Reading) -> str:
    n = len(reading.names)
    return f"a {reading.format} file of {n} channel{'s' * (n != 1)} and {reading.signal.shape[1]} samples"


def _leads(reading: Reading, answer, made: Understood) -> list[str]:
    if answer is not None:
        return _answered_leads(reading, answer)
    names = list(reading.names)
    leads = [lead_of(name) for name in names]
    if not any(leads):
        return _unnamed_leads(reading, made)
    twice = sorted({lead for lead in leads if lead and leads.count(lead) > 1}, key=LEADS.index)
    if twice:
        seen: set[str] = set()
        suggested = []
        for lead in leads:
            suggested.append(lead if lead and lead not in seen else LEFT_OUT)
            seen.add(lead or "")
        text = f"The file has {', '.join(twice)} more than once ({_listed(names)}). Which channel is which lead?"
        made.questions.append(_lead_question(text, suggested))
        return suggested
    for name in names:
        if is_modified(name):
            made.notes.append(f"{_shown(name)} is a modified limb lead, shown and read as {lead_of(name)}")
    others = [_shown(name) or f"channel {i + 1}" for i, name in enumerate(names) if leads[i] is None]
    if others:
        made.notes.append(f"channels that are none of the twelve leads are left out: {_listed(others)}")
    return [lead or LEFT_OUT for lead in leads]


def _answered_leads(reading: Reading, answer: Sequence[str]) -> list[str]:
    if isinstance(answer, str):
        answer = answer.split(",")
    given = [str(name).strip() for name in answer]
    if len(given) != len(reading.names):
        raise FormatError(
            f"{len(given)} lead names for {len(reading.names)} channels; name each, or {LEFT_OUT} to leave one out"
        )
    leads = []
    for name in given:
        lead = LEFT_OUT if name in ("", LEFT_OUT) else lead_of(name)
        if lead is None:
            raise FormatError(f"{_shown(name)!r} is none of {', '.join(LEADS)}")
        leads.append(lead)
    named = [lead for lead in leads if lead != LEFT_OUT]
    if not named:
        raise FormatError("every channel is left out; name at least one lead")
    if len(set(named)) < len(named):
        raise FormatError(f"a lead is named twice: {', '.join(named)}")
    return leads


def _unnamed_leads(reading: Reading, made: Understood) -> list[str]:
    n = len(reading.names)
    named = [_shown(name) for name in reading.names if name.strip()]
    if n == len(LEADS) and _einthoven_holds(reading.signal):
        said = f"the channels' names ({_listed(named)}) say nothing" if named else "the channels have no names"
        made.notes.append(
            f"{said}: taken in the usual order I, II, III, aVR, aVL, aVF, V1 to V6, which I + III = II fits"
        )
        return list(LEADS)
    suggested = list(GUESSES.get(n, ()))
    called = f"called {_listed(named)}" if named else "without names"
    channels = "one channel" if n == 1 else f"{n} channels"
    text = f"The file has {channels} {called}. Which leads are they, in this order ({LEFT_OUT} leaves one out)?"
    made.questions.append(_lead_question(text, suggested, (*LEADS, LEFT_OUT) if n == 1 else ()))
    return suggested or [LEFT_OUT] * n


def _lead_question(text: str, suggested: Sequence[str], options: tuple[str, ...] = ()) -> Question:
    return Question(field="leads", text=text, options=options, suggested=", ".join(suggested) or None)


def _einthoven_holds(signal: np.ndarray) -> bool:
    """Whether the first three channels are I, II and III as far as I + III = II can tell, constants apart."""
    one, two, three = (np.asarray(row[:100_000], dtype=np.float64) for row in signal[:3])
    left, size = np.nanstd(one + three - two), np.nanstd(two)
    return bool(size > 0 and left < 0.2 * size)


def _rate(reading: Reading, answer, made: Understood) -> float | None:
    if answer is not None:
        rate = checked_rate(answer, "the answer")
        if reading.rate is not None and not math.isclose(rate, reading.rate, rel_tol=1e-6):
            made.notes.append(f"{rate:g} samples a second as answered; the file says {reading.rate:g}")
        return rate
    if reading.rate is None:
        samples = reading.signal.shape[1]
        likely = [r for r in (500, 1000, 250, 100, 400) if samples == 10 * r]
        made.questions.append(
            Question(
                field="rate",
                text=f"The file has {samples} samples and does not say how many are a second. How many are they?",
                options=tuple(map(str, RATES)),
                suggested=str(likely[0]) if likely else None,
            )
        )
    return reading.rate


def _units(reading: Reading, answer, chosen: Sequence[int], made: Understood) -> None:
    if answer is not None:
        unit = unit_of(str(answer))
        if unit is None:
            raise FormatError(f"the answer {str(answer)[:20]!r} is no unit of an ECG; use {', '.join(MILLIVOLTS)}")
        made.units, made.scale = unit, [MILLIVOLTS[unit]] * len(reading.names)
        return
    # While the leads are a question, any channel may be one.
    chosen = list(chosen) or list(range(len(reading.names)))
    stated = [reading.units[i] for i in chosen]
    found = [unit_of(text) for text in stated]
    unknown = sorted({_shown(text) for text, unit in zip(stated, found, strict=True) if text.strip() and unit is None})
    if unknown:
        raise FormatError(
            f"{_what(reading)} is in {', '.join(unknown)}, which is no potential ({', '.join(MILLIVOLTS)}): "
            "an ECG cannot be drawn or measured from it"
        )
    values = excerpt(reading.signal, chosen)
    if all(found):
        scale = np.ones(len(reading.names))
        scale[chosen] = [MILLIVOLTS[unit] for unit in found]
        reaches = span(values * scale[chosen][:, None])
        _check_reach(reading, reaches)
        made.units = found[0] if len(set(found)) == 1 else "mV"
        if len(set(found)) > 1:
            made.notes.append(f"the leads' units differ ({', '.join(sorted(set(found)))}): all are shown in mV")
        if reaches > HIGHEST_MV:
            own = span(values)
            suggested = likely_unit(own)[0]
            text = (
                f"The file says {made.units}, in which its leads span {reaches:,.0f} mV: no ECG does. "
                "Which unit are its values in?"
            )
            made.questions.append(Question(field="units", text=text, options=tuple(MILLIVOLTS), suggested=suggested))
            made.units = None
            return
        made.scale = scale.tolist()
        return
    reaches = span(values)
    _check_reach(reading, reaches)
    unit, certain = likely_unit(reaches)
    if certain:
        made.notes.append(f"no unit is stated; the leads span about {reaches:.2g}, so it is taken for {unit}")
        made.units, made.scale = unit, [MILLIVOLTS[unit]] * len(reading.names)
        return
    text = f"The file states no unit, and its leads span about {reaches:,.4g}. Which unit are its values in?"
    if unit == "uV":
        text += " (Raw converter counts would first have to be divided by the converter's gain.)"
    made.questions.append(Question(field="units", text=text, options=tuple(MILLIVOLTS), suggested=unit))


def _check_reach(reading: Reading, reaches: float) -> None:
    if math.isnan(reaches):
        raise FormatError(f"{_what(reading)} holds no number at all in its leads")
    if reaches == 0:
        raise FormatError(f"{_what(reading)} is constant in every lead: there is no signal")


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text.strip())[:40]


def _listed(names: Sequence[str]) -> str:
    shown = [_shown(name) for name in names]
    return ", ".join(shown[:16]) + (f" and {len(shown) - 16} more" if len(shown) > 16 else "")
