"""Picture sheets of what a network looks at, from `results/looks/{paper}/{dataset}`.

Beside each sheet lies a JSON file with its title, caption, size, description in words and the
numbers that belong to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid_repro.errors import UserError
from reid_repro.files import read_json
from reid_repro.plan import Plan
from reid_repro.reporting import provenance
from reid_repro.reporting.assets import Assets
from reid_repro.reporting.provenance import Download, Item, shown
from reid_repro.reporting.tables import dataset_title


@dataclass(frozen=True)
class Look:
    """One sheet as a page shows it."""

    id: str
    title: str
    caption: str
    image: str
    width: int
    height: int
    alt: str
    facts: tuple[tuple[str, str], ...]
    item: Item


def looks(plan: Plan, paper: str, results: Path, assets: Assets) -> tuple[Look, ...]:
    """Every sheet of a paper, by dataset and name; UserError names a damaged one."""
    return tuple(
        _look(plan, paper, dataset, file, results, assets)
        for dataset in plan.datasets_of(paper)
        for file in sorted((results / "looks" / paper / dataset).glob("*.webp"))
    )


def _look(plan: Plan, paper: str, dataset: str, sheet: Path, results: Path, assets: Assets) -> Look:
    described = sheet.with_suffix(".json")
    facts = read_json(described)
    name = shown(results, sheet).removeprefix("results/")
    title = str(_of(facts, "title", described))
    width, height = _of(facts, "size", described)
    return Look(
        id=f"look-{paper}-{dataset}-{sheet.stem}",
        title=f"{title}: {dataset_title(plan, dataset)}",
        caption=str(facts.get("caption") or ""),
        image=assets.copy(sheet, name),
        width=int(width),
        height=int(height),
        alt=str(facts.get("alt") or facts.get("caption") or title),
        facts=(),
        item=Item(
            sources=provenance.sources(results, [sheet, described]),
            downloads=(Download("JSON", assets.copy(described, f"{name[:-5]}.json")),),
            command=provenance.command(plan, shown(results, sheet)),
        ),
    )


def _of(facts: Mapping[str, Any], key: str, file: Path) -> Any:
    if key not in facts:
        raise UserError(f"{file}: no key '{key}'; delete it and run again")
    return facts[key]
