"""The training loops of torchreid and fast-reid on this project's network and files.

Both are entered from build/peers (see retrieval_peers.py), their code unchanged. Each gets what it
would have in its own programs: torchreid's transforms and P x K sampler behind a DataLoader, its
triplet engine; fast-reid's trainer, whose data package no longer imports on current torch, behind
the same loader. Neither has mixed precision on a CPU; torchreid has none at all. The network is
this project's, in their form; the triplet and cross-entropy losses are the peers'.
"""

from __future__ import annotations

import os
import random
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from retrieval_peers import enter
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from reid_repro import models


class Work(NamedTuple):
    """What is to be trained: one file and identity an image.

    `bound` takes a number of steps and gives the seconds that the bare network needs for them; the
    peers call it between their epochs, so that both see the same machine.
    """

    files: list[Path]
    identities: list[int]
    side: int
    batch: tuple[int, int]
    device: torch.device
    network: dict[str, Any]
    bound: Callable[[int], float]


class Files(Dataset[dict[str, Any]]):
    """Files as torchreid's datasets give them."""

    def __init__(self, work: Work, transform: Callable[[Image.Image], Tensor]) -> None:
        self._work, self._transform = work, transform

    def __len__(self) -> int:
        return len(self._work.files)

    def __getitem__(self, number: int) -> dict[str, Any]:
        image = Image.open(self._work.files[number]).convert("RGB")
        return {"img": self._transform(image), "pid": self._work.identities[number]}


class TwoOutputs(nn.Module):
    """Logits and feature, as torchreid's engine takes them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.network(images)
        return outputs.logits["global"], outputs.features["global"]


def _network(work: Work) -> nn.Module:
    torch.manual_seed(0)
    classes = max(work.identities) + 1
    network = models.build("baseline", classes, **work.network)
    return TwoOutputs(network).to(work.device).to(memory_format=torch.channels_last)


def _loader(work: Work) -> DataLoader[dict[str, Any]]:
    """torchreid's transforms (mirror, crop, erasing) and sampler; its four
    workers, or as many as there are cores."""
    transforms = enter("torchreid.reid.data.transforms")
    sampling = enter("torchreid.reid.data.sampler")
    chosen = ["random_flip", "random_crop", "random_erase"]
    transform, _ = transforms.build_transforms(work.side, work.side, transforms=chosen)
    random.seed(0)
    np.random.seed(0)
    items = [(str(f), pid, 0, 0) for f, pid in zip(work.files, work.identities, strict=True)]
    size = work.batch[0] * work.batch[1]
    sampler = sampling.RandomIdentitySampler(items, size, work.batch[1])
    return DataLoader(
        Files(work, transform),
        batch_size=size,
        sampler=sampler,
        num_workers=min(4, os.cpu_count() or 1),
        pin_memory=work.device.type == "cuda",
        drop_last=True,
        persistent_workers=True,
    )


def _figures(seconds: list[float], bounds: list[float], batches: int, work: Work) -> dict[str, Any]:
    """The best epoch, which is never the first: that one starts the loader's workers."""
    images = batches * work.batch[0] * work.batch[1]
    return {
        "images_per_second": round(images / min(seconds[1:]), 1),
        "bound_images_per_second": round(images / min(bounds[1:]), 1),
        "ratio": round(min(bounds[1:]) / min(seconds[1:]), 3),
        "precision": "32-true",
    }


def torchreid(work: Work, epochs: int = 4) -> dict[str, Any]:
    """Its ImageTripletEngine.train; the best of `epochs`."""
    engines = _torchreid_engines()
    model, loader = _network(work), _loader(work)
    manager = types.SimpleNamespace(
        train_loader=loader, test_loader=None, num_train_pids=max(work.identities) + 1
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3.5e-4, weight_decay=5e-4)
    engine = engines.ImageTripletEngine(
        manager, model, optimizer, margin=0.3, use_gpu=work.device.type == "cuda"
    )
    engine.max_epoch = epochs
    seconds, bounds = [], []
    for _ in range(epochs):
        began = time.perf_counter()
        engine.train(print_freq=10**9)
        seconds.append(time.perf_counter() - began)
        bounds.append(work.bound(len(loader)))
    return _figures(seconds, bounds, len(loader), work)


def _torchreid_engines() -> types.ModuleType:
    """The module of its triplet engine.

    It imports packages that only its test and its logs use, and that need not be there: empty ones
    take their place meanwhile.
    """
    board = types.ModuleType("torch.utils.tensorboard")
    board.__dict__["SummaryWriter"] = None
    idle = {"torch.utils.tensorboard": board, "cv2": types.ModuleType("cv2")}
    absent = {name: module for name, module in idle.items() if name not in sys.modules}
    sys.modules |= absent
    try:
        return enter("torchreid.reid.engine.image.triplet")
    finally:
        for name in absent:
            del sys.modules[name]


class LossDict(nn.Module):
    """A batch to a dictionary of losses, as fast-reid's trainer takes them."""

    def __init__(self, model: nn.Module, work: Work) -> None:
        super().__init__()
        losses = "fastreid.modeling.losses."
        self._cross_entropy = enter(losses + "cross_entroy_loss").cross_entropy_loss
        self._triplet = enter(losses + "triplet_loss").triplet_loss
        self.model, self._device = model, work.device

    def forward(self, data: dict[str, Any]) -> dict[str, Tensor]:
        images = data["img"].to(self._device, memory_format=torch.channels_last)
        labels = data["pid"].to(self._device)
        logits, features = self.model(images)
        return {
            "loss_cls": self._cross_entropy(logits, labels, eps=0.1),
            "loss_triplet": self._triplet(features, labels, 0.3, False, True),
        }


def fastreid(work: Work, epochs: int = 4) -> dict[str, Any]:
    """Its SimpleTrainer.train; the best of `epochs`."""
    loops = enter("fastreid.engine.train_loop")
    loader = _loader(work)
    model = LossDict(_network(work), work)
    optimizer = torch.optim.Adam(model.parameters(), lr=3.5e-4, weight_decay=5e-4)
    trainer = loops.SimpleTrainer(model, _Endless(loader), optimizer, None)
    marks: list[float] = []
    bounds: list[float] = []

    class Clock(loops.HookBase):
        def before_epoch(self) -> None:
            marks.append(time.perf_counter())

        def after_epoch(self) -> None:
            marks[-1] = time.perf_counter() - marks[-1]
            bounds.append(work.bound(len(loader)))

    trainer.register_hooks([Clock()])
    trainer.train(0, epochs, len(loader))
    return _figures(marks, bounds, len(loader), work)


class _Endless:
    """The loader epoch after epoch, as fast-reid's samplers never end."""

    def __init__(self, loader: DataLoader[dict[str, Any]]) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            yield from self._loader


PEERS: dict[str, Callable[[Work], dict[str, Any]]] = {"torchreid": torchreid, "fastreid": fastreid}
