"""Who comes before whom in the process with the models."""

EXPRESS, SHORT, LONG = LANES = (0, 1, 2)
"""Somebody who waits; recordings of minutes; recordings of hours. A better lane's jobs come between a worse one's."""

SHORT_S = 120.0
"""Seconds of a recording that is short."""


def lane_of(seconds: float) -> int:
    """The lane of a recording of the worklist."""
    return SHORT if seconds <= SHORT_S else LONG
