"""The pages of the two detectors: part boxes (PGAN, section 3.2), keypoints (GLAD, section 4.1).

Each shows how its detector was trained, what it found on every dataset that a network reads with
boxes or joints, how good that is where the truth is known, and what its errors cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from markupsafe import Markup

from reid_repro.detectors import Kind
from reid_repro.files import read_json
from reid_repro.networks import needs
from reid_repro.plan import Plan
from reid_repro.reporting import formats, provenance, svg
from reid_repro.reporting.assets import Assets
from reid_repro.reporting.provenance import Download, Item, shown
from reid_repro.reporting.sections import Vector
from reid_repro.reporting.stage_costs import Cost, detection_cost
from reid_repro.reporting.stage_curves import detector_figure
from reid_repro.reporting.stage_facts import (
    SOURCES,
    Pairs,
    Record,
    input_of,
    keys_of,
    learnt_from,
    notes_of,
    record_of,
)
from reid_repro.reporting.stage_tables import ScoreTable, keypoints_tables, parts_tables
from reid_repro.reporting.tables import dataset_title

TITLES: dict[Kind, str] = {"parts": "Part boxes", "keypoints": "Body keypoints"}
# The same network on detections and on the truth.
PAIRS: dict[Kind, tuple[str, str]] = {
    "parts": ("pgan/pgan", "pgan/true_boxes"),
    "keypoints": ("glad/glad", "glad/true_joints"),
}


@dataclass(frozen=True)
class Detector:
    """The detector itself; `figure` is None where its weights come from elsewhere."""

    keys: Pairs
    learnt: str
    figure: Vector | None
    record: Record


@dataclass(frozen=True)
class Found:
    """What was found on one dataset."""

    id: str
    name: str
    title: str
    origin: str
    scored: bool
    keys: Pairs
    notes: tuple[str, ...]
    tables: tuple[tuple[ScoreTable, Item], ...]
    sheet: dict[str, Any]  # the JSON beside the sprite
    sprite: str
    sheet_item: Item
    record: Record


@dataclass(frozen=True)
class Stage:
    """One page."""

    kind: Kind
    title: str
    papers: tuple[str, ...]
    detector: Detector | None
    datasets: tuple[Found, ...]
    cost: Cost

    @property
    def page(self) -> str:
        """The page, from the front page."""
        return f"stages/{self.kind}.html"


def stages(plan: Plan, results: Path, assets: Assets) -> tuple[Stage, ...]:
    """A stage for each kind that is detected for some run of the plan.

    UserError names the first results file that is missing.
    """
    kinds = [kind for kind in TITLES if kind in {one for one, _ in plan.detected}]
    return tuple(_stage(plan, kind, results, assets) for kind in kinds)


def _stage(plan: Plan, kind: Kind, results: Path, assets: Assets) -> Stage:
    names = [dataset for one, dataset in plan.detected if one == kind]
    found = tuple(_found(plan, kind, name, results, assets) for name in names)
    own = any(one.origin == SOURCES["detector"] for one in found)
    return Stage(
        kind=kind,
        title=TITLES[kind],
        papers=tuple(
            name
            for name in plan.config.papers
            if any(needs(plan.resolve(run).model) == kind for run in plan.runs_of(name))
        ),
        detector=_detector(plan, kind, results, assets) if own else None,
        datasets=found,
        cost=detection_cost(plan, results, *PAIRS[kind]),
    )


def _detector(plan: Plan, kind: Kind, results: Path, assets: Assets) -> Detector:
    file = results / "detectors" / kind / "detector.json"
    facts = read_json(file)
    trained = int(facts["images"]) > 0  # else its weights were taken over
    seconds = formats.duration(facts.get("wall_seconds"))
    keys = [
        ("Network", f"{facts['network']}, {input_of(facts)} pixels"),
        ("Parameters", formats.millions(facts["parameters"])),
    ]
    if trained:
        keys += [
            ("Training images", formats.count(facts["images"])),
            ("Iterations", formats.count(facts["training"]["iterations"])),
            ("Training time", seconds),
        ]
    return Detector(
        keys=tuple(keys),
        learnt=learnt_from(plan, facts["data"]),
        figure=_curve(plan, kind, facts, results, assets) if trained else None,
        record=record_of(results, file, f"detector-{kind}", "The detector", facts),
    )


def _curve(
    plan: Plan, kind: Kind, facts: Mapping[str, Any], results: Path, assets: Assets
) -> Vector:
    history = results / "detectors" / kind / "history.csv"
    name = f"training-{kind}"
    with TemporaryDirectory() as folder:
        file = Path(folder) / "training.svg"
        detector_figure(history, file)
        description, panels = svg.inline(file, f"{name}-")
        drawn = assets.text(file.read_text("utf-8"), f"figures/{kind}/training.svg")
    batch = facts["training"]["batch_size"]
    return Vector(
        id=name,
        title="Training",
        description=description,
        caption=(
            f"One point an interval between checkpoints: the mean loss over its batches of "
            f"{formats.plural(batch, 'image')}. {plan.config.scale.capitalize()} scale; trained "
            "once: no interval."
        ),
        panels=tuple(Markup(panel) for panel in panels),
        item=Item(
            sources=provenance.sources(results, [history]),
            downloads=(
                Download("SVG", drawn),
                Download("CSV", assets.copy(history, f"data/{kind}-history.csv")),
            ),
            command=plan.command(shown(results, history)),
        ),
    )


def _found(plan: Plan, kind: Kind, dataset: str, results: Path, assets: Assets) -> Found:
    folder = results / kind / dataset
    files = [folder / "summary.json"]
    summary, evaluation = read_json(files[0]), None
    if plan.is_rendered(dataset):  # the truth is known
        files.append(folder / "evaluation.json")
        evaluation = read_json(files[1])
    sprite = results / "figures" / kind / f"{dataset}.webp"
    described = sprite.with_suffix(".json")
    sheet = read_json(described)
    name = f"{kind}-{dataset}"
    if kind == "parts":
        tables = parts_tables(summary, evaluation)
    else:
        anchors = next(iter(sheet["groups"]))["images"][0]["anchors"]
        tables = keypoints_tables(summary, evaluation, tuple(anchors))
    downloads = tuple(
        Download(f"JSON ({file.stem})", assets.copy(file, f"data/{name}-{file.stem}.json"))
        for file in files
    )
    title = dataset_title(plan, dataset)
    return Found(
        id=name,
        name=dataset,
        title=title,
        origin=SOURCES.get(summary["source"], summary["source"]),
        scored=evaluation is not None,
        keys=keys_of(kind, summary, evaluation),
        notes=notes_of(kind, summary),
        tables=tuple(
            (table, _table_item(plan, table, name, files, downloads, results, assets))
            for table in tables
        ),
        sheet=sheet,
        sprite=assets.copy(sprite, f"figures/{kind}/{dataset}.webp"),
        sheet_item=Item(
            sources=provenance.sources(results, [described, folder / f"{kind}.parquet"]),
            downloads=(Download("JSON", assets.copy(described, f"figures/{kind}/{dataset}.json")),),
            command=plan.command(shown(results, sprite)),
        ),
        record=record_of(results, files[0], f"made-{name}", f"Found on {title}", summary),
    )


def _table_item(
    plan: Plan,
    table: ScoreTable,
    name: str,
    files: list[Path],
    downloads: tuple[Download, ...],
    results: Path,
    assets: Assets,
) -> Item:
    text = table.frame.to_csv(index=False, lineterminator="\n")
    csv = Download("CSV", assets.text(text, f"tables/{name}-{table.name}.csv"))
    return Item(
        sources=provenance.sources(results, files),
        downloads=(csv, *downloads),
        command=plan.command(shown(results, files[-1])),
    )
