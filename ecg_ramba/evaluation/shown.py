"""Which variants a figure or a long table shows, and how each of them is drawn."""

from typing import TYPE_CHECKING

from ecg_ramba.evaluation.suite import Variant

if TYPE_CHECKING:
    from ecg_ramba.evaluation.evaluate import Evaluation

OTHERS = 3
"""Variants beside the reference that fit into one figure."""
STYLES = (
    {"color": "#000000", "marker": "D", "linestyle": "-"},
    {"color": "#0072B2", "marker": "o", "linestyle": "--"},
    {"color": "#D55E00", "marker": "s", "linestyle": ":"},
    {"color": "#009E73", "marker": "^", "linestyle": "-."},
)
"""Okabe and Ito's colours for the variants shown, in their order; marker and line differ as well."""
GREY = "#767676"
GRID = "#E6E6E6"


def shown_variants(evaluation: "Evaluation", others: int = OTHERS) -> list[Variant]:
    """The reference first, then the first retrained variants of the suite; none that failed.

    Where nothing but poolings of stored windows has numbers, the first of them.
    """
    finished = [v for v in evaluation.suite.variants if v.name not in evaluation.failures]
    retrained = [v for v in finished if not v.reference and v.kind != "pooling"]
    reference = [v for v in finished if v.reference]
    return (reference + retrained or finished[:1])[: others + 1]


def left_unsaid(evaluation: "Evaluation", others: int = OTHERS) -> str:
    """That there are more variants than are shown; "" where there are not."""
    n = len(evaluation.suite.variants) - len(evaluation.failures) - len(shown_variants(evaluation, others))
    return f"{n} more variant{'s are' if n > 1 else ' is'} in the CSV files." if n > 0 else ""
