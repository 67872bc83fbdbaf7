"""GoogLeNet trunks (Szegedy et al. 2015) that end in a feature map, not in a classifier.

GLAD (Section 4.2) starts from GoogLeNet and puts convolutions in the place of its fully connected
layer. The parameter names are torchvision's, so its ImageNet weights load strictly; its classifier
and auxiliary heads are left out, and so are its peculiarities kept: batch normalisation after every
convolution, and 3x3 kernels where the paper has 5x5. `width` scales every layer (64 is the
original), and `googlenet_small` has fewer blocks, for networks that train on a CPU.

torchvision's weights want inputs in -1..1 (mean and deviation 0.5), not in ImageNet's statistics.
The trunk always converts from the latter to the former, with and without such weights, so that a
network loaded from its own checkpoint sees what it was trained on.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from reid_repro.models.layers.blocks import ConvNormReLU, Inception
from reid_repro.models.layers.weights import load_strict

# Channels: 1x1; 3x3 reduced, 3x3; 5x5 reduced, 5x5; behind the pooling (their Table 1).
BLOCKS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SMALLEST = 15  # pixels a side: a pooling without padding leaves nothing of a single cell


class Layout(NamedTuple):
    """The inception blocks between two halvings of the map, and torchvision's weights by name."""

    stages: tuple[tuple[str, ...], ...]
    imagenet: str | None


LAYOUTS = {
    "googlenet": Layout(
        (("3a", "3b"), ("4a", "4b", "4c", "4d", "4e"), ("5a", "5b")),
        "GoogLeNet_Weights.IMAGENET1K_V1",
    ),
    "googlenet_small": Layout((("3a",), ("5b",)), None),
}


class GoogLeNet(nn.Module):
    """(n, 3, h, w) images to an (n, `out_channels`, h/32, w/32) map (h/16 for googlenet_small).

    Images are normalised by ImageNet's mean and deviation. Poolings have no padding, so that sides
    that are no multiple of the stride round up or down by a cell; sides below 15 raise ValueError.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, *, layout: str = "googlenet", width: int = 64) -> None:
        super().__init__()
        if layout not in LAYOUTS:
            raise ValueError(f"backbone '{layout}' is unknown; known: {', '.join(LAYOUTS)}")
        if width < 8:
            raise ValueError(f"width is {width}; it must be at least 8")
        self.layout, self.stages = layout, LAYOUTS[layout].stages
        self.conv1 = ConvNormReLU(3, width, 7, stride=2)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = ConvNormReLU(width, width, 1)
        self.conv3 = ConvNormReLU(width, 3 * width, 3)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        channels = 3 * width
        for name in (name for stage in self.stages for name in stage):
            one, reduced3, three, reduced5, five, pooled = (
                max(1, round(planned * width / 64)) for planned in BLOCKS[name]
            )
            block = Inception(channels, one, reduced3, three, reduced5, five, pooled)
            self.add_module(f"inception{name}", block)
            channels = one + three + five + pooled
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.out_channels = channels
        # No part of the state: torchvision's has none, and they never change.
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        self.register_buffer("scale", std / 0.5, persistent=False)
        self.register_buffer("shift", (mean - 0.5) / 0.5, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """The feature map behind the last inception block."""
        self._check_size(images)
        features: Tensor = self.conv1(torch.addcmul(self.shift, images, self.scale))
        features = self.maxpool2(self.conv3(self.conv2(self.maxpool1(features))))
        halvings = (None, self.maxpool3, self.maxpool4)
        for halving, names in zip(halvings, self.stages, strict=False):
            if halving is not None:
                features = halving(features)
            for name in names:
                features = self.get_submodule(f"inception{name}")(features)
        return features

    def _check_size(self, images: Tensor) -> None:
        height, width = images.shape[-2:]
        if min(height, width) < SMALLEST:
            raise ValueError(
                f"{self.layout} got {height}x{width} pixels; each side needs at least {SMALLEST}"
            )


def load_weights(trunk: GoogLeNet, weights: str) -> None:
    """`none`, `imagenet` (torchvision's, from its cache or the network), or a state dict's path.

    Strict but for the classifier and the auxiliary heads, which a trunk has not. Raises UserError
    for weights that cannot be had or do not fit, naming a key.
    """
    source = LAYOUTS[trunk.layout].imagenet
    load_strict(trunk, trunk.layout, weights, imagenet=source, skipped=("fc.", "aux1.", "aux2."))
