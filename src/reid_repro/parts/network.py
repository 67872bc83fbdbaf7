"""SSD networks (Liu et al. 2016) for the parts of a vehicle, on torchvision's `SSD`.

`ssd300_vgg16` is torchvision's own, PGAN's detector (section 4.2). `small` is torchvision's `SSD`
over a backbone of ResNet blocks that a CPU trains in a minute. Its maps have strides 4 to 32, since
signs and logos measure a twentieth of the image, and coarse maps are added to the finer ones from
the top (Lin et al. 2017), since what a small bright patch is depends on where on the vehicle it
lies.

torchvision's `SSD.forward` resizes image by image and filters detections class by class in Python,
which costs more than a small network. Here the network takes a batch of uint8 images of the right
size and gives the raw heads; `targets.py` and `selection.py` do the rest for the whole batch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD
from torchvision.models.resnet import BasicBlock

from reid_repro.detectors import PartsDetector
from reid_repro.errors import UserError
from reid_repro.training.augment import IMAGENET_MEAN, IMAGENET_STD

# Sides of the default boxes as shares of the image, one a map and the end of the last; and the
# ratios of their sides beside 1. On the 32x32 cells of a 128-pixel image the smallest lies within
# half its side of every part.
SMALL_SCALES = [0.06, 0.11, 0.2, 0.36, 0.6]
SMALL_RATIOS: list[list[int]] = [[], [2], [2, 3], [2, 3]]
SMALL_OVERLAP = 0.4  # a default box takes a part's class from this intersection over union on


class Heads(NamedTuple):
    """What the network says of n images: A default boxes each."""

    logits: Tensor  # (n, A, 1 + classes), class 0 is the background
    offsets: Tensor  # (n, A, 4), in the box coder's units
    anchors: Tensor  # (A, 4) x0, y0, x1, y1 in pixels, the same for every image


class PartsNetwork(nn.Module):
    """An SSD for square images of `size` pixels that tells `classes` apart."""

    mean: Tensor
    std: Tensor

    def __init__(self, ssd: SSD, classes: Sequence[str], size: int) -> None:
        super().__init__()
        self.ssd = ssd
        self.classes = tuple(classes)
        self.size = size
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD), persistent=False)

    def forward(
        self, pixels: Tensor, gain: Tensor | None = None, shift: Tensor | None = None
    ) -> Heads:
        """`pixels` (n, size, size, 3) uint8; colours are first changed to gain * pixel + shift.

        `gain` and `shift` are (n, 3), in units of 0..255.
        """
        scale, offset = 1 / self.std, -self.mean / self.std
        if gain is not None and shift is not None:
            scale, offset = gain * scale, shift * scale + offset
            scale, offset = scale[:, None, None], offset[:, None, None]
        images = torch.addcmul(offset, pixels.float(), scale).permute(0, 3, 1, 2)
        maps = list(self.ssd.backbone(images).values())
        heads = self.ssd.head(maps)
        one = ImageList(images[:1], [(self.size, self.size)])
        anchors = self.ssd.anchor_generator(one, [each.detach().float() for each in maps])[0]
        return Heads(heads["cls_logits"], heads["bbox_regression"], anchors)


def build(settings: PartsDetector, classes: Sequence[str]) -> PartsNetwork:
    """The network of `settings`, untrained but for the backbone's ImageNet weights where wanted.

    Raises UserError for weights that cannot be had.
    """
    make = _ssd300 if settings.network == "ssd300_vgg16" else _small
    return PartsNetwork(make(settings, 1 + len(classes)), classes, settings.size)


def _ssd300(settings: PartsDetector, num_classes: int) -> SSD:
    from torchvision.models import VGG16_Weights
    from torchvision.models.detection import ssd300_vgg16

    weights = VGG16_Weights.IMAGENET1K_FEATURES if settings.weights == "imagenet" else None
    if settings.size != 300:
        raise UserError("detectors.parts: ssd300_vgg16 takes images of size 300; set size: 300")
    try:
        return ssd300_vgg16(
            weights=None,
            weights_backbone=weights,
            num_classes=num_classes,
        )
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"ImageNet weights of ssd300_vgg16: {error}; run once where there is a network, or set "
            "detectors.parts.weights to none"
        ) from None


def _small(settings: PartsDetector, num_classes: int) -> SSD:
    if settings.weights != "none":
        raise UserError(
            "detectors.parts: the small network has no ImageNet weights; set weights: none"
        )
    return SSD(
        SmallBackbone(settings.width),
        DefaultBoxGenerator(SMALL_RATIOS, scales=SMALL_SCALES),
        (settings.size, settings.size),
        num_classes,
        iou_thresh=SMALL_OVERLAP,
    )


class SmallBackbone(nn.Module):
    """(n, 3, h, w) images to four maps of strides 4, 8, 16 and 32, finest first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        planes = [width, 2 * width, 4 * width, 4 * width]
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        into = [width, *planes]
        self.stages = nn.ModuleList(_stage(a, b) for a, b in zip(into, planes, strict=False))
        self.laterals = nn.ModuleList(nn.Conv2d(each, 2 * width, 1) for each in planes)
        self.out_channels = [2 * width] * len(planes)

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """The maps, in the order of the default boxes."""
        features = self.stem(images)
        fine: list[Tensor] = []
        for stage in self.stages:
            features = stage(features)
            fine.append(features)
        above: Tensor | None = None
        maps: list[tuple[str, Tensor]] = []
        for number in reversed(range(len(fine))):
            own: Tensor = self.laterals[number](fine[number])
            if above is not None:
                own = own + functional.interpolate(above, own.shape[-2:], mode="nearest")
            above = own
            maps.append((str(number), functional.relu(own)))
        return OrderedDict(reversed(maps))


def _stage(channels: int, out: int) -> BasicBlock:
    """A ResNet block that halves the map.

    Its shortcut takes means of 2x2 cells, then a 1x1 convolution (He, T. et al. 2019): one of
    stride 2 would look at a quarter of the cells, and oneDNN's gradient of it in float32 (torch
    2.15) writes beyond its memory where there are 8 channels.
    """
    shortcut = nn.Sequential(
        nn.AvgPool2d(2, ceil_mode=True),
        nn.Conv2d(channels, out, 1, bias=False),
        nn.BatchNorm2d(out),
    )
    return BasicBlock(channels, out, 2, shortcut)
