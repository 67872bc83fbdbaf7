"""The blocks that backbones and attention are built of, under torchvision's parameter names.

Residual blocks: He et al. 2016, Fig. 5, the stride of a bottleneck in its 3x3 convolution.
Inception: Szegedy et al. 2015, Fig. 2b, with batch normalisation and 3x3 kernels for 5x5, as in
torchvision's weights. Squeeze and excitation: Hu et al. 2018, Fig. 1. torchvision has them all, but
cannot be imported without its detectors and the compiler behind these: two seconds for every job
that only loads a network. The tests hold each against torchvision's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from reid_repro.models.layers.pooling import spatial_mean

INCEPTION_EPS = 1e-3  # of the normalisation, where the default is 1e-5


def _convolution(channels: int, out: int, side: int, stride: int = 1) -> nn.Conv2d:
    """Without bias, which the normalisation behind it would take away."""
    return nn.Conv2d(channels, out, side, stride=stride, padding=side // 2, bias=False)


class _Residual(nn.Module):
    """A branch of convolutions added to the input, or to the input's `downsample`."""

    expansion = 1
    downsample: nn.Module | None

    def branch(self, features: Tensor) -> Tensor:
        """What is added to the shortcut, in memory of its own."""
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        """(n, `channels`, h, w) to (n, `planes` x `expansion`, h / stride, w / stride)."""
        kept = features if self.downsample is None else self.downsample(features)
        return functional.relu(self.branch(features).add_(kept), inplace=True)


class BasicBlock(_Residual):
    """Two 3x3 convolutions, the first with the stride."""

    def __init__(
        self, channels: int, planes: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = _convolution(channels, planes, 3, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _convolution(planes, planes, 3)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def branch(self, features: Tensor) -> Tensor:
        """See `_Residual`."""
        inner = functional.relu(self.bn1(self.conv1(features)), inplace=True)
        out: Tensor = self.bn2(self.conv2(inner))
        return out


class Bottleneck(_Residual):
    """1x1 to `planes`, 3x3 with the stride, 1x1 to four times `planes`."""

    expansion = 4

    def __init__(
        self, channels: int, planes: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = _convolution(channels, planes, 1)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _convolution(planes, planes, 3, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = _convolution(planes, self.expansion * planes, 1)
        self.bn3 = nn.BatchNorm2d(self.expansion * planes)
        self.downsample = downsample

    def branch(self, features: Tensor) -> Tensor:
        """See `_Residual`."""
        inner = functional.relu(self.bn1(self.conv1(features)), inplace=True)
        inner = functional.relu(self.bn2(self.conv2(inner)), inplace=True)
        out: Tensor = self.bn3(self.conv3(inner))
        return out


class ConvNormReLU(nn.Module):
    """A convolution without bias, batch normalisation, ReLU: what GoogLeNet is made of."""

    def __init__(self, channels: int, out: int, side: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = _convolution(channels, out, side, stride)
        self.bn = nn.BatchNorm2d(out, eps=INCEPTION_EPS)

    def forward(self, features: Tensor) -> Tensor:
        """(n, `channels`, h, w) to (n, `out`, h / stride, w / stride), rounded up."""
        return functional.relu(self.bn(self.conv(features)), inplace=True)


class Inception(nn.Module):
    """Four branches side by side: 1x1; 1x1 and 3x3, twice; 3x3 pooling and 1x1.

    The numbers of channels are those of the paper's Table 1, in its order: "reduced" ones are in
    front of a larger convolution.
    """

    def __init__(
        self,
        channels: int,
        one: int,
        reduced3: int,
        three: int,
        reduced5: int,
        five: int,
        pooled: int,
    ) -> None:
        super().__init__()
        self.branch1 = ConvNormReLU(channels, one, 1)
        self.branch2 = nn.Sequential(
            ConvNormReLU(channels, reduced3, 1), ConvNormReLU(reduced3, three, 3)
        )
        self.branch3 = nn.Sequential(
            ConvNormReLU(channels, reduced5, 1), ConvNormReLU(reduced5, five, 3)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), ConvNormReLU(channels, pooled, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(n, `channels`, h, w) to (n, one + three + five + pooled, h, w)."""
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(features) for branch in branches], dim=1)


class SqueezeExcitation(nn.Module):
    """A map times a gate for each channel, from the channels' means by way of `squeezed` ones."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(n, `channels`, h, w) to the same shape."""
        means = spatial_mean(features)[:, :, None, None]
        gate: Tensor = self.fc2(functional.relu(self.fc1(means))).sigmoid()
        return gate * features
