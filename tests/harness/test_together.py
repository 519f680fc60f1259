"""Two processes that train together do what one does on the whole batch; killed and begun again, they end the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ecg_ramba.errors import UserError
from ecg_ramba.harness.config import Budget
from ecg_ramba.harness.ema import WeightAverage
from ecg_ramba.harness.loss import masked_bce
from ecg_ramba.harness.together import Group
from ecg_ramba.harness.train import batches, learning_rate, parameter_groups, schedule, train_network
from ecg_ramba.keys import seed_for
from tests.harness.toy import Toy

BUDGET = Budget(epochs=4, min_steps=20, loss="bce")


class Net(nn.Module):
    def __init__(self, dropout=0.0):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(12, 8), nn.GELU(), nn.Dropout(dropout), nn.Linear(8, 2))

    def forward(self, batch):
        return self.layers(batch.signal.mean(2))


SCRIPT = """
import os, sys
sys.path.insert(0, {here!r})
import torch
from pathlib import Path
from ecg_ramba.harness.resume import Saved
from ecg_ramba.harness.together import group
from ecg_ramba.harness.train import train_network
from tests.harness.test_together import BUDGET, Net, Toy
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo")
toy, stop = Toy(), int(sys.argv[3])
def on_step(step, steps):
    if step == stop:
        os._exit(1)
network, log = train_network(lambda: Net({dropout}), toy, toy.y, toy.weight, BUDGET, (0, 0, 1),
                             on_step=on_step, saved=Saved(Path(sys.argv[2]), every_s=0, share=1e9))
weights = group().all([p.detach() for p in network.parameters()])
assert all(torch.equal(a, b) for a, b in zip(*weights))
if group().first:
    torch.save({{"weights": list(network.state_dict().values()), "loss": log.loss}}, sys.argv[1])
torch.distributed.barrier()
os._exit(0)
"""


def launch(*argv, check=True):
    """Run a script by two processes."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert not check or done.returncode == 0, done.stderr[-3000:]
    return done


def two(tmp_path, dropout=0.0, stop=0, name="a", check=True):
    script, out = tmp_path / "script.py", tmp_path / f"{name}.pt"
    script.write_text(SCRIPT.format(here=str(Path(__file__).parents[2]), dropout=dropout))
    launch(str(script), str(out), str(tmp_path / f"{name}-unfinished.pt"), str(stop), check=check)
    return torch.load(out, weights_only=True) if out.is_file() else None


def accumulated():
    """One process that takes each batch in two halves and adds up their gradients."""
    toy = Toy()
    plan = schedule(len(toy), BUDGET)
    torch.manual_seed(seed_for(0, 0, 1, "weights"))
    network = Net()
    average = WeightAverage(network, BUDGET.ema_decay)
    optimiser = torch.optim.AdamW(parameter_groups(network, BUDGET.weight_decay), lr=BUDGET.learning_rate)
    y, weight = torch.from_numpy(toy.y), torch.from_numpy(toy.weight)
    order = batches(len(toy), plan, seed_for(0, 0, 1, "batches"), BUDGET.lead_dropout)
    for step, (_, rows, limb) in enumerate(order):
        optimiser.param_groups[0]["lr"] = optimiser.param_groups[1]["lr"] = learning_rate(step, plan.steps, BUDGET)
        optimiser.zero_grad()
        for half in (0, 1):
            part = rows[half::2]
            signal = torch.from_numpy(toy.windows(part, limb[half::2]).signal)
            logits = network.layers(signal.mean(2))
            (masked_bce(logits, y[part], weight[part]) * weight[part].sum() / weight[rows].sum()).backward()
        nn.utils.clip_grad_norm_(network.parameters(), BUDGET.clip_norm)
        optimiser.step()
        average.update(network)
    return list(average.state.values())


def test_two_processes_equal_one_that_accumulates_over_the_halves(tmp_path):
    found, toy = two(tmp_path), Toy()
    alone, log = train_network(Net, toy, toy.y, toy.weight, BUDGET, (0, 0, 1))
    for a, b, c in zip(found["weights"], alone.state_dict().values(), accumulated(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-5)
        torch.testing.assert_close(a, c, atol=2e-6, rtol=1e-5)
    np.testing.assert_allclose(found["loss"], log.loss, rtol=1e-5)


@pytest.mark.slow
def test_killed_and_begun_again_they_end_with_the_same_bits(tmp_path):
    whole = two(tmp_path, dropout=0.3, name="whole")
    assert two(tmp_path, dropout=0.3, stop=30, name="cut", check=False) is None
    assert 0 < torch.load(tmp_path / "cut-unfinished.pt", weights_only=True)["step"] <= 30
    resumed = two(tmp_path, dropout=0.3, name="cut")
    assert resumed["loss"] == whole["loss"]
    assert all(torch.equal(a, b) for a, b in zip(resumed["weights"], whole["weights"], strict=True))


def test_a_batch_is_shared_out_whole():
    rows, limb = np.arange(7), np.arange(7) % 2 == 0
    parts = [Group(rank, 3).share(rows, limb) for rank in range(3)]
    assert sorted(np.concatenate([r for r, _ in parts])) == list(range(7))
    assert all((x == limb[r]).all() for r, x in parts)
    with pytest.raises(UserError, match="a batch of 2 cannot be shared by 3 processes"):
        Group(0, 3).share(rows[:2], limb[:2])


@pytest.mark.slow
def test_the_suite_by_torchrun(cohort, tmp_path):
    """The command line under torchrun: a network by two processes, everything else by the first."""
    out = tmp_path / "runs"
    argv = ["-m", "ablations", "--data", str(cohort), "--source", "synthetic-source", "--target", "synthetic-third"]
    argv += ["--folds", "2", "--only", "hrv_logistic", "--no-tracking", "--out", str(out)]
    script = tmp_path / "tiny.py"
    script.write_text(
        "import sys\n"
        "from ecg_ramba.harness import config\n"
        "import dataclasses, ablations.__main__\n"
        "class Short(config.SuiteConfig):\n"
        "    pass\n"
        "from ecg_ramba.harness import options\n"
        "made = options.suite_config\n"
        "from ecg_ramba.features.transform import FeatureConfig\n"
        "def short(given):\n"
        "    budget = config.Budget(epochs=2, min_steps=6)\n"
        "    return dataclasses.replace(made(given), budget=budget, features=FeatureConfig(num_kernels=336))\n"
        "options.suite_config = short\n"
        "ablations.__main__.suite_config = short\n"
        f"sys.exit(ablations.__main__.main({argv[2:]!r}))\n"
    )
    launch(str(script))
    (suite,) = (out / "suites").iterdir()
    rows = {r["name"]: r for r in json.loads((suite / "variants.json").read_text())}
    assert {r["status"] for r in rows.values()} == {"ok"}
    assert (suite / "report" / "report.html").is_file()
    for name in ("ecg_ramba", "hrv_logistic"):
        frame = pd.read_parquet(suite / f"variants/{name}/windows.parquet")
        assert frame.notna().any(axis=None)
    assert not list((out / "unfinished").glob("*")) if (out / "unfinished").exists() else True
