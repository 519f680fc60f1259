"""Lines of figures that compare variants: colours, markers and dashes that are told apart in grey as well."""

from collections.abc import Sequence

# Okabe and Ito's colour-blind-safe palette without its yellow, which is not seen on white.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "v", "P", "X", "<", ">", "h")
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
GREY = "#767676"
GRID = "#E6E6E6"


def line_styles(names: Sequence[str], reference: str = "") -> dict[str, dict]:
    """Style of each variant's line as keyword arguments of ``axis.plot``; the reference is black, whole and thicker.

    Neighbours differ in colour and marker, and lines of one colour in their dashes: all of them up to 72 lines.
    """
    styles, place = {}, 0
    for name in names:
        if name == reference:
            styles[name] = {"color": "#000000", "marker": "D", "linestyle": "-", "linewidth": 2.4, "zorder": 5}
            continue
        styles[name] = {
            "color": _COLORS[place % len(_COLORS)],
            "marker": _MARKERS[place % len(_MARKERS)],
            "linestyle": _DASHES[(place // len(_COLORS) + place) % len(_DASHES)],
            "linewidth": 1.5,
            "zorder": 3,
        }
        place += 1
    return styles


def plain_axis(axis) -> None:
    """No box, a light grid behind the data, small ticks."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color=GRID, linewidth=0.7)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=9)
