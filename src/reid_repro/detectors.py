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


class DetectorTraining(Strict):
    """The training of a detector, counted in iterations.

    The rate rises linearly over `warmup` iterations to `learning_rate`; then it stays, follows half
    a cosine to zero, or is replaced from each iteration of `steps` on. A checkpoint is written
    `checkpoints` times.
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
    """The released annotation file of MPII (MATLAB) and its folder of images."""

    source: Literal["mpii"]
    annotations: Path
    images: Path


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
    whatever their classes. `boxes` may not be less than the largest D that a network asks for.
    """

    boxes: int = Field(10, ge=4, le=100)
    overlap: float = Field(0.45, gt=0, lt=1)
    batch_size: int = Field(64, ge=1)


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
    """Each image is read at each of `scales`; the pose of the surest least sure joint is kept."""

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

    `radius` is the disc of the targets in pixels, `locref_scale` the standard deviation by which
    offsets are divided.
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
    intermediate: bool = True
    training: DetectorTraining
    detection: KeypointsDetection = KeypointsDetection()


class Detectors(Strict):
    """Both detectors of a scale."""

    parts: PartsDetector
    keypoints: KeypointsDetector
