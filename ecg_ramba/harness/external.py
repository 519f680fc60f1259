"""Models from elsewhere as variants of a run, by a file of predictions: see :mod:`ecg_ramba.evaluation.foreign`."""

from collections.abc import Sequence
from pathlib import Path

from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.foreign import read_external
from ecg_ramba.harness.config import Variant

__all__ = ["external_variants", "read_external"]


def external_variants(named: Sequence[str]) -> list[Variant]:
    """Variants from ``NAME=FILE`` texts.

    Raises
    ------
    UserError
        For a text of another form, a file that is not there, or a name that is taken.
    """
    made = {}
    for text in named:
        name, _, file = text.partition("=")
        path = Path(file)
        if not name or not file:
            raise UserError(f"--predictions {text!r}: write NAME=FILE")
        if not path.is_file():
            raise UserError(f"--predictions {name}: {path} is not there")
        if name in made:
            raise UserError(f"--predictions {name} is given twice")
        made[name] = Variant(
            name=name, title=f"{name} (from a file)", predictions=str(path), claim="a model from elsewhere"
        )
    return list(made.values())
