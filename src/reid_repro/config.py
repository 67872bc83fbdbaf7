"""Typed configuration: scale + paper + run -> one resolved run.

`workflow/config/{scale}.yaml` gives the sizes, `workflow/datasets/*.yaml` the facts of each
dataset, `workflow/papers/*.yaml` what is to be run. Everything is checked on load, and a
mistake is named by file and key. This module imports neither torch nor snakemake: the
Snakefile reads it on every start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from reid_repro.checking import NAME, PLAIN_NAME, Scale, Strict, checked, merge, read_yaml
from reid_repro.methods import ReRankerConfig
from reid_repro.paper import PaperConfig, TableConfig

__all__ = [
    "NAME",
    "Config",
    "DatasetConfig",
    "DatasetFile",
    "FeatureConfig",
    "ModelConfig",
    "PaperConfig",
    "Protocol",
    "ReRankerConfig",
    "RenderedDataset",
    "StatisticsConfig",
    "Strict",
    "TableConfig",
    "TrainingConfig",
    "checked",
    "merge",
    "read_yaml",
]


class Protocol(Strict):
    """How a dataset is scored (design page: file contracts)."""

    same_camera: Literal["remove", "keep"] = "remove"
    ap: Literal["step", "trapezoid"] = "step"
    single_gallery_shot: bool = False
    repeats: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _repeats_need_draws(self) -> Protocol:
        if self.repeats > 1 and not self.single_gallery_shot:
            raise ValueError("repeats above 1 need single_gallery_shot: nothing else is drawn")
        return self


class DatasetBase(Strict):
    """What every dataset states, whatever its source."""

    title: str = ""
    subject: Literal["vehicle", "pedestrian"] = "pedestrian"
    homepage: str = ""
    licence: str = ""
    protocol: Protocol = Protocol()
    official: dict[str, dict[str, int]] = Field(default_factory=dict)


class RenderedDataset(DatasetBase):
    """A set drawn by `reid_repro.rendering`; identities of the two halves never overlap."""

    source: Literal["rendered"]
    seed: int = Field(0, ge=0)
    train_identities: int = Field(ge=2)
    test_identities: int = Field(ge=2)
    cameras: int = Field(6, ge=2)
    train_images_per_camera: int = Field(3, ge=1)
    test_images_per_camera: int = Field(2, ge=2)
    group_size: int = Field(4, ge=1)
    height: int = Field(128, ge=32)
    width: int = Field(128, ge=32)


class MarketDataset(DatasetBase):
    """A folder in the Market-1501 layout."""

    source: Literal["market1501"]
    root: Path


class CsvDataset(DatasetBase):
    """Images of one's own: a CSV of `path,identity,camera,role`, paths relative to `root`."""

    source: Literal["csv"]
    root: Path
    list: Path


DatasetConfig = Annotated[
    RenderedDataset | MarketDataset | CsvDataset, Field(discriminator="source")
]


class DatasetFile(Strict):
    """One file of workflow/datasets."""

    dataset: DatasetConfig


class ModelConfig(Strict):
    """The network. `weights` is `none`, `imagenet`, or the path of a torchvision state dict."""

    name: Literal["baseline"] = "baseline"
    backbone: Literal["resnet10", "resnet18", "resnet50"] = "resnet50"
    width: int = Field(64, ge=8)
    last_stride: Literal[1, 2] = 1
    weights: str = "none"


class TrainingConfig(Strict):
    """The training recipe (defaults: Luo et al., Bag of Tricks, 2019)."""

    height: int = Field(ge=32)
    width: int = Field(ge=16)
    epochs: int = Field(ge=1)
    identities_per_batch: int = Field(16, ge=2)
    images_per_identity: int = Field(4, ge=2)
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(3.5e-4, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    warmup_epochs: int = Field(10, ge=0)
    warmup_factor: float = Field(0.01, gt=0, le=1)
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[int, ...] = (40, 70)
    gamma: float = Field(0.1, gt=0, le=1)
    margin: float = Field(0.3, ge=0)
    triplet_weight: float = Field(1.0, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    flip: float = Field(0.5, ge=0, le=1)
    crop_padding: int = Field(10, ge=0)
    erasing: float = Field(0.5, ge=0, le=1)
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    workers: int = Field(0, ge=0)


class FeatureConfig(Strict):
    """Feature extraction; `flip` averages the descriptor with that of the mirrored image."""

    batch_size: int = Field(128, ge=1)
    flip: bool = True


class StatisticsConfig(Strict):
    """Bootstrap over identities, then queries (Cormack & Lynam 2006)."""

    resamples: int = Field(1000, ge=100)
    level: float = Field(0.95, gt=0.5, lt=1)
    seed: int = 0


class TimingScale(Strict):
    """How timings at the printed sizes are taken; `shrink` divides those sizes, for a quick try."""

    shrink: int = Field(1, ge=1)
    seed: int = Field(0, ge=0)


class Config(Strict):
    """The whole configuration of one invocation."""

    scale: Scale
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
    papers: tuple[str, ...] = Field(min_length=1)
    evaluate_on: tuple[str, ...] = ()
    datasets: dict[Annotated[str, Field(pattern=NAME)], DatasetConfig]
    model: ModelConfig = ModelConfig()
    training: TrainingConfig
    features: FeatureConfig = FeatureConfig()
    statistics: StatisticsConfig = StatisticsConfig()
    timings: TimingScale = TimingScale()
    rerankers: dict[Annotated[str, Field(pattern=PLAIN_NAME)], ReRankerConfig]

    @model_validator(mode="after")
    def _names_are_known(self) -> Config:
        unknown = [name for name in self.evaluate_on if name not in self.datasets]
        if unknown:
            raise ValueError(
                f"evaluate_on: unknown dataset '{unknown[0]}'; known: {', '.join(self.datasets)}"
            )
        for key in ("seeds", "papers", "evaluate_on"):
            values = getattr(self, key)
            if len(set(values)) != len(values):
                raise ValueError(f"{key}: {list(values)} holds an entry twice")
        return self
