"""Sheets of what the detectors found: images drawn at random, then the failures beside the truth.

One sprite a dataset, and a JSON beside it that says which image stands where, why it was chosen
and what was found in it. The random images follow from the dataset's content, the failures from
the scores: nobody picks them. The regions of a pedestrian are those that GLAD cuts
(`models.layers.regions`, Eqs. 2 and 3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from reid_repro.datasets.images import ImageStore
from reid_repro.datasets.places import FILLED, true_keypoints
from reid_repro.detectors import Kind
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet, write_json
from reid_repro.reporting import stage_overlays as overlays
from reid_repro.reporting.sprites import Grid, fit, sheet, write_webp

TOP = 8  # boxes an image that are drawn, PGAN's D
RANDOM: dict[Kind, int] = {"parts": 8, "keypoints": 12}
FAILURES = 6
COLUMNS = 4
TILE: dict[Kind, tuple[int, int]] = {"parts": (224, 224), "keypoints": (128, 256)}
COVERED = 0.5  # intersection over union from which on a box covers a part


@dataclass(frozen=True)
class _Entry:
    """One image: its overlays by view, and what the page says of it."""

    row: int
    facts: dict[str, Any]
    views: dict[str, Image.Image]


@dataclass(frozen=True)
class _Source:
    """The files behind the sheet of one dataset."""

    kind: Kind
    file: Path  # where `found` was read
    dataset: str
    store: ImageStore
    rows: np.ndarray  # the images to choose from
    found: pd.DataFrame
    truth: pd.DataFrame | None
    per_image: dict[int, float]  # a score by image: low is bad
    score: str  # what that score is
    seed: int

    def image(self, row: int) -> Image.Image:
        """The image as large as its tile, its shape kept."""
        pixels = self.store[row]
        width, height = TILE[self.kind]
        scale = min(width / pixels.shape[1], height / pixels.shape[0])
        size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
        return fit(pixels, *size)


def parts_sheet(results: Path, dataset: str, out: Path) -> None:
    """Draw `out` (.webp) and describe it in `out.with_suffix(".json")`: boxes of vehicle parts.

    Reads `results/data/{dataset}`, `results/parts/{dataset}/parts.parquet` and, where the truth is
    known, `evaluation.json` beside it. UserError names a file that is missing or does not fit.
    """
    source = _source(results, dataset, "parts")
    source = _scored(source, lambda boxes: boxes.loc[boxes["rank"] < TOP, "score"].mean())
    _write(source, _parts_entry, out)


def keypoints_sheet(results: Path, dataset: str, out: Path) -> None:
    """The same for the joints of pedestrians, with the regions that GLAD cuts by them."""
    from reid_repro.keypoints.joints import GLAD  # brings torch

    source = _source(results, dataset, "keypoints")
    source = _scored(source, lambda j: j.loc[j["joint"].isin(GLAD), "confidence"].min())
    _write(source, _pose_entry, out)


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (n, 4) and (m, 4), x0, y0, x1, y1: (n, m)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    areas = [(b[:, 2:] - b[:, :2]).clip(min=0).prod(axis=1) for b in (boxes, others)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    found: np.ndarray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return found


def covered_parts(boxes: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Which parts (m, 4) the boxes (n, 4) cover, (m,) bool; boxes come by rank.

    As recall counts them: each box in turn takes the part that it overlaps most of those not yet
    taken, if by `COVERED` at least.
    """
    taken = np.zeros(len(parts), dtype=bool)
    for shares in overlaps(boxes, parts) if len(parts) else ():
        free = np.where(taken, 0.0, shares)
        best = int(free.argmax())
        taken[best] |= free[best] >= COVERED
    return taken


def _source(results: Path, dataset: str, kind: Kind) -> _Source:
    folder = results / "data" / dataset
    store = ImageStore.open(folder)
    splits = read_parquet(folder / "splits.parquet")
    rows = np.sort(splits.loc[splits["role"] != "train", "image"].unique())
    if not len(rows):
        raise UserError(f"{folder}: no test image to show")
    truth = folder / "annotations.parquet"
    file = results / kind / dataset / f"{kind}.parquet"
    evaluation = file.with_name("evaluation.json")
    scored = read_json(evaluation)["per_image"] if evaluation.is_file() else {}
    return _Source(
        kind=kind,
        file=file,
        dataset=dataset,
        store=store,
        rows=rows,
        found=read_parquet(file),
        truth=read_parquet(truth) if truth.is_file() else None,
        per_image={int(row): float(value) for row, value in scored.items() if _is_known(value)},
        score=f"recall@{TOP}" if kind == "parts" else "PCK",
        seed=int(read_json(folder / "content.json")["content_hash"][:8], 16),
    )


def _is_known(value: float | None) -> bool:
    """An image without a part or joint has no score."""
    return value is not None and math.isfinite(value)


def _scored(source: _Source, confidence: Callable[[pd.DataFrame], float]) -> _Source:
    """The source itself, or, where nothing is known to be right, scored by its own confidence."""
    if source.per_image:
        return source
    chosen = source.found[source.found["image"].isin(source.rows)]
    per_image = {int(row): float(confidence(part)) for row, part in chosen.groupby("image")}
    return replace(source, per_image=per_image, score="confidence")


def _choose(source: _Source) -> dict[str, list[int]]:
    """Rows by rule; equal scores are taken in random order, as rows that follow look alike."""
    rng = np.random.default_rng(source.seed)
    drawn = rng.choice(source.rows, min(RANDOM[source.kind], len(source.rows)), replace=False)
    shuffled = rng.permutation(np.array(sorted(source.per_image), dtype=np.int64))
    worst = sorted((int(row) for row in shuffled), key=lambda row: source.per_image[row])
    return {"random": [int(row) for row in np.sort(drawn)], "failures": worst[:FAILURES]}


def _rules(source: _Source) -> dict[str, str]:
    what = {
        f"recall@{TOP}": f"lowest share of true parts among the first {TOP} boxes",
        "PCK": "lowest share of right joints",
        "confidence": "least sure: the mean score of the first boxes"
        if source.kind == "parts"
        else "least sure: the least of the four keypoints",
    }[source.score]
    return {
        "random": "drawn at random, by a seed from the dataset's content",
        "failures": f"{what}; equals in random order",
    }


def _write(source: _Source, make: Callable[[_Source, int, bool], _Entry], out: Path) -> None:
    chosen = _choose(source)
    groups = {
        rule: [make(source, row, rule == "failures") for row in rows]
        for rule, rows in chosen.items()
    }
    width, height = TILE[source.kind]
    flat = [tile for entries in groups.values() for one in entries for tile in one.views.values()]
    grid = Grid(width, height, columns=min(COLUMNS, len(flat)), gap=0)
    write_webp(sheet([fit(np.asarray(tile), width, height) for tile in flat], grid), out)
    places = (list(grid.origin(number)) for number in range(len(flat)))
    legend = overlays.parts_legend if source.kind == "parts" else overlays.pose_legend
    write_json(
        out.with_suffix(".json"),
        {
            "kind": source.kind,
            "dataset": source.dataset,
            "size": list(grid.size(len(flat))),
            "tile": [width, height],
            "score": source.score,
            "annotation": "boxes" if source.kind == "parts" else "joints and regions",
            "legend": legend(truth=source.truth is not None),
            "groups": [
                {
                    "name": rule,
                    "rule": _rules(source)[rule],
                    "images": [
                        one.facts | {"tiles": {view: next(places) for view in one.views}}
                        for one in entries
                    ],
                }
                for rule, entries in groups.items()
            ],
        },
    )


def _facts(source: _Source, row: int) -> dict[str, Any]:
    images = source.store.images
    value = source.per_image.get(row)
    return {
        "image": row,
        "identity": int(images["identity"].iloc[row]),
        "camera": int(images["camera"].iloc[row]),
        "score": None if value is None else round(value, 4),
    }


def _rows_of(source: _Source, row: int, order: str) -> pd.DataFrame:
    found = source.found[source.found["image"] == row].sort_values(order, kind="stable")
    if found.empty:
        raise UserError(f"{source.file}: no row of image {row}; delete it and run again")
    return found


def _parts_entry(source: _Source, row: int, with_truth: bool) -> _Entry:
    boxes = _rows_of(source, row, "rank").head(TOP)
    # What fills an image up was not detected: it has no score.
    boxes = boxes.assign(filled=(boxes["label"] == FILLED) | (boxes["score"] <= 0))
    image = source.image(row)
    views = {"detected": overlays.draw_ranked(image, boxes)}
    facts = _facts(source, row) | {
        "boxes": [
            {
                "rank": int(box.rank) + 1,
                "label": str(box.label),
                "score": round(float(box.score), 4),
                "filled": bool(box.filled),
            }
            for box in boxes.itertuples()
        ]
    }
    if with_truth and source.truth is not None:
        parts = source.truth[source.truth["image"] == row]
        found, true = (frame[list(overlays.BOX)].to_numpy(np.float64) for frame in (boxes, parts))
        covered = covered_parts(found, true)
        views["truth"] = overlays.draw_truth(image, parts, covered.tolist())
        facts["parts"] = len(parts)
        facts["uncovered"] = _counted(parts.loc[~covered, "label"])
    return _Entry(row, facts, views)


def _counted(labels: pd.Series) -> dict[str, int]:
    """How often each label occurs, in alphabetical order."""
    return {str(label): int(n) for label, n in labels.value_counts().sort_index().items()}


def _pose_entry(source: _Source, row: int, with_truth: bool) -> _Entry:
    from reid_repro.keypoints.joints import GLAD, NAMES

    joints = _rows_of(source, row, "joint")
    image = source.image(row)
    views = {"detected": overlays.draw_pose(image, joints, _regions(source, joints, image))}
    confidence: Mapping[int, float] = dict(
        zip(joints["joint"].astype(int), joints["confidence"].astype(float), strict=True)
    )
    least = min(confidence, key=lambda joint: confidence[joint])
    facts = _facts(source, row) | {
        "anchors": {NAMES[joint]: round(confidence.get(joint, 0.0), 4) for joint in GLAD},
        "least": {"joint": NAMES[least], "confidence": round(confidence[least], 4)},
    }
    if with_truth and source.truth is not None:
        true = true_keypoints(source.truth[source.truth["image"] == row])
        views["truth"] = overlays.draw_pose(image, true, _regions(source, true, image))
    return _Entry(row, facts, views)


def _regions(source: _Source, joints: pd.DataFrame, image: Image.Image) -> np.ndarray:
    """Head, upper and lower body (3, 4), in shares of the image."""
    import torch

    from reid_repro.models.layers.regions import JOINTS, region_boxes

    if joints["joint"].tolist() != list(range(JOINTS)):
        raise UserError(f"{source.file}: not {JOINTS} joints an image; delete it and run again")
    points = torch.tensor(joints[["x", "y", "confidence"]].to_numpy(np.float32))
    boxes: np.ndarray = region_boxes(points[None], image.height, image.width)[0].numpy()
    return boxes / np.array([image.width, image.height] * 2, dtype=np.float32)
