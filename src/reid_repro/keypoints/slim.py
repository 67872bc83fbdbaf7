"""ResNet-101 as DeeperCut has it: a map of stride 16, whose last block sees twice as far.

Two conventions of where a block strides. `last`, TensorFlow-slim's, of the released weights: the
last unit of blocks 1 and 2, and block 4 dilated by 2 throughout. `first`, torchvision's, of its
ImageNet weights: the first unit of blocks 2 and 3, the first unit of block 4 not yet dilated, and
max pooling padded on both sides. Convolutions pad symmetrically in both, and every stride halves
a size rounding up, as "SAME" does.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Strides = Literal["last", "first"]
UNITS = (3, 4, 23, 3)
INTERMEDIATE = 12  # the unit of block 3 whose output is supervised too


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation, and a ReLU where `relu`."""

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels,
            out,
            kernel,
            stride=stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            bias=False,
        )
        self.norm = nn.BatchNorm2d(out, eps=1e-5)
        self.relu = relu
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        """(n, channels, h, w) to (n, out, ceil(h / stride), ceil(w / stride))."""
        found: Tensor = self.norm(self.conv(features))
        return functional.relu(found, inplace=True) if self.relu else found


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 beside a shortcut; the 3x3 convolution strides and is dilated.

    A unit that strides and keeps its channels takes every second row and column as its shortcut.
    """

    def __init__(self, channels: int, planes: int, *, stride: int, dilation: int) -> None:
        super().__init__()
        out = 4 * planes
        self.conv1 = ConvNorm(channels, planes, 1)
        self.conv2 = ConvNorm(planes, planes, 3, stride=stride, dilation=dilation)
        self.conv3 = ConvNorm(planes, out, 1, relu=False)
        self.shortcut = (
            ConvNorm(channels, out, 1, stride=stride, relu=False) if channels != out else None
        )
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        """(n, channels, h, w) to (n, 4 planes, ceil(h / stride), ceil(w / stride))."""
        if self.shortcut is not None:
            shortcut = self.shortcut(features)
        else:
            shortcut = features[:, :, :: self.stride, :: self.stride]
        residual: Tensor = self.conv3(self.conv2(self.conv1(features)))
        return functional.relu(shortcut + residual, inplace=True)


class SlimResNet101(nn.Module):
    """(n, 3, h, w) to the maps of block 3's unit 12 and of block 4, both of stride 16.

    `intermediate_channels` and `out_channels` are theirs.
    """

    intermediate_channels, out_channels = 1024, 2048

    def __init__(self, strides: Strides = "last") -> None:
        super().__init__()
        self.strides = strides
        self.conv1 = ConvNorm(3, 64, 7, stride=2)
        self.block1 = _block(64, 64, UNITS[0], last=2 if strides == "last" else 1)
        self.block2 = _block(
            256, 128, UNITS[1], **({"last": 2} if strides == "last" else {"first": 2})
        )
        self.block3 = _block(512, 256, UNITS[2], first=2 if strides == "first" else 1)
        self.block4 = _block(
            1024, 512, UNITS[3], dilation=2, first_dilation=2 if strides == "last" else 1
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Intermediate and last map, (n, c, ceil(h / 16), ceil(w / 16))."""
        features = self.conv1(images)
        if self.strides == "last":
            features = max_pool_same(features)
        else:
            features = functional.max_pool2d(features, 3, stride=2, padding=1)
        features = self.block2(self.block1(features))
        for number, unit in enumerate(self.block3, start=1):
            features = unit(features)
            if number == INTERMEDIATE:
                intermediate = features
        return intermediate, self.block4(features)


def max_pool_same(features: Tensor, kernel: int = 3, stride: int = 2) -> Tensor:
    """TensorFlow's "SAME" max pooling: what padding is odd goes to the end.

    An even size is padded at the end alone. Padding never wins: it is below every number.
    """
    pads: list[int] = []
    for size in (features.shape[3], features.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    padded = functional.pad(features, pads, value=-torch.inf)
    return functional.max_pool2d(padded, kernel, stride=stride)


def _block(
    channels: int,
    planes: int,
    units: int,
    *,
    first: int = 1,
    last: int = 1,
    dilation: int = 1,
    first_dilation: int | None = None,
) -> nn.Sequential:
    """`unit_1`, `unit_2`, ...: with the strides of the first and the last, and their dilation."""
    found = OrderedDict[str, nn.Module]()
    for number in range(1, units + 1):
        at_first = number == 1
        found[f"unit_{number}"] = Bottleneck(
            channels if at_first else 4 * planes,
            planes,
            stride=first if at_first else last if number == units else 1,
            dilation=first_dilation if at_first and first_dilation else dilation,
        )
    return nn.Sequential(found)
