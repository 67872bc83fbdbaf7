"""Batch normalisation for convolutions that several streams share: statistics of each by itself.

In training every batch is normalised by its own mean and variance. Behind images of one size (the
head, enlarged) these differ from those behind another (the whole person), so that running means
over all streams fit none of them at test time. Here weight and bias stay shared, and each stream
has running statistics of its own: training is the same, a test normalises as the training did.
"""

from __future__ import annotations

from torch import Tensor, nn


class Selected:
    """Which stream's batch is on its way, for all normalisations of a network."""

    def __init__(self) -> None:
        self.stream = 0


class StreamNorm2d(nn.Module):
    """`nn.BatchNorm2d` with running statistics for each of several streams.

    The normalisation stays as a child, with the statistics of stream 0; so what converts such
    modules, for several devices, finds it. Those of the others lie here, (streams - 1, channels).
    """

    means: Tensor
    variances: Tensor

    def __init__(self, norm: nn.BatchNorm2d, streams: int, selected: Selected) -> None:
        super().__init__()
        if norm.running_mean is None or norm.running_var is None:
            raise ValueError("a normalisation without running statistics has none to split")
        self.norm, self.selected = norm, selected
        self.register_buffer("means", norm.running_mean.repeat(streams - 1, 1))
        self.register_buffer("variances", norm.running_var.repeat(streams - 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Normalised `features` (n, c, h, w) of the selected stream."""
        norm, stream = self.norm, self.selected.stream
        if stream == 0:
            normalised: Tensor = norm(features)
            return normalised
        first = norm.running_mean, norm.running_var
        norm.running_mean, norm.running_var = self.means[stream - 1], self.variances[stream - 1]
        try:
            normalised = norm(features)
        finally:
            norm.running_mean, norm.running_var = first
        return normalised


def split_statistics(network: nn.Module, streams: int) -> Selected:
    """Replace every `nn.BatchNorm2d` of `network` by one with statistics for each stream.

    Returns what selects the stream before a forward pass.
    """
    selected = Selected()
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, StreamNorm2d(child, streams, selected))
    return selected
