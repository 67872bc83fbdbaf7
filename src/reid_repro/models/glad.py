"""GLAD: global and local streams over body regions (Wei et al. 2017, Section 4).

The global stream sees the whole image, three local ones the head, upper body and lower body that
keypoints mark (Eqs. 2 and 3). Each is a GoogLeNet trunk, a feature convolution with M maps and a
convolution with C confidence maps; global average pooling of the latter gives the scores of the
softmax loss (Eq. 4), that of the former the stream's M-d descriptor, and the concatenation of the
streams' descriptors is GLAD (Eq. 5). The streams share their trunk (W/S) or have one each (WO/S).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from reid_repro.models.layers.googlenet import GoogLeNet, load_weights
from reid_repro.models.layers.pooling import spatial_mean
from reid_repro.models.layers.pose_image import canvas_keypoints, pose_image
from reid_repro.models.layers.regions import (
    REGIONS,
    check_keypoints,
    crop,
    crop_rows,
    in_full_precision,
    region_boxes,
    region_size,
)
from reid_repro.models.layers.stream_norm import Selected, split_statistics
from reid_repro.models.outputs import Outputs
from reid_repro.networks import Stream

STREAMS: tuple[Stream, ...] = ("global", "head", "upper", "lower")
# Streams whose images have one size pass a shared trunk as one batch.
BATCHES: tuple[tuple[Stream, ...], ...] = (("global",), ("head",), ("upper", "lower"))


class StreamHead(nn.Module):
    """Feature convolution and confidence maps of one stream, both pooled.

    The pooling of the confidence maps (Eq. 4) commutes with their 1x1 convolution, so that this
    takes the pooled features: the same scores without C maps for every image.
    """

    def __init__(
        self, channels: int, num_classes: int, *, maps: int, kernel: int, norm: bool
    ) -> None:
        super().__init__()
        self.feature = nn.Conv2d(channels, maps, kernel, padding=kernel // 2, bias=not norm)
        self.norm = nn.BatchNorm2d(maps) if norm else nn.Identity()
        self.confidence = nn.Conv2d(maps, num_classes, 1)
        nn.init.kaiming_normal_(self.feature.weight, mode="fan_out", nonlinearity="relu")
        if self.feature.bias is not None:
            nn.init.zeros_(self.feature.bias)
        nn.init.normal_(self.confidence.weight, std=0.001)
        if self.confidence.bias is not None:
            nn.init.zeros_(self.confidence.bias)

    def forward(self, trunk_map: Tensor) -> Tensor:
        """The stream's descriptor, (n, maps) float32, from the trunk's map (n, c, h, w)."""
        maps: Tensor = functional.relu(self.norm(self.feature(trunk_map)))
        return spatial_mean(maps, torch.float32)

    def scores(self, descriptor: Tensor) -> Tensor:
        """The classification scores S_c of Eq. 4, (n, classes), from a descriptor (n, maps)."""
        scores: Tensor = self.confidence(descriptor[:, :, None, None])
        return scores.flatten(1)


class GLAD(nn.Module):
    """Training: `Outputs` by stream. Evaluation: the streams' descriptors side by side, (n, d).

    Args:
        backbone, width, weights: the trunk, as in `layers.googlenet`.
        streams: those that there are; descriptors and outputs are in their order.
        shared: one trunk for all streams (W/S), or one for each (WO/S).
        maps: M, the feature convolution's channels; `kernel` its side, 1 or 3.
        feature_norm: batch normalisation between the feature convolution and its ReLU.
        own_statistics: a shared trunk normalises the images of each size by running statistics of
            their own at test time (`layers.stream_norm`); False has one set for all.
        normalise: each stream's descriptor has length 1 before they are put side by side.
        overlap: alpha of Eqs. 2 and 3 as a share of the image's height.
        image: the original image, or the standard pose image of ten parts (Table 2), from which
            regions are then cut at fixed places.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: Literal["googlenet", "googlenet_small"] = "googlenet",
        width: int = 64,
        weights: str = "none",
        streams: tuple[Stream, ...] = STREAMS,
        shared: bool = True,
        maps: int = 1024,
        kernel: Literal[1, 3] = 1,
        feature_norm: bool = True,
        own_statistics: bool = True,
        normalise: bool = True,
        overlap: float = 15 / 512,
        image: Literal["original", "pose"] = "original",
    ) -> None:
        super().__init__()
        self.streams: tuple[Stream, ...] = tuple(streams)
        _check(self.streams, maps, kernel, image)
        self.shared, self.normalise, self.overlap, self.image = shared, normalise, overlap, image
        trunks = {
            owner: GoogLeNet(layout=backbone, width=width)
            for owner in (("shared",) if shared else self.streams)
        }
        for trunk in trunks.values():
            load_weights(trunk, weights)
        self.trunks = nn.ModuleDict(trunks)
        together = BATCHES if shared else tuple((stream,) for stream in self.streams)
        present = [tuple(s for s in batch if s in self.streams) for batch in together]
        self.batches = [batch for batch in present if batch]
        self.selected = Selected()
        if shared and own_statistics and len(self.batches) > 1:
            self.selected = split_statistics(self.trunks, len(self.batches))
        channels = next(iter(trunks.values())).out_channels
        self.heads = nn.ModuleDict(
            {
                stream: StreamHead(
                    channels, num_classes, maps=maps, kernel=kernel, norm=feature_norm
                )
                for stream in self.streams
            }
        )
        self.dimension = maps * len(self.streams)

    def forward(self, images: Tensor, keypoints: Tensor | None = None) -> Outputs | Tensor:
        """`images` (n, 3, h, w), normalised; `keypoints` (n, 14, 3), x and y in 0..1, confidence.

        Keypoints may be None where only the global stream of the original image is there; they are
        not used then. Raises ValueError for keypoints that are missing or of another shape.
        """
        features: dict[str, Tensor] = {}
        for number, (batch, seen) in enumerate(self._seen(images, keypoints)):
            self.selected.stream = number
            trunk = self.trunks["shared" if self.shared else batch[0]]
            maps = trunk(seen)
            for place, stream in enumerate(batch):
                features[stream] = self.heads[stream](maps[place :: len(batch)])
        ordered: dict[str, Tensor] = {stream: features[stream] for stream in self.streams}
        if self.training:
            scores = {name: self._head(name).scores(value) for name, value in ordered.items()}
            return Outputs(ordered, scores)
        descriptors = list(ordered.values())
        if self.normalise:
            descriptors = [functional.normalize(descriptor) for descriptor in descriptors]
        return torch.cat(descriptors, dim=1)

    def _head(self, stream: str) -> StreamHead:
        head = self.heads[stream]
        assert isinstance(head, StreamHead)
        return head

    def _seen(
        self, images: Tensor, keypoints: Tensor | None
    ) -> Iterator[tuple[tuple[Stream, ...], Tensor]]:
        """Each batch of streams of one size, with its images: those of the first person first."""
        if self.image == "pose":
            keypoints = check_keypoints(keypoints, images)
            images = pose_image(images, keypoints)
            keypoints = canvas_keypoints(images.device).expand(len(images), -1, -1)
        height, width = images.shape[-2:]
        regions = [stream for stream in self.streams if stream != "global"]
        if regions:
            keypoints = check_keypoints(keypoints, images)
            with in_full_precision(images.device):
                boxes = region_boxes(keypoints, height, width, self.overlap)
        for batch in self.batches:
            if batch == ("global",):
                yield batch, images
                continue
            chosen = boxes[:, [REGIONS.index(stream) for stream in batch]]
            size = region_size(batch[0], height, width)
            whole_width = batch != ("head",)  # Eq. 3
            crops = (
                crop_rows(images, chosen, size[0]) if whole_width else crop(images, chosen, size)
            )
            yield batch, crops.flatten(0, 1)


def _check(streams: tuple[Stream, ...], maps: int, kernel: int, image: str) -> None:
    """Raise ValueError for options that no network has."""
    unknown = [stream for stream in streams if stream not in STREAMS]
    if not streams or unknown or len(set(streams)) < len(streams):
        raise ValueError(
            f"streams are {streams}: use some of {', '.join(STREAMS)}, each at most once"
        )
    if maps < 1:
        raise ValueError(f"maps is {maps}; it must be at least 1")
    if kernel not in (1, 3):
        raise ValueError(f"kernel is {kernel}: use 1 or 3")
    if image not in ("original", "pose"):
        raise ValueError(f"image is {image!r}: use 'original' or 'pose'")
