"""Which of several machines uploads a piece: the first, by a claim that it writes in the place of the marker.

A write that fails if there is something already (S3's If-None-Match) decides between them.
"""

import hashlib
import json
import time

from ecg_ramba.files import MARKER
from ecg_ramba.shared.places import SharedPath
from ecg_ramba.shared.service import patiently, store_of, with_parents

CLAIM_S = 60.0
"""Seconds that another machine's claim is waited for."""


def claim(folder: SharedPath, marker: bytes) -> bool:
    """Claim the place of a piece with this marker at the URL; False where a whole one stands there."""
    store, at = store_of(folder)
    place, ours = f"{at}/{MARKER}", json.dumps({"claimed": hashlib.sha256(marker).hexdigest()}).encode()
    create = lambda: store.pipe_file(place, ours, mode="create")  # noqa: E731
    began = time.monotonic()
    while True:
        try:
            patiently(folder, lambda: with_parents(store, place, create))
            return True
        except FileExistsError:
            pass
        try:
            there = patiently(folder, lambda: store.cat_file(place))
        except FileNotFoundError:
            continue  # it has just been taken away
        if there == ours:  # this machine's, whose upload was stopped, or of the very same content
            return True
        files = listed(there)
        if files is not None and _sizes_agree(folder, files):
            return False
        if b'"claimed"' in there and time.monotonic() - began < CLAIM_S:
            time.sleep(min(1.0, CLAIM_S))
            continue
        patiently(folder, lambda: store.pipe_file(place, ours))
        return True


def listed(marker: bytes) -> dict | None:
    """The files that a marker names; None for a claim, or one that is damaged."""
    try:
        files = json.loads(marker)["files"]
        return files if all(isinstance(facts["bytes"], int) for facts in files.values()) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _sizes_agree(folder: SharedPath, files: dict) -> bool:
    store, at = store_of(folder)
    try:
        return all(
            patiently(folder, lambda n=name: store.size(f"{at}/{n}")) == facts["bytes"] for name, facts in files.items()
        )
    except FileNotFoundError:
        return False
