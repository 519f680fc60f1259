"""Profile names, checked in one place."""

from ecg_ramba.errors import UserError
from ecg_ramba.models import PROFILES


def check_profile(model: str, name: str) -> None:
    """Raise UserError unless ``name`` is a profile."""
    if name not in PROFILES:
        raise UserError(f"{model} has no profile {name!r}; there are: {', '.join(PROFILES)}")
