"""The strong baseline of re-ID (Luo et al., Bag of Tricks, 2019; base of PGAN, CHCA, SSR-Net).

A backbone with last stride 1, global average pooling, and a BNNeck: the triplet loss sees the
feature before a batch normalisation whose bias stays zero, the classifier and the test see the
one after it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reid_repro.models.layers.pooling import spatial_mean
from reid_repro.models.layers.resnet import ResNet, load_weights
from reid_repro.models.outputs import Neck, Outputs


class Baseline(nn.Module):
    """Training: `Outputs`. Evaluation: the (n, d) descriptor after the neck, not yet normalised."""

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: str = "resnet50",
        width: int = 64,
        last_stride: int = 1,
        weights: str = "none",
    ) -> None:
        super().__init__()
        self.backbone = ResNet(layout=backbone, width=width, last_stride=last_stride)
        load_weights(self.backbone, backbone, weights)
        self.dimension = self.backbone.out_channels
        self.neck = Neck(self.dimension, num_classes)

    def forward(self, images: Tensor) -> Outputs | Tensor:
        """`images` (n, 3, h, w), normalised."""
        # Pooled in float32, whatever the map: distances and the neck need it.
        feature = spatial_mean(self.backbone(images), torch.float32)
        descriptor: Tensor = self.neck(feature)
        if not self.training:
            return descriptor
        return Outputs({"global": feature}, {"global": self.neck.classifier(descriptor)})
