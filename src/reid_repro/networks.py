"""The networks that a configuration can name, with the options of each.

The options mirror the keyword arguments of the classes in `reid_repro.models` (a test compares
names, types and defaults), so that a mistake is named when the configuration is read, without
torch. Where a paper leaves a choice open, `workflow/deviations.yaml` says which one is the default
here, and why.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from reid_repro.checking import Strict
from reid_repro.detectors import Kind

Stage = Literal[1, 2, 3, 4]
Feature = Literal["fusion", "global", "part"]
Stream = Literal["global", "head", "upper", "lower"]
Layout = Literal["resnet10", "resnet18", "resnet50"]


class ResidualNetwork(Strict):
    """A ResNet. `weights` is `none`, `imagenet`, or the path of a torchvision state dict."""

    backbone: Layout = "resnet50"
    width: int = Field(64, ge=8)
    last_stride: Literal[1, 2] = 1
    weights: str = "none"


class BaselineNetwork(ResidualNetwork):
    """The strong baseline: `models.baseline.Baseline`."""

    name: Literal["baseline"] = "baseline"


class CHCANetwork(ResidualNetwork):
    """Cascaded hierarchical context modules behind the stages: `models.chca.CHCA`."""

    name: Literal["chca"]
    stages: tuple[Stage, ...] = (1, 2, 3, 4)
    levels: Literal[1, 2, 3, 4] = 3
    pooling: Literal["max", "average", "strided"] = "max"
    reduction: int = Field(2, ge=1)
    softmax_over: Literal["queries", "keys"] = "queries"
    scaled: bool = False
    shared_key: bool = True
    zero_output: bool = True
    too_small: Literal["error", "clamp"] = "error"

    @model_validator(mode="after")
    def _stages_once_and_strides_fit(self) -> CHCANetwork:
        if len(set(self.stages)) < len(self.stages):
            raise ValueError("stages: none twice")
        if self.pooling == "strided" and self.too_small == "clamp":
            raise ValueError("pooling: strided convolutions need maps that fit; too_small: error")
        return self


class PGANNetwork(ResidualNetwork):
    """Part-guided attention: `models.pgan.PGAN`. It needs part boxes, but for grid and none."""

    name: Literal["pgan"]
    attention: Literal["parts", "uniform", "grid", "none"] = "parts"
    parts: int = Field(8, ge=1, le=10)  # as many boxes are stored an image
    dimension: int = Field(512, ge=8, multiple_of=2)
    optimised: tuple[Feature, ...] = ("fusion", "global", "part")
    temperature: float = Field(0.1, gt=0)
    reduction: int = Field(4, ge=1)
    se_reduction: int = Field(8, ge=1)

    @model_validator(mode="after")
    def _fusion_is_optimised(self) -> PGANNetwork:
        if "fusion" not in self.optimised or len(set(self.optimised)) < len(self.optimised):
            raise ValueError("optimised: each feature once, and 'fusion', the descriptor, always")
        return self


class SSRNetwork(ResidualNetwork):
    """Spatial structural relations: `models.ssrnet.SSRNet`."""

    name: Literal["ssrnet"]
    attention: Literal["none", "cbam", "se", "bilinear", "stn"] = "cbam"
    relation: bool = True
    global_node: bool = True
    token_node: bool = True
    layers: Literal[1, 2, 3] = 2
    crop: float = Field(2 / 3, gt=0, le=1)
    dimension: int = Field(512, ge=8)
    last_activation: bool = True
    normalise: bool = False
    attention_reduction: int = Field(16, ge=1)
    attention_embedding: Literal["none", "linear", "convolution"] = "convolution"


class PCBNetwork(ResidualNetwork):
    """Horizontal stripes, the peer of SSR-Net's Table 3: `models.pcb.PCB`."""

    name: Literal["pcb"]
    stripes: int = Field(6, ge=1)
    dimension: int = Field(256, ge=8)


class GLADNetwork(Strict):
    """Global and local streams over body regions: `models.glad.GLAD`. It needs keypoints."""

    name: Literal["glad"]
    backbone: Literal["googlenet", "googlenet_small"] = "googlenet"
    width: int = Field(64, ge=8)
    weights: str = "none"
    streams: tuple[Stream, ...] = ("global", "head", "upper", "lower")
    shared: bool = True
    maps: int = Field(1024, ge=8)
    kernel: Literal[1, 3] = 1
    feature_norm: bool = True
    own_statistics: bool = True
    normalise: bool = True
    overlap: float = Field(15 / 512, ge=0, lt=0.25)
    image: Literal["original", "pose"] = "original"

    @model_validator(mode="after")
    def _streams_once(self) -> GLADNetwork:
        if not self.streams or len(set(self.streams)) < len(self.streams):
            raise ValueError("streams: at least one, and none twice")
        return self


ModelConfig = Annotated[
    BaselineNetwork | CHCANetwork | PGANNetwork | SSRNetwork | PCBNetwork | GLADNetwork,
    Field(discriminator="name"),
]


# The options that each network has, by its name.
OPTIONS: dict[str, frozenset[str]] = {
    get_args(kind.model_fields["name"].annotation)[0]: frozenset(kind.model_fields)
    for kind in get_args(get_args(ModelConfig)[0])
}


class ModelFile(Strict):
    """A network by itself, to be checked under its own key."""

    model: ModelConfig


# Whose images know what: rendered sets of this subject hold it.
SUBJECTS: dict[Kind, str] = {"parts": "vehicle", "keypoints": "pedestrian"}


def needs(model: ModelConfig) -> Kind | Literal["none"]:
    """What a network sees of an image beside its pixels."""
    if isinstance(model, PGANNetwork) and model.attention in ("parts", "uniform"):
        return "parts"
    if isinstance(model, GLADNetwork) and (model.streams != ("global",) or model.image == "pose"):
        return "keypoints"
    return "none"
