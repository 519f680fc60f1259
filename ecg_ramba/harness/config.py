"""What a run is: frozen, keyword-only dataclasses whose canonical JSON is the run's key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ecg_ramba.data.labels import label_space
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.pooling import Pooling
from ecg_ramba.features.transform import FeatureConfig
from ecg_ramba.models import PROFILES, model_spec
from ecg_ramba.signal import SignalConfig

DEFAULT_SOURCE = "chapman"
DEFAULT_TARGETS = ("cpsc2021", "ptbxl", "georgia")
SYNTHETIC_SOURCE = "synthetic-source"
SYNTHETIC_TARGETS = ("synthetic-rhythm", "synthetic-third")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The training budget every network gets, whatever its architecture.

    Batch size is ``min(max_batch, windows / 16)``; epochs are raised until there are at least ``min_steps`` steps.
    The loss is binary cross-entropy up to ``switch`` of the epochs, then the asymmetric loss (Ridnik et al. 2021).
    ``lead_dropout`` is the chance that a training window loses V1-V6.
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
    pooling : Pooling
        How its windows become records.
    windows_of : str
        For a pooling variant: the trained variant whose stored windows it pools again; "" for a trained one.
    claim : str
        The claim about the model that this line tests.
    group : str
        Name under which several lines are chosen together. Lines of the group ``default`` run unasked, others with
        ``--all`` or by their own or their group's name.
    factors : mapping
        Its levels in a factorial design, factor -> level; empty outside one.
    """

    name: str
    title: str
    model: str = "ecg_ramba"
    changes: Mapping[str, Any] = field(default_factory=dict)
    pooling: Pooling = Pooling()
    windows_of: str = ""
    claim: str = ""
    group: str = "default"
    factors: Mapping[str, str] = field(default_factory=dict)

    def configuration(self, profile: str, overrides: Mapping[str, Any] | None = None) -> Any:
        """The model's frozen configuration under a profile, with ``overrides`` (from --config) and the changes."""
        import dataclasses

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
    """Everything that decides a suite's numbers, apart from the variants and the data themselves."""

    source: str
    targets: tuple[str, ...]
    label_space: str = "merged24"
    profile: str = "small"
    folds: int = 5
    seeds: int = 1
    base_seed: int = 0
    device: str = "cpu"
    precision: str = "fp32"
    signal: SignalConfig = SignalConfig()
    features: FeatureConfig = FeatureConfig()
    budget: Budget = Budget()
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self):
        if self.profile not in PROFILES:
            raise UserError(f"--profile {self.profile!r} is none of {', '.join(PROFILES)}")
        if self.precision not in ("fp32", "bf16"):
            raise UserError(f"--precision {self.precision!r} is none of fp32, bf16")
        if self.folds < 2:
            raise UserError(f"--folds {self.folds}: a held-out score needs at least 2 folds")
        if self.seeds < 1:
            raise UserError(f"--seeds {self.seeds}: at least one training seed is needed")
        label_space(self.label_space)
        if self.source in self.targets:
            raise UserError(f"{self.source!r} is the source and cannot also be a target")
        if len(set(self.targets)) != len(self.targets):
            raise UserError("a target is named twice; name each once")
