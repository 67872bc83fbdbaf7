"""Stops a training whose loss or gradient is no finite number, and says where.

On a CPU before the step that would spoil the weights. On a GPU the numbers of a batch are read
while the next one is computed, so that the device never waits for the question: one step too many
may be taken, but no checkpoint is written before every batch of its epoch has been looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reid_repro.errors import UserError


@dataclass
class _Pending:
    epoch: int
    batch: int
    values: Tensor
    copied: torch.Event


class FiniteGuard:
    """Looks at every batch of the run `name`.

    `gradient` False leaves the gradient out: an fp16 loss scaler expects it to overflow.
    """

    def __init__(self, name: str, device: torch.device, *, gradient: bool = True) -> None:
        self._name, self._gradient = name, gradient
        self._waits = device.type == "cuda"
        self._pending: _Pending | None = None
        self.loss = math.nan  # the last one seen

    def look(
        self, epoch: int, batch: int, loss: Tensor, parameters: Iterable[nn.Parameter]
    ) -> None:
        """Take in a batch (numbers from 1) after its backward pass.

        Raises UserError if this one (on a GPU: the one before) has no finite loss or gradient.
        """
        values = loss.detach()[None]
        if self._gradient:
            gradients = [p.grad for p in parameters if p.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            values = torch.stack([loss.detach(), norm.to(loss.dtype)])
        if not self._waits:
            self._judge(epoch, batch, values)
            return
        self.finish()
        beside = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        beside.copy_(values, non_blocking=True)
        copied = torch.Event("cuda")
        copied.record()
        self._pending = _Pending(epoch, batch, beside, copied)

    def finish(self) -> None:
        """Look at the batch that is still waiting; to be called at an epoch's end."""
        if self._pending is not None:
            self._pending.copied.synchronize()
            pending, self._pending = self._pending, None
            self._judge(pending.epoch, pending.batch, pending.values)

    def _judge(self, epoch: int, batch: int, values: Tensor) -> None:
        numbers = values.tolist()
        self.loss = numbers[0]
        for what, number in zip(("loss", "norm of the gradient"), numbers, strict=False):
            if not math.isfinite(number):
                raise UserError(
                    f"{self._name}: the {what} is {number} in epoch {epoch}, batch {batch}; lower "
                    "training.learning_rate or set training.precision to 32-true"
                )
