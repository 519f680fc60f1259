"""Training one network on one fold: the same loop, batches, budget and augmentation for every architecture."""

import contextlib
import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from ecg_ramba.errors import UserError
from ecg_ramba.harness.config import Budget
from ecg_ramba.harness.ema import WeightAverage
from ecg_ramba.harness.inputs import WindowSource, to_batch
from ecg_ramba.harness.loss import class_weight, masked_asymmetric, masked_bce
from ecg_ramba.harness.precision import check_precision, computing, products
from ecg_ramba.harness.resume import Saved
from ecg_ramba.harness.segments import SegmentIndex, pool_logits
from ecg_ramba.harness.together import Group, group
from ecg_ramba.keys import seed_for

PARITY_WINDOWS = 32
"""Windows on which a precision is compared with float32 before training."""


@dataclass(frozen=True)
class Schedule:
    """Batch size, epochs and steps of a training set under a budget."""

    batch: int
    epochs: int
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.epochs * self.steps_per_epoch


def schedule(windows: int, budget: Budget) -> Schedule:
    """Batch ``min(max_batch, windows / 16)`` and as many whole epochs as ``min_steps`` takes, at least ``epochs``.

    The windows that do not fill a last batch sit out that epoch; the order is new in each.
    """
    batch = max(1, min(budget.max_batch, windows // 16))
    per_epoch = windows // batch
    return Schedule(batch, max(budget.epochs, math.ceil(budget.min_steps / per_epoch)), per_epoch)


def segment_schedule(segments: int, windows: int, budget: Budget) -> Schedule:
    """As many steps as of single windows, as far as whole segments allow."""
    batch = max(1, round(schedule(windows, budget).batch * segments / windows))
    per_epoch = segments // batch
    return Schedule(batch, max(budget.epochs, math.ceil(budget.min_steps / per_epoch)), per_epoch)


def batches(
    windows: int, plan: Schedule, seed: int, lead_dropout: float
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Epoch, window rows and "V1-V6 dropped" flags of every step; a function of the seed alone, never of the model."""
    rng = np.random.default_rng(seed)
    for epoch in range(plan.epochs):
        order = rng.permutation(windows)
        limb = rng.random(windows) < lead_dropout
        for step in range(plan.steps_per_epoch):
            rows = order[step * plan.batch : (step + 1) * plan.batch]
            yield epoch, rows, limb[rows]


def parameter_groups(module: nn.Module, weight_decay: float, decay_all: bool = False) -> list[dict]:
    """AdamW groups: no decay on parameters that ask for none (A_log, D, dt_bias of a selective state space)."""
    decay, none = [], []
    for p in module.parameters():
        (none if getattr(p, "_no_weight_decay", False) and not decay_all else decay).append(p)
    return [{"params": decay, "weight_decay": weight_decay}, {"params": none, "weight_decay": 0.0}]


def learning_rate(step: int, steps: int, budget: Budget) -> float:
    """Cosine from ``learning_rate`` at the first step to ``final_learning_rate`` at the last."""
    share = step / max(1, steps - 1)
    low, high = budget.final_learning_rate, budget.learning_rate
    return low + (high - low) * (1 + math.cos(math.pi * share)) / 2


@dataclass
class TrainingLog:
    """What a training run leaves beside the weights: one entry an epoch, and totals.

    ``precision_difference``: how far the untrained network's probabilities were from those in float32.
    """

    loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    schedule: dict = field(default_factory=dict)
    final_loss_raw: float = math.nan
    final_loss_ema: float = math.nan
    precision_difference: float = 0.0
    seconds: float = 0.0


@contextlib.contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed torch and ask for deterministic kernels, restoring everything afterwards."""
    state, flag = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    # Filling fresh memory is for finding reads of it; it costs time at every step and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.utils.deterministic.fill_uninitialized_memory = fill
        torch.use_deterministic_algorithms(flag)
        torch.set_rng_state(state)


@dataclass(frozen=True)
class Samples:
    """What a step draws of the training windows: one by one, or whole segments whose windows' logits are pooled."""

    source: WindowSource
    index: SegmentIndex | None
    pooling: str

    @classmethod
    def of(cls, source: WindowSource, pooling: str) -> "Samples":
        """Of a budget's pooling."""
        index = None if pooling == "window" else SegmentIndex.of(source.table.at[source.rows])
        return cls(source, index, pooling)

    def __len__(self) -> int:
        return len(self.source) if self.index is None else len(self.index)

    def labels(self, of_windows: np.ndarray) -> np.ndarray:
        """Labels or weights of the samples from those of the windows: a segment has its first window's."""
        return of_windows if self.index is None else of_windows[self.index.order[self.index.first]]

    def schedule(self, budget: Budget) -> Schedule:
        """Batches and epochs, in samples: as many steps of as many windows either way."""
        windows = len(self.source)
        return schedule(windows, budget) if self.index is None else segment_schedule(len(self), windows, budget)

    def logits(self, network: nn.Module, rows: np.ndarray, limb: np.ndarray, device, precision: str) -> Tensor:
        """Logits (n, classes) float32 of these samples, V1-V6 dropped where ``limb`` is set."""
        segment = None
        if self.index is not None:
            rows, segment = self.index.windows(rows)
            limb = limb[segment]
        batch = to_batch(self.source.windows(rows, limb), device)
        with computing(device, precision):
            out = network(batch)
        return out.float() if segment is None else pool_logits(out.float(), segment, self.pooling)


def train_network(
    build: Callable[[], nn.Module],
    source: WindowSource,
    y: np.ndarray,
    weight: np.ndarray,
    budget: Budget,
    seed: tuple,
    device: str = "cpu",
    precision: str = "fp32",
    on_step: Callable[[int, int], None] | None = None,
    on_epoch: Callable[[int, int, Callable[[], nn.Module]], None] | None = None,
    saved: Saved | None = None,
) -> tuple[nn.Module, TrainingLog]:
    """Train a network and return it with its EMA weights.

    Where the budget asks for a pooling, a step takes whole segments and the loss is that of each segment's pooled
    windows, under the first one's label: as many steps of as many windows.

    Parameters
    ----------
    build : callable
        Returns the untrained network; called under the seed.
    source : WindowSource
        Training windows.
    y, weight : (windows, classes) float32 arrays
        Labels, and 1 where a label counts (known, class trained), else 0.
    budget : Budget
        Steps, rates, loss.
    seed : tuple
        Named axes: base seed, repetition, fold. The model's name is not among them, so comparisons are paired.
    on_step : callable, optional
        Called with (step, steps).
    on_epoch : callable, optional
        Called with (epoch, epochs, make) at the end of each; ``make()`` is a copy of the network with the EMA weights
        so far. What it raises ends the training.
    saved : Saved, optional
        Where an unfinished training's state is kept: training goes on from what is there, and ends with the same bits.

    Raises
    ------
    UserError
        If the loss stops being finite, or the precision cannot be had on this device.
    """
    began = time.perf_counter()
    samples = Samples.of(source, budget.pooling)
    plan, together = samples.schedule(budget), group()
    with reproducible(seed_for(*seed, "weights")), products(precision):
        network = build().to(device).train()
        run = _Run(network, budget, together)
        run.log.schedule = {"batch": plan.batch, "epochs": plan.epochs, "steps": plan.steps}
        run.log.precision_difference = _precision_difference(network, source, device, precision)
        if not together.first:  # the same weights, and dropout of its own
            torch.manual_seed(seed_for(*seed, "weights", together.rank))
        if saved and (state := saved.load(device)):
            run.restore(state)
        called = together.wrapped(network, device)
        labels, weights = (torch.from_numpy(samples.labels(a)).to(device) for a in (y, weight))
        positive = class_weight(labels, weights) if budget.class_weights else None
        criterion = _criterion(budget, positive, together)
        rows_limb = batches(len(samples), plan, seed_for(*seed, "batches"), budget.lead_dropout)
        for step, (epoch, rows, limb) in itertools.islice(enumerate(rows_limb), run.step, None):
            rate = learning_rate(step, plan.steps, budget)
            if step % plan.steps_per_epoch == 0:
                run.log.learning_rate.append(rate)
            rows, limb = together.share(rows, limb)
            chosen = torch.from_numpy(rows).to(device)
            logits = samples.logits(called, rows, limb, device, precision)
            loss = run.update(criterion(logits, labels[chosen], weights[chosen], epoch / plan.epochs), rate)
            if not math.isfinite(loss):
                raise UserError(
                    f"the training loss is {loss} at step {step + 1} of {plan.steps}; lower the learning rate"
                )
            if on_step:
                on_step(step + 1, plan.steps)
            if (step + 1) % plan.steps_per_epoch == 0:
                run.end_epoch(plan.steps_per_epoch)
                if on_epoch:
                    on_epoch(epoch + 1, plan.epochs, run.averaged)
            if saved:
                saved.save(run.state, together)
    network.eval()
    log, average = run.log, run.average
    log.final_loss_raw = _loss_on(network, samples, labels, weights)
    average.copy_to(network)
    log.final_loss_ema = _loss_on(network, samples, labels, weights)
    log.seconds = run.seconds + time.perf_counter() - began
    return network, log


class _Run:
    """What changes from step to step: network, optimiser, average, random numbers, log."""

    def __init__(self, network: nn.Module, budget: Budget, together: Group):
        self.together = together
        self.network, self.average, self.log = network, WeightAverage(network, budget.ema_decay), TrainingLog()
        groups = parameter_groups(network, budget.weight_decay, budget.decay_all)
        self.optimiser = torch.optim.AdamW(groups, lr=budget.learning_rate, fused=True)
        self.clip_norm, self.step, self.total, self.seconds = budget.clip_norm, 0, 0.0, 0.0
        self._began = time.perf_counter()

    def update(self, loss: Tensor, rate: float) -> float:
        """One step down; the loss before it."""
        for parameters in self.optimiser.param_groups:
            parameters["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        self.optimiser.step()
        self.average.update(self.network)
        self.step += 1
        value = float(self.together.mean(loss.detach()))
        self.total += value
        return value

    def end_epoch(self, steps: int) -> None:
        """Note the epoch's mean loss."""
        self.log.loss.append(self.total / steps)
        self.total = 0.0

    def averaged(self) -> nn.Module:
        """A copy of the network with the average so far, in evaluation mode; training knows nothing of it."""
        made = copy.deepcopy(self.network).eval()
        self.average.copy_to(made)
        return made

    def state(self) -> dict:
        """Everything that the next step depends on."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": {"step": self.average.step, "state": self.average.state},
            "step": self.step,
            "total": self.total,
            "loss": self.log.loss,
            "learning_rate": self.log.learning_rate,
            "random": self.together.all(_random_state()),
            "seconds": self.seconds + time.perf_counter() - self._began,
        }

    def restore(self, state: dict) -> None:
        """Go on from a saved state."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.step, self.average.state = state["average"]["step"], state["average"]["state"]
        self.step, self.total, self.seconds = state["step"], state["total"], state["seconds"]
        self.log.loss, self.log.learning_rate = list(state["loss"]), list(state["learning_rate"])
        torch.set_rng_state(state["random"][self.together.rank]["cpu"].cpu())
        if "cuda" in state["random"][self.together.rank]:
            torch.cuda.set_rng_state(state["random"][self.together.rank]["cuda"].cpu())


def _random_state() -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    return state | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})


def _precision_difference(network: nn.Module, source: WindowSource, device: str, precision: str) -> float:
    """See :func:`check_precision`; on the first training windows."""
    if precision == "fp32":
        return 0.0
    first = np.arange(min(PARITY_WINDOWS, len(source)))
    windows = source.windows(first, np.zeros(len(first), dtype=bool))
    return check_precision(network, to_batch(windows, device), device, precision)


def _criterion(
    budget: Budget, positive: Tensor | None, together: Group
) -> Callable[[Tensor, Tensor, Tensor, float], Tensor]:
    """The loss as a function of the share of epochs done; each process's part of the whole batch's."""
    if budget.loss not in ("bce", "bce-asl", "asl"):
        raise UserError(f"loss {budget.loss!r} is none of bce, bce-asl, asl")

    def loss(logits: Tensor, y: Tensor, weight: Tensor, share: float) -> Tensor:
        if positive is not None:
            weight = weight * torch.where(y > 0, positive, 1.0)
        total = together.mean(weight.sum())
        if budget.loss == "bce" or (budget.loss == "bce-asl" and share < budget.switch):
            return masked_bce(logits, y, weight, total)
        shape = (budget.gamma_negative, budget.gamma_positive, budget.probability_shift)
        return masked_asymmetric(logits, y, weight, *shape, total)

    return loss


@torch.inference_mode()
def predict_network(
    network: nn.Module,
    source: WindowSource,
    device: str = "cpu",
    precision: str = "fp32",
    batch: int = 256,
    attention: bool = False,
):
    """Probabilities (windows, classes) float32 of a network in evaluation mode, leads as they are.

    With ``attention`` the network says of each window how much it counts within its segment; the segment's pooled
    probability then stands at each of its windows.
    """
    parts = []
    for i in range(0, len(source), batch):
        rows = np.arange(i, min(i + batch, len(source)))
        with computing(device, precision):
            logits = network(to_batch(source.windows(rows, np.zeros(len(rows), dtype=bool)), device))
        parts.append(logits.float().cpu())
    logits = torch.cat(parts)
    if not attention:
        return torch.sigmoid(logits).numpy()
    index = SegmentIndex.of(source.table.at[source.rows])
    rows, segment = index.windows(np.arange(len(index)))
    pooled = torch.sigmoid(pool_logits(logits[rows], segment, "attention"))[segment]
    return torch.empty_like(pooled).index_copy(0, torch.from_numpy(rows), pooled).numpy()


@torch.inference_mode()
def _loss_on(network: nn.Module, samples: Samples, labels: Tensor, weights: Tensor, most: int = 64) -> float:
    """Binary cross-entropy on the first samples of the training part, all leads, in evaluation mode."""
    rows = np.arange(min(most, len(samples)))
    logits = samples.logits(network, rows, np.zeros(len(rows), dtype=bool), str(labels.device), "fp32")
    return float(masked_bce(logits, labels[: len(rows)], weights[: len(rows)]))
