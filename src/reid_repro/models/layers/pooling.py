"""Means of a map over its places or its channels, with gradients laid out as the map is.

`features.mean((2, 3))` and `features.mean(1)` hand back a gradient that lies in memory channel by
channel; a `channels_last` map, as training has them, lies place by place. Where such a gradient
meets another of the same map, the sum of the two layouts takes ten times as long. Through a view
(n, h w, c) of the map the gradient keeps its layout.
"""

from __future__ import annotations

import torch
from torch import Tensor


def spatial_mean(features: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Global average pooling: (n, c, h, w) to (n, c), summed in `dtype`, if one is given."""
    return features.flatten(2).mT.mean(dim=1, dtype=dtype)


def channel_mean(features: Tensor) -> Tensor:
    """The mean channel: (n, c, h, w) to (n, 1, h, w)."""
    return features.flatten(2).mT.mean(dim=2).view(-1, 1, *features.shape[2:])
