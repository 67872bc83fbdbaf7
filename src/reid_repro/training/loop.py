"""The training loop, on Lightning Fabric: precision, device and saving are Fabric's.

Every epoch draws its own random numbers from (seed, epoch). So a run that was killed and goes
on from its last checkpoint takes the same steps as one that was never killed.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader

from reid_repro import models
from reid_repro.config import TrainingConfig
from reid_repro.datasets.images import ImageStore
from reid_repro.devices import best_precision, peak_memory_mib
from reid_repro.errors import UserError
from reid_repro.plan import ResolvedRun
from reid_repro.progress import add_task, progress
from reid_repro.training.checkpoint import Checkpoints
from reid_repro.training.data import ImageTensors, training_transform
from reid_repro.training.losses import ReIDLoss
from reid_repro.training.sampler import IdentitySampler

PARTS = ["loss", "loss_identity", "loss_metric", "accuracy"]
HISTORY = ["epoch", "learning_rate", *PARTS, "images_per_second", "seconds"]


@dataclass(frozen=True)
class Trained:
    """The result: the network, one row an epoch, and what it took.

    `wall_seconds` and `peak_memory_mib` count every process that worked on the run, up to its
    last saved epoch; `resumed` says how often it was taken up again.
    """

    model: nn.Module
    history: pd.DataFrame
    precision: str
    resumed: int
    started: str
    wall_seconds: float
    peak_memory_mib: float


def train(
    run: ResolvedRun,
    store: ImageStore,
    splits: pd.DataFrame,
    *,
    data_hash: str,
    checkpoints: Path,
) -> Trained:
    """Train `run` on the `train` rows of `splits`, going on from a checkpoint if there is one.

    Raises UserError where the data do not suffice or the loss stops being a number.
    """
    began = time.perf_counter()
    config = run.training
    assert config.epochs is not None
    precision = best_precision() if config.precision == "auto" else config.precision
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    fabric = Fabric(accelerator=accelerator, devices=1, precision=precision)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself only so
    torch.use_deterministic_algorithms(True, warn_only=True)
    _seed(run.seed, epoch=0)
    rows, labels = _labels(store, splits, run.dataset)
    sampler = IdentitySampler(
        labels,
        identities=config.identities_per_batch,
        images=config.images_per_identity,
        seed=run.seed,
    )
    options = run.model.model_dump(exclude={"name"})
    model = models.build(run.model.name, int(labels.max()) + 1, **options)
    model = model.to(memory_format=torch.channels_last)
    optimizer = _optimizer(model, config)
    scheduler = _scheduler(optimizer, config)
    model, optimizer = fabric.setup(model, optimizer)
    loader = _loader(fabric, store, rows, labels, sampler, config)
    settings = run.model_dump(mode="json") | {"data": data_hash, "precision": precision}
    keeper = Checkpoints(checkpoints, settings=settings)
    state: dict[str, Any] = {
        "model": model,
        "optimizer": optimizer,
        "scheduler": scheduler,
        "history": [],
        "resumed": 0,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_seconds": 0.0,
        "peak_memory_mib": 0.0,
    }
    if keeper.load(fabric, state):
        state["resumed"] += 1
        fabric.print(f"{run.run}: going on after epoch {len(state['history'])}")
    before = state["wall_seconds"]
    criterion = ReIDLoss(config)
    for epoch in range(len(state["history"]), config.epochs):
        _seed(run.seed, epoch)
        sampler.epoch = epoch
        row = _epoch(fabric, run.run, model, criterion, optimizer, loader, epoch, config.epochs)
        row["learning_rate"] = optimizer.param_groups[0]["lr"]
        scheduler.step()
        state["history"].append(row)
        state["wall_seconds"] = before + time.perf_counter() - began
        state["peak_memory_mib"] = max(state["peak_memory_mib"], peak_memory_mib())
        keeper.save(fabric, state)
        fabric.print(_line(run.run, row, config.epochs))
    history = pd.DataFrame(state["history"])[HISTORY]
    return Trained(
        model=model.module,
        history=history,
        precision=precision,
        resumed=state["resumed"],
        started=state["started"],
        wall_seconds=state["wall_seconds"],
        peak_memory_mib=state["peak_memory_mib"],
    )


def _seed(seed: int, epoch: int) -> None:
    """All of torch's and numpy's global generators, from (seed, epoch)."""
    number = int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
    torch.manual_seed(number)
    np.random.seed(number)


def _labels(store: ImageStore, splits: pd.DataFrame, dataset: str) -> tuple[np.ndarray, np.ndarray]:
    """Training rows and their classes 0..C-1; junk and distractors train nothing."""
    rows = splits.loc[splits["role"] == "train", "image"].to_numpy()
    identities = store.images["identity"].to_numpy()[rows]
    rows, identities = rows[identities > 0], identities[identities > 0]
    if len(rows) == 0:
        raise UserError(f"dataset '{dataset}': no training image has an identity above 0")
    return rows, np.unique(identities, return_inverse=True)[1]


def _loader(
    fabric: Fabric,
    store: ImageStore,
    rows: np.ndarray,
    labels: np.ndarray,
    sampler: IdentitySampler,
    config: TrainingConfig,
) -> DataLoader[Any]:
    images = ImageTensors(
        store,
        rows,
        labels,
        size=(config.height, config.width),
        transform=training_transform(config),
        keep=config.workers == 0,
    )
    loader: DataLoader[Any] = DataLoader(
        images,
        batch_sampler=sampler,
        num_workers=config.workers,
        pin_memory=fabric.device.type == "cuda",
    )
    # P x K batches must stay whole: Fabric may move tensors, not replace the sampler.
    prepared = fabric.setup_dataloaders(loader, use_distributed_sampler=False)
    assert not isinstance(prepared, list)
    return prepared


def _optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.optimizer == "adam":
        return torch.optim.Adam(
            parameters, lr=config.learning_rate, weight_decay=config.weight_decay
        )
    return torch.optim.SGD(
        parameters,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )


def _scheduler(
    optimizer: torch.optim.Optimizer, config: TrainingConfig
) -> lr_scheduler.LRScheduler:
    """Linear warm-up, then steps at `milestones` (counted from the first epoch) or a cosine."""
    assert config.epochs is not None
    after = config.epochs - config.warmup
    main: lr_scheduler.LRScheduler
    if config.schedule == "cosine":
        main = lr_scheduler.CosineAnnealingLR(optimizer, max(1, after))
    else:
        milestones = [m - config.warmup for m in config.milestones]
        main = lr_scheduler.MultiStepLR(optimizer, milestones, gamma=config.gamma)
    if config.warmup == 0:
        return main
    warmup = lr_scheduler.LinearLR(optimizer, config.warmup_factor, 1.0, config.warmup)
    return lr_scheduler.SequentialLR(optimizer, [warmup, main], [config.warmup])


def _epoch(
    fabric: Fabric,
    name: str,
    model: nn.Module,
    criterion: ReIDLoss,
    optimizer: torch.optim.Optimizer,
    loader: DataLoader[Any],
    epoch: int,
    epochs: int,
) -> dict[str, float]:
    """One pass; the means over its images."""
    model.train()
    began = time.perf_counter()
    sums, seen = np.zeros(4), 0
    batches = iter(loader)  # workers start before the display's thread does: forking it is unsafe
    with progress() as display:
        task = add_task(display, f"{name} {epoch + 1}/{epochs}", len(loader))
        for number, (images, labels) in enumerate(batches):
            images = images.to(memory_format=torch.channels_last)
            outputs = model(images)
            loss = criterion(outputs, labels)
            total = float(loss.total.detach())
            if not np.isfinite(total):
                raise UserError(
                    f"{name}: the loss is {total} in epoch {epoch + 1}, batch {number + 1}; lower "
                    "training.learning_rate or set training.precision to 32-true"
                )
            optimizer.zero_grad()
            fabric.backward(loss.total)
            optimizer.step()
            right = int((next(iter(outputs.logits.values())).detach().argmax(1) == labels).sum())
            parts = [total, float(loss.identity.detach()), float(loss.metric.detach())]
            sums += np.array([*(part * len(labels) for part in parts), right])
            seen += len(labels)
            display.update(task, advance=1, note=f"loss {total:.3f}")
    seconds = time.perf_counter() - began
    means = dict(zip(PARTS, (sums / seen).tolist(), strict=True))
    rates = {"images_per_second": round(seen / seconds, 1), "seconds": round(seconds, 3)}
    return {"epoch": epoch + 1, **means, **rates}


def _line(name: str, row: dict[str, float], epochs: int) -> str:
    return (
        f"{name}: epoch {row['epoch']:.0f}/{epochs}  loss {row['loss']:.3f}  "
        f"accuracy {row['accuracy']:.3f}  {row['images_per_second']:.0f} images/s"
    )
