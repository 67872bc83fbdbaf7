"""The training loop, on Lightning Fabric: precision, devices and processes are Fabric's.

Every epoch draws its own random numbers from (seed, epoch). So a run that was killed and goes
on from its last checkpoint takes the same steps as one that was never killed. An epoch is a pass of
the sampler; where the length is given in iterations, the last pass may be cut short.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import torch.utils.deterministic
from lightning_fabric import Fabric
from torch import nn

from reid_repro import models
from reid_repro.config import TrainingConfig
from reid_repro.datasets.images import ImageStore
from reid_repro.devices import best_precision, peak_memory_mib
from reid_repro.errors import UserError
from reid_repro.plan import ResolvedRun
from reid_repro.training import distributed, dry_run, schedule
from reid_repro.training.batches import Batches
from reid_repro.training.checkpoint import Checkpoints
from reid_repro.training.epoch import HISTORY, Epochs
from reid_repro.training.pixels import Pixels, decoding_threads
from reid_repro.training.sampler import IdentitySampler, UniformSampler


@dataclass(frozen=True)
class Trained:
    """The result: the network, one row an epoch, and what it took.

    `wall_seconds` and `peak_memory_mib` (of the first process) count every start that worked on
    the run, up to its last saved epoch; `resumed` says how often it was taken up again. Of several
    processes only the one of rank 0 should write anything.
    """

    model: nn.Module
    num_classes: int
    history: pd.DataFrame
    precision: str
    resumed: int
    started: str
    wall_seconds: float
    peak_memory_mib: float
    rank: int
    world_size: int


@dataclass(frozen=True)
class Prepared:
    """All that a training needs, before its first step; `model` is the network as it was built."""

    fabric: Fabric
    model: nn.Module
    optimizer: torch.optim.Optimizer
    epochs: Epochs
    num_classes: int
    precision: str

    def parts(self) -> dict[str, Any]:
        """What a checkpoint holds the state of; fp16's loss scale is the precision's."""
        precision = self.fabric.strategy.precision
        return {"model": self.model, "optimizer": self.optimizer, "precision": precision}


def prepare(
    run: ResolvedRun,
    store: ImageStore,
    splits: pd.DataFrame,
    places: npt.NDArray[np.float32] | None = None,
) -> Prepared:
    """Start the processes, build the network, the optimiser and the input pipeline.

    Raises UserError where the data do not suffice or the network does not take them; no image has
    been decoded then.
    """
    config = run.training
    precision = best_precision() if config.precision == "auto" else config.precision
    _repeatable()
    rows, labels = _labels(store, splits, run.dataset)
    num_classes = int(labels.max()) + 1
    _seed(run.seed, epoch=0)
    model = _network(run, num_classes, places)
    fabric = distributed.connect(config, precision)
    if fabric.world_size > 1:
        model = distributed.synchronise(model, fabric.device)
    optimizer = schedule.optimizer(model.parameters(), config)
    # The compiled network shares its parameters with `model`, whose keys stay plain.
    compiled = cast(nn.Module, torch.compile(model)) if config.compile else model
    runner, stepper = fabric.setup(compiled, optimizer)
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", config.devices))
    pixels = Pixels(
        store,
        rows,
        size=(config.height, config.width),
        threads=decoding_threads(config.workers, processes=processes),
        processes=processes,
    )
    batches = Batches(
        pixels,
        device=fabric.device,
        labels=labels,
        places=None if places is None else places[rows],
        rank=fabric.global_rank,
        world=fabric.world_size,
    )
    sampler = _sampler(labels, config, run.seed)
    epochs = Epochs(fabric, run.run, runner, stepper, batches, sampler, config, run.seed)
    return Prepared(fabric, model, optimizer, epochs, num_classes, precision)


def _network(
    run: ResolvedRun, num_classes: int, places: npt.NDArray[np.float32] | None
) -> nn.Module:
    """The network of `run`, without gradients for what no loss reads."""
    options = run.model.model_dump(exclude={"name"})
    try:
        model = models.build(run.model.name, num_classes, **options)
        dry_run.freeze_unread(model, run.training, places)
    except ValueError as error:
        raise UserError(f"{run.run}: {' '.join(str(error).split())}") from None
    return model.to(memory_format=torch.channels_last)


def train(
    run: ResolvedRun,
    store: ImageStore,
    splits: pd.DataFrame,
    *,
    data_hash: str,
    checkpoints: Path,
    places: npt.NDArray[np.float32] | None = None,
) -> Trained:
    """Train `run` on the `train` rows of `splits`, going on from a checkpoint if there is one.

    `places` are the part boxes or keypoints of every image of the store, where the network needs
    them. Raises UserError where the data do not suffice, the network does not take them, or the
    loss stops being a number.
    """
    began = time.perf_counter()
    ready = prepare(run, store, splits, places)
    fabric, epochs = ready.fabric, ready.epochs
    # Neither changes a step: a training may go on with others.
    settings = run.model_dump(mode="json", exclude={"training": {"workers", "devices"}})
    settings |= {"data": data_hash, "precision": ready.precision, "places": _digest(places)}
    keeper = Checkpoints(checkpoints, code=[f"models/{run.model.name}.py"], settings=settings)
    state: dict[str, Any] = {
        "history": [],
        "resumed": 0,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_seconds": 0.0,
        "peak_memory_mib": 0.0,
    }
    if _resume(keeper, state, ready):
        fabric.print(f"{run.run}: going on after epoch {len(state['history'])}")
    before = state["wall_seconds"]
    for epoch in range(len(state["history"]), epochs.count):
        _seed(run.seed, epoch)
        row = epochs.run(epoch)
        state["history"].append(row)
        state["wall_seconds"] = before + time.perf_counter() - began
        state["peak_memory_mib"] = max(state["peak_memory_mib"], peak_memory_mib())
        if fabric.global_rank == 0:
            keeper.save(state | {name: part.state_dict() for name, part in ready.parts().items()})
        fabric.print(_line(run.run, row, epochs.count))
    history = pd.DataFrame(state.pop("history"), columns=HISTORY)
    return Trained(
        model=ready.model,
        num_classes=ready.num_classes,
        history=history,
        precision=ready.precision,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        **state,
    )


def _resume(keeper: Checkpoints, state: dict[str, Any], ready: Prepared) -> bool:
    """Fill `state` and what is `ready` from the checkpoint; False where there is none.

    The first process reads it for all: they must agree on where to go on.
    """
    saved = keeper.load() if ready.fabric.global_rank == 0 else None
    if ready.fabric.world_size > 1:
        saved = ready.fabric.broadcast(saved)
    if saved is None:
        return False
    for name, part in ready.parts().items():
        part.load_state_dict(saved.pop(name))
    state.update(saved)
    state["resumed"] += 1
    return True


def _repeatable() -> None:
    """Kernels that give the same numbers again, where there are any."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself only so
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Nothing here reads memory before it is written: filling it costs, and proves nothing.
    settings: Any = torch.utils.deterministic  # a module that is given a property
    settings.fill_uninitialized_memory = False


def _seed(seed: int, epoch: int) -> None:
    """All of torch's and numpy's global generators, from (seed, epoch)."""
    number = int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
    torch.manual_seed(number)
    np.random.seed(number)


def _labels(
    store: ImageStore, splits: pd.DataFrame, dataset: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Training rows and their classes 0..C-1; junk and distractors train nothing."""
    rows = splits.loc[splits["role"] == "train", "image"].to_numpy()
    identities = store.images["identity"].to_numpy()[rows]
    rows, identities = rows[identities > 0], identities[identities > 0]
    if len(rows) == 0:
        raise UserError(f"dataset '{dataset}': no training image has an identity above 0")
    return rows, np.unique(identities, return_inverse=True)[1]


def _sampler(
    labels: npt.NDArray[np.int64], config: TrainingConfig, seed: int
) -> IdentitySampler | UniformSampler:
    identities, images = config.identities_per_batch, config.images_per_identity
    if config.sampler == "identity":
        return IdentitySampler(labels, identities=identities, images=images, seed=seed)
    return UniformSampler(len(labels), size=identities * images, seed=seed)


def _digest(places: npt.NDArray[np.float32] | None) -> str | None:
    return None if places is None else hashlib.sha256(places.tobytes()).hexdigest()


def _line(name: str, row: dict[str, float | None], epochs: int) -> str:
    accuracy = "" if row["accuracy"] is None else f"accuracy {row['accuracy']:.3f}  "
    return (
        f"{name}: epoch {row['epoch']:.0f}/{epochs}  loss {row['loss']:.3f}  {accuracy}"
        f"{row['images_per_second']:.0f} images/s"
    )
