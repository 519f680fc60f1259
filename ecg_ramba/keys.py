"""Content keys: a frozen configuration -> canonical JSON -> SHA-256.

Two configurations have the same key exactly when every field is the same, whatever the order of dictionary entries;
a changed default changes the key, so nothing stale is ever taken for current.
"""

import dataclasses
import hashlib
import json
import zlib

import numpy as np


def plain(value):
    """A configuration as JSON-able values: dataclasses become dicts with their class name, sets become sorted lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"__class__": type(value).__name__, **fields}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(plain(v) for v in value)
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be part of a configuration key")


def canonical_json(value) -> str:
    """Canonical JSON of a configuration: sorted keys, no spaces, NaN refused."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest(value) -> str:
    """SHA-256 (hex) of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def array_digest(*arrays: np.ndarray) -> str:
    """SHA-256 (hex) over shapes, dtypes and bytes of arrays."""
    h = hashlib.sha256()
    for a in arrays:
        a = np.ascontiguousarray(a)
        h.update(f"{a.dtype.str}{a.shape}".encode())
        h.update(a.data)
    return h.hexdigest()


def seed_for(*axes) -> int:
    """A 31-bit seed from named axes, for example ``seed_for(0, "fold", 3, "batches")``.

    The same axes always give the same seed, so comparisons along any other axis are paired.
    """
    return zlib.crc32(canonical_json(list(axes)).encode()) & 0x7FFFFFFF
