"""A short training loop for the detectors: precision and device are Fabric's, resume is exact.

Batch number i is a function of i alone, and the loss of the batch: so a training that was killed
and goes on from its last checkpoint takes the same steps as one that was never killed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from reid_repro.detectors import DetectorTraining
from reid_repro.devices import best_precision
from reid_repro.progress import add_task, progress
from reid_repro.training.checkpoint import Checkpoints
from reid_repro.training.guard import FiniteGuard
from reid_repro.training.schedule import set_learning_rate

Batch = TypeVar("Batch")
# The columns of every history; the parts of the loss stand between.
HISTORY = ["iteration", "learning_rate", "loss", "images_per_second", "seconds"]


@dataclass(frozen=True)
class Fitted:
    """What a training leaves beside its weights.

    `history` has one row an interval between checkpoints: iteration, learning_rate, loss and its
    parts (means), images_per_second, seconds.
    """

    history: pd.DataFrame
    precision: str
    resumed: int
    wall_seconds: float


@dataclass
class _State:
    history: list[dict[str, float]] = field(default_factory=list)
    resumed: int = 0
    wall_seconds: float = 0.0


def fit(
    name: str,
    model: nn.Module,
    batch: Callable[[int], Batch],
    losses: Callable[[nn.Module, Batch, torch.device], Mapping[str, Tensor]],
    settings: DetectorTraining,
    *,
    keeper: Checkpoints | None = None,
    keys: str = "training",
) -> Fitted:
    """Train `model` in place on one device.

    `batch(i)` makes the batch of iteration i (from 0) on the CPU and is called ahead, in a thread
    of its own; `losses(model, batch, device)` gives the parts of the loss, which are summed.
    `keys` is where the settings stand, for messages. Raises UserError when the loss or a gradient
    is no finite number.
    """
    began = time.perf_counter()
    precision = best_precision() if settings.precision == "auto" else settings.precision
    fabric = Fabric(accelerator="auto", devices=1, precision=precision)
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = _optimizer(learning, settings)
    runner, stepper = fabric.setup(model.to(memory_format=torch.channels_last), optimizer)
    parts: dict[str, Any] = {
        "model": model,
        "optimizer": optimizer,
        "precision": fabric.strategy.precision,
    }
    state = _State()
    saved = keeper.load() if keeper is not None else None
    if saved is not None:
        for key, part in parts.items():
            part.load_state_dict(saved[key])
        state = _State(saved["history"], saved["resumed"] + 1, saved["wall_seconds"])
    before, start = state.wall_seconds, int(state.history[-1]["iteration"]) if state.history else 0
    scaler = getattr(fabric.strategy.precision, "scaler", None)
    guard = FiniteGuard(name, fabric.device, scaler=scaler, keys=keys)
    runner.train()
    meter = _Meter(settings.batch_size)
    with progress() as display:
        task = add_task(display, name, settings.iterations)
        display.update(task, completed=start)
        for number, ready in _ahead(batch, start, settings.iterations):
            rate = learning_rate(settings, number)
            set_learning_rate(optimizer, rate)
            torch.manual_seed(seed_of(settings.seed, number))
            found = losses(runner, ready, fabric.device)
            total = torch.stack(list(found.values())).sum()
            stepper.zero_grad(set_to_none=True)
            fabric.backward(total)
            guard.look(1, number + 1, total, learning)
            stepper.step()
            meter.add(found)
            display.update(task, advance=1, note=f"loss {guard.loss:.3f}")
            if _is_due(settings, number + 1):
                guard.finish()
                row = {"iteration": number + 1, "learning_rate": rate, **meter.read()}
                state.history.append(row)
                state.wall_seconds = before + time.perf_counter() - began
                if keeper is not None:
                    states = {key: part.state_dict() for key, part in parts.items()}
                    keeper.save(vars(state) | states)
                print(_line(name, row, settings.iterations))
    return Fitted(pd.DataFrame(state.history), precision, state.resumed, state.wall_seconds)


def learning_rate(settings: DetectorTraining, iteration: int) -> float:
    """The rate of iteration number `iteration`, from 0."""
    rate = settings.learning_rate
    if iteration < settings.warmup:
        return rate * (iteration + 1) / settings.warmup
    if settings.schedule == "step":
        passed = [step for step in settings.steps if step <= iteration]
        return settings.steps[max(passed)] if passed else rate
    if settings.schedule == "constant" or settings.iterations <= settings.warmup:
        return rate
    done = (iteration - settings.warmup) / (settings.iterations - settings.warmup)
    return rate * (1 + math.cos(math.pi * done)) / 2


def seed_of(seed: int, number: int) -> int:
    """A seed for step `number` that shares nothing with its neighbours'."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])


class _Meter:
    """Means of the losses and the speed since the last reading."""

    def __init__(self, batch_size: int) -> None:
        self._images = batch_size
        self._start()

    def _start(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count, self._began = 0, time.perf_counter()

    def add(self, found: Mapping[str, Tensor]) -> None:
        for key, value in found.items():
            kept = value.detach().double()
            self._sums[key] = self._sums[key] + kept if key in self._sums else kept
        self._count += 1

    def read(self) -> dict[str, float]:
        seconds = time.perf_counter() - self._began
        means = {key: float(value) / self._count for key, value in self._sums.items()}
        row = {"loss": sum(means.values()), **means}
        row["images_per_second"] = round(self._images * self._count / seconds, 1)
        row["seconds"] = round(seconds, 3)
        self._start()
        return row


def _ahead(batch: Callable[[int], Batch], start: int, stop: int) -> Iterator[tuple[int, Batch]]:
    """The batches in order, the next one in the making while one is in use."""
    with ThreadPoolExecutor(1, "batch") as pool:
        coming = pool.submit(batch, start) if start < stop else None
        for number in range(start, stop):
            assert coming is not None
            ready = coming.result()
            coming = pool.submit(batch, number + 1) if number + 1 < stop else None
            yield number, ready


def _optimizer(learning: list[nn.Parameter], settings: DetectorTraining) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adam":
        return torch.optim.Adam(learning, lr=rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(
        learning, lr=rate, momentum=settings.momentum, weight_decay=decay, fused=True
    )


def _is_due(settings: DetectorTraining, done: int) -> bool:
    """Whether a checkpoint is due after `done` iterations: at equal distances, and at the end."""
    share = settings.iterations / min(settings.checkpoints, settings.iterations)
    return int(done / share) > int((done - 1) / share) or done == settings.iterations


def _line(name: str, row: Mapping[str, Any], iterations: int) -> str:
    return (
        f"{name}: iteration {row['iteration']}/{iterations}  loss {row['loss']:.3f}  "
        f"{row['images_per_second']:.0f} images/s"
    )
