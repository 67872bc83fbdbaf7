"""What is measured for which paper, from which runs and files. Neither torch nor data is read here.

A recipe answers one figure or sentence. It is measured where all its runs are planned; what is
left out is named with its reason. The words of a recipe's figure are those of the printed claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from reid_repro.networks import needs
from reid_repro.runs import Run

if TYPE_CHECKING:
    from reid_repro.plan import Plan

Read = Literal["models", "features", "rankings", "parts", "keypoints"]


@dataclass(frozen=True)
class Recipe:
    """One figure or sentence, and the function `MODULE:NAME` of this package that measures it.

    `runs` (PAPER/VARIANT) must be planned, and `reads` says which of their files are read: the
    first seed's. A `cost` needs no dataset: it is measured beside the paper's first one. `timing`
    names a file of the paper's own times.
    """

    figure: str
    measure: str
    runs: tuple[str, ...] = ()
    reads: tuple[Read, ...] = ()
    cost: bool = False
    timing: str = ""


@dataclass(frozen=True)
class Look:
    """A picture sheet, and the function `MODULE:NAME` of this package that composes it."""

    name: str
    compose: str
    runs: tuple[str, ...]
    reads: tuple[Read, ...] = ("models",)


RECIPES: Final[dict[str, tuple[Recipe, ...]]] = {
    "chca": (
        Recipe("Fig. 5", "activation:active_areas", ("chca/chca", "chca/none"), ("models",)),
        Recipe("cost", "costs:downsampling", cost=True),
    ),
    "pgan": (
        Recipe("Fig. 1", "part_attention:in_parts", ("pgan/pgan", "pgan/uniform"), ("models",)),
        Recipe("Fig. 4", "part_attention:in_boxes", ("pgan/pgan", "pgan/grid"), ("models",)),
        Recipe("Fig. 5", "first_ranks:of_pgan", ("pgan/pgan", "pgan/grid"), ("rankings",)),
        Recipe("A.2", "covered:of_boxes", reads=("parts",)),
        Recipe("A.3", "views:cross_view", ("pgan/pgan", "pgan/grid"), ("rankings",)),
        Recipe("cost", "costs:refinement", cost=True),
    ),
    "ssrnet": (
        Recipe("Fig. 3", "corners:in_corners", ("ssrnet/ssrnet",), ("models",)),
        Recipe(
            "Fig. 5", "single_gallery:of_ssrnet", ("ssrnet/ssrnet", "ssrnet/global"), ("features",)
        ),
        Recipe(
            "Fig. 6", "first_ranks:of_ssrnet", ("ssrnet/ssrnet", "ssrnet/global"), ("rankings",)
        ),
        Recipe("Fig. 6b", "first_ranks:example", ("ssrnet/ssrnet", "ssrnet/global"), ("rankings",)),
        Recipe(
            "robust",
            "robustness:of_ssrnet",
            ("ssrnet/ssrnet", "ssrnet/global"),
            ("models", "features"),
        ),
        Recipe(
            "lambda",
            "corners:local_and_global",
            ("ssrnet/ssrnet", "ssrnet/crop_three_quarters"),
            ("models",),
        ),
        Recipe("gap", "gaps:of_ssrnet", ("ssrnet/ssrnet", "ssrnet/l3"), ("models", "features")),
    ),
    "gnn": (Recipe("neighbours", "neighbours:overlaps", ("baseline/bnneck",), ("features",)),),
    "glad": (
        Recipe("Fig. 3", "joints:confidences", reads=("keypoints",)),
        Recipe("Fig. 5", "first_ranks:of_glad", ("glad/glad", "glad/baseline"), ("rankings",)),
        Recipe("gap", "gaps:of_glad", ("glad/glad", "glad/separate"), ("models", "features")),
        Recipe("cost", "costs:body_parts", cost=True),
        Recipe("time", "costs:coarse_and_fine", cost=True, timing="groups"),
    ),
}

LOOKS: Final[dict[str, tuple[Look, ...]]] = {
    "chca": (Look("activation", "sheets:activation", ("chca/none", "chca/chca")),),
    "pgan": (Look("attention", "sheets:part_attention", ("pgan/pgan", "pgan/grid")),),
    "ssrnet": (Look("attention", "sheets:corners", ("ssrnet/ssrnet",)),),
}


def measures_file(results: Path, paper: str, dataset: str) -> Path:
    """Where the values of a paper's measures on a dataset lie."""
    return results / "measures" / paper / f"{dataset}.parquet"


def networks_file(results: Path, paper: str) -> Path:
    """Where the size and speed of a paper's own networks lie."""
    return results / "measures" / paper / "networks.json"


def looks_folder(results: Path, paper: str, dataset: str) -> Path:
    """Where the picture sheets of a paper on a dataset lie."""
    return results / "looks" / paper / dataset


def first_run(plan: Plan, name: str, dataset: str) -> Run:
    """The run that stands for PAPER/VARIANT: that of the first seed."""
    paper, variant = name.split("/")
    return Run(paper, variant, dataset, plan.config.seeds[0])


def left_out(plan: Plan, paper: str, dataset: str, recipe: Recipe | Look) -> str:
    """Why a recipe or a sheet is not made on a dataset; empty where it is."""
    if isinstance(recipe, Recipe) and recipe.cost:
        first = plan.datasets_of(paper)[0]
        return "" if dataset == first else f"it needs no dataset: it stands with {first}"
    for name in recipe.runs:
        other, variant = name.split("/")
        if other not in plan.papers or variant not in plan.papers[other].variants:
            return f"there is no variant {name}"
        reason = plan.left_out(other, variant, dataset)
        if reason:
            return f"{name}: {reason}"
        if "models" in recipe.reads and plan.features_of(first_run(plan, name, dataset)):
            return f"{name}: its descriptors are taken over, there is no network to look into"
    for kind in ("parts", "keypoints"):
        if kind in recipe.reads and (kind, dataset) not in plan.detected:
            return f"no {kind} are detected on {dataset}"
    return ""


def recipes_of(plan: Plan, paper: str, dataset: str) -> list[Recipe]:
    """What is measured for a paper on a dataset."""
    return [one for one in RECIPES.get(paper, ()) if not left_out(plan, paper, dataset, one)]


def looks_of(plan: Plan, paper: str, dataset: str) -> list[Look]:
    """The picture sheets of a paper on a dataset."""
    return [one for one in LOOKS.get(paper, ()) if not left_out(plan, paper, dataset, one)]


def measured(plan: Plan) -> Iterator[tuple[str, str]]:
    """(paper, dataset) wherever something is measured."""
    for paper in plan.config.papers:
        for dataset in plan.datasets_of(paper):
            if recipes_of(plan, paper, dataset):
                yield paper, dataset


def files(plan: Plan, paper: str, dataset: str) -> list[str]:
    """The files that a paper's measures and sheets on a dataset read, beside the dataset's own."""
    found: list[str] = []
    made: list[Recipe | Look] = [*recipes_of(plan, paper, dataset)]
    for one in (*made, *looks_of(plan, paper, dataset)):
        for name in one.runs:
            found += _files_of_run(plan, first_run(plan, name, dataset), one.reads)
        kinds = [kind for kind in one.reads if kind in ("parts", "keypoints")]
        found += [f"results/{kind}/{dataset}/{kind}.parquet" for kind in kinds]
        if isinstance(one, Recipe) and one.timing:
            found.append(f"results/timings/{paper}/{one.timing}.json")
    return list(dict.fromkeys(found))


def _files_of_run(plan: Plan, run: Run, reads: tuple[Read, ...]) -> list[str]:
    subset = plan.subsets(run.dataset)[0]
    found = []
    if "models" in reads:
        found += [f"results/models/{run}/{name}" for name in ("weights.safetensors", "run.json")]
        resolved = plan.resolve(run)
        kind = needs(resolved.model)
        if kind != "none":
            name = "truth" if resolved.places == "truth" else kind
            found.append(f"results/{kind}/{run.dataset}/{name}.parquet")
    if "features" in reads:
        found += [f"results/features/{run}/{subset}.{end}" for end in ("npy", "parquet")]
    if "rankings" in reads:
        found.append(f"results/rankings/{run}/{subset}/none.parquet")
    return found


def compared(plan: Plan, paper: str, dataset: str) -> tuple[str, str] | None:
    """The main variant of a paper and the one that it is held against; None with fewer than two.

    The main one is the first of the paper's file; it is held against the variant called "Baseline",
    else against the next one that is planned.
    """
    planned = plan.variants_on(paper, dataset)
    if len(planned) < 2:
        return None
    variants = plan.papers[paper].variants
    base = sorted(planned[1:], key=lambda name: variants[name].title != "Baseline")[0]
    return planned[0], base
