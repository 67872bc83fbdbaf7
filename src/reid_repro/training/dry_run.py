"""One pass of a network over images without numbers, before any is decoded.

It shows whether the network takes images of the recipe's size, and which parameters the losses
reach. Those that none reaches (a classifier under the circle loss) are frozen: the optimiser's
weight decay then leaves them alone, and processes that train together do not wait for their
gradients.
"""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from reid_repro.config import TrainingConfig
from reid_repro.training.losses import ReIDLoss

IMAGES = 2  # the fewest that batch normalisation takes


def freeze_unread(
    model: nn.Module, config: TrainingConfig, places: npt.NDArray[np.float32] | None = None
) -> None:
    """Freeze the parameters of `model` that the losses of `config` do not depend on.

    `places` are those of any number of images. The pass runs on a copy on the meta device: it
    computes shapes alone and leaves running statistics as they are. Raises ValueError, the
    network's own, for images or places that it does not take, and where a loss has no branch to
    read.
    """
    double = copy.deepcopy(model).to("meta").train()
    inputs = [torch.empty(IMAGES, 3, config.height, config.width, device="meta")]
    if places is not None:
        inputs.append(torch.empty(IMAGES, *places.shape[1:], device="meta"))
    read = ReIDLoss(config).read(double(*inputs))
    branches = [*read.features.values(), *read.logits.values()]
    total = torch.stack([branch.sum() for branch in branches]).sum()
    learning = {name: p for name, p in double.named_parameters() if p.requires_grad}
    gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
        total, list(learning.values()), allow_unused=True
    )
    for name, gradient in zip(learning, gradients, strict=True):
        if gradient is None:
            model.get_parameter(name).requires_grad_(False)
