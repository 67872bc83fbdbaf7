"""One small JSON of the main metrics of every run, for `dvc metrics show` and `diff`."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

from reid_repro.files import read_json
from reid_repro.paths import metrics_file
from reid_repro.plan import Plan


def summary(plan: Plan, results: Path) -> dict[str, Any]:
    """run -> re-ranker (or subset/re-ranker) -> mAP and Rank-1, -5, -10 (shares, four digits)."""
    found: dict[str, Any] = {}
    for run in plan.runs:
        found[str(run)] = {}
        for subset, reranker in product(plan.subsets(run.dataset), plan.rerankers_of(run.paper)):
            facts = read_json(metrics_file(results, run, subset, reranker))
            ranks = {f"R{rank}": round(facts["cmc"][rank - 1], 4) for rank in (1, 5, 10)}
            name = reranker if subset == "test" else f"{subset}/{reranker}"
            found[str(run)][name] = {"mAP": round(facts["mAP"], 4), **ranks}
    return found
