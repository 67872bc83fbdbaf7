"""The datasets as the pages show them: a card each, and who made their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid_repro.files import read_json
from reid_repro.plan import Plan
from reid_repro.reporting.assets import Assets
from reid_repro.reporting.provenance import Download, Item, command, shown, sources


@dataclass(frozen=True)
class Origins:
    """Titles of a page's datasets, apart by who made the images."""

    rendered: tuple[str, ...]
    other: tuple[str, ...]


@dataclass(frozen=True)
class DatasetCard:
    """A dataset: samples, counts, protocol."""

    name: str
    title: str
    facts: dict[str, Any]
    samples: dict[str, Any]
    sheet: str
    item: Item


def origins(results: Path, names: Sequence[str]) -> Origins:
    """Which of the datasets were drawn by this repository, by their dataset.json."""
    all_facts = [read_json(results / "data" / name / "dataset.json") for name in names]
    titles = [
        (facts.get("title") or name, facts["source"] == "rendered")
        for name, facts in zip(names, all_facts, strict=True)
    ]
    return Origins(
        rendered=tuple(title for title, drawn in titles if drawn),
        other=tuple(title for title, drawn in titles if not drawn),
    )


def dataset_cards(plan: Plan, results: Path, assets: Assets) -> list[DatasetCard]:
    """A card for every dataset that the plan uses."""
    return [_dataset_card(plan, name, results, assets) for name in plan.datasets]


def _dataset_card(plan: Plan, name: str, results: Path, assets: Assets) -> DatasetCard:
    described = results / "data" / name / "dataset.json"
    sheet = results / "figures" / "samples" / f"{name}.webp"
    facts = read_json(described)
    for printed in facts.get("printed") or []:
        paper = plan.papers.get(printed["paper"])
        printed["paper"] = paper.title.partition(":")[0] if paper else printed["paper"]
    images = read_json(sheet.with_suffix(".json"))
    return DatasetCard(
        name=name,
        title=facts.get("title") or name,
        facts=facts,
        samples=images,
        sheet=assets.copy(sheet, f"figures/samples/{name}.webp"),
        item=Item(
            sources=sources(results, [described, sheet.with_suffix(".json")]),
            downloads=(Download("JSON", assets.copy(described, f"data/{name}.json")),),
            command=command(plan, shown(results, sheet)),
        ),
    )
