"""DeeperCut's network (Insafutdinov et al. 2016): score maps and offsets of 14 joints at stride 8.

A backbone of stride 16, and on its last map two heads, each one transposed convolution: score maps
(one logit a joint) and location refinement (dx, dy a joint, in units of `locref_scale` pixels). A
third head on an earlier map of the backbone is supervised too while training (Section 3.3 of the
paper, "intermediate supervision"). The backbone is ResNet-101, or a small one for a CPU.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from reid_repro.detectors import KeypointsDetector
from reid_repro.errors import UserError
from reid_repro.keypoints.joints import JOINTS
from reid_repro.keypoints.names import load_imagenet
from reid_repro.keypoints.slim import SlimResNet101
from reid_repro.models.layers.resnet import ResNet

STRIDE = 8  # of the score maps
MEAN = (123.68, 116.779, 103.939)  # of red, green and blue, 0..255, as the released network has it
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # torchvision's mean and deviation
SMALL_DEVIATION = (64.0, 64.0, 64.0)  # brings the small network's input near unit variance
PRIOR = 0.01  # a cell's chance to be a joint's before anything is learnt


class PoseMaps(NamedTuple):
    """What the heads give for n images: rows and columns are ceil(size / 16) * 2.

    `scores` (n, 14, rows, columns), logits; `offsets` (n, 28, rows, columns), (dx, dy) of joint 0,
    of joint 1, ...; `intermediate` as `scores`, None where the head is not there or not asked for.
    """

    scores: Tensor
    offsets: Tensor
    intermediate: Tensor | None


class Upsampling(nn.ConvTranspose2d):
    """3x3 transposed convolution of stride 2 as TensorFlow's "SAME" does it: doubles the size.

    The last row and column of the full answer are cropped.
    """

    def __init__(self, channels: int, out: int, *, bias: float = 0.0) -> None:
        super().__init__(channels, out, 3, stride=2)
        nn.init.normal_(self.weight, std=0.01)
        assert self.bias is not None
        nn.init.constant_(self.bias, bias)

    def forward(self, features: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(n, channels, h, w) to (n, out, 2h, 2w)."""
        return super().forward(features, output_size)[:, :, :-1, :-1]


class SmallBackbone(nn.Module):
    """A ResNet-10 of `width`: the maps of its third and its last stage, both of stride 16.

    The last stage is dilated, as ResNet-101's is here: which side is left shows in the face alone,
    and a cell at the hips must see it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.resnet = ResNet(layout="resnet10", width=width, last_stride=1)
        self.intermediate_channels, self.out_channels = 4 * width, self.resnet.out_channels
        for module in self.resnet.layer4.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                module.dilation = module.padding = (2, 2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Intermediate and last map, (n, c, ceil(h / 16), ceil(w / 16))."""
        net = self.resnet
        features = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        intermediate = net.layer3(net.layer2(net.layer1(features)))
        return intermediate, net.layer4(intermediate)


class PoseNetwork(nn.Module):
    """Backbone and heads; takes images as they are, RGB in 0..255.

    `normalisation` is (mean, deviation) of the three channels. With `frozen_statistics` batch
    normalisation keeps its statistics while training, as is usual from pretrained weights with
    one image a batch.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        backbone: SlimResNet101 | SmallBackbone,
        *,
        intermediate: bool = True,
        normalisation: tuple[tuple[float, ...], tuple[float, ...]] = (MEAN, (1.0, 1.0, 1.0)),
        frozen_statistics: bool = False,
    ) -> None:
        super().__init__()
        for name, values in zip(("mean", "deviation"), normalisation, strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        self.backbone = backbone
        prior = -math.log((1 - PRIOR) / PRIOR)
        self.part_pred = Upsampling(backbone.out_channels, JOINTS, bias=prior)
        self.locref_pred = Upsampling(backbone.out_channels, 2 * JOINTS)
        self.intermediate_supervision = (
            Upsampling(backbone.intermediate_channels, JOINTS, bias=prior) if intermediate else None
        )
        self.frozen_statistics = frozen_statistics

    def forward(self, images: Tensor) -> PoseMaps:
        """`images` (n, 3, h, w), uint8 or float in 0..255; `intermediate` is for training alone."""
        middle, last = self.backbone((images - self.mean).div_(self.deviation))
        early = self.intermediate_supervision
        return PoseMaps(
            self.part_pred(last),
            self.locref_pred(last),
            early(middle) if early is not None and self.training else None,
        )

    def train(self, mode: bool = True) -> PoseNetwork:
        """As every module, but that frozen statistics stay."""
        super().train(mode)
        if mode and self.frozen_statistics:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


def map_size(size: int) -> int:
    """Rows (columns) of the maps of an image of `size` rows (columns)."""
    return 2 * -(-size // 16)


def shown(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (n, h, w, 3) uint8 at `size`, (n, 3, *size): bilinear, anti-aliased.

    Bytes on a CPU, which resizes them as such several times faster; elsewhere float32 if resized.
    """
    images = pixels.permute(0, 3, 1, 2)
    if tuple(images.shape[2:]) != size:
        if images.device.type != "cpu":
            images = images.float()
        images = functional.interpolate(images, size, mode="bilinear", antialias=True)
    return images


def scaled(settings: KeypointsDetector, scale: float) -> tuple[int, int]:
    """(height, width) of the settings' images at a scale."""
    return max(1, round(settings.height * scale)), max(1, round(settings.image_width * scale))


def build(settings: KeypointsDetector) -> PoseNetwork:
    """The network of the settings, its backbone pretrained where they say so.

    Raises UserError where ImageNet weights cannot be had.
    """
    network = build_bare(settings)
    if settings.weights == "imagenet":
        assert isinstance(network.backbone, SlimResNet101)
        load_imagenet(network.backbone)
    return network


def build_bare(settings: KeypointsDetector) -> PoseNetwork:
    """The same network before any weights are loaded: what a file's weights are put into."""
    pretrained = settings.weights == "imagenet"
    if settings.network == "small":
        if pretrained:
            raise UserError(
                "detectors.keypoints: network 'small' has no ImageNet weights; set weights to none"
            )
        return PoseNetwork(
            SmallBackbone(settings.width),
            intermediate=settings.intermediate,
            normalisation=(MEAN, SMALL_DEVIATION),
        )
    return PoseNetwork(
        SlimResNet101("first" if pretrained else "last"),
        intermediate=settings.intermediate,
        normalisation=IMAGENET if pretrained else (MEAN, (1.0, 1.0, 1.0)),
        frozen_statistics=pretrained,
    )
