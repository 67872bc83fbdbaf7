"""The baseline's loss: identity (cross-entropy) plus batch-hard triplet.

Batch-hard mining and the triplet loss come from pytorch-metric-learning (Hermans et al. 2017,
Eq. 5): Euclidean distance on the feature before the neck, not normalised.
"""

from __future__ import annotations

from typing import NamedTuple

from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from torch import Tensor, nn

from reid_repro.config import TrainingConfig
from reid_repro.models.baseline import Outputs


class LossParts(NamedTuple):
    """The total to differentiate and its two parts, each a scalar."""

    total: Tensor
    identity: Tensor
    triplet: Tensor


class BaselineLoss(nn.Module):
    """Cross-entropy on the logits plus `triplet_weight` times the batch-hard triplet loss."""

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__()
        self.cross_entropy = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
        distance = LpDistance(normalize_embeddings=False, p=2)
        self.miner = BatchHardMiner(distance=distance)
        self.triplet = TripletMarginLoss(margin=config.margin, distance=distance)
        self.weight = config.triplet_weight

    def forward(self, outputs: Outputs, labels: Tensor) -> LossParts:
        """`labels` (n,) are classes 0..C-1."""
        identity = self.cross_entropy(outputs.logits.float(), labels)
        triplet = self.triplet(outputs.feature, labels, self.miner(outputs.feature, labels))
        return LossParts(identity + self.weight * triplet, identity, triplet)
