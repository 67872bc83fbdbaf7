"""Picture sheets of what networks look at, from `results/looks/{paper}/{dataset}`.

Beside each sheet lies a JSON file with its title, caption and size, the queries on it and the
number that belongs to each. A sheet that answers a printed figure is shown with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reid_repro.errors import UserError
from reid_repro.files import read_json
from reid_repro.measures.recipes import looks_folder, looks_of
from reid_repro.plan import Plan
from reid_repro.reporting import formats, provenance
from reid_repro.reporting.assets import Assets
from reid_repro.reporting.provenance import Download, Item, shown
from reid_repro.reporting.tables import dataset_title

KEYS = ("title", "caption", "size", "alt", "rows")
# (paper, sheet) -> the figure in print that shows the same.
ANSWERS: Final[dict[tuple[str, str], str]] = {
    ("chca", "activation"): "Fig. 5",
    ("pgan", "attention"): "Figure 4",
    ("ssrnet", "attention"): "Fig. 3",
}


@dataclass(frozen=True)
class Look:
    """One sheet as a page shows it; `queries` are (who, numbers in words)."""

    id: str
    title: str
    caption: str
    answers: str
    image: str
    width: int
    height: int
    alt: str
    queries: tuple[tuple[str, str], ...]
    item: Item


def looks(plan: Plan, paper: str, results: Path, assets: Assets) -> tuple[Look, ...]:
    """Every planned sheet of a paper; UserError names one that is missing or damaged."""
    return tuple(
        _look(plan, paper, dataset, one.name, results, assets)
        for dataset in plan.datasets_of(paper)
        for one in looks_of(plan, paper, dataset)
    )


def _look(plan: Plan, paper: str, dataset: str, name: str, results: Path, assets: Assets) -> Look:
    described = looks_folder(results, paper, dataset) / f"{name}.json"
    sheet = described.with_suffix(".webp")
    facts = read_json(described)
    missing = [key for key in KEYS if key not in facts]
    if missing:
        raise UserError(f"{described}: no key '{missing[0]}'; delete it and run again")
    width, height = facts["size"]
    below = shown(results, sheet).removeprefix("results/")
    return Look(
        id=f"look-{paper}-{dataset}-{name}",
        title=f"{facts['title']}: {dataset_title(plan, dataset)}",
        caption=f"{facts['caption']} {plan.config.scale.capitalize()} scale, "
        f"{formats.seeds(plan.config.seeds[:1])}.",
        answers=ANSWERS.get((paper, name), ""),
        image=assets.copy(sheet, below),
        width=int(width),
        height=int(height),
        alt=str(facts["alt"]),
        queries=tuple(_query(row) for row in facts["rows"]),
        item=Item(
            sources=provenance.sources(results, [sheet, described]),
            downloads=(
                Download("JSON", assets.copy(described, f"{below.removesuffix('.webp')}.json")),
            ),
            command=provenance.command(plan, shown(results, sheet)),
        ),
    )


def _query(row: Mapping[str, Any]) -> tuple[str, str]:
    """('Identity 12, camera 3', 'active 31.0 %, ...')."""
    camera = int(row["camera"])
    where = f"camera {camera}" if camera >= 0 else "camera unknown"
    numbers = ", ".join(
        f"{name} {formats.percent(value)}\N{NO-BREAK SPACE}%"
        for name, value in row["numbers"].items()
    )
    return f"Identity {row['identity']}, {where}", numbers
