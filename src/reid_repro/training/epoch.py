"""One pass of the sampler: steps, their loss, and the row of history.csv that it gives."""

from __future__ import annotations

import time
from itertools import islice
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from reid_repro.config import TrainingConfig
from reid_repro.progress import add_task, progress
from reid_repro.training import schedule
from reid_repro.training.batches import Batch, Batches
from reid_repro.training.distributed import gathered
from reid_repro.training.guard import FiniteGuard
from reid_repro.training.losses import ReIDLoss
from reid_repro.training.sampler import IdentitySampler, UniformSampler

MEANS = ["loss", "loss_identity", "loss_metric", "accuracy"]
HISTORY = ["epoch", "learning_rate", *MEANS, "images_per_second", "seconds"]

Row = dict[str, float | None]


class Epochs:
    """The epochs of the run `name`: `model` and `optimizer` as Fabric has set them up."""

    def __init__(
        self,
        fabric: Fabric,
        name: str,
        model: nn.Module,
        optimizer: Any,
        batches: Batches,
        sampler: IdentitySampler | UniformSampler,
        config: TrainingConfig,
        seed: int,
    ) -> None:
        self._fabric, self._name, self._seed = fabric, name, seed
        self._model, self._optimizer = model, optimizer
        self._batches, self._sampler, self._config = batches, sampler, config
        self._criterion = ReIDLoss(config)
        self._guard = FiniteGuard(name, fabric.device, scaler=_scaler(fabric))
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._steps = config.iterations or (config.epochs or 0) * len(sampler)
        self.count = -(-self._steps // len(sampler))

    def length(self, epoch: int) -> int:
        """How many steps epoch number `epoch`, from 0, has; the last may be cut short."""
        return min(len(self._sampler), self._steps - epoch * len(self._sampler))

    def run(self, epoch: int) -> Row:
        """Epoch number `epoch`, from 0; the means over its images."""
        self._model.train()
        began = time.perf_counter()
        self._sampler.epoch = epoch
        first, length = epoch * len(self._sampler), self.length(epoch)
        sums = torch.zeros(len(MEANS), dtype=torch.float64, device=self._fabric.device)
        seen, rate, accurate = 0, 0.0, True
        batches = self._batches.training(
            islice(self._sampler, length), self._config, seed=self._seed, epoch=epoch
        )
        with progress(shown=self._fabric.global_rank == 0) as display:
            task = add_task(display, f"{self._name} {epoch + 1}/{self.count}", length)
            for number, batch in enumerate(batches):
                rate = self._rate(epoch, first + number)
                values, accurate = self._step(batch, epoch, number)
                sums += values * len(batch.labels)
                seen += len(batch.labels)
                display.update(task, advance=1, note=f"loss {self._guard.loss:.3f}")
        self._guard.finish()
        means: Row = dict(zip(MEANS, (sums / seen).tolist(), strict=True))
        if not accurate:
            means["accuracy"] = None
        seconds = time.perf_counter() - began
        rates = {"images_per_second": round(seen / seconds, 1), "seconds": round(seconds, 3)}
        return {"epoch": epoch + 1, "learning_rate": rate, **means, **rates}

    def _rate(self, epoch: int, iteration: int) -> float:
        """Set the learning rate of the coming step."""
        step = iteration if self._config.iterations else epoch
        rate = schedule.learning_rate(self._config, step)
        schedule.set_learning_rate(self._optimizer, rate)
        return rate

    def _step(self, batch: Batch, epoch: int, number: int) -> tuple[Tensor, bool]:
        """One step; the means over its images as `MEANS`, and whether there was an accuracy."""
        places = () if batch.places is None else (batch.places,)
        read = self._criterion.read(self._model(batch.images, *places))
        outputs = gathered(read, self._fabric.world_size)
        loss = self._criterion(outputs, batch.labels)
        self._optimizer.zero_grad(set_to_none=True)
        self._fabric.backward(loss.total)
        self._guard.look(epoch + 1, number + 1, loss.total, self._parameters)
        self._optimizer.step()
        right = torch.zeros((), device=loss.total.device)
        if accurate := self._config.identity_loss == "cross_entropy":  # else no classifier learns
            logits = next(iter(outputs.logits.values())).detach()
            right = (logits.argmax(dim=1) == batch.labels).float().mean()
        return torch.stack([*(part.detach() for part in loss), right]), accurate


def _scaler(fabric: Fabric) -> torch.amp.GradScaler | None:
    """The fp16 loss scaler, where one is at work."""
    return getattr(fabric.strategy.precision, "scaler", None)
