"""Phase `tables`, its pictures: curves and ranked lists of one variant on one dataset."""

from __future__ import annotations

from pathlib import Path

from reid_repro.paths import metrics_file
from reid_repro.plan import Plan, Run
from reid_repro.reporting.figures import cmc_figure, ranked_lists, training_figure


def run(plan: Plan, paper: str, variant: str, dataset: str, results: Path) -> None:
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
    )
