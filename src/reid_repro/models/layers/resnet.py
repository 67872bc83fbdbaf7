"""ResNet backbones (He et al. 2016) that end in a feature map, not in a classifier.

The parameter names are torchvision's, so its ImageNet weights load strictly. The last stage's
stride is an option: 1 keeps the map twice as fine, as the re-ID baselines do. `width` scales
every layer (64 is the original), for networks that train on a CPU.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from reid_repro.models.layers.blocks import BasicBlock, Bottleneck
from reid_repro.models.layers.weights import load_strict


class Layout(NamedTuple):
    """The block type, how many of them each stage has, and the name of torchvision's weights."""

    block: type[BasicBlock] | type[Bottleneck]
    stages: tuple[int, int, int, int]
    imagenet: str | None


LAYOUTS = {
    "resnet10": Layout(BasicBlock, (1, 1, 1, 1), None),
    "resnet18": Layout(BasicBlock, (2, 2, 2, 2), "ResNet18_Weights.IMAGENET1K_V1"),
    "resnet50": Layout(Bottleneck, (3, 4, 6, 3), "ResNet50_Weights.IMAGENET1K_V1"),
}


class ResNet(nn.Module):
    """(n, 3, h, w) images to an (n, `out_channels`, h/16, w/16) map (h/32 with last stride 2)."""

    def __init__(self, *, layout: str = "resnet50", width: int = 64, last_stride: int = 1) -> None:
        super().__init__()
        if layout not in LAYOUTS:
            raise ValueError(f"backbone '{layout}' is unknown; known: {', '.join(LAYOUTS)}")
        block, stages, _ = LAYOUTS[layout]
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        planes = [width, 2 * width, 4 * width, 8 * width]
        out = [channels * block.expansion for channels in planes]
        self.layer1 = _stage(block, width, planes[0], stages[0], 1)
        self.layer2 = _stage(block, out[0], planes[1], stages[1], 2)
        self.layer3 = _stage(block, out[1], planes[2], stages[2], 2)
        self.layer4 = _stage(block, out[2], planes[3], stages[3], last_stride)
        self.out_channels = out[3]
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """The last stage's feature map."""
        features: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = stage(features)
        return features


def _stage(
    block: type[BasicBlock] | type[Bottleneck], channels: int, planes: int, blocks: int, stride: int
) -> nn.Sequential:
    """Blocks of which the first changes stride and channels, its shortcut by a 1x1 convolution."""
    out = planes * block.expansion
    shortcut = None
    if stride != 1 or channels != out:
        shortcut = nn.Sequential(
            nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out)
        )
    first = block(channels, planes, stride, shortcut)
    return nn.Sequential(first, *(block(out, planes) for _ in range(blocks - 1)))


def load_weights(backbone: ResNet, layout: str, weights: str) -> None:
    """`none`, `imagenet` (torchvision's, from its cache or the network), or a state dict's path.

    Strict but for the classifier, which a backbone has not. Raises UserError for weights that
    cannot be had or do not fit, naming a key.
    """
    load_strict(backbone, layout, weights, imagenet=LAYOUTS[layout].imagenet)
