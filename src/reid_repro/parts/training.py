"""Training of the part detector: SSD's loss on annotated images of vehicles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from reid_repro.datasets.images import ImageStore
from reid_repro.detectors import PartsDetector
from reid_repro.errors import UserError
from reid_repro.parts.network import PartsNetwork
from reid_repro.parts.samples import Sample, Samples
from reid_repro.parts.targets import multibox_loss
from reid_repro.training.checkpoint import Checkpoints
from reid_repro.training.fitting import Fitted, fit


def train(
    network: PartsNetwork,
    store: ImageStore,
    annotations: pd.DataFrame,
    rows: npt.NDArray[np.integer],
    settings: PartsDetector,
    *,
    keeper: Checkpoints | None = None,
    name: str = "parts",
) -> Fitted:
    """Train `network` in place on the images `rows` of `store`.

    `annotations` has one row a box: image (row of the store), label, x0, y0, x1, y1 in 0..1; an
    image without any is background. Raises UserError where nothing is annotated or the loss is no
    finite number.
    """
    if not annotations["image"].isin(rows).any():
        raise UserError(f"{name}: none of the {len(rows):,} training images has a box")
    samples = Samples(store, annotations, rows, network.classes, network.size, settings.training)

    def losses(model: nn.Module, batch: Sample, device: torch.device) -> Mapping[str, Tensor]:
        there = batch.to(device)
        heads = model(there.pixels, there.gain, there.shift)
        return multibox_loss(network, heads, there.truth)

    keys = "detectors.parts.training"
    return fit(name, network, samples, losses, settings.training, keeper=keeper, keys=keys)
