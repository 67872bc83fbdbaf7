"""Part attention and refinement of PGAN (Sections 3.3 and 3.4, Figure 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from reid_repro.models.layers.blocks import SqueezeExcitation
from reid_repro.models.layers.pooling import spatial_mean


class PartAttention(nn.Module):
    """PAM: the pooled parts (n, d, `channels`) to weights (n, d) that sum to one (Eq. 4).

    psi is a weight-normalised linear layer to `channels` / `reduction`, layer normalisation, ReLU,
    and a weight-normalised linear layer back, averaged over the channels; the softmax over the
    parts is of psi / `temperature`. Raises ValueError where fewer than two hidden channels are
    left, which a layer normalisation would turn into constants.
    """

    def __init__(self, channels: int, *, reduction: int = 4, temperature: float = 0.1) -> None:
        super().__init__()
        hidden = channels // reduction
        if hidden < 2:
            raise ValueError(
                f"reduction {reduction} of {channels} channels leaves {hidden} in the part "
                "attention; it needs at least 2"
            )
        self.hidden = weight_norm(nn.Linear(channels, hidden))
        self.norm = nn.LayerNorm(hidden)
        # Its bias would add the same to every part, which the softmax takes away again.
        self.back = weight_norm(nn.Linear(hidden, channels, bias=False))
        self.temperature = temperature

    def forward(self, parts: Tensor) -> Tensor:
        """The weights in float32."""
        hidden = self.norm(self.hidden(parts).float()).relu()
        # The mean over the channels is a product with the mean row of the second layer's matrix.
        psi: Tensor = (hidden * self.back.weight.mean(dim=0)).sum(-1)
        return (psi / self.temperature).softmax(-1)


class Refine(nn.Module):
    """A map (n, `channels`, h, w) to its refined, pooled feature (n, `dimension`) in float32.

    Squeeze-and-excitation, then a residual bottleneck whose activations come first (He et al. 2016,
    v2; the shortcut starts behind the first of them, as the channels change), then global average
    pooling. The 1x1 convolutions behind which no activation stands, the shortcut and the last one,
    commute with the pooling and come after it: the same feature for a fraction of the work.
    Raises ValueError where fewer than one channel is left to squeeze to or for the bottleneck.
    """

    def __init__(self, channels: int, dimension: int, *, se_reduction: int = 8) -> None:
        super().__init__()
        squeezed, bottleneck = channels // se_reduction, dimension // 4
        if squeezed < 1 or bottleneck < 1:
            raise ValueError(
                f"refining {channels} channels to {dimension}: se_reduction {se_reduction} leaves "
                f"{squeezed}, the bottleneck has {bottleneck}; both need at least 1"
            )
        self.excitation = SqueezeExcitation(channels, squeezed)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, bottleneck, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck)
        self.conv2 = nn.Conv2d(bottleneck, bottleneck, 3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(bottleneck)
        self.conv3 = nn.Linear(bottleneck, dimension, bias=False)
        self.shortcut = nn.Linear(channels, dimension, bias=False)
        self.relu = nn.ReLU(inplace=True)
        for convolution in (self.conv1, self.conv2, self.conv3, self.shortcut):
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        """`features` (n, channels, h, w) to (n, dimension)."""
        active = self.relu(self.norm1(self.excitation(features)))
        inner = self.relu(self.norm2(self.conv1(active)))
        inner = self.relu(self.norm3(self.conv2(inner)))
        outer, inner = (spatial_mean(maps, torch.float32) for maps in (active, inner))
        pooled: Tensor = self.shortcut(outer) + self.conv3(inner)
        return pooled.float()
