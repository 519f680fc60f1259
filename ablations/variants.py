"""The default selection: ECG-RAMBA, its ablations, its pooling rules and its competitors, one named line each."""

from ablations.controls import CHOICES, PLACEBOS, STRUCTURE
from ablations.factorial import FACTORIAL, levels
from ecg_ramba.evaluation.pooling import Pooling
from ecg_ramba.harness.config import Variant

REFERENCE = "ecg_ramba"
"""Fixed in advance; never chosen by the folds it is reported on."""

_RETRAINED = (
    Variant(
        name=REFERENCE,
        title="ECG-RAMBA",
        factors=levels("mamba", "signal", "morphology", "rhythm"),
        claim="the reference: morphology, rhythm and signal, fused by Mamba",
    ),
    Variant(
        name="no_hrv",
        title="without HRV",
        changes={"use_rhythm": False},
        factors=levels("mamba", "signal", "morphology"),
        claim="heart-rate variability as a separate stream helps transfer",
    ),
    Variant(
        name="no_minirocket",
        title="without MiniRocket",
        changes={"use_morphology": False},
        factors=levels("mamba", "signal", "rhythm"),
        claim="MiniRocket morphology as a separate stream helps transfer",
    ),
    Variant(
        name="no_hrv_no_minirocket",
        title="without HRV and MiniRocket",
        changes={"use_rhythm": False, "use_morphology": False},
        factors=levels("mamba", "signal"),
        claim="the two streams together help transfer",
    ),
    Variant(
        name="no_signal",
        title="without the raw signal",
        changes={"use_signal": False},
        factors=levels("mamba", "morphology", "rhythm"),
        claim="the learned encoder of the raw signal adds to the two hand-made streams",
    ),
    Variant(
        name="mamba_over_tokens",
        title="Mamba over ordered tokens",
        changes={"backbone_sequence": "tokens"},
        claim="the backbone's long range matters (the published one scans unordered latents)",
    ),
)

_POOLINGS = tuple(
    Variant(
        name=name,
        title=title,
        pooling=pooling,
        windows_of=REFERENCE,
        claim="the power mean with Q = 3 is the right way from windows to a record",
    )
    for name, title, pooling in (
        ("pool_max", "maximum pooling", Pooling(rule="max")),
        ("pool_mean", "mean pooling", Pooling(rule="mean")),
        ("pool_q2", "power mean, Q = 2", Pooling(q=2.0)),
        ("pool_q5", "power mean, Q = 5", Pooling(q=5.0)),
        ("pool_q8", "power mean, Q = 8", Pooling(q=8.0)),
        ("pool_geometric", "geometric mean (the release's)", Pooling(rule="geometric")),
    )
)

_BASELINES = (
    Variant(name="class_prior", title="class prior", model="class_prior", claim="anything is learned at all"),
    Variant(name="hrv_logistic", title="HRV + logistic regression", model="hrv_logistic", claim="HRV alone would do"),
    Variant(
        name="minirocket_linear",
        title="MiniRocket + linear",
        model="minirocket_linear",
        claim="MiniRocket with a linear model would do",
    ),
    Variant(
        name="resnet1d",
        title="ResNet-1D",
        model="resnet1d",
        factors=levels("resnet", "signal"),
        claim="a plain CNN would do",
    ),
    Variant(
        name="transformer",
        title="patch Transformer",
        model="transformer",
        factors=levels("transformer", "signal"),
        claim="attention would do",
    ),
    Variant(name="raw_mamba", title="raw Mamba", model="raw_mamba", claim="Mamba on the raw signal alone would do"),
)

_MORE_BASELINES = (
    Variant(
        name="inception_time",
        title="InceptionTime",
        model="inception_time",
        group="baselines",
        claim="a CNN of several scales would do",
    ),
    Variant(
        name="xresnet1d",
        title="xresnet1d",
        model="xresnet1d",
        group="baselines",
        claim="PTB-XL's strongest CNN would do",
    ),
    Variant(
        name="minirocket_ridge",
        title="MiniRocket + ridge on all features",
        model="minirocket_ridge",
        settings={"features.reduction": "none"},
        group="baselines",
        claim="MiniRocket as its authors use it would do",
    ),
    Variant(
        name="hrv_boosting",
        title="HRV + gradient boosting",
        model="hrv_boosting",
        group="baselines",
        claim="HRV alone would do, given a model that is not linear",
    ),
    Variant(
        name="ensemble",
        title="mean of ECG-RAMBA and four others",
        mean_of=(REFERENCE, "raw_mamba", "resnet1d", "transformer", "hrv_logistic"),
        group="baselines",
        claim="a ceiling: what the models know together",
    ),
)

DEFAULT: tuple[Variant, ...] = _RETRAINED + _POOLINGS + _BASELINES

VARIANTS: tuple[Variant, ...] = (*DEFAULT, *_MORE_BASELINES, *FACTORIAL, *PLACEBOS, *STRUCTURE, *CHOICES)
"""Found through the entry point group ``ecg_ramba.ablations``; a package of your own can add more."""
