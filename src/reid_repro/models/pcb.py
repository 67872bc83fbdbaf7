"""PCB, the part-based convolutional baseline (Sun et al. 2018), SSR-Net's peer in its Table 3.

The feature map is cut into horizontal stripes, each pooled, reduced by one shared 1x1 convolution,
and given its own normalisation and classifier. The descriptor is all stripes side by side.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from reid_repro.models.layers.resnet import ResNet, load_weights
from reid_repro.models.outputs import Neck, Outputs
from reid_repro.networks import Layout


def pool_stripes(features: Tensor, stripes: int) -> Tensor:
    """The mean feature of each horizontal stripe of maps (n, c, h, w): (n, stripes, c) float32.

    Stripe i covers rows floor(i h / stripes) to ceil((i + 1) h / stripes), so that neighbours share
    a row where the height does not divide. Raises ValueError for fewer rows than stripes.
    """
    height = features.shape[2]
    if height < stripes:
        raise ValueError(
            f"a feature map of {height} rows has no {stripes} stripes; "
            "enlarge the image or lower model.stripes"
        )
    profile = features.mean(3, dtype=torch.float32)
    edges = [
        (index * height // stripes, -(-(index + 1) * height // stripes)) for index in range(stripes)
    ]
    # Not torch's adaptive pooling, whose gradient on a GPU adds up in no fixed order.
    return torch.stack([profile[:, :, top:bottom].mean(2) for top, bottom in edges], 1)


class PCB(nn.Module):
    """Training: `Outputs`. Evaluation: the (n, stripes * dimension) descriptor after the necks.

    Each stripe has its own logits; the metric loss sees all stripes side by side, as a search does.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: Layout = "resnet50",
        width: int = 64,
        last_stride: Literal[1, 2] = 1,
        weights: str = "none",
        stripes: int = 6,
        dimension: int = 256,
    ) -> None:
        super().__init__()
        if stripes < 1:
            raise ValueError(f"stripes is {stripes}; it must be at least 1")
        self.backbone = ResNet(layout=backbone, width=width, last_stride=last_stride)
        load_weights(self.backbone, backbone, weights)
        self.stripes = stripes
        # On pooled vectors a 1x1 convolution is a linear layer.
        self.reduce = nn.Linear(self.backbone.out_channels, dimension, bias=False)
        nn.init.kaiming_normal_(self.reduce.weight, mode="fan_out", nonlinearity="relu")
        self.necks = nn.ModuleList(Neck(dimension, num_classes) for _ in range(stripes))
        self.dimension = stripes * dimension

    def forward(self, images: Tensor) -> Outputs | Tensor:
        """`images` (n, 3, h, w), normalised."""
        pooled = pool_stripes(self.backbone(images), self.stripes)
        reduced = self.reduce(pooled).float()
        necked = [neck(reduced[:, index]) for index, neck in enumerate(self.necks)]
        if not self.training:
            return torch.cat(necked, 1)
        logits = {
            f"stripe{index}": neck.classifier(value)
            for index, (neck, value) in enumerate(zip(self._necks(), necked, strict=True))
        }
        return Outputs({"stripes": reduced.flatten(1)}, logits)

    def _necks(self) -> list[Neck]:
        return [neck for neck in self.necks if isinstance(neck, Neck)]
