"""CHCA: cascaded hierarchical context modules behind the stages of the baseline.

The backbone, the pooling and the neck are the baseline's; a `layers.context.CHCM` stands behind
each stage named (Table IV: all four). At test time the feature after the neck is used (Fig. 2).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from reid_repro.models.layers.context import CHCM
from reid_repro.models.layers.pooling import spatial_mean
from reid_repro.models.layers.resnet import ResNet, load_weights
from reid_repro.models.outputs import Neck, Outputs
from reid_repro.networks import Layout, Stage


class CHCA(nn.Module):
    """Training: `Outputs`. Evaluation: the (n, d) descriptor after the neck, not yet normalised.

    `stages` may be empty: then this is the baseline, parameter by parameter. The other options
    are those of `CHCM`. Raises ValueError for a stage named twice or out of 1..4.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: Layout = "resnet50",
        width: int = 64,
        last_stride: Literal[1, 2] = 1,
        weights: str = "none",
        stages: tuple[Stage, ...] = (1, 2, 3, 4),
        levels: Literal[1, 2, 3, 4] = 3,
        pooling: Literal["max", "average", "strided"] = "max",
        reduction: int = 2,
        softmax_over: Literal["queries", "keys"] = "queries",
        scaled: bool = False,
        shared_key: bool = True,
        zero_output: bool = True,
        too_small: Literal["error", "clamp"] = "error",
    ) -> None:
        super().__init__()
        if len(set(stages)) < len(stages) or not set(stages) <= {1, 2, 3, 4}:
            raise ValueError(f"stages {tuple(stages)}: name some of 1, 2, 3, 4, none twice")
        self.backbone = ResNet(layout=backbone, width=width, last_stride=last_stride)
        load_weights(self.backbone, backbone, weights)
        self.dimension = self.backbone.out_channels
        self.neck = Neck(self.dimension, num_classes)
        # Built last, so that a seed gives the rest the weights that it gives the baseline.
        self.context = nn.ModuleDict(
            {
                str(stage): CHCM(
                    self.dimension >> (4 - stage),
                    reduction=reduction,
                    levels=levels,
                    pooling=pooling,
                    softmax_over=softmax_over,
                    scaled=scaled,
                    shared_key=shared_key,
                    zero_output=zero_output,
                    too_small=too_small,
                    place=f"CHCM behind stage {stage}",
                )
                for stage in sorted(stages)
            }
        )

    def feature_map(self, images: Tensor) -> Tensor:
        """The last map (n, d, h/16, w/16) of `images` (n, 3, h, w), normalised."""
        net = self.backbone
        features: Tensor = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        for number, stage in enumerate((net.layer1, net.layer2, net.layer3, net.layer4), start=1):
            features = stage(features)
            if str(number) in self.context:
                features = self.context[str(number)](features)
        return features

    def forward(self, images: Tensor) -> Outputs | Tensor:
        """`images` (n, 3, h, w), normalised. Raises ValueError where a level does not fit."""
        # Pooled in float32, whatever the map: distances and the neck need it.
        feature = spatial_mean(self.feature_map(images), torch.float32)
        descriptor: Tensor = self.neck(feature)
        if not self.training:
            return descriptor
        return Outputs({"global": feature}, {"global": self.neck.classifier(descriptor)})
