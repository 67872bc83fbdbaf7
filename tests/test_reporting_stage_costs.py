"""What detection errors cost: paired differences, recomputed query by query."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reid_repro.errors import UserError
from reid_repro.reporting.stage_costs import detection_cost

from reporting_world import HOSTILE, World, make_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path, figures=False)


def by_hand(world: World, variant: str, dataset: str) -> tuple[np.ndarray, np.ndarray]:
    """AP and hits at rank 1, means over the seeds, a query at a time."""
    files = world.metrics(dataset, variant=variant)[:2]  # `none`, two seeds
    frames = [pd.read_parquet(file.with_name("none.per_query.parquet")) for file in files]
    return (
        sum(frame["AP"].to_numpy(np.float64) for frame in frames) / 2,
        sum((frame["first_hit"].to_numpy() == 1).astype(float) for frame in frames) / 2,
    )


def signed(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def test_the_cost_is_the_mean_difference_of_the_queries(world: World) -> None:
    cost = detection_cost(world.plan, world.results, "ground/wide", "ground/plain")
    assert [title for title, _ in cost.groups] == [HOSTILE, "People"]
    for (_, rows), dataset in zip(cost.groups, ("cars", "people"), strict=True):
        detected, true = (by_hand(world, variant, dataset) for variant in ("wide", "plain"))
        for row, a, b in zip(rows, detected, true, strict=True):
            shown = [cell.value for cell in row.cells]
            means = [f"{100 * a.mean():.1f}", f"{100 * b.mean():.1f}"]
            assert shown == [*means, signed(float((a - b).mean()))]
            low, high = (
                float(end.replace("\N{MINUS SIGN}", "-"))
                for end in row.cells[2].interval.split(" to ")
            )
            assert low <= 100 * (a - b).mean() <= high
            assert low < high


def test_equal_systems_cost_nothing(world: World) -> None:
    cost = detection_cost(world.plan, world.results, "ground/wide", "ground/wide")
    assert [row.cells[2].value for row in cost.groups[0][1]] == ["+0.0", "+0.0"]
    assert cost.groups[0][1][0].cells[2].interval == "+0.0 to +0.0"


def test_other_queries_cannot_be_compared(world: World) -> None:
    for file in world.metrics("cars", variant="plain"):
        table = file.with_name(f"{file.stem}.per_query.parquet")
        pd.read_parquet(table).iloc[1:].to_parquet(table)
    with pytest.raises(UserError, match="other queries than in"):
        detection_cost(world.plan, world.results, "ground/wide", "ground/plain")


def test_a_cost_that_is_not_planned_gives_its_command(world: World) -> None:
    unknown = detection_cost(world.plan, world.results, "pgan/pgan", "pgan/true_boxes")
    assert unknown.reason == "Not run: the configuration knows no pgan/pgan."
    paper = world.plan.papers["ground"]
    wide = paper.variants["wide"].model_copy(update={"ablation": True})
    papers = {"ground": paper.model_copy(update={"variants": paper.variants | {"wide": wide}})}
    plan = replace(world.plan, papers=papers, overrides={"seeds": 2})
    cost = detection_cost(plan, world.results, "ground/plain", "ground/wide")
    assert cost.reason == f"Not run: Wide {HOSTILE} (an ablation)."
    assert cost.command == "snakemake --cores all --config seeds=2 ablations=all"
    assert (cost.groups, cost.item) == ((), None)
