"""What every network gives its losses, and the neck between feature and classifier."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


class Outputs(NamedTuple):
    """What the losses take, by branch, the main branch first.

    `features` (n, d) float32 go to the metric loss, `logits` (n, classes) to the identity loss.
    The two need not have the same branches.
    """

    features: dict[str, Tensor]
    logits: dict[str, Tensor]


class Neck(nn.Module):
    """BNNeck (Luo et al. 2019): a batch normalisation with its bias held at zero, a classifier.

    The metric loss sees the feature before it, the classifier and the test the one after it.
    """

    def __init__(self, dimension: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dimension)
        self.norm.bias.requires_grad_(False)
        self.classifier = nn.Linear(dimension, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, feature: Tensor) -> Tensor:
        """The descriptor (n, d) of a `feature` (n, d)."""
        descriptor: Tensor = self.norm(feature)
        return descriptor
