"""Four groups of rhythm as one distribution, from the probabilities of classes that are not exclusive.

Classes are independent outputs: a recording may have several, or none. The grouping is that of Zheng et al. 2020
(Scientific Data 7:48): SR, AF, GSVT, SB. Of the supraventricular tachycardias it counts under GSVT, the 27 classes hold
sinus tachycardia alone; flutter is counted with AF, as there.
"""

import math
from collections.abc import Mapping

GROUPS: dict[str, tuple[str, ...]] = {
    "Normal": ("SNR", "SA"),
    "AF": ("AF", "AFL"),
    "GSVT": ("STach",),
    "SB": ("SB",),
}
"""Classes of each group. Normal is the rhythm's: sinus rhythm, sinus arrhythmia."""

RULE = (
    "A group's score is the largest probability among its classes (Normal: SNR, SA; AF: AF, AFL; GSVT: STach, the only "
    "supraventricular tachycardia among the classes; SB: SB). Classes are independent outputs, so the distribution is "
    "that of the group given that exactly one of the groups holds: odds p / (1 - p) divided by their sum. It says "
    "which group is the likeliest of these, not that any of them is there."
)

_LEAST = 1e-9  # keeps odds finite: a float32 sigmoid can reach 1


def group_distribution(probability: Mapping[str, float | None]) -> tuple[list[dict], str]:
    """The distribution over groups, and the rule in words.

    If the groups were independent events of probabilities p, P(g alone) is proportional to p_g times the product of
    1 - p_h over the others h, hence to p_g / (1 - p_g).

    Parameters
    ----------
    probability : mapping of class to float or None
        Pooled; None where a class was not trained.

    Returns
    -------
    groups : list of dict
        ``group``, ``probability`` (None where no class of the group was trained), ``from`` (the classes that were).
        They sum to 1, or are all None where fewer than two groups were trained: one alone would always have 1.
    rule : str
    """
    members = {group: [c for c in classes if probability.get(c) is not None] for group, classes in GROUPS.items()}
    trained = {group: max(probability[c] for c in of) for group, of in members.items() if of}
    shares: dict[str, float] = {}
    rule = RULE
    if len(trained) > 1:
        logits = {g: math.log(max(p, _LEAST)) - math.log(max(1 - p, _LEAST)) for g, p in trained.items()}
        top = max(logits.values())
        odds = {g: math.exp(v - top) for g, v in logits.items()}
        total = sum(odds.values())
        shares = {g: v / total for g, v in odds.items()}
    else:
        known = f"only {next(iter(trained))} was" if trained else "none was"
        rule = f"Of the groups {known} trained, so there is no distribution over them. {RULE}"
    lacking = [g for g in GROUPS if g not in trained]
    if shares and lacking:
        rule = f"{RULE} Not trained, so left out: {', '.join(lacking)}."
    return [{"group": g, "probability": shares.get(g), "from": members[g] or list(GROUPS[g])} for g in GROUPS], rule
