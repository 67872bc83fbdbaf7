"""A run: its name, and its settings, resolved from scale, paper and variant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from reid_repro.checking import Strict, checked, merge
from reid_repro.config import Config, RenderedDataset, TrainingConfig
from reid_repro.errors import UserError
from reid_repro.networks import OPTIONS, ModelConfig, ModelFile, needs
from reid_repro.paper import PaperConfig


@dataclass(frozen=True, order=True)
class Run:
    """The name of one training: which paper, variant, dataset and seed."""

    paper: str
    variant: str
    dataset: str
    seed: int

    def __str__(self) -> str:
        return f"{self.paper}/{self.variant}/{self.dataset}/seed{self.seed}"

    @classmethod
    def parse(cls, name: str) -> Run:
        """The inverse of `str(run)`; UserError where `name` has another form."""
        match = re.fullmatch(r"([^/]+)/([^/]+)/([^/]+)/seed(\d+)", name)
        if match is None:
            raise UserError(f"run '{name}': expected PAPER/VARIANT/DATASET/seedN")
        return cls(match[1], match[2], match[3], int(match[4]))


class ResolvedRun(Strict):
    """Everything that decides what a run's training does; written whole into run.json.

    `places` is where the part boxes or joints come from, of a network that needs some.
    """

    run: str
    scale: str
    seed: int
    dataset: str
    places: Literal["none", "detected", "truth"] = "none"
    model: ModelConfig
    training: TrainingConfig


def resolve(
    run: Run, config: Config, paper: PaperConfig, overrides: Mapping[str, Any]
) -> ResolvedRun:
    """A run's settings: the scale's, under the paper's, the variant's, and the user's own.

    Of the scale's and the user's `model`, a network takes the options that it has; an unknown
    option of a paper or variant is a UserError that names it.
    """
    variant = paper.variants[run.variant]
    where = f"workflow/papers/{run.paper}.yaml: variants.{run.variant}"
    layers = [paper, paper.scales.get(config.scale), variant, variant.scales.get(config.scale)]
    model: dict[str, Any] = {}
    training = _training_defaults(config, run.dataset)
    for layer in filter(None, layers):
        model = merge(model, dict(layer.model))
        training = merge(training, dict(layer.training))
    known = OPTIONS.get(model.setdefault("name", "baseline"), frozenset())
    base = {key: value for key, value in config.model.items() if key in known}
    asked = {key: v for key, v in (overrides.get("model") or {}).items() if key in known}
    training = merge(training, _asked_training(overrides, training, where))
    network = checked(ModelFile, {"model": merge(base, merge(model, asked))}, where).model
    return ResolvedRun(
        run=str(run),
        scale=config.scale,
        seed=run.seed,
        dataset=run.dataset,
        places="none" if needs(network) == "none" else variant.places,
        model=network,
        training=checked(TrainingConfig, training, f"{where}.training"),
    )


def _training_defaults(config: Config, dataset: str) -> dict[str, Any]:
    """The scale's recipe; rendered images keep their own size."""
    training = config.training.model_dump()
    settings = config.datasets[dataset]
    if isinstance(settings, RenderedDataset):
        training |= {"height": settings.height, "width": settings.width}
    return training


def _asked_training(
    overrides: Mapping[str, Any], training: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """The user's own settings win; a length in epochs replaces one in iterations.

    Then what is counted in the old unit makes no sense any more: UserError asks for it.
    """
    asked = dict(overrides.get("training") or {})
    for length, other in (("epochs", "iterations"), ("iterations", "epochs")):
        if asked.get(length) is None or training.get(other) is None or other in asked:
            continue
        counted = ("warmup", "milestones" if training["schedule"] == "step" else "cosine_start")
        missing = [key for key in counted if key not in asked and training[key]]
        if missing:
            raise UserError(
                f"{where}: its length is in {other}; with training.{length} give "
                f"{' and '.join(f'training.{key}' for key in missing)} in {length} too"
            )
        asked[other] = None
    return asked
