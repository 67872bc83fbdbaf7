"""The loss of a training: identity and metric losses, each summed over a network's branches.

    total = identity_weight * sum of identity losses + metric_weight * sum of metric losses

(PGAN Eq. 5, CHCA Eq. 10, SSR-Net Eq. 7.) Identity losses: cross-entropy with label smoothing on the
logits, or the pairwise circle loss (Sun et al. 2020) on the features. Metric losses, on the
features before the neck: batch-hard triplet (Hermans et al. 2017, Eq. 5; CHCA Eq. 11; SSR-Net
Eq. 6), contrastive (Hadsell et al. 2006), lifted structure (Oh Song et al. 2016), instance (Zheng
et al. 2020). All but the cross-entropy are pytorch-metric-learning's; none has parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from pytorch_metric_learning import distances, losses, miners, reducers
from torch import Tensor, nn

from reid_repro.config import TrainingConfig
from reid_repro.models.outputs import Outputs

# Of the losses' own papers; on features of length 1, where a distance is at most 2.
CIRCLE_RELAXATION, CIRCLE_SCALE = 0.25, 128
PAIR_MARGIN = 1.0
INSTANCE_SCALE = 64

EmbeddingLoss = Callable[[Tensor, Tensor], Tensor]


class LossParts(NamedTuple):
    """The total to differentiate and its two sums over branches, each a float32 scalar."""

    total: Tensor
    identity: Tensor
    metric: Tensor


class BatchHardTriplet(nn.Module):
    """The hinge of every anchor's farthest positive and nearest negative, Euclidean, not scaled.

    The mean runs over all anchors, those at zero among them: the papers' sums over the batch,
    divided by a constant. A mean over the violating anchors alone would weigh the last of them ever
    more.
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        distance = distances.LpDistance(normalize_embeddings=False, p=2)
        self.mine = miners.BatchHardMiner(distance=distance)
        self.hinge = losses.TripletMarginLoss(
            margin=margin, distance=distance, reducer=reducers.MeanReducer()
        )

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """A scalar of `features` (n, d) and `labels` (n,)."""
        value: Tensor = self.hinge(features, labels, self.mine(features, labels))
        return value


class InstanceDiscrimination(nn.Module):
    """Every image of the batch a class of its own; the identities are not looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = losses.InstanceLoss(gamma=INSTANCE_SCALE)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """A scalar of `features` (n, d)."""
        value: Tensor = self.loss(features, torch.arange(len(labels), device=labels.device))
        return value


class ReIDLoss(nn.Module):
    """The weighted sum that `config` asks for; takes a whole batch, never a device's share."""

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__()
        self.names = {"identity_loss": config.identity_loss, "metric_loss": config.metric_loss}
        self.identity = _identity_loss(config)
        self.metric = _metric_loss(config)
        self.weights = config.identity_weight, config.metric_weight

    def forward(self, outputs: Outputs, labels: Tensor) -> LossParts:
        """`labels` (n,) are classes 0..C-1.

        Raises ValueError where the network has no branch for a loss to read.
        """
        zero = torch.zeros((), device=labels.device)
        read = self.read(outputs)
        identity = metric = zero
        if self.identity is not None:
            branches = read.logits if self._from_logits else read.features
            identity = _sum(self.identity, branches, labels)
        if self.metric is not None:
            metric = _sum(self.metric, read.features, labels)
        total = self.weights[0] * identity + self.weights[1] * metric
        return LossParts(total, identity, metric)

    def read(self, outputs: Outputs) -> Outputs:
        """`outputs` without the branches that no loss reads.

        Raises ValueError where the network has no branch for a loss to read.
        """
        features: dict[str, Tensor] = {}
        logits: dict[str, Tensor] = {}
        if self._from_logits:
            logits = self._branches("identity_loss", outputs.logits)
        elif self.identity is not None:
            features = self._branches("identity_loss", outputs.features)
        if self.metric is not None:
            features = self._branches("metric_loss", outputs.features)
        return Outputs(features, logits)

    @property
    def _from_logits(self) -> bool:
        return self.names["identity_loss"] == "cross_entropy"

    def _branches(self, key: str, branches: dict[str, Tensor]) -> dict[str, Tensor]:
        if not branches:
            raise ValueError(
                f"training.{key} is '{self.names[key]}', but the network has no branch for it; "
                f"set training.{key} to none"
            )
        return branches


def _sum(loss: EmbeddingLoss, branches: Mapping[str, Tensor], labels: Tensor) -> Tensor:
    # Softmax and distances need float32 whatever the network ran in.
    return torch.stack([loss(branch.float(), labels) for branch in branches.values()]).sum()


def _identity_loss(config: TrainingConfig) -> nn.Module | None:
    if config.identity_loss == "cross_entropy":
        return nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
    if config.identity_loss == "circle":
        circle: nn.Module = losses.CircleLoss(m=CIRCLE_RELAXATION, gamma=CIRCLE_SCALE)
        return circle
    return None


def _metric_loss(config: TrainingConfig) -> nn.Module | None:
    made: nn.Module
    if config.metric_loss == "triplet":
        return BatchHardTriplet(config.margin)
    if config.metric_loss == "contrastive":
        # Over the pairs that violate it: most negatives never do, and would drown the others.
        made = losses.ContrastiveLoss(pos_margin=0, neg_margin=PAIR_MARGIN)
        return made
    if config.metric_loss == "lifted":
        made = losses.LiftedStructureLoss(neg_margin=PAIR_MARGIN, reducer=reducers.MeanReducer())
        return made
    if config.metric_loss == "instance":
        return InstanceDiscrimination()
    return None
