"""SSR-Net: global, attention and relation branches over one backbone (Xu et al. 2022).

Section 3.2: the global vector f_G is the pooled map F_G. Section 3.3: an attention module makes
F_Attn of F_G (Eq. 1), and of that the vector f_Attn. Section 3.4: five crops of F_Attn, f_G and a
learnt token are the nodes of a graph, whose convolutions give f_token (Eqs. 2-4). Every branch has
its own BNNeck; the descriptor is f_G, f_token and f_Attn side by side, after their necks.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from reid_repro.models.layers.attention import (
    CBAM,
    BilinearPooling,
    SpatialTransformer,
    squeeze_excitation,
)
from reid_repro.models.layers.graph import RegionGCN, pool_regions
from reid_repro.models.layers.pooling import spatial_mean
from reid_repro.models.layers.resnet import ResNet, load_weights
from reid_repro.models.outputs import Neck, Outputs
from reid_repro.networks import Layout

Attention = Literal["none", "cbam", "se", "bilinear", "stn"]
Embedding = Literal["none", "linear", "convolution"]


class AttentionBranch(nn.Module):
    """From F_G (n, c, h, w): F_Attn of the same shape, and the vector f_Attn (n, `dimension`).

    `embedding` stands between the two: a 1x1 convolution (with BN and ReLU) before the pooling and
    a linear layer after it, the linear layer alone, or neither. With bilinear attention the pooling
    is bilinear and F_Attn is F_G; with the spatial transformer, which acts on the images, F_Attn is
    F_G too.
    """

    def __init__(
        self,
        channels: int,
        dimension: int,
        *,
        attention: Attention,
        reduction: int,
        embedding: Embedding,
    ) -> None:
        super().__init__()
        self.attend: nn.Module = nn.Identity()
        if attention == "cbam":
            self.attend = CBAM(channels, reduction=reduction)
        elif attention == "se":
            self.attend = squeeze_excitation(channels, reduction)
        self.convolution: nn.Module = nn.Identity()
        if embedding == "convolution":
            convolution = nn.Conv2d(channels, channels, 1, bias=False)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            self.convolution = nn.Sequential(
                convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
            )
        self.pool = (
            BilinearPooling(channels, reduction=reduction) if attention == "bilinear" else None
        )
        pooled = self.pool.dimension if self.pool is not None else channels
        self.linear: nn.Module = nn.Identity()
        self.dimension = pooled
        if embedding != "none":
            linear = nn.Linear(pooled, dimension, bias=False)
            nn.init.kaiming_normal_(linear.weight, mode="fan_out")
            self.linear = linear
            self.dimension = dimension

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """F_Attn and f_Attn."""
        attended = self.attend(features)
        embedded = self.convolution(attended)
        pooled = spatial_mean(embedded, torch.float32) if self.pool is None else self.pool(embedded)
        return attended, self.linear(pooled).float()


class RelationBranch(nn.Module):
    """From F_Attn (n, c, h, w) and f_G (n, c): the vector f_token (n, dimension), by the graph."""

    def __init__(
        self,
        channels: int,
        dimension: int,
        *,
        layers: int,
        crop: float,
        global_node: bool,
        token_node: bool,
        last_activation: bool,
    ) -> None:
        super().__init__()
        self.crop = crop
        self.global_node = global_node
        self.token = nn.Parameter(0.02 * torch.randn(channels)) if token_node else None
        self.graph = RegionGCN(
            channels,
            dimension,
            layers=layers,
            global_node=global_node,
            token_node=token_node,
            last_activation=last_activation,
        )

    def forward(self, attended: Tensor, whole: Tensor) -> Tensor:
        """f_token, float32."""
        nodes = [pool_regions(attended, self.crop)]
        if self.global_node:
            nodes.append(whole[:, None])
        if self.token is not None:
            nodes.append(self.token.expand(len(whole), 1, -1))
        related: Tensor = self.graph(torch.cat(nodes, 1))
        return related


class SSRNet(nn.Module):
    """Training: `Outputs` of the branches. Evaluation: their necks' outputs (n, `dimension`).

    `attention` none and `relation` false leave a branch out; the global branch alone is the strong
    baseline. `global_node` and `token_node` say which nodes the graph has beside the five regions
    of `crop` times the map's sides, `layers` how many convolutions it has, `dimension` the size
    of f_token and f_Attn. `normalise` gives every branch of the descriptor the same norm. Raises
    ValueError for options out of range, and for images too small for `crop`.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: Layout = "resnet50",
        width: int = 64,
        last_stride: Literal[1, 2] = 1,
        weights: str = "none",
        attention: Attention = "cbam",
        relation: bool = True,
        global_node: bool = True,
        token_node: bool = True,
        layers: Literal[1, 2, 3] = 2,
        crop: float = 2 / 3,
        dimension: int = 512,
        last_activation: bool = True,
        normalise: bool = False,
        attention_reduction: int = 16,
        attention_embedding: Embedding = "convolution",
    ) -> None:
        super().__init__()
        if attention not in ("none", "cbam", "se", "bilinear", "stn"):
            raise ValueError(
                f"attention '{attention}' is unknown; known: none, cbam, se, bilinear, stn"
            )
        if not 0 < crop <= 1:
            raise ValueError(f"crop is {crop}; it must be above 0 and at most 1")
        self.backbone = ResNet(layout=backbone, width=width, last_stride=last_stride)
        load_weights(self.backbone, backbone, weights)
        channels = self.backbone.out_channels
        self.transformer = SpatialTransformer() if attention == "stn" else None
        self.relation = self.attention = None
        sizes = {"global": channels}
        if relation:
            self.relation = RelationBranch(
                channels,
                dimension,
                layers=layers,
                crop=crop,
                global_node=global_node,
                token_node=token_node,
                last_activation=last_activation,
            )
            sizes["relation"] = dimension
        if attention != "none":
            self.attention = AttentionBranch(
                channels,
                dimension,
                attention=attention,
                reduction=attention_reduction,
                embedding=attention_embedding,
            )
            sizes["attention"] = self.attention.dimension
        self.necks = nn.ModuleDict({name: Neck(size, num_classes) for name, size in sizes.items()})
        self.dimension = sum(sizes.values())
        self.normalise = normalise

    def forward(self, images: Tensor) -> Outputs | Tensor:
        """`images` (n, 3, h, w), normalised."""
        if self.transformer is not None:
            images = self.transformer(images)
        features = self.backbone(images)
        pooled = {"global": spatial_mean(features, torch.float32)}
        # Section 3.2: f_G, also the node of the graph, is the vector behind the normalisation.
        necked = {"global": self.necks["global"](pooled["global"])}
        attended, attention = features, None
        if self.attention is not None:
            attended, attention = self.attention(features)
        if self.relation is not None:
            pooled["relation"] = self.relation(attended, necked["global"])
        if attention is not None:
            pooled["attention"] = attention
        for name in list(pooled)[1:]:
            necked[name] = self.necks[name](pooled[name])
        if self.training:
            return Outputs(
                pooled, {name: self._classifier(name)(value) for name, value in necked.items()}
            )
        if self.normalise:
            necked = {name: functional.normalize(value) for name, value in necked.items()}
        return torch.cat(list(necked.values()), 1)

    def _classifier(self, name: str) -> nn.Linear:
        neck = self.necks[name]
        assert isinstance(neck, Neck)
        return neck.classifier
