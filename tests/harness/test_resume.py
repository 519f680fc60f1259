"""A training that is stopped at any step goes on and ends with the same bits; a damaged state is named."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ecg_ramba.errors import UserError
from ecg_ramba.harness.config import Budget
from ecg_ramba.harness.resume import Saved
from ecg_ramba.harness.train import train_network
from ecg_ramba.nn.dropout import Dropout
from tests.harness.toy import Toy

BUDGET = Budget(epochs=4, min_steps=20)


class Net(nn.Module):
    """Every kind of state: weights, BatchNorm buffers, two sorts of dropout."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(12), nn.Dropout(0.2), nn.Linear(12, 8), Dropout(0.3), nn.Linear(8, 2)
        )

    def forward(self, batch):
        return self.layers(batch.signal.mean(2))


class Stopped(Exception):
    pass


def trained(saved=None, stop=None, on_epoch=None):
    toy = Toy()

    def on_step(step, steps):
        if step == stop:
            raise Stopped

    return train_network(
        Net, toy, toy.y, np.ones_like(toy.y), BUDGET, (0, 0, 1), on_step=on_step, on_epoch=on_epoch, saved=saved
    )


def equal(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def curves(log):
    return log.loss, log.learning_rate, log.final_loss_raw, log.final_loss_ema


@pytest.mark.parametrize("stops", [(1,), (2,), (16,), (17,), (33, 34, 60), (64,)])
def test_stopped_at_a_step_it_ends_with_the_same_bits(stops, tmp_path):
    whole, log = trained()
    place = tmp_path / "unfinished.pt"
    for stop in stops:
        with pytest.raises(Stopped):
            trained(Saved(place, every_s=0, share=1e9), stop)
    network, again = trained(Saved(place, every_s=0, share=1e9))
    assert equal(whole, network)
    assert curves(log) == curves(again)


def test_it_does_go_on_and_not_begin_again(tmp_path):
    place, seen = tmp_path / "unfinished.pt", []
    with pytest.raises(Stopped):
        trained(Saved(place, every_s=0, share=1e9), 40)
    toy = Toy()
    train_network(
        Net,
        toy,
        toy.y,
        np.ones_like(toy.y),
        BUDGET,
        (0, 0, 1),
        on_step=lambda step, steps: seen.append(step),
        saved=Saved(place, every_s=0, share=1e9),
    )
    assert seen == list(range(40, 65))


def test_saving_and_looking_at_an_average_change_no_bit(tmp_path):
    whole, _ = trained()
    looked = []

    def look(epoch, epochs, make):
        network = make()
        assert not network.training
        torch.rand(0)
        with torch.inference_mode():
            looked.append(float(network.layers(torch.ones(2, 12)).sum()))

    network, _ = trained(Saved(tmp_path / "unfinished.pt", every_s=0, share=1e9), on_epoch=look)
    assert equal(whole, network)
    assert len(looked) == BUDGET.epochs
    assert len(set(looked)) == BUDGET.epochs


def test_it_is_saved_no_oftener_than_asked(tmp_path):
    place = tmp_path / "unfinished.pt"
    trained(Saved(place, every_s=60))
    assert not place.exists()


def test_a_damaged_state_is_named(tmp_path):
    place = tmp_path / "unfinished.pt"
    place.write_bytes(b"not a state")
    with pytest.raises(UserError, match=r"unfinished\.pt is damaged .*delete it and run again"):
        trained(Saved(place))


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import time
import numpy as np
from ecg_ramba.harness.resume import Saved
from ecg_ramba.harness.train import train_network
from tests.harness.test_resume import BUDGET, Net, Toy
toy = Toy()
train_network(Net, toy, toy.y, np.ones_like(toy.y), BUDGET, (0, 0, 1),
              on_step=lambda step, steps: time.sleep(0.05), saved=Saved(Path(sys.argv[1]), every_s=0, share=1e9))
"""


def test_killed_it_ends_with_the_same_bits(tmp_path):
    whole, log = trained()
    place = tmp_path / "unfinished.pt"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(place), str(Path(__file__).parents[2])])
    deadline = time.monotonic() + 120
    while not place.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < torch.load(place, weights_only=True)["step"] < 64
    network, again = trained(Saved(place, every_s=0, share=1e9))
    assert equal(whole, network)
    assert curves(log) == curves(again)
