"""Figures of a paper's page beyond CMC, training and sweeps, each only where its data exist.

Distances of right and wrong answers, the change of AP a query, mAP by camera, printed against
measured values, the effects that claims rest on, and time against accuracy. No network runs here,
and torch is not imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reid_repro.ledger.tables import Reader
from reid_repro.plan import Plan
from reid_repro.reporting import (
    plots_agreement,
    plots_cameras,
    plots_change,
    plots_claims,
    plots_distances,
    plots_times,
)
from reid_repro.reporting.assets import Assets
from reid_repro.reporting.plots_common import Plot, vector
from reid_repro.reporting.sections import Vector

__all__ = ["figures", "plots"]


def figures(plan: Plan, paper: str, results: Path, assets: Assets) -> list[Vector]:
    """The figures of one paper, in the order of its page; their files go to `assets`.

    Raises UserError naming a results file that is damaged, or that the plan promises and that is
    not there.
    """
    return [vector(plan, paper, results, assets, one) for one in plots(plan, paper, results)]


def plots(plan: Plan, paper: str, results: Path) -> Iterator[Plot]:
    """What there is to draw for one paper."""
    effects = plots_claims.plot(plan, paper, results)
    if effects is not None:
        yield effects
    yield from plots_agreement.plots(plan, paper, results)
    yield from plots_times.plots(plan, paper, results)
    read = Reader(results)
    for dataset in plan.datasets_of(paper):
        candidates = (
            plots_change.plot(plan, paper, dataset, read),
            plots_distances.plot(plan, paper, dataset, results),
            plots_cameras.plot(plan, paper, dataset, results, read),
        )
        yield from (one for one in candidates if one is not None)
