"""Which variants a run takes: found through entry points, chosen by name."""

import difflib
import warnings
from collections.abc import Sequence
from importlib.metadata import entry_points

from ecg_ramba.errors import PlugInWarning, UserError, first_line
from ecg_ramba.harness.config import Variant
from ecg_ramba.keys import digest

REFERENCE = "ecg_ramba"


def registered() -> tuple[dict[str, Variant], list[Variant]]:
    """All registered variants by name, in order of registration, the project's own first; and what cannot be used.

    Returns
    -------
    variants : dict of str to Variant
    broken : list of Variant
        One line with its ``failure`` for each plug-in's list that cannot be imported or holds anything but variants,
        under its entry point's name. A warning names it as well.

    Raises
    ------
    UserError
        If two variants share a name, or what holds the reference cannot be imported.
    """
    found: dict[str, Variant] = {}
    failures: dict[str, str] = {}
    points = {ep.value: ep for ep in entry_points(group="ecg_ramba.ablations")}
    for value, ep in sorted(points.items(), key=lambda item: item[1].name != "default"):
        try:
            variants = tuple(ep.load())
            wrong = next((type(v).__name__ for v in variants if not isinstance(v, Variant)), "")
            if wrong:
                raise TypeError(f"it holds a {wrong}, a tuple of Variant is needed")
            digest(variants)  # a setting that cannot be part of a key would stop the run later
        except (Exception, SystemExit) as error:  # noqa: BLE001  a plug-in's module may fail in any way
            failures[value] = f"ablations {ep.name!r} ({value}) cannot be imported: {first_line(error)}"
            continue
        for variant in variants:
            if variant.name in found:
                raise UserError(f"two variants are called {variant.name!r}; rename the one in {value}")
            found[variant.name] = variant
    if failures and REFERENCE not in found:
        raise UserError("; ".join(failures.values()))
    broken = []
    for value, failure in failures.items():
        own = points[value].name
        taken = {*found, *(v.name for v in broken)}
        name = own if own not in taken else f"{own} ({value})"
        broken.append(Variant(name=name, title=f"plug-in {own}", model="", failure=failure))
        warnings.warn(f"{failure}; it is left out", PlugInWarning, stacklevel=3)
    return found, broken


def all_variants() -> dict[str, Variant]:
    """All variants that can be used, by name; as :func:`registered`."""
    return registered()[0]


def choose_variants(only: Sequence[str], everything: bool = False) -> list[Variant]:
    """The variants to run: the default ones, those named (by a group's name, all of it), or all; the reference first.

    A pooling variant or an ensemble brings along the trained variants that it is made of. A variant with factors is in
    the group ``factorial`` besides its own. What a broken plug-in holds is not known: it is left out with a warning,
    and with ``everything`` stands as one line that fails.

    Raises
    ------
    UserError
        For an unknown name, with the nearest known ones and the plug-ins that may have held it.
    """
    known, broken = registered()
    if everything:
        return [*known.values(), *broken]
    groups: dict[str, list[str]] = {}
    for name, variant in known.items():
        for group in {variant.group, "factorial"} if variant.factors else {variant.group}:
            groups.setdefault(group, []).append(name)
    chosen = []
    for name in only or ["default"]:
        if name not in known and name not in groups:
            near = difflib.get_close_matches(name, [*known, *groups], n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "nox -s ablations -- --list names them all"
            raise UserError("; ".join([f"no variant or group is called {name!r}", hint, *(v.failure for v in broken)]))
        chosen += [name] if name in known else groups[name]
    made_of = (n for name in chosen for n in (known[name].windows_of, *known[name].mean_of) if n)
    wanted = {REFERENCE, *chosen, *made_of}
    return [v for n, v in known.items() if n in wanted]
