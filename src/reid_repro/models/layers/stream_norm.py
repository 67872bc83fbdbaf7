"""Batch normalisation for convolutions that several streams share: statistics of each by itself.

In training every batch is normalised by its own mean and variance. Behind images of one size (the
head, enlarged) these differ from those behind another (the whole person), so that running means
over all streams fit none of them at test time. Here weight and bias stay shared, and each stream
has running statistics of its own: training is the same, a test normalises as the training did.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Selected:
    """Which stream's batch is on its way, for all normalisations of a network."""

    def __init__(self) -> None:
        self.stream = 0


class StreamNorm2d(nn.Module):
    """`nn.BatchNorm2d` with running statistics (streams, channels), from one that it replaces."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, norm: nn.BatchNorm2d, streams: int, selected: Selected) -> None:
        super().__init__()
        if norm.running_mean is None or norm.running_var is None or norm.momentum is None:
            raise ValueError("a normalisation without running statistics or momentum has no split")
        self.weight, self.bias = norm.weight, norm.bias
        self.eps, self.momentum, self.selected = norm.eps, norm.momentum, selected
        self.register_buffer("running_mean", norm.running_mean.repeat(streams, 1))
        self.register_buffer("running_var", norm.running_var.repeat(streams, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Normalised `features` (n, c, h, w) of the selected stream."""
        stream = self.selected.stream
        return functional.batch_norm(
            features,
            self.running_mean[stream],
            self.running_var[stream],
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )


def split_statistics(network: nn.Module, streams: int) -> Selected:
    """Replace every `nn.BatchNorm2d` of `network` by one with statistics for each stream.

    Returns what selects the stream before a forward pass.
    """
    selected = Selected()
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, StreamNorm2d(child, streams, selected))
    return selected
