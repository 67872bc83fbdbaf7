"""Trained networks, run anew on a few images to look at what lies inside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from reid_repro.datasets import places
from reid_repro.measures.source import Rows, Source
from reid_repro.networks import needs
from reid_repro.phases import models
from reid_repro.plan import ResolvedRun
from reid_repro.training.batches import Batch, Batches
from reid_repro.training.pixels import Pixels, decoding_threads


class Network(NamedTuple):
    """A trained network in evaluation mode on its device, and its settings."""

    module: nn.Module
    settings: ResolvedRun
    device: torch.device


def network(source: Source, name: str) -> Network:
    """The network of PAPER/VARIANT, loaded once."""
    key = "network", name
    if key not in source.cache:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        module, settings = models.load(str(source.run(name)), source.results)
        module = module.to(device).to(memory_format=torch.channels_last).eval()
        source.cache[key] = Network(module, settings, device)
    found: Network = source.cache[key]
    return found


def batches(source: Source, found: Network, rows: Rows) -> Iterator[Batch]:
    """Images `rows` with the boxes or joints that the network needs, batch by batch."""
    torch.backends.cudnn.allow_tf32 = False  # as features are extracted
    training = found.settings.training
    own = places.load(
        source.results,
        source.dataset,
        needs(found.settings.model),
        found.settings.places,
        len(source.store),
    )
    pixels = Pixels(
        source.store,
        rows,
        size=(training.height, training.width),
        threads=decoding_threads(training.workers),
        keep=False,
    )
    step = source.plan.config.features.batch_size
    order = np.split(np.arange(len(rows)), range(step, len(rows), step))
    found_places = None if own is None else own[rows]
    yield from Batches(pixels, device=found.device, places=found_places).test(order)
