"""Phase `tables`, its pictures: curves and ranked lists of a paper's variants on one dataset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reid_repro.errors import UserError
from reid_repro.measures.recipes import compared
from reid_repro.paths import metrics_file
from reid_repro.plan import Plan, Run
from reid_repro.reporting.figures import cmc_figure, ranked_lists, training_figure
from reid_repro.reporting.ranked import Peer


def run(plan: Plan, paper: str, dataset: str, results: Path) -> None:
    """Draw every variant of a paper that is trained on a dataset.

    Raises:
        UserError: the paper has no variant that is trained there.
    """
    variants = plan.variants_on(paper, dataset) if paper in plan.papers else []
    if not variants:
        known = [name for name in plan.config.papers if plan.variants_on(name, dataset)]
        raise UserError(
            f"no variant of paper '{paper}' is trained on '{dataset}'; "
            f"papers with one: {', '.join(known) or 'none'}"
        )
    for variant in variants:
        draw(plan, paper, variant, dataset, results)


def draw(plan: Plan, paper: str, variant: str, dataset: str, results: Path) -> None:
    """Write cmc.svg, training.svg, ranked.webp and ranked.json (of the first subset)."""
    runs = [Run(paper, variant, dataset, seed) for seed in plan.config.seeds]
    rerankers = plan.rerankers_of(paper)
    out = results / "figures" / paper / variant / dataset
    subsets = plan.subsets(dataset)
    scores = [
        metrics_file(results, r, subset, name)
        for subset in subsets
        for name in rerankers
        for r in runs
    ]
    cmc_figure(scores, out / "cmc.svg", statistics=plan.config.statistics)
    histories = [results / "models" / str(r) / "history.csv" for r in runs]
    training_figure(histories, out / "training.svg")
    first, shown = runs[0], subsets[0]
    ranked_lists(
        results / "data" / dataset,
        [metrics_file(results, first, shown, name) for name in rerankers],
        [results / "rankings" / str(first) / shown / f"{name}.parquet" for name in rerankers],
        out / "ranked.webp",
        peer=_peer(plan, first, shown, results),
    )


def _peer(plan: Plan, run: Run, subset: str, results: Path) -> Peer | None:
    """What a paper's main variant is held against; None for its other variants."""
    pair = compared(plan, run.paper, run.dataset)
    if pair is None or pair[0] != run.variant or "none" not in plan.rerankers_of(run.paper):
        return None
    other = replace(run, variant=pair[1])
    variants = plan.papers[run.paper].variants
    return Peer(
        metrics=metrics_file(results, other, subset, "none"),
        ranking=results / "rankings" / str(other) / subset / "none.parquet",
        title=variants[other.variant].title,
        own_title=variants[run.variant].title,
    )
