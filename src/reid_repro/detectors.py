"""Settings of the two detectors: the parts that PGAN attends to, the joints that GLAD cuts by.

Each is trained here, or its weights or its answers are imported. Neither torch nor snakemake is
imported: the plan reads this on every start.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from reid_repro.checking import Strict

Kind = Literal["parts", "keypoints"]


class DetectorTraining(Strict):
    """The training of a detector, counted in iterations.

    The rate rises linearly over `warmup` iterations to `learning_rate`; then it stays, follows half
    a cosine to zero, or is replaced from each iteration of `steps` on. A checkpoint is written
    `checkpoints` times.

    An image is mirrored with probability `flip`. Of the part detector's, each is looked at through
    a window of 1 / (1 + zoom) to 1 + zoom times its side, and its colours are changed, with
    `colour` 1 by up to a fifth in contrast and a tenth in brightness.
    """

    iterations: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    optimizer: Literal["adam", "sgd"] = "sgd"
    learning_rate: float = Field(gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    warmup: int = Field(0, ge=0)
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    steps: dict[int, float] = Field(default_factory=dict)
    flip: float = Field(0.5, ge=0, le=1)
    zoom: float = Field(0.0, ge=0, le=4)
    colour: float = Field(0.0, ge=0, le=4)
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    checkpoints: int = Field(10, ge=1)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _steps_fit(self) -> DetectorTraining:
        if (self.schedule == "step") != bool(self.steps):
            raise ValueError("steps: needed with schedule 'step', and with no other")
        if any(step < 1 or rate <= 0 for step, rate in self.steps.items()):
            raise ValueError("steps: iterations from 1 on, each with a rate above 0")
        return self


class RenderedSource(Strict):
    """A rendered dataset of the configuration, whose annotations are exact."""

    source: Literal["rendered"]
    dataset: str


class CocoSource(Strict):
    """A COCO-format file of boxes; `categories` maps its names to the 16 classes (YAML)."""

    source: Literal["coco"]
    annotations: Path
    images: Path
    categories: Path


class MpiiSource(Strict):
    """The released annotation file of MPII (MATLAB) and its folder of images.

    `people` are those that stand apart from others, or all.
    """

    source: Literal["mpii"]
    annotations: Path
    images: Path
    people: Literal["single", "all"] = "single"


class WeightsSource(Strict):
    """Weights trained elsewhere by this project: nothing is trained."""

    source: Literal["weights"]
    file: Path


class TensorFlowSource(Strict):
    """The released DeeperCut checkpoint, named by its prefix: nothing is trained."""

    source: Literal["tensorflow"]
    checkpoint: Path


PartsSource = Annotated[RenderedSource | CocoSource | WeightsSource, Field(discriminator="source")]
KeypointsSource = Annotated[
    RenderedSource | MpiiSource | WeightsSource | TensorFlowSource, Field(discriminator="source")
]


class PartsDetection(Strict):
    """How boxes are chosen: `boxes` an image, the most confident first.

    Of two boxes whose intersection over union is above `overlap`, the less confident one goes,
    whatever their classes. One detection serves every D of PGAN's Table 5, so 10 `boxes` at least.
    Of `batch_size` images one half is in the network while the boxes of the other are chosen.
    """

    boxes: int = Field(10, ge=10, le=100)
    overlap: float = Field(0.45, gt=0, lt=1)
    batch_size: int = Field(128, ge=1)


class PartsDetector(Strict):
    """An SSD over `size` x `size` pixels: torchvision's `ssd300_vgg16`, or a `small` backbone.

    `width` is the small backbone's.
    """

    data: PartsSource
    network: Literal["small", "ssd300_vgg16"] = "ssd300_vgg16"
    weights: Literal["none", "imagenet"] = "none"  # of the backbone
    width: int = Field(32, ge=8)
    size: int = Field(300, ge=64)
    training: DetectorTraining
    detection: PartsDetection = PartsDetection()


class KeypointsDetection(Strict):
    """Each image is read at each of `scales`; the pose of the surest least sure joint is kept.

    A joint whose confidence is below `least` counts as missing.
    """

    least: float = Field(0.1, ge=0, lt=1)
    scales: tuple[Annotated[float, Field(gt=0, le=4)], ...] = Field((0.6, 0.8, 1.0), min_length=1)
    batch_size: int = Field(32, ge=1)

    @field_validator("scales")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(a >= b for a, b in pairwise(value)):
            raise ValueError("scales must ascend, none twice")
        return value


class KeypointsDetector(Strict):
    """DeeperCut's network over images of `height` x `width`: `resnet101`, or a `small` backbone.

    `radius` is the disc of the targets in pixels of such an image, `locref_scale` the standard
    deviation by which offsets are divided. While training each batch is shown at a scale from
    `jitter`: 0.8 x 0.85..1.15 makes people of a 512 x 256 image as tall as DeeperCut's are.
    """

    data: KeypointsSource
    network: Literal["small", "resnet101"] = "resnet101"
    weights: Literal["none", "imagenet"] = "none"  # of the backbone
    width: int = Field(16, ge=8)
    height: int = Field(512, ge=64)
    image_width: int = Field(256, ge=32)
    radius: float = Field(17.0, gt=0)
    locref_scale: float = Field(7.2801, gt=0)
    locref_weight: float = Field(0.05, ge=0)
    jitter: tuple[Annotated[float, Field(gt=0, le=4)], Annotated[float, Field(gt=0, le=4)]] = (
        0.68,
        0.92,
    )
    intermediate: bool = True
    training: DetectorTraining
    detection: KeypointsDetection = KeypointsDetection()


class Detectors(Strict):
    """Both detectors of a scale."""

    parts: PartsDetector
    keypoints: KeypointsDetector


class MasksImport(Strict):
    """The masks that PGAN's authors published: a .npy an image under `folder`."""

    source: Literal["masks"]
    folder: Path


class PointsImport(Strict):
    """The published 14-point files (MATLAB v7.3) of a Market-1501 folder.

    `files` names one for each folder of the dataset, such as `bounding_box_train`; they count in
    pixels of images of `width` x `height`.
    """

    source: Literal["points"]
    files: dict[str, Path] = Field(min_length=1)
    width: int = Field(64, ge=1)
    height: int = Field(128, ge=1)


class BoxesCsv(Strict):
    """Boxes of one's own: image,label,score,x0,y0,x1,y1.

    Images are named by their path relative to the dataset's root, coordinates are shares.
    """

    source: Literal["csv"]
    file: Path


class JointsCsv(Strict):
    """Joints of one's own: image,joint,x,y,confidence; x and y in shares of the image or pixels."""

    source: Literal["csv"]
    file: Path
    unit: Literal["shares", "pixels"] = "shares"


PartsImport = Annotated[MasksImport | BoxesCsv, Field(discriminator="source")]
KeypointsImport = Annotated[PointsImport | JointsCsv, Field(discriminator="source")]
