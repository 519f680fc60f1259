import itertools
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from scipy.stats import norm

from ecg_ramba.errors import CheckpointError
from ecg_ramba.features.minirocket import KERNELS, MiniRocket


@pytest.fixture(scope="module")
def windows():
    """Synthetic windows: smooth noise, 12 leads."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(12, 12, 400))
    return np.cumsum(noise, axis=2).astype(np.float32) / 10


@pytest.fixture(scope="module")
def rocket(windows):
    return MiniRocket.fit(windows, seed=5, num_kernels=500)


def brute_force(window: np.ndarray, rocket: MiniRocket) -> np.ndarray:
    """Features by the paper's definition: explicit kernels, explicit padding, one convolution at a time."""
    ends = np.cumsum(rocket.leads_per_kernel)
    features, combination = [], 0
    bias = iter(rocket.biases)
    for d, (dilation, count) in enumerate(zip(rocket.dilations, rocket.features_per_dilation, strict=True)):
        for k, taps in enumerate(itertools.combinations(range(9), 3)):
            weights = np.full(9, -1.0)
            weights[list(taps)] = 2.0
            leads = rocket.lead_indices[ends[combination] - rocket.leads_per_kernel[combination] : ends[combination]]
            summed = window[leads].astype(float).sum(axis=0)
            padded = np.pad(summed, 4 * dilation)
            n = len(summed)
            response = sum(w * padded[i * dilation : i * dilation + n] for i, w in enumerate(weights))
            if (d + k) % 2:
                response = response[4 * dilation : -4 * dilation]
            features += [float(np.mean(response > next(bias))) for _ in range(count)]
            combination += 1
    return np.array(features)


def test_equals_a_brute_force_convolution(windows, rocket):
    ours = rocket.transform(windows[:3])
    for window, row in zip(windows, ours, strict=False):
        expected = brute_force(window, rocket)
        # float32 against float64: at most a sample or two change sides of a bias
        assert np.abs(row - expected).max() <= 3 / 300
        assert np.mean(row.astype(np.float32) == expected.astype(np.float32)) > 0.95


def test_equals_aeon_fitted_with_the_same_seed(windows, rocket):
    from aeon.transformations.collection.convolution_based import MiniRocket as Aeon

    theirs = Aeon(n_kernels=500, random_state=5).fit(windows)
    for ours, parameter in zip(list(rocket.state().values())[1:], theirs.parameters, strict=True):
        np.testing.assert_allclose(ours, parameter, atol=1e-5)
    np.testing.assert_allclose(rocket.transform(windows), theirs.transform(windows), atol=2 / 300)


def test_equals_aeon_given_the_same_parameters_at_full_size():
    from aeon.transformations.collection.convolution_based import MiniRocket as Aeon

    windows = np.random.default_rng(1).normal(size=(6, 12, 2500)).astype(np.float32)
    windows[3:, 6:] = 0
    rocket = MiniRocket.fit(windows, seed=9)
    assert rocket.features == 9996
    theirs = Aeon(n_kernels=10_000, random_state=1).fit(windows)
    theirs.parameters = tuple(list(rocket.state().values())[1:])
    np.testing.assert_allclose(rocket.transform(windows, threads=2), theirs.transform(windows), atol=2 / 2500)


def test_groups_are_contiguous_and_cover_all_features(rocket):
    sizes = [g.stop - g.start for g in rocket.dilation_groups]
    assert sizes == [KERNELS * n for n in rocket.features_per_dilation]
    assert rocket.dilation_groups[0].start == 0
    assert all(a.stop == b.start for a, b in itertools.pairwise(rocket.dilation_groups))
    assert rocket.dilation_groups[-1].stop == rocket.features == 420
    assert np.all(np.diff(rocket.dilations) > 0)


def test_a_group_sees_its_own_time_scale(windows, rocket):
    # negative control for the order of features: a change of fine detail moves fine dilations most
    rough = windows + np.float32(0.3) * np.sign(np.sin(np.arange(400) * np.pi + 0.1)).astype(np.float32)
    moved = np.abs(rocket.transform(rough) - rocket.transform(windows)).mean(axis=0)
    by_group = [moved[g].mean() for g in rocket.dilation_groups]
    assert by_group[0] > 0
    assert len(by_group) == len(rocket.dilations)


def test_same_seed_same_transform_other_seed_another(windows, rocket):
    again = MiniRocket.fit(windows, seed=np.int64(5), num_kernels=500)  # a numpy integer would upset sktime
    np.testing.assert_array_equal(again.transform(windows), rocket.transform(windows))
    other = MiniRocket.fit(windows, seed=6, num_kernels=500)
    assert not np.array_equal(other.biases, rocket.biases)


def test_numpys_global_generator_is_left_alone(windows):
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random(4)  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    MiniRocket.fit(windows, seed=1, num_kernels=84)
    np.testing.assert_array_equal(np.random.random(4), expected)  # noqa: NPY002


def test_threads_and_company_do_not_change_a_window(windows, rocket):
    alone = np.concatenate([rocket.transform(w[None]) for w in windows])
    np.testing.assert_array_equal(alone, rocket.transform(windows, threads=2))
    assert rocket.transform(windows[:0]).shape == (0, 420)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w[0], "shape"),
        (lambda w: w[:, :11], "fitted on"),
        (lambda w: w[:, :, :-1], "fitted on"),
        (lambda w: np.where(np.arange(400) == 7, np.nan, w), "NaN"),
        (lambda w: np.where(np.arange(400) == 7, np.inf, w), "NaN"),
    ],
)
def test_what_sktime_takes_in_silence_is_refused(windows, rocket, change, message):
    with pytest.raises(ValueError, match=message):
        rocket.transform(change(windows))


def test_what_cannot_be_fitted_is_refused(windows):
    with pytest.raises(ValueError, match="at least one window"):
        MiniRocket.fit(windows[:0], seed=0)
    with pytest.raises(ValueError, match="a kernel needs 9"):
        MiniRocket.fit(windows[:, :, :8], seed=0)
    with pytest.raises(ValueError, match="NaN"):
        MiniRocket.fit(np.full((2, 12, 100), np.nan), seed=0)


def test_state_makes_the_same_transform(windows, rocket):
    again = MiniRocket.from_state(rocket.state())
    np.testing.assert_array_equal(again.transform(windows), rocket.transform(windows))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("lead_indices", lambda a: a + 100),
        ("lead_indices", lambda a: a[:-1]),
        ("leads_per_kernel", lambda a: a * 0),
        ("dilations", lambda a: a * 1000),
        ("features_per_dilation", lambda a: a + 1),
        ("biases", lambda a: a * np.nan),
        ("biases", lambda a: a[None]),
        ("shape", lambda a: a[:1]),
    ],
)
def test_a_hostile_state_never_reaches_compiled_code(rocket, name, change):
    state = rocket.state()
    with pytest.raises(CheckpointError):
        MiniRocket.from_state({**state, name: change(state[name])})
    with pytest.raises(CheckpointError, match=name):
        MiniRocket.from_state({k: v for k, v in state.items() if k != name})


EIGHT_THREADS = """
    import sys, threading
    import numpy as np
    from ecg_ramba.features.minirocket import MiniRocket
    from ecg_ramba import threads
    import contextlib
    if sys.argv[1] == "unlocked":
        threads._LOCK = contextlib.nullcontext()
    windows = np.random.default_rng(0).normal(size=(16, 12, 400)).astype(np.float32)
    rocket = MiniRocket.fit(windows, seed=1, num_kernels=420)
    expected, wrong = rocket.transform(windows), []
    def work():
        for _ in range(12):
            if not np.array_equal(rocket.transform(windows, threads=2), expected):
                wrong.append(1)
    pool = [threading.Thread(target=work) for _ in range(8)]
    [t.start() for t in pool]; [t.join() for t in pool]
    import numba
    print("layer", numba.threading_layer(), "wrong", len(wrong))
"""


def run_threads(mode: str) -> subprocess.CompletedProcess:
    code = textwrap.dedent(EIGHT_THREADS)
    return subprocess.run([sys.executable, "-c", code, mode], capture_output=True, text=True, timeout=300, check=False)


def test_eight_threads_at_once_behind_the_lock():
    done = run_threads("locked")
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.strip() == "layer workqueue wrong 0"


@pytest.mark.slow
def test_without_the_lock_the_interpreter_aborts():
    # negative control of the test above; the abort needs two launches at the same moment, hence a few attempts
    assert any(run_threads("unlocked").returncode != 0 for _ in range(3))


def test_importing_chooses_no_threading_layer():
    code = (
        "import os; import ecg_ramba.features.minirocket, ecg_ramba.features.transform, ecg_ramba.threads as t;"
        "assert 'NUMBA_THREADING_LAYER' not in os.environ; t.use_workqueue();"
        "assert os.environ['NUMBA_THREADING_LAYER'] == 'workqueue'; import sys; assert 'numba' not in sys.modules"
    )
    import os

    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_THREADING_LAYER"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=120)


def test_biases_are_quantiles_of_convolutions_of_training_windows():
    # white noise through one lead: a bias is a quantile of a normal law of known spread
    windows = np.random.default_rng(2).normal(size=(64, 1, 2500)).astype(np.float32)
    rocket = MiniRocket.fit(windows, seed=0, num_kernels=840)
    golden = ((np.arange(1, 841) * (np.sqrt(5) + 1) / 2) % 1).astype(np.float32)
    expected = norm.ppf(golden) * np.sqrt(6 * 1 + 3 * 4)
    inner = (golden > 0.05) & (golden < 0.95)
    assert np.corrcoef(rocket.biases[inner], expected[inner])[0, 1] > 0.99
