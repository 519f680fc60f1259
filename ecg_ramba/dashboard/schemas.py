"""The shapes of the API, for its documentation and for checking what comes in."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Error(BaseModel):
    """What was understood, what could not be done, what to do."""

    error: str


class Progress(BaseModel):
    """How far a job is; ``seconds_left`` of its stage at the pace so far, null while that says nothing."""

    stage: str
    done: int
    total: int
    seconds_left: float | None = None


class Understood(BaseModel):
    """What is known of a recording."""

    leads: list[str]
    rate: float | None
    units: Literal["mV", "uV", "V"] | None
    seconds: float | None
    samples: int
    notes: list[str]


class Question(BaseModel):
    """What a person is asked."""

    field: Literal["rate", "units", "leads"]
    text: str
    options: list[str]
    suggested: str | None


class Preview(BaseModel):
    """A few hundred values, in the units of the file: low and high of each stretch."""

    lead: str
    seconds: float | None
    values: list[float | None]


class Summary(BaseModel):
    """A recording in a line."""

    group: str | None
    probability: float | None
    heart_rate: float | None
    warnings: int


class Item(BaseModel):
    """A recording in the worklist."""

    id: str
    name: str
    format: Literal["WFDB", "MATLAB", "CSV", "JSON", "EDF", "DICOM", "unknown"]
    uploaded: str
    bytes: int
    status: Literal["question", "queued", "running", "done", "failed", "refused"]
    progress: Progress | None
    error: str
    understood: Understood | None
    questions: list[Question]
    preview: Preview | None
    summary: Summary | None
    note: str


class Items(BaseModel):
    """A page of the worklist."""

    total: int
    items: list[Item]


class Uploaded(BaseModel):
    """What an upload became; ``skipped`` are files that no recording was made of, each a sentence."""

    items: list[Item]
    skipped: list[str]


class Answers(BaseModel):
    """A person's answers."""

    model_config = ConfigDict(extra="forbid")

    rate: Annotated[float, Field(ge=10, le=100_000)] | None = None
    units: Literal["mV", "uV", "V"] | None = None
    leads: Annotated[list[str], Field(min_length=1, max_length=64)] | None = None


class Note(BaseModel):
    """A note on a recording."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[str, Field(max_length=20_000)]
