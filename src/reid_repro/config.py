"""Typed configuration: scale + paper + run -> one resolved run.

`workflow/config/{scale}.yaml` gives the sizes, `workflow/datasets/*.yaml` the facts of each
dataset, `workflow/papers/*.yaml` what is to be run. Everything is checked on load, and a
mistake is named by file and key. This module imports neither torch nor snakemake: the
Snakefile reads it on every start.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from reid_repro.errors import UserError

Scale = Literal["demo", "bench", "paper"]
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
PLAIN_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"  # stands before a suffix in file names: no dots
METRIC = r"^(mAP|R[1-9]\d?)$"


class Strict(BaseModel):
    """Every key is known and every value checked; nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    official: dict[str, dict[str, int]] = {}


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


class ReRankerConfig(Strict):
    """A re-ranker by class name and its arguments; `none` is the bare distance."""

    title: str
    method: Literal["none", "AverageQueryExpansion", "AlphaQueryExpansion", "KReciprocal"]
    options: dict[str, float | int | str | bool] = {}


class TableConfig(Strict):
    """A table of one paper: a row a (variant, re-ranker), a group of columns a dataset."""

    title: str
    caption: str = ""
    metrics: tuple[Annotated[str, Field(pattern=METRIC)], ...] = ("mAP", "R1", "R5", "R10")


class VariantConfig(Strict):
    """One variant of a paper's network: what differs from the scale's model and training."""

    title: str
    model: dict[str, Any] = {}
    training: dict[str, Any] = {}


class PaperConfig(Strict):
    """What is run and shown for one paper."""

    title: str
    summary: str
    datasets: dict[Scale, tuple[str, ...]]
    variants: dict[Annotated[str, Field(pattern=NAME)], VariantConfig]
    rerankers: tuple[str, ...] = ("none",)
    tables: dict[Annotated[str, Field(pattern=NAME)], TableConfig]


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


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping; UserError names the file otherwise."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise UserError(f"{path}{line}: not valid YAML") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected keys and values, found {type(content).__name__}")
    return content


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mappings merged key by key, everything else replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = (
            merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


M = TypeVar("M", bound=BaseModel)


def checked(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """`values` as a `model`; UserError names the first wrong key and what it should be."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {_first_problem(error, model)}") from None


def _first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    problem = error.errors()[0]
    keys = _written_keys(problem["loc"])
    key = ".".join(keys)
    if problem["type"] == "extra_forbidden":
        known = _keys_beside(model, problem["loc"])
        guess = get_close_matches(keys[-1], known, n=1)
        hint = f"did you mean '{guess[0]}'?" if guess else f"known: {', '.join(known)}"
        return f"unknown key '{key}'; {hint}"
    if problem["type"] == "missing":
        return f"key '{key}' is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if not key:
        return message
    return f"key '{key}': {message[0].lower()}{message[1:]} (found {problem['input']!r})"


def _written_keys(location: tuple[int | str, ...]) -> list[str]:
    """The path of a key as the user wrote it.

    Pydantic puts the tag of a dataset's source behind the dataset's name, and a dataset's own
    file has no `dataset:` above its keys.
    """
    parts = [str(part) for part in location]
    if not parts:
        return []
    if parts[0] == "datasets":
        return parts[:2] + parts[3:]
    if parts[0] == "dataset":
        return parts[2:]
    return parts


def _keys_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that would have been understood where the last part of `location` stands."""
    current: Any = model
    for part in location[:-1]:
        if isinstance(current, type) and issubclass(current, BaseModel):
            current = current.model_fields[str(part)].annotation
        elif get_origin(current) is dict:
            current = get_args(current)[1]
        else:  # a union of models, of which `part` is the tag
            current = next(m for m in _models(current) if _source(m) == part)
    return sorted(current.model_fields)


def _source(model: type[BaseModel]) -> str:
    return str(get_args(model.model_fields["source"].annotation)[0])


def _models(annotation: Any) -> list[type[BaseModel]]:
    inner = get_args(annotation)
    if not inner:
        is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        return [annotation] if is_model else []
    return [model for part in inner for model in _models(part)]
