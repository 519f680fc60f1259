"""Which variants a run takes: found through entry points, chosen by name."""

import difflib
from collections.abc import Sequence
from importlib.metadata import entry_points

from ecg_ramba.errors import UserError, first_line
from ecg_ramba.harness.config import Variant

REFERENCE = "ecg_ramba"


def all_variants() -> dict[str, Variant]:
    """All registered variants by name, in order of registration, the project's own first.

    Raises
    ------
    UserError
        If a list cannot be imported or two variants share a name.
    """
    found: dict[str, Variant] = {}
    points = {ep.value: ep for ep in entry_points(group="ecg_ramba.ablations")}
    for value, ep in sorted(points.items(), key=lambda item: item[1].name != "default"):
        try:
            variants = tuple(ep.load())
            wrong = next((type(v).__name__ for v in variants if not isinstance(v, Variant)), "")
            if wrong:
                raise TypeError(f"it holds a {wrong}, a tuple of Variant is needed")
        except (Exception, SystemExit) as error:  # a plug-in's module may fail in any way
            raise UserError(f"ablations {ep.name!r} ({value}) cannot be imported: {first_line(error)}") from error
        for variant in variants:
            if variant.name in found:
                raise UserError(f"two variants are called {variant.name!r}; rename the one in {value}")
            found[variant.name] = variant
    return found


def choose_variants(only: Sequence[str], everything: bool = False) -> list[Variant]:
    """The variants to run: the default ones, those named (by a group's name, all of it), or all; the reference first.

    A pooling variant or an ensemble brings along the trained variants that it is made of. A variant with factors is in
    the group ``factorial`` besides its own.

    Raises
    ------
    UserError
        For an unknown name, with the nearest known ones.
    """
    known = all_variants()
    if everything:
        return list(known.values())
    groups: dict[str, list[str]] = {}
    for name, variant in known.items():
        for group in {variant.group, "factorial"} if variant.factors else {variant.group}:
            groups.setdefault(group, []).append(name)
    chosen = []
    for name in only or ["default"]:
        if name not in known and name not in groups:
            near = difflib.get_close_matches(name, [*known, *groups], n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "see --list"
            raise UserError(f"no variant or group is called {name!r}; {hint}")
        chosen += [name] if name in known else groups[name]
    made_of = (n for name in chosen for n in (known[name].windows_of, *known[name].mean_of) if n)
    wanted = {REFERENCE, *chosen, *made_of}
    return [v for n, v in known.items() if n in wanted]
