"""The parts of a paper's page: curves, ranked lists, run times; and the dataset cards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reid_repro.config import PaperConfig
from reid_repro.errors import UserError
from reid_repro.files import read_json
from reid_repro.ledger.tables import metrics_file, per_query_file
from reid_repro.plan import Plan, Run
from reid_repro.reporting import formats, provenance, svg
from reid_repro.reporting.assets import Assets
from reid_repro.reporting.provenance import Download, Item, command, shown, source
from reid_repro.reporting.tables import dataset_title


@dataclass(frozen=True)
class Vector:
    """A figure of one or more inlined SVG panels."""

    id: str
    title: str
    description: str
    caption: str
    panels: tuple[Markup, ...]
    item: Item


@dataclass(frozen=True)
class Ranked:
    """Ranked lists of one run; `facts` is the JSON beside the sprite."""

    id: str
    title: str
    caption: str
    sprite: str
    facts: dict[str, Any]
    item: Item

    @property
    def by_rule(self) -> list[tuple[str, str, list[dict[str, Any]]]]:
        """(rule, what it says, its queries) in the order of the file."""
        queries = self.facts["queries"]
        return [
            (rule, text, [query for query in queries if query["rule"] == rule])
            for rule, text in self.facts["rules"].items()
        ]


@dataclass(frozen=True)
class Timing:
    """Seconds by phase of every ranking of one run."""

    id: str
    title: str
    caption: str
    phases: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...], str, str], ...]  # title, seconds, total, peak memory
    item: Item


@dataclass(frozen=True)
class Experiment:
    """One variant on one dataset: everything about it that is no table of the paper."""

    id: str
    title: str
    variant: str
    vectors: tuple[Vector, ...]
    ranked: Ranked
    timing: Timing


@dataclass(frozen=True)
class DatasetCard:
    """A dataset: samples, counts, protocol."""

    name: str
    title: str
    facts: dict[str, Any]
    samples: dict[str, Any]
    sheet: str
    item: Item


def experiments(plan: Plan, paper: str, results: Path, assets: Assets) -> list[Experiment]:
    """Every (dataset, variant) of a paper."""
    settings = plan.papers[paper]
    return [
        _experiment(plan, paper, variant, dataset, results, assets)
        for dataset in plan.datasets_of(paper)
        for variant in settings.variants
    ]


def _experiment(
    plan: Plan, paper: str, variant: str, dataset: str, results: Path, assets: Assets
) -> Experiment:
    settings = plan.papers[paper]
    title = _title(plan, settings, variant, dataset)
    name = f"{paper}-{variant}-{dataset}"
    figures = results / "figures" / paper / variant / dataset
    runs = [Run(paper, variant, dataset, seed) for seed in plan.config.seeds]
    files = metrics_files(plan, results, runs)
    # Each figure's caption states what its numbers hold for, in the same words.
    facts = read_json(files[0])
    seeds = formats.seeds(plan.config.seeds)
    scope = f"{plan.config.scale.capitalize()} scale, {dataset_title(plan, dataset)}, {seeds}"
    queries = f"{formats.count(facts['n_valid'])} valid queries"
    level = formats.level(plan.config.statistics.level)
    cmc = _vector(
        plan,
        results,
        assets,
        figures / "cmc.svg",
        id=f"cmc-{name}",
        title=f"CMC curves: {title}",
        caption=(
            f"Share of queries with a right answer among the first k. {scope}, {queries}; bands: "
            f"{level} intervals (bootstrap over identities)."
            + (" Thin lines: the single seeds." if len(runs) > 1 else "")
        ),
        sources=[*files, *(per_query_file(file) for file in files)],
    )
    training = _vector(
        plan,
        results,
        assets,
        figures / "training.svg",
        id=f"training-{name}",
        title=f"Training: {title}",
        caption=f"One point an epoch, measured on the training batches. {scope}.",
        sources=[results / "models" / str(run) / "history.csv" for run in runs],
    )
    ranked = _ranked(plan, results, assets, figures, name=name, title=title, scope=scope)
    timing = _timing(plan, results, files, name=name, title=title, scope=scope)
    return Experiment(name, title, variant, (cmc, training), ranked, timing)


def _title(plan: Plan, settings: PaperConfig, variant: str, dataset: str) -> str:
    title = dataset_title(plan, dataset)
    if len(settings.variants) == 1:
        return title
    return f"{settings.variants[variant].title} on {title}"


def metrics_files(plan: Plan, results: Path, runs: Sequence[Run]) -> list[Path]:
    """The metrics of every seed and re-ranker, over all subsets; UserError names a missing one."""
    found: list[Path] = []
    for reranker in plan.rerankers_of(runs[0].paper):
        for run in runs:
            files = sorted((results / "metrics" / str(run)).glob(f"*/{reranker}.json"))
            if not files:
                missing = metrics_file(results, run, "test", reranker)
                raise UserError(f"{missing}: no such file; `snakemake --cores all` makes it")
            found += files
    return found


def _vector(
    plan: Plan,
    results: Path,
    assets: Assets,
    file: Path,
    *,
    id: str,
    title: str,
    caption: str,
    sources: Sequence[Path],
) -> Vector:
    description, panels = svg.inline(file, f"{id}-")
    name = shown(results, file).removeprefix("results/")
    return Vector(
        id=id,
        title=title,
        description=description,
        caption=caption,
        panels=tuple(Markup(panel) for panel in panels),
        item=Item(
            sources=_sources(results, sources),
            downloads=(Download("SVG", assets.copy(file, name)),),
            command=command(plan, shown(results, file)),
        ),
    )


def _sources(results: Path, files: Sequence[Path]) -> tuple[Any, ...]:
    for file in files:
        if not file.is_file():
            raise UserError(f"{file}: no such file; `snakemake --cores all {file}` makes it")
    return tuple(source(results, file) for file in files)


def _ranked(
    plan: Plan,
    results: Path,
    assets: Assets,
    figures: Path,
    *,
    name: str,
    title: str,
    scope: str,
) -> Ranked:
    sprite, described = figures / "ranked.webp", figures / "ranked.json"
    facts = read_json(described)
    folder = shown(results, figures).removeprefix("results/")
    return Ranked(
        id=f"ranked-{name}",
        title=f"Ranked lists: {title}",
        caption=(
            f"The first {_depth(facts)} answers to queries chosen by rule; images of the query's "
            f"own identity by its own camera are left out. {_first_seed(scope)}; "
            "single queries have no interval."
        ),
        sprite=assets.copy(sprite, f"{folder}/ranked.webp"),
        facts=facts,
        item=Item(
            sources=_sources(results, [sprite, described]),
            downloads=(Download("JSON", assets.copy(described, f"{folder}/ranked.json")),),
            command=command(plan, shown(results, sprite)),
        ),
    )


def _depth(facts: dict[str, Any]) -> int:
    lengths = [len(row) for query in facts["queries"] for row in query["rows"].values()]
    return max(lengths, default=0)


def _first_seed(scope: str) -> str:
    """Ranked lists come from one run: of 'seeds 0, 1' the first."""
    head, _, seeds = scope.rpartition(", seeds ")
    return f"{head}, seed {seeds.split(',')[0]}" if head else scope


def _timing(
    plan: Plan, results: Path, files: Sequence[Path], *, name: str, title: str, scope: str
) -> Timing:
    facts = [read_json(file) for file in files]
    named = dict.fromkeys(phase for fact in facts for phase in fact["seconds"])
    phases = tuple(phase for phase in named if phase != "total")
    several = len({fact["seed"] for fact in facts}) > 1
    rows = tuple(
        (
            fact["title"] + (f", seed {fact['seed']}" if several else ""),
            tuple(formats.duration(fact["seconds"].get(phase)) for phase in phases),
            formats.duration(provenance.ranking_seconds(fact)),
            formats.memory(fact.get("peak_memory_mib")),
        )
        for fact in facts
    )
    return Timing(
        id=f"timing-{name}",
        title=f"Time to rank: {title}",
        caption=(
            f"Wall time of ranking {formats.count(facts[0]['n_query'])} queries in a gallery of "
            f"{formats.count(facts[0]['n_gallery'])}, measured once. {scope}. One measurement has "
            "no interval: compare orders of size, not percents."
        ),
        phases=tuple(phase.replace("_", " ") for phase in phases),
        rows=rows,
        item=Item(_sources(results, files), (), command(plan, shown(results, files[0]))),
    )


def dataset_cards(plan: Plan, results: Path, assets: Assets) -> list[DatasetCard]:
    """A card for every dataset that the plan uses."""
    return [_dataset_card(plan, name, results, assets) for name in plan.datasets]


def _dataset_card(plan: Plan, name: str, results: Path, assets: Assets) -> DatasetCard:
    described = results / "data" / name / "dataset.json"
    sheet = results / "figures" / "samples" / f"{name}.webp"
    facts = read_json(described)
    images = read_json(sheet.with_suffix(".json"))
    return DatasetCard(
        name=name,
        title=facts.get("title") or name,
        facts=facts,
        samples=images,
        sheet=assets.copy(sheet, f"figures/samples/{name}.webp"),
        item=Item(
            sources=_sources(results, [described, sheet.with_suffix(".json")]),
            downloads=(Download("JSON", assets.copy(described, f"data/{name}.json")),),
            command=command(plan, shown(results, sheet)),
        ),
    )
