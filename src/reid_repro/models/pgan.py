"""PGAN: part-guided attention, fused with the global map (Sections 3.1 to 3.5, Figure 2).

The boxes of a part detector become masks of the last feature map, the part attention weighs them,
and the weighted parts strengthen the map. The global map, the part map and both side by side are
refined to a feature each; the fused one is the descriptor, and which of the three the metric loss
sees is Table 1's choice.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from reid_repro.models.layers.masks import box_masks, masked_mean
from reid_repro.models.layers.part_attention import PartAttention, Refine
from reid_repro.models.layers.resnet import ResNet, load_weights
from reid_repro.models.outputs import Neck, Outputs
from reid_repro.networks import Feature, Layout


class PGAN(nn.Module):
    """Training: `Outputs`. Evaluation: the (n, `dimension`) descriptor after the neck.

    `attention` is `parts` (the paper's), `uniform` (parts of equal weight, "w/o PAM"), `grid` (each
    cell a part) or `none` (the global map alone, refined: the baseline of the tables). `parts` is
    D. `dimension` is the fused feature's; the global and the part feature have half of it. Of
    `optimised`, what the attention cannot give does not exist: `none` has the fusion feature alone.
    Raises ValueError where `optimised` repeats, lacks `fusion` or the dimension is odd.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: Layout = "resnet50",
        width: int = 64,
        last_stride: Literal[1, 2] = 1,
        weights: str = "none",
        attention: Literal["parts", "uniform", "grid", "none"] = "parts",
        parts: int = 8,
        dimension: int = 512,
        optimised: tuple[Feature, ...] = ("fusion", "global", "part"),
        temperature: float = 0.1,
        reduction: int = 4,
        se_reduction: int = 8,
    ) -> None:
        super().__init__()
        _check(attention, parts, dimension, optimised)
        self.backbone = ResNet(layout=backbone, width=width, last_stride=last_stride)
        load_weights(self.backbone, backbone, weights)
        self.attention = attention
        self.parts = parts
        self.dimension = dimension
        channels = self.backbone.out_channels
        if attention in ("parts", "grid"):
            self.part_attention = PartAttention(
                channels, reduction=reduction, temperature=temperature
            )
        self.neck = Neck(dimension, num_classes)
        joined = channels if attention == "none" else 2 * channels
        self.refine = nn.ModuleDict(
            {"fusion": Refine(joined, dimension, se_reduction=se_reduction)}
        )
        branches: tuple[Feature, ...] = () if attention == "none" else ("global", "part")
        for branch in branches:
            if branch in optimised:
                self.refine[branch] = Refine(channels, dimension // 2, se_reduction=se_reduction)

    def attend(self, features: Tensor, boxes: Tensor | None = None) -> Tensor:
        """sum_i w_i M_i, the attention (n, 1, h, w) on a map (n, c, h, w), in float32 (Eqs. 3, 4).

        `boxes` as in `forward`. Raises ValueError for missing or misshapen boxes, and for a
        network without attention.
        """
        height, width = features.shape[-2:]
        if self.attention == "none":
            raise ValueError("attention is 'none': this network has no attention map")
        if self.attention == "grid":
            of_cells: Tensor = self.part_attention(features.flatten(2).mT)
            return of_cells.view(-1, 1, height, width)
        masks = box_masks(self._most_confident(features, boxes), height, width)
        if self.attention == "uniform":
            return masks.mean(dim=1, keepdim=True)
        weights: Tensor = self.part_attention(masked_mean(features, masks))
        # One weighted mask stands for D masked maps: sum_i w_i (M_i * F) = (sum_i w_i M_i) * F.
        return (weights[:, :, None, None] * masks).sum(dim=1, keepdim=True)

    def _most_confident(self, features: Tensor, boxes: Tensor | None) -> Tensor:
        expected = f"({len(features)}, at least {self.parts}, 4)"
        if boxes is None:
            raise ValueError(f"attention '{self.attention}' needs part boxes of shape {expected}")
        if (
            boxes.ndim != 3
            or len(boxes) != len(features)
            or boxes.shape[1] < self.parts
            or boxes.shape[2] != 4
        ):
            raise ValueError(f"boxes have shape {tuple(boxes.shape)}, not {expected}")
        return boxes[:, : self.parts].float()

    def forward(self, images: Tensor, boxes: Tensor | None = None) -> Outputs | Tensor:
        """`images` (n, 3, h, w), normalised; `boxes` (n, >= parts, 4), the most confident first.

        A box is x0, y0, x1, y1 in shares of the image. `grid` and `none` look at no boxes.
        """
        maps = {"global": self.backbone(images)}
        if self.attention == "none":
            maps["fusion"] = maps["global"]
        else:
            attention = self.attend(maps["global"], boxes).to(maps["global"].dtype)
            # Eq. 3, not as (1 + attention) F: half precision would round a small attention away.
            maps["part"] = torch.addcmul(maps["global"], maps["global"], attention)
            maps["fusion"] = torch.cat((maps["global"], maps["part"]), dim=1)
        feature = self.refine["fusion"](maps["fusion"])
        descriptor: Tensor = self.neck(feature)
        if not self.training:
            return descriptor
        features = {"fusion": feature}
        features |= {
            name: self.refine[name](maps[name]) for name in self.refine if name != "fusion"
        }
        return Outputs(features, {"fusion": self.neck.classifier(descriptor)})


def _check(attention: str, parts: int, dimension: int, optimised: tuple[str, ...]) -> None:
    if attention not in ("parts", "uniform", "grid", "none"):
        raise ValueError(f"attention '{attention}' is unknown; known: parts, uniform, grid, none")
    if parts < 1:
        raise ValueError(f"parts is {parts}; it must be at least 1")
    if dimension < 2 or dimension % 2:
        raise ValueError(f"dimension is {dimension}; it must be even: two features have half of it")
    if (
        "fusion" not in optimised
        or len(set(optimised)) < len(optimised)
        or not set(optimised) <= {"fusion", "global", "part"}
    ):
        raise ValueError(
            f"optimised {tuple(optimised)}: 'fusion' and any of 'global', 'part', none twice"
        )
