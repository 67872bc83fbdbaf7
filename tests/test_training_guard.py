"""When a training is stopped: numbers that are none, and steps that fp16 never takes."""

from __future__ import annotations

import math

import pytest
import torch

from reid_repro.errors import UserError
from reid_repro.training.guard import SKIPS, FiniteGuard

CPU = torch.device("cpu")


def test_a_gradient_that_is_no_number_stops_the_run_before_the_step() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    guard = FiniteGuard("a/run", CPU)
    weight.grad = torch.tensor([1.0, 2.0])
    guard.look(1, 1, torch.tensor(0.5), [weight])
    assert guard.loss == 0.5
    weight.grad = torch.tensor([1.0, float("inf")])
    with pytest.raises(UserError, match="a/run: the norm of the gradient is inf in epoch 2, batch"):
        guard.look(2, 3, torch.tensor(0.5), [weight])
    with pytest.raises(UserError, match="a/run: the loss is nan in epoch 2, batch 4; lower"):
        guard.look(2, 4, torch.tensor(float("nan")), [weight])


class Scaled:
    """A weight trained in fp16, with the gradients that a test gives it."""

    def __init__(self) -> None:
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.optimizer = torch.optim.SGD([self.weight], lr=1.0)
        self.scaler = torch.amp.GradScaler("cpu")
        self.guard = FiniteGuard("a/run", CPU, scaler=self.scaler)
        self.batch = 0

    def step(self, gradient: float, loss: float = 0.5) -> None:
        self.batch += 1
        number = torch.tensor(loss)
        scaled = self.scaler.scale(number)
        self.weight.grad = torch.full((1,), gradient) * scaled / loss
        self.guard.look(1, self.batch, number, [self.weight])
        self.scaler.step(self.optimizer)
        self.scaler.update()


def test_a_loss_scaler_may_skip_steps_but_not_one_after_the_other_for_good() -> None:
    training = Scaled()
    for _ in range(3):
        for _ in range(SKIPS - 1):
            training.step(math.inf)
        training.step(1.0)  # a step that is taken starts the count anew
    assert training.weight.item() == -3
    done = training.batch
    for _ in range(SKIPS):
        training.step(math.nan)
    last = done + SKIPS + 1
    with pytest.raises(
        UserError,
        match=rf"^a/run: the gradients of 20 batches in a row before epoch 1, batch {last}, overf",
    ):
        training.step(1.0)
    assert training.weight.item() == -3


def test_a_growing_scale_is_no_skipped_step() -> None:
    training = Scaled()
    training.scaler.set_growth_interval(1)
    for _ in range(SKIPS + 5):
        training.step(1.0)
    assert training.weight.item() == -SKIPS - 5


def test_a_loss_that_is_no_number_stops_fp16_too() -> None:
    training = Scaled()
    with pytest.raises(UserError, match="a/run: the loss is inf in epoch 1, batch 1; lower"):
        training.step(1.0, loss=math.inf)
