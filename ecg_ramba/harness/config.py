"""What a run is: frozen, keyword-only dataclasses whose canonical JSON is the run's key."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ecg_ramba.data.labels import label_space
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.pooling import Pooling
from ecg_ramba.features.transform import FeatureConfig
from ecg_ramba.models import PROFILES, model_spec
from ecg_ramba.signal import SEGMENT, WINDOW, SignalConfig

SETTABLE = ("signal", "features", "budget", "inputs")
"""Parts of a suite's configuration that a single variant may change, besides the labels that it is trained with: none
of them changes what is split or scored."""

PRECISIONS = ("fp32", "medium", "bf16")
"""See :mod:`ecg_ramba.harness.precision`."""

RHYTHMS = ("own", "others", "rate", "slots", "raw_slots")
TRAINED_POOLINGS = ("window", "power", "max", "geometric", "attention")

DEFAULT_SOURCE = "chapman"
DEFAULT_TARGETS = ("cpsc2021", "ptbxl", "georgia")
SYNTHETIC_SOURCE = "synthetic-source"
SYNTHETIC_TARGETS = ("synthetic-rhythm", "synthetic-third")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The training budget every network gets, whatever its architecture.

    Batch size is ``min(max_batch, windows / 16)``; epochs are raised until there are at least ``min_steps`` steps.
    The loss is binary cross-entropy up to ``switch`` of the epochs, then the asymmetric loss (Ridnik et al. 2021).
    ``lead_dropout`` is the chance that a training window loses V1-V6. ``pooling``: the loss is taken of each
    window, or of a segment's windows pooled (``harness.segments``): power (Q = 3), max, geometric, attention.
    ``decay_all``: weight decay on the parameters of the state space as well, as in the published release.
    """

    epochs: int = 20
    min_steps: int = 300
    max_batch: int = 192
    learning_rate: float = 9e-4
    final_learning_rate: float = 1e-6
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    loss: str = "bce-asl"
    switch: float = 0.4
    gamma_negative: float = 2.5
    gamma_positive: float = 0.0
    probability_shift: float = 0.05
    class_weights: bool = False
    lead_dropout: float = 0.5
    pooling: str = "window"
    decay_all: bool = False

    def __post_init__(self):
        if self.pooling not in TRAINED_POOLINGS:
            raise UserError(f"budget.pooling is one of {', '.join(TRAINED_POOLINGS)}, not {self.pooling!r}")


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """What stands in the streams: the recording's own figures, some of them, or placebos (``harness.placebo``).

    ``rhythm``: ``own``; ``others``: heart-rate variability of other subjects of the same part of the same data set;
    ``rate``: of the own figures the heart rate alone, all others not measurable; ``slots``: the published release's 36
    (``features.release``), standardised, or ``raw_slots``: as they are. ``morphology``: ``own``, or ``noise`` of the
    same moments. ``samples``: what a model reads at a time, windows of 2500 samples or whole segments of 5000, whose
    figure is then that of each window.
    """

    rhythm: str = "own"
    morphology: str = "own"
    samples: int = WINDOW

    def __post_init__(self):
        if self.rhythm not in RHYTHMS:
            raise UserError(f"inputs.rhythm is one of {', '.join(RHYTHMS)}, not {self.rhythm!r}")
        if self.samples not in (WINDOW, SEGMENT):
            raise UserError(f"inputs.samples is {WINDOW} or {SEGMENT}, not {self.samples!r}")
        if self.morphology not in ("own", "noise"):
            raise UserError(f"inputs.morphology is own or noise, not {self.morphology!r}")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One named line of the ablation table.

    Parameters
    ----------
    name : str
        As typed after ``--only``.
    title : str
        As printed.
    model : str
        Registered model it is made of.
    changes : mapping
        Fields of the model's configuration that differ from its profile.
    settings : mapping
        What else differs from the suite's: ``part.field`` -> value, with a part of :data:`SETTABLE`; or
        ``label_space``, the labels it is trained with (what it says is merged into the suite's).
    pooling : Pooling
        How its windows become records.
    windows_of : str
        For a pooling variant: the trained variant whose stored windows it pools again; "" for a trained one.
    mean_of : tuple of str
        For an ensemble: the trained variants whose window probabilities it is the mean of.
    predictions : str
        For a model from elsewhere: a file with its window probabilities, see :mod:`ecg_ramba.harness.external`.
    claim : str
        The claim about the model that this line tests.
    group : str
        Name under which several lines are chosen together. Lines of the group ``default`` run unasked, others with
        ``--all`` or by their own or their group's name.
    factors : mapping
        Its levels in a factorial design, factor -> level; empty outside one.
    failure : str
        For the line that stands for a plug-in's list which cannot be imported: why. Nothing of it can run.

    Raises
    ------
    UserError
        If the name cannot be a folder's, or a part is of another kind.
    """

    name: str
    title: str
    model: str = "ecg_ramba"
    changes: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    pooling: Pooling = Pooling()
    windows_of: str = ""
    mean_of: tuple[str, ...] = ()
    predictions: str = ""
    claim: str = ""
    group: str = "default"
    factors: Mapping[str, str] = field(default_factory=dict)
    failure: str = ""

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name.strip(".") or set(self.name) & set("/\\"):
            raise UserError(f"a variant cannot be called {self.name!r}; results go to a folder of its name")
        kinds = dict.fromkeys(("title", "model", "windows_of", "predictions", "claim", "group", "failure"), str)
        kinds |= dict.fromkeys(("changes", "settings", "factors"), Mapping)
        for part, kind in (kinds | {"pooling": Pooling, "mean_of": tuple}).items():
            if not isinstance(getattr(self, part), kind):
                raise UserError(f"variant {self.name!r}: {part} is a {kind.__name__}, not {getattr(self, part)!r}")

    @property
    def trained(self) -> bool:
        """Whether it is trained here, not made of what was predicted before."""
        return not (self.windows_of or self.mean_of or self.predictions or self.failure)

    def configuration(self, profile: str, overrides: Mapping[str, Any] | None = None) -> Any:
        """The model's frozen configuration under a profile, with ``overrides`` (from --config) and the changes."""
        base = model_spec(self.model).profile(profile)
        known = {f.name for f in dataclasses.fields(base)}
        wanted = {**(overrides or {}), **self.changes}
        unknown = sorted(set(wanted) - known)
        if unknown:
            raise UserError(
                f"variant {self.name!r}: model {self.model!r} has no setting {', '.join(unknown)}; "
                f"there are: {', '.join(sorted(known))}"
            )
        return dataclasses.replace(base, **wanted)


@dataclass(frozen=True, kw_only=True)
class SuiteConfig:
    """Everything that decides a suite's numbers, apart from the variants and the data themselves.

    ``backend``: what runs the selective scan where a model leaves it open, see :mod:`ecg_ramba.nn.backends`; a run
    replaces ``auto`` by what it found.
    """

    source: str
    targets: tuple[str, ...]
    label_space: str = "merged24"
    profile: str = "small"
    folds: int = 5
    seeds: int = 1
    base_seed: int = 0
    device: str = "cpu"
    precision: str = "fp32"
    backend: str = "auto"
    signal: SignalConfig = SignalConfig()
    features: FeatureConfig = FeatureConfig()
    budget: Budget = Budget()
    inputs: InputConfig = InputConfig()
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self):
        if self.profile not in PROFILES:
            raise UserError(f"--profile {self.profile!r} is none of {', '.join(PROFILES)}")
        if self.precision not in PRECISIONS:
            raise UserError(f"--precision {self.precision!r} is none of {', '.join(PRECISIONS)}")
        if self.folds < 2:
            raise UserError(f"--folds {self.folds}: a held-out score needs at least 2 folds")
        if self.seeds < 1:
            raise UserError(f"--seeds {self.seeds}: at least one training seed is needed")
        label_space(self.label_space)
        if self.source in self.targets:
            raise UserError(f"{self.source!r} is the source and cannot also be a target")
        if len(set(self.targets)) != len(self.targets):
            raise UserError("a target is named twice; name each once")

    def changed(self, settings: Mapping[str, Any]) -> "SuiteConfig":
        """The same suite with a variant's settings.

        Raises
        ------
        UserError
            For a setting that there is not, or that a single variant may not change.
        """
        parts, label_space = {}, settings.get("label_space", self.label_space)
        for name, value in settings.items():
            if name == "label_space":
                continue
            part, _, setting = name.partition(".")
            if part not in SETTABLE or setting not in {f.name for f in dataclasses.fields(getattr(self, part))}:
                raise UserError(
                    f"a variant cannot set {name!r}; its settings are label_space and fields of {', '.join(SETTABLE)}"
                )
            parts.setdefault(part, {})[setting] = value
        changed = {k: dataclasses.replace(getattr(self, k), **v) for k, v in parts.items()}
        return dataclasses.replace(self, label_space=label_space, **changed)
