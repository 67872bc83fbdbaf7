"""Attention over feature maps and images: the alternatives of SSR-Net's Table 2.

CBAM (Woo et al. 2018), squeeze-and-excitation (Hu et al. 2018, torchvision's), bilinear pooling
(Lin et al. 2015) and the spatial transformer (Jaderberg et al. 2015).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from reid_repro.models.layers.blocks import SqueezeExcitation
from reid_repro.models.layers.pooling import channel_mean, spatial_mean


def squeezed(channels: int, reduction: int) -> int:
    """The channels of a bottleneck: channels / reduction, at least one."""
    return max(channels // reduction, 1)


def squeeze_excitation(channels: int, reduction: int) -> nn.Module:
    """Channel attention from the pooled map alone: (n, c, h, w) to the same shape."""
    return SqueezeExcitation(channels, squeezed(channels, reduction))


class CBAM(nn.Module):
    """Channel attention, then spatial attention (SSR-Net, Eq. 1): (n, c, h, w) to the same shape.

    F_c = M_c(F) x F with M_c = sigmoid(MLP(average) + MLP(maximum)) over space, and
    F_Attn = M_s(F_c) x F_c with M_s = sigmoid(conv7x7([average; maximum])) over channels.
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        hidden = squeezed(channels, reduction)
        self.channel = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels)
        )
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """F_Attn of the map F."""
        refined = features * self.channel_map(features)
        return refined * self.spatial_map(refined)

    def channel_map(self, features: Tensor) -> Tensor:
        """M_c (n, c, 1, 1). Both pooled vectors go through the shared MLP in one product."""
        pooled = torch.stack((spatial_mean(features), features.amax((2, 3))))
        weights: Tensor = self.channel(pooled).sum(0).sigmoid()
        return weights[:, :, None, None].to(features.dtype)

    def spatial_map(self, features: Tensor) -> Tensor:
        """M_s (n, 1, h, w)."""
        pooled = torch.cat((channel_mean(features), features.amax(1, keepdim=True)), 1)
        weights: Tensor = self.spatial(pooled).sigmoid()
        return weights.to(features.dtype)


class BilinearPooling(nn.Module):
    """The mean outer product of the local features with themselves: (n, c, h, w) to (n, d).

    The channels are reduced to r = c / reduction first, so d = r * r (`dimension`). Then the signed
    square root and the L2 norm of Lin et al., both in float32.
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        reduced = squeezed(channels, reduction)
        self.reduce = nn.Conv2d(channels, reduced, 1, bias=False)
        self.dimension = reduced * reduced

    def forward(self, features: Tensor) -> Tensor:
        """(n, d) float32 of unit norm."""
        local = self.reduce(features).flatten(2)
        gram = (local @ local.mT).flatten(1).float() / local.shape[2]
        # The constant bounds the slope of the root at zero.
        rooted = gram.sign() * (gram.abs() + 1e-5).sqrt()
        return functional.normalize(rooted)


class SpatialTransformer(nn.Module):
    """Warps images (n, c, h, w) by the affine transform that a small network reads off them.

    The localisation network sees the image averaged down to `LOOK` x `LOOK`. Its last layer starts
    at the identity transform. What comes from outside the image is zero, the mean colour of
    normalised images.
    """

    LOOK = 32

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.localise = nn.Sequential(
            nn.Conv2d(channels, 8, 5, stride=2, padding=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 16, 5, stride=2, padding=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(32 * (self.LOOK // 8) ** 2, 32),
            nn.ReLU(inplace=True),
            nn.Linear(32, 6),
        )
        last = self.localise[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))

    def transform(self, images: Tensor) -> Tensor:
        """The affine matrices (n, 2, 3): from places in the result to places in the image.

        Places are x, y, 1 with x and y from -1 to 1 between the outer edges.
        """
        small = functional.adaptive_avg_pool2d(images, self.LOOK)
        theta: Tensor = self.localise(small).float().view(-1, 2, 3)
        return theta

    def forward(self, images: Tensor) -> Tensor:
        """The warped images, of the same shape."""
        grid = affine_grid(self.transform(images), *images.shape[2:])
        warped = functional.grid_sample(images.float(), grid, align_corners=False)
        return warped.to(images.dtype)


def affine_grid(theta: Tensor, height: int, width: int) -> Tensor:
    """The places (n, height, width, 2) that affine matrices (n, 2, 3) give to pixel centres.

    torch's, with align_corners false, but as one sum over rows and columns instead of a product
    per pixel, which autocast would also round to half precision.
    """
    x = (torch.arange(width, device=theta.device) * 2 + 1) / width - 1
    y = (torch.arange(height, device=theta.device) * 2 + 1) / height - 1
    across = x[:, None] * theta[:, None, None, :, 0]
    down = y[:, None, None] * theta[:, None, None, :, 1] + theta[:, None, None, :, 2]
    return across + down
