"""Content keys change with every field, and with nothing else."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_ramba.keys import array_digest, canonical_json, digest, seed_for


@dataclass(frozen=True)
class Config:
    a: int = 1
    b: float = 0.5
    c: tuple = ("x",)


def test_every_field_counts():
    base = Config()
    keys = {digest(base), digest(replace(base, a=2)), digest(replace(base, b=0.25)), digest(replace(base, c=("y",)))}
    assert len(keys) == 4
    assert digest(Config()) == digest(base)


@given(st.dictionaries(st.text(max_size=3), st.integers(), max_size=6))
def test_order_does_not_count(d):
    assert digest(d) == digest(dict(reversed(list(d.items()))))


def test_what_has_no_canonical_form_is_refused():
    with pytest.raises(TypeError, match="object"):
        canonical_json({"a": object()})
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(float("nan"))


def test_array_digest_sees_shape_type_and_values():
    a = np.arange(6, dtype=np.float32)
    others = [a.reshape(2, 3), a.astype(np.float64), a + 1e-6]
    assert len({array_digest(x) for x in [a, *others]}) == 4
    assert array_digest(np.asfortranarray(a.reshape(2, 3))) == array_digest(a.reshape(2, 3))


def test_seeds_follow_their_axes():
    assert seed_for(0, 1, "weights") == seed_for(0, 1, "weights")
    assert len({seed_for(0, i, name) for i in range(50) for name in ("weights", "batches")}) == 100
    assert 0 <= seed_for("anything") < 2**31
