"""MiniRocket in C++ against sktime's own transform, feature by feature."""

import numpy as np
import pytest

from ecg_ramba.features import minirocket
from ecg_ramba.features.minirocket import MiniRocket
from ecg_ramba.native.library import LEVELS, level, unavailable
from ecg_ramba.native.rocket import rocket_features

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=f"native library: {unavailable()}")


def made(n, leads, samples, seed=0):
    """Smooth noise (synthetic), standardised; some leads dead or constant for a while."""
    rng = np.random.default_rng(seed)
    windows = np.cumsum(rng.normal(size=(n, leads, samples)), axis=2)
    windows = ((windows - windows.mean(2, keepdims=True)) / windows.std(2, keepdims=True)).astype(np.float32)
    windows[0, leads // 2] = 0
    windows[-1, 0, samples // 3 :] = 0
    return windows


def stock(rocket, windows, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(minirocket, "unavailable", lambda: "asked for sktime")
        return rocket.transform(windows)


def parameters(rocket):
    return list(rocket.state().values())[1:]


@pytest.mark.parametrize("instructions", LEVELS)
@pytest.mark.parametrize(
    ("leads", "samples", "kernels"), [(12, 2500, 10_000), (12, 400, 500), (3, 33, 168), (1, 9, 84)]
)
def test_equals_sktime_on_every_feature(instructions, leads, samples, kernels, monkeypatch):
    if LEVELS.index(instructions) > LEVELS.index(level()):
        pytest.skip(f"this processor has no {instructions}")
    windows = made(5, leads, samples)
    rocket = MiniRocket.fit(windows[:3], seed=7, num_kernels=kernels)
    expected = stock(rocket, windows, monkeypatch)
    found = rocket_features(windows, parameters(rocket), instructions=instructions)
    assert np.abs(found - expected).max() <= 1e-3
    assert np.mean(found != expected) < 1e-3


def test_the_difference_is_below_a_thousandth_at_full_size(monkeypatch):
    windows = made(16, 12, 2500, seed=1)
    rocket = MiniRocket.fit(windows[:8], seed=3)
    assert rocket.features == 9996
    assert np.abs(rocket.transform(windows) - stock(rocket, windows, monkeypatch)).max() <= 1e-3


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_neither_threads_nor_company_change_a_window(threads):
    windows = made(4, 12, 300)
    rocket = MiniRocket.fit(windows, seed=1, num_kernels=168)
    alone = np.concatenate([rocket_features(w[None], parameters(rocket)) for w in windows])
    np.testing.assert_array_equal(rocket_features(windows, parameters(rocket), threads), alone)


def test_it_is_what_computes_the_features_here():
    windows = made(2, 12, 300)
    rocket = MiniRocket.fit(windows, seed=1, num_kernels=168)
    np.testing.assert_array_equal(rocket.transform(windows), rocket_features(windows, parameters(rocket)))


@pytest.mark.parametrize("instructions", LEVELS)
@pytest.mark.parametrize("dropped", [slice(6, 12), slice(0, 0), slice(0, 12), slice(1, 2)])
@pytest.mark.parametrize(("samples", "kernels"), [(2500, 10_000), (33, 168)])
def test_both_ways_at_once_are_the_two_ways_apart(instructions, dropped, samples, kernels):
    if LEVELS.index(instructions) > LEVELS.index(level()):
        pytest.skip(f"this processor has no {instructions}")
    windows = made(4, 12, samples)
    rocket = MiniRocket.fit(windows[:3], seed=7, num_kernels=kernels)
    zero = np.zeros(12, dtype=bool)
    zero[dropped] = True
    without = windows.copy()
    without[:, zero] = 0
    whole, limb = rocket_features(windows, parameters(rocket), 2, instructions, zero)
    np.testing.assert_array_equal(whole, rocket_features(windows, parameters(rocket), instructions=instructions))
    np.testing.assert_array_equal(limb, rocket_features(without, parameters(rocket), instructions=instructions))


def test_both_ways_without_the_library_are_sktimes(monkeypatch):
    windows = made(3, 12, 300)
    rocket = MiniRocket.fit(windows, seed=1, num_kernels=168)
    zero = np.arange(12) >= 6
    native = rocket.transform_both(windows, zero)
    monkeypatch.setattr(minirocket, "unavailable", lambda: "asked for sktime")
    assert np.abs(native - rocket.transform_both(windows, zero)).max() <= 1e-3
