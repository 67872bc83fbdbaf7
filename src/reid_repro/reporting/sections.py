"""The parts of a paper's page: curves, ranked lists, run times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from reid_repro.reporting.provenance import Download, Item, command, shown
from reid_repro.reporting.tables import dataset_title

# Keys of `seconds` that are no column of their own: the total has one already, as has what
# cannot be told apart within it; the recording of ranked lists is no part of a method's cost.
NO_PHASES = {"total", "ranking and scoring", "recording"}


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


def experiments(plan: Plan, paper: str, results: Path, assets: Assets) -> list[Experiment]:
    """Every planned (dataset, variant) of a paper."""
    return [
        _experiment(plan, paper, variant, dataset, results, assets)
        for dataset in plan.datasets_of(paper)
        for variant in plan.variants_on(paper, dataset)
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
    rule = facts["protocol"]["same_camera"]
    ranked = _ranked(plan, results, assets, figures, rule, name=name, title=title, scope=scope)
    timing = _timing(plan, results, files, name=name, title=title, scope=scope)
    return Experiment(name, title, variant, (cmc, training), ranked, timing)


def sweep_figure(plan: Plan, paper: str, name: str, results: Path, assets: Assets) -> Vector:
    """A figure over the options that a paper's sweeps vary, with its values as CSV."""
    settings = plan.papers[paper].figures[name]
    table = results / "tables" / paper / f"{name}.csv"
    titles = " and ".join(dataset_title(plan, dataset) for dataset in plan.datasets_of(paper))
    level = formats.level(plan.config.statistics.level)
    figure = _vector(
        plan,
        results,
        assets,
        results / "figures" / paper / f"{name}.svg",
        id=f"figure-{paper}-{name}",
        title=settings.title,
        caption=(
            f"{settings.caption} {plan.config.scale.capitalize()} scale, {titles}, "
            f"{formats.seeds(plan.config.seeds)}; bands: {level} intervals (bootstrap over "
            "identities). Dotted: the value that the other tables take."
        ).strip(),
        sources=[table],
    )
    csv = Download("CSV", assets.copy(table, f"tables/{paper}/{name}.csv"))
    return replace(figure, item=replace(figure.item, downloads=(*figure.item.downloads, csv)))


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
                missing = metrics_file(results, run, plan.subsets(run.dataset)[0], reranker)
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
            sources=provenance.sources(results, sources),
            downloads=(Download("SVG", assets.copy(file, name)),),
            command=command(plan, shown(results, file)),
        ),
    )


def _ranked(
    plan: Plan,
    results: Path,
    assets: Assets,
    figures: Path,
    same_camera: str,
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
            f"The first {formats.plural(_depth(facts), 'answer')} to queries chosen by rule; "
            f"{_left_out(facts, same_camera)}. {_first_seed(scope)}; "
            "single queries have no interval."
        ),
        sprite=assets.copy(sprite, f"{folder}/ranked.webp"),
        facts=facts,
        item=Item(
            sources=provenance.sources(results, [sprite, described]),
            downloads=(Download("JSON", assets.copy(described, f"{folder}/ranked.json")),),
            command=command(plan, shown(results, sprite)),
        ),
    )


def _depth(facts: dict[str, Any]) -> int:
    lengths = [len(row) for query in facts["queries"] for row in query["rows"].values()]
    return max(lengths, default=0)


def _left_out(facts: dict[str, Any], same_camera: str) -> str:
    """What the protocol keeps out of the lists; it cannot do so where the camera is unknown."""
    if same_camera != "remove":
        return "images by the query's own camera stay in"
    known = [query["camera"] >= 0 for query in facts["queries"]]
    if known and not any(known):
        return "the cameras being unknown, no image is left out for its camera"
    words = "images of the query's own identity by its own camera are left out"
    return words if all(known) else f"{words} where the camera is known"


def _first_seed(scope: str) -> str:
    """Ranked lists come from one run: of 'seeds 0, 1' the first."""
    head, _, seeds = scope.rpartition(", seeds ")
    return f"{head}, seed {seeds.split(',')[0]}" if head else scope


def _timing(
    plan: Plan, results: Path, files: Sequence[Path], *, name: str, title: str, scope: str
) -> Timing:
    facts = [read_json(file) for file in files]
    named = dict.fromkeys(phase for fact in facts for phase in fact["seconds"])
    phases = tuple(phase for phase in named if phase not in NO_PHASES)
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
            f"Wall time of ranking and scoring {formats.count(facts[0]['n_query'])} queries in a "
            f"gallery of {formats.count(facts[0]['n_gallery'])}, without recording the ranked "
            f"lists, measured once. {scope}. One measurement has no interval: compare orders of "
            "size, not percents."
        ),
        phases=tuple(phase.replace("_", " ") for phase in phases),
        rows=rows,
        item=Item(provenance.sources(results, files), (), command(plan, shown(results, files[0]))),
    )
