"""Stops a training whose loss or gradient is no finite number, and says where.

An fp16 loss scaler expects gradients to overflow now and then: it skips the step and lowers the
scale. But where it skips step after step, no scale helps, and nothing is learnt.

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

SKIPS = 20  # steps skipped in a row: the scale has fallen to a millionth


@dataclass
class _Pending:
    epoch: int
    batch: int
    values: Tensor
    copied: torch.Event


class FiniteGuard:
    """Looks at every batch of the run `name`.

    With an fp16 `scaler` a gradient may overflow, but not `SKIPS` times in a row. `keys` is where
    the settings of the training stand, for messages.
    """

    def __init__(
        self,
        name: str,
        device: torch.device,
        *,
        scaler: torch.amp.GradScaler | None = None,
        keys: str = "training",
    ) -> None:
        self._name, self._scaler, self._keys = name, scaler, keys
        self._scale, self._skipped = 0.0, 0
        self._waits = device.type == "cuda"
        self._pending: _Pending | None = None
        self.loss = math.nan  # the last one seen

    def look(
        self, epoch: int, batch: int, loss: Tensor, parameters: Iterable[nn.Parameter]
    ) -> None:
        """Take in a batch (numbers from 1) after its backward pass.

        Raises UserError if this one (on a GPU: the one before) has no finite loss or gradient, or
        if the steps before it were all skipped.
        """
        if self._scaler is None:
            gradients = [p.grad for p in parameters if p.grad is not None]
            other = torch.nn.utils.get_total_norm(gradients)
        else:  # the scale, without waiting for the device as `get_scale` would
            other = self._scaler.scale(torch.ones((), device=loss.device))
        values = torch.stack([loss.detach(), other.to(loss.dtype)])
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
        self.loss, other = values.tolist()
        numbers = {"loss": self.loss}
        if self._scaler is None:
            numbers["norm of the gradient"] = other
        for what, number in numbers.items():
            if not math.isfinite(number):
                raise UserError(
                    f"{self._name}: the {what} is {number} in epoch {epoch}, batch {batch}; lower "
                    f"{self._keys}.learning_rate or set {self._keys}.precision to 32-true"
                )
        if self._scaler is not None:
            self._count_skips(epoch, batch, other)

    def _count_skips(self, epoch: int, batch: int, scale: float) -> None:
        """The scale has fallen since the batch before exactly if the step between was skipped."""
        self._skipped = self._skipped + 1 if scale < self._scale else 0
        self._scale = scale
        if self._skipped == SKIPS:
            raise UserError(
                f"{self._name}: the gradients of {SKIPS} batches in a row before epoch {epoch}, "
                f"batch {batch}, overflow fp16 at every loss scale; lower "
                f"{self._keys}.learning_rate or set {self._keys}.precision to bf16-mixed or "
                "32-true"
            )
