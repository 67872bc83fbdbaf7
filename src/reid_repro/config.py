"""Typed configuration: scale + paper + run -> one resolved run.

`workflow/config/{scale}.yaml` gives the sizes, `workflow/datasets/*.yaml` the facts of each
dataset, `workflow/papers/*.yaml` what is to be run. Everything is checked on load, and a
mistake is named by file and key. This module imports neither torch nor snakemake: the
Snakefile reads it on every start.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from reid_repro.checking import NAME, PLAIN_NAME, Scale, Strict, checked, merge, read_yaml
from reid_repro.dataset_config import (
    CsvDataset,
    DatasetConfig,
    DatasetFile,
    MarketDataset,
    Protocol,
    RenderedDataset,
)
from reid_repro.detectors import Detectors, RenderedSource
from reid_repro.methods import Options, ReRankerConfig
from reid_repro.networks import OPTIONS, SUBJECTS
from reid_repro.paper import PaperConfig, TableConfig

__all__ = [
    "NAME",
    "Config",
    "CsvDataset",
    "DatasetConfig",
    "DatasetFile",
    "FeatureConfig",
    "MarketDataset",
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


class TrainingConfig(Strict):
    """The training recipe (defaults: Luo et al., Bag of Tricks, 2019).

    Its length is `epochs`, or `iterations` where a paper counts these; `warmup`, `milestones` and
    `cosine_start` are counted in the same unit. `identity_loss` reads the logits (circle: the
    features before the neck), `metric_loss` the features before the neck; each is summed over the
    network's branches. A batch is `identities_per_batch` x `images_per_identity` images whatever
    the number of `devices`.
    """

    height: int = Field(ge=32)
    width: int = Field(ge=16)
    epochs: int | None = Field(None, ge=1)
    iterations: int | None = Field(None, ge=1)
    sampler: Literal["identity", "uniform"] = "identity"
    identities_per_batch: int = Field(16, ge=2)
    images_per_identity: int = Field(4, ge=2)
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(3.5e-4, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    warmup: int = Field(10, ge=0)
    warmup_factor: float = Field(0.01, gt=0, le=1)
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[int, ...] = (40, 70)
    gamma: float = Field(0.1, gt=0, le=1)
    cosine_start: int = Field(0, ge=0)
    identity_loss: Literal["cross_entropy", "circle", "none"] = "cross_entropy"
    identity_weight: float = Field(1.0, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    metric_loss: Literal["triplet", "contrastive", "lifted", "instance", "none"] = "triplet"
    metric_weight: float = Field(1.0, ge=0)
    margin: float = Field(0.3, ge=0)
    flip: float = Field(0.5, ge=0, le=1)
    crop_padding: int = Field(10, ge=0)
    erasing: float = Field(0.5, ge=0, le=1)
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    compile: bool = False
    devices: int = Field(1, ge=1)
    workers: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _one_length_and_a_loss(self) -> TrainingConfig:
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("the length is either 'epochs' or 'iterations'; set the other to null")
        if self.identity_loss == "none" and self.metric_loss == "none":
            raise ValueError(
                "identity_loss and metric_loss are both 'none': nothing would be learnt"
            )
        pairs = self.metric_loss in ("triplet", "contrastive", "lifted")
        if self.sampler == "uniform" and (pairs or self.identity_loss == "circle"):
            loss = self.metric_loss if pairs else "circle"
            raise ValueError(f"loss '{loss}' needs positives in a batch: set sampler to 'identity'")
        return self


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
    """The whole configuration of one invocation.

    `model` and `training` are what papers and variants change; each network takes the options of
    `model` that it has. `seeds` lists them, or says how many
    there are. `ablations` says which variants are planned: the main ones (`default`), those that
    some table or figure in print shows (`printed`), or every one (`all`). `rerankers_on` lays
    options of a dataset over those of the re-rankers.
    """

    scale: Scale
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
    ablations: Literal["default", "printed", "all"] = "default"
    papers: tuple[str, ...] = Field(min_length=1)
    evaluate_on: tuple[str, ...] = ()
    datasets: dict[Annotated[str, Field(pattern=NAME)], DatasetConfig]
    model: dict[str, Any] = Field(default_factory=dict)
    training: TrainingConfig
    features: FeatureConfig = FeatureConfig()
    statistics: StatisticsConfig = StatisticsConfig()
    detectors: Detectors
    timings: TimingScale = TimingScale()
    rerankers: dict[Annotated[str, Field(pattern=PLAIN_NAME)], ReRankerConfig]
    rerankers_on: dict[Annotated[str, Field(pattern=NAME)], dict[str, Options]] = Field(
        default_factory=dict
    )

    @field_validator("model")
    @classmethod
    def _options_of_some_network(cls, value: dict[str, Any]) -> dict[str, Any]:
        known = frozenset.union(*OPTIONS.values()) - {"name"}
        for key in value.keys() - known:
            guess = get_close_matches(key, known, n=1)
            hint = f"did you mean '{guess[0]}'?" if guess else f"known: {', '.join(sorted(known))}"
            raise ValueError(f"unknown key 'model.{key}'; {hint}")
        return value

    @field_validator("seeds", mode="before")
    @classmethod
    def _number_of_seeds(cls, value: Any) -> Any:
        """A single number n stands for the seeds 0 to n - 1."""
        return tuple(range(value)) if isinstance(value, int) and value > 0 else value

    @model_validator(mode="after")
    def _names_are_known(self) -> Config:
        unknown = [name for name in self.evaluate_on if name not in self.datasets]
        if unknown:
            raise ValueError(
                f"evaluate_on: unknown dataset '{unknown[0]}'; known: {', '.join(self.datasets)}"
            )
        for kind, subject in SUBJECTS.items():
            self._check_detector(kind, subject)
        for key in ("seeds", "papers", "evaluate_on"):
            values = getattr(self, key)
            if len(set(values)) != len(values):
                raise ValueError(f"{key}: {list(values)} holds an entry twice")
        return self

    def _check_detector(self, kind: str, subject: str) -> None:
        """A detector learns from a rendered set of its own subject."""
        data = getattr(self.detectors, kind).data
        if not isinstance(data, RenderedSource):
            return
        found = self.datasets.get(data.dataset)
        if not isinstance(found, RenderedDataset) or found.subject != subject:
            known = [
                name
                for name, dataset in self.datasets.items()
                if isinstance(dataset, RenderedDataset) and dataset.subject == subject
            ]
            raise ValueError(
                f"detectors.{kind}.data.dataset: '{data.dataset}' is no rendered {subject} set; "
                f"known: {', '.join(known)}"
            )
