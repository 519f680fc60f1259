"""Placebos, parts of the structure, and choices of training and data: one named line each, run by name or --all."""

from ecg_ramba.evaluation.pooling import Pooling
from ecg_ramba.harness.config import Variant


def _encoder(name: str, title: str, claim: str, **changes) -> Variant:
    return Variant(name=name, title=title, changes=changes, group="placebos", claim=claim)


def _kernels(percent: int, claim: str) -> Variant:
    return _encoder(
        f"kernels_{percent}",
        f"MiniRocket's kernels in the network, {percent} % trainable",
        claim,
        morphology_encoder="kernels",
        trainable_kernels=percent / 100,
    )


PLACEBOS = (
    Variant(
        name="placebo_hrv",
        title="placebo: HRV of other subjects",
        settings={"inputs.rhythm": "others"},
        group="placebos",
        claim="what HRV says helps, not the parameters that read it",
    ),
    Variant(
        name="placebo_minirocket",
        title="placebo: noise for MiniRocket",
        settings={"inputs.morphology": "noise"},
        group="placebos",
        claim="what MiniRocket says helps, not the parameters that read it",
    ),
    Variant(
        name="placebo_both",
        title="placebo: both streams",
        settings={"inputs.rhythm": "others", "inputs.morphology": "noise"},
        group="placebos",
        claim="what the two streams say helps, not the parameters that read them",
    ),
    _encoder(
        "learned_encoder",
        "a learned convolutional encoder in MiniRocket's place",
        "MiniRocket is more than a second learned encoder of as many trained parameters",
        morphology_encoder="convolution",
    ),
    _kernels(0, "biases, components and dilations as MiniRocket fits them add to its kernels"),
    _kernels(25, "fixed kernels transfer better than partly trained ones (beside kernels_0)"),
    _kernels(100, "fixed kernels transfer better than trained ones (beside kernels_0)"),
)


def _structure(name: str, title: str, claim: str, **changes) -> Variant:
    return Variant(name=name, title=title, changes=changes, group="structure", claim=claim)


STRUCTURE = (
    _structure("concatenation", "no fusion: concatenation", "cross-attention fusion helps", fusion="concatenate"),
    _structure("no_backbone", "no backbone", "a backbone behind the Perceiver helps", layers=0),
    _structure("one_direction", "Mamba forwards only", "reading both ways helps", backbone="forward"),
    _structure("no_lead_gate", "without the lead gate", "the lead gate helps", lead_gate=False),
    _structure("single_scale", "one scale in the tokenizer", "several scales help", scales=("medium",)),
    _structure(
        "shuffled_tokens",
        "Mamba over shuffled tokens",
        "the order of the tokens matters to Mamba",
        backbone_sequence="tokens",
        token_order="shuffled",
    ),
    *(
        _structure(
            f"tokens_{count}",
            f"Mamba over {count} tokens",
            "finer tokens help Mamba",
            backbone_sequence="tokens",
            tokens=count,
            backbone_tokens=0,
        )
        for count in (157, 313, 625)
    ),
    Variant(
        name="whole_segment",
        title="10 s at a time",
        settings={"inputs.samples": 5000},
        group="structure",
        claim="windows of 5 s, pooled, are better than the whole 10 s",
    ),
    *(
        Variant(
            name=f"trained_{name}",
            title=f"trained through {title}",
            settings={"budget.pooling": name},
            pooling=pooling,
            group="structure",
            claim="training each window under the record's label is right",
        )
        for name, title, pooling in (
            ("power", "the power mean", Pooling()),
            ("max", "the maximum", Pooling(rule="max")),
            ("attention", "attention pooling", Pooling()),
        )
    ),
    Variant(
        name="released",
        title="as released",
        changes={"released": True},
        settings={
            "signal.missing": "zero",
            "features.kernels": "random",
            "features.grouping": "single",
            "inputs.rhythm": "raw_slots",
            "budget.lead_dropout": 0.0,
            "budget.pooling": "geometric",
            "budget.decay_all": True,
        },
        pooling=Pooling(rule="geometric"),
        group="structure",
        claim="where the published release departs from its paper, the paper is right",
    ),
)


def _choice(name: str, title: str, claim: str, **settings) -> Variant:
    changed = {key.replace("__", "."): value for key, value in settings.items()}
    return Variant(name=name, title=title, settings=changed, group="choices", claim=claim)


CHOICES = (
    _choice("bce", "cross-entropy throughout", "the asymmetric loss helps", budget__loss="bce"),
    _choice("class_weights", "with class weights", "class weights would help", budget__class_weights=True),
    _choice(
        "no_lead_dropout",
        "without dropping V1-V6 in training",
        "the lead-set augmentation helps",
        budget__lead_dropout=0.0,
    ),
    _choice(
        "zero_filled",
        "absent leads as zeros",
        "deriving limb leads and masking absent ones helps",
        signal__missing="zero",
        budget__lead_dropout=0.0,
    ),
    _choice(
        "segment_z_score",
        "z-score per segment",
        "scaling a whole recording, not each 10 s of it, helps",
        signal__normalise="segment",
    ),
    _choice("millivolt", "millivolts for z-scores", "z-scores help across hospitals", signal__normalise="none"),
    _choice("paper27", "trained on the paper's 27 labels", "merging equal diagnoses helps", label_space="paper27"),
    _choice("random_kernels", "the release's random kernels", "MiniRocket's kernels help", features__kernels="random"),
    _choice("slots_36", "the release's 36 slots for HRV", "real HRV helps", inputs__rhythm="slots"),
    _choice("heart_rate_only", "heart rate for HRV", "variability says more than the rate", inputs__rhythm="rate"),
    _choice(
        "single_morphology_token",
        "MiniRocket as one token",
        "one token a dilation group helps",
        features__grouping="single",
    ),
)
