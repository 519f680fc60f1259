"""Saliency: captum's attributions add up, maps follow the weights, and a planted signal is found."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from ecg_ramba.dashboard.analysis.inference import infer
from ecg_ramba.dashboard.analysis.saliency import (
    METHODS,
    grad_cam,
    integrated_gradients,
    saliency,
)
from ecg_ramba.data.leads import LEADS
from ecg_ramba.data.store import prepared_from_record
from ecg_ramba.errors import UserError
from ecg_ramba.harness.inputs import to_batch, window_table
from ecg_ramba.harness.probabilities import model_source
from ecg_ramba.harness.trained import load_models

CLASS = "AF"


@pytest.fixture(scope="module")
def batch(models, recording):
    data = prepared_from_record(recording, models[0].signal)
    table = window_table(data)
    source, _ = model_source(models[0], data, table, np.arange(len(table)), None)
    return to_batch(source.windows(np.array([0]), np.zeros(1, dtype=bool)), "cpu")


@pytest.fixture(scope="module")
def column(models):
    return models[0].classes.index(CLASS)


def randomised(model, seed=0):
    """The same network with other weights of the same sizes (Adebayo et al. 2018, arXiv:1810.03292)."""
    network = copy.deepcopy(model.fitted)
    torch.manual_seed(seed)
    for parameter in network.parameters():
        parameter.data = parameter.data.flatten()[torch.randperm(parameter.numel())].view_as(parameter)
    return network


@pytest.mark.parametrize("method", METHODS)
def test_the_form(models, recording, method):
    said = saliency(models, recording, CLASS, method, 1)
    assert (said["class"], said["method"], said["window"]) == (CLASS, method, 1)
    assert (said["start"], said["stop"]) == (2.5, 7.5)
    assert "signal stream only" in said["title"]
    times = np.array(said["times"])
    assert (np.diff(times) > 0).all()
    assert times[0] > 2.5
    assert times[-1] < 7.5
    maps = [said["values"]] if method == "gradcam" else list(said["leads"].values())
    for values in maps:
        assert len(values) == len(times)
        assert min(values) >= 0
    assert max(map(max, maps)) == 1.0
    if method == "gradcam":
        assert len(times) == models[0].config.tokens
    else:
        assert len(times) == 100
        assert set(said["leads"]) == set(LEADS)
        assert said["completeness"] == pytest.approx(1, abs=0.05)


def test_attributions_add_up_to_the_difference_of_the_logits(models, batch, column):
    network = models[0].fitted
    found, difference = integrated_gradients(network, batch, column)
    with torch.no_grad():
        at = network(batch)[0, column]
        base = network(dataclasses.replace(batch, signal=torch.zeros_like(batch.signal)))[0, column]
    assert difference == pytest.approx(float(at - base), abs=1e-4)
    assert found.sum() == pytest.approx(difference, abs=0.05 * abs(difference) + 1e-4)


def test_attributions_are_the_path_integral_of_finite_differences(models, batch, column):
    """One lead's sum of attributions, by central differences of the logit along the straight path (float64)."""
    network = copy.deepcopy(models[0].fitted).double()
    double = {
        f.name: v.double() if (v := getattr(batch, f.name)) is not None and v.is_floating_point() else v
        for f in dataclasses.fields(batch)
    }
    batch = type(batch)(**double)
    found, _ = integrated_gradients(network, batch, column)
    points, weights = np.polynomial.legendre.leggauss(256)
    lead, step, total = 1, 1e-5, 0.0
    direction = torch.zeros_like(batch.signal)
    direction[:, lead] = batch.signal[:, lead]
    with torch.no_grad():
        for start in range(0, 256, 64):
            alpha = torch.from_numpy((points[start : start + 64] + 1) / 2)[:, None, None]
            path = alpha * batch.signal
            values = []
            for sign in (1, -1):
                moved = path + sign * step * direction
                many = {
                    f.name: None if (v := getattr(batch, f.name)) is None else v.expand(len(moved), *v.shape[1:])
                    for f in dataclasses.fields(batch)
                }
                values.append(network(type(batch)(**many | {"signal": moved}))[:, column].numpy())
            total += float(((values[0] - values[1]) / (2 * step) * weights[start : start + 64] / 2).sum())
    assert found[lead].sum() == pytest.approx(total, rel=0.03, abs=2e-3)


def test_grad_cam_is_by_its_definition(models, batch, column):
    """Weights by finite differences: adding a constant to one channel of all tokens moves the logit by its weight."""
    network = copy.deepcopy(models[0].fitted).double()
    values = {
        f.name: v.double() if (v := getattr(batch, f.name)) is not None and v.is_floating_point() else v
        for f in dataclasses.fields(batch)
    }
    batch = type(batch)(**values)
    shift, kept = {"channel": 0, "by": 0.0}, {}

    def moved(_, __, output):
        kept["tokens"] = output.detach()
        add = torch.zeros(output.shape[-1], dtype=output.dtype)
        add[shift["channel"]] = shift["by"]
        return output + add

    handle = network.tok.register_forward_hook(moved)
    weights = []
    with torch.no_grad():
        for channel in range(models[0].config.d_model):
            ends = []
            for by in (1e-4, -1e-4):
                shift.update(channel=channel, by=by)
                ends.append(float(network(batch)[0, column]))
            weights.append((ends[0] - ends[1]) / 2e-4 / kept["tokens"].shape[1])
    handle.remove()
    expected = np.maximum(kept["tokens"][0].numpy() @ np.array(weights), 0)
    np.testing.assert_allclose(grad_cam(network, batch, column), expected, atol=1e-6 + 1e-3 * expected.max())


def test_other_weights_give_other_maps(models, batch, column):
    trained = grad_cam(models[0].fitted, batch, column)
    attributions, _ = integrated_gradients(models[0].fitted, batch, column)
    cams, gradients = [], []
    for seed in range(3):
        network = randomised(models[0], seed)
        cam = grad_cam(network, batch, column)
        cams.append(abs(spearmanr(trained, cam).statistic) if cam.any() else 0.0)
        other, _ = integrated_gradients(network, batch, column)
        gradients.append(abs(spearmanr(np.abs(attributions).ravel(), np.abs(other).ravel()).statistic))
    same, _ = integrated_gradients(copy.deepcopy(models[0].fitted), batch, column)
    assert trained.any()
    assert spearmanr(np.abs(attributions).ravel(), np.abs(same).ravel()).statistic > 0.999
    assert np.mean(cams) < 0.6
    assert np.mean(gradients) < 0.7


class Planted(torch.nn.Module):
    """A network with a tokenizer that looks at lead V2 only, between 2 and 2.5 s, and says so in one class."""

    def __init__(self):
        super().__init__()
        self.tok = torch.nn.Linear(1, 2)
        self.tok.weight.data = torch.tensor([[1.0], [0.0]])
        self.tok.bias.data = torch.zeros(2)

    def forward(self, batch):
        seen = batch.signal[:, LEADS.index("V2")] ** 2
        mask = torch.zeros(2500)
        mask[1000:1250] = 1
        tokens = self.tok((seen * mask).unflatten(1, (100, 25)).mean(-1)[..., None])
        return torch.stack([tokens[..., 0].sum(1), tokens[..., 1].sum(1)], dim=1)


def test_a_planted_signal_is_found_in_time_and_lead(models, recording):
    planted = Planted()
    made = [dataclasses.replace(m, fitted=planted, trained=np.ones_like(m.trained)) for m in models]
    cls = made[0].classes[0]
    cam = saliency(made, recording, cls, "gradcam", 0)
    times = np.array(cam["times"])
    inside = (times > 2) & (times < 2.5)
    assert np.array(cam["values"])[~inside].max() == 0
    assert np.array(cam["values"])[inside].max() == 1
    found = saliency(made, recording, cls, "integrated_gradients", 0)
    for lead, values in found["leads"].items():
        values = np.array(values)
        assert values[inside].max() == (1 if lead == "V2" else 0)
        assert values[~inside].max() == 0
    assert found["completeness"] == pytest.approx(1, abs=1e-3)


def test_the_class_can_be_chosen(models, recording):
    trained = [c for i, c in enumerate(models[0].classes) if models[0].trained[i]]
    one, two = (saliency(models, recording, c, "gradcam", 0)["values"] for c in trained[:2])
    assert one != two


def test_absent_leads_have_no_attribution_and_padding_is_not_shown(models, recording):
    rows = [recording.leads.index(n) for n in ("I", "II")]
    limb = dataclasses.replace(
        recording, signal=recording.signal[rows][:, : int(6.5 * recording.rate)], leads=("I", "II")
    )
    said = saliency(models[:1], limb, CLASS, "integrated_gradients", 1)
    assert set(said["leads"]) == {"I", "II", "III", "aVR", "aVL", "aVF"}
    assert (said["start"], said["stop"]) == (2.5, 6.5)
    assert max(said["times"]) < 6.5


def test_it_leaves_the_models_as_they_were(models, recording):
    before = infer(models, recording).probability
    saliency(models, recording, CLASS, "gradcam", 0)
    np.testing.assert_array_equal(infer(models, recording).probability, before)
    assert all(p.grad is None for m in models for p in m.fitted.parameters())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hrv_logistic", "is no network"),
        ("minirocket_linear", "is no network"),
        ("class_prior", "is no network"),
    ],
)
def test_models_without_one_say_why(checkpoints, recording, name, said):
    with pytest.raises(UserError, match=said):
        saliency(load_models(checkpoints[name]), recording, CLASS, "gradcam", 0)


@pytest.mark.parametrize(
    ("cls", "method", "window", "said"),
    [
        ("XX", "gradcam", 0, "no class is called 'XX'"),
        (CLASS, "lime", 0, "no saliency is called 'lime'"),
        (CLASS, "gradcam", 99, "there is no window 99; its 3 windows count from 0"),
        (CLASS, "gradcam", -1, "there is no window -1"),
        ("Brady", "gradcam", 0, "no fold was trained on Brady"),
    ],
)
def test_bad_questions(models, recording, cls, method, window, said):
    with pytest.raises(UserError, match=said):
        saliency(models, recording, cls, method, window)
