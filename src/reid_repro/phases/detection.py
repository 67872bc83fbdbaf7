"""Phases `parts` and `keypoints`: the boxes or joints of every image of a dataset.

They are detected, or imported where the dataset names files of its own. Beside the table of the
contract (`datasets.places`) lies summary.json: what was found, how fast, and by what.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from reid_repro import devices
from reid_repro.datasets.images import ImageStore
from reid_repro.datasets.places import FILLED, places_file
from reid_repro.detectors import (
    BoxesCsv,
    JointsCsv,
    KeypointsImport,
    Kind,
    MasksImport,
    PartsImport,
    PointsImport,
)
from reid_repro.errors import UserError
from reid_repro.files import read_json, sha256, write_json, write_parquet
from reid_repro.networks import SUBJECTS
from reid_repro.phases.detectors import folder_of
from reid_repro.plan import Plan
from reid_repro.training.checkpoint import clear

DEPTHS = (4, 6, 8, 10)  # D of PGAN's Table 5
LABELLED = 8  # the boxes of an image whose classes are counted: PGAN's D


def run(plan: Plan, kind: Kind, dataset: str, results: Path, *, threads: int = 0) -> str:
    """Write `results/{kind}/{dataset}/{kind}.parquet` and summary.json; a sentence on them.

    A killed detection goes on where it was. Raises UserError for a dataset of other subjects, and
    for whatever is wrong with imported files.
    """
    settings = plan.dataset(dataset)
    if settings.subject != SUBJECTS[kind]:
        raise UserError(f"dataset '{dataset}' shows no {SUBJECTS[kind]}s: it has no {kind}")
    if threads:
        torch.set_num_threads(threads)
    store = ImageStore.open(results / "data" / dataset)
    brought = settings.parts if kind == "parts" else settings.keypoints
    checkpoints = results / "checkpoints" / kind / dataset
    began = time.perf_counter()
    if brought is not None:
        table = _imported(plan, brought, store)
    elif kind == "parts":
        table = _parts(plan, dataset, results, store, checkpoints)
    else:
        table = _keypoints(plan, dataset, results, store, checkpoints)
    seconds = time.perf_counter() - began
    if kind == "keypoints":
        least = plan.config.detectors.keypoints.detection.least
        table["confidence"] = table["confidence"].where(table["confidence"] >= least, 0.0)
    out = places_file(results, dataset, kind, "detected")
    write_parquet(out, table)
    found = found_parts(table) if kind == "parts" else found_joints(table)
    weights = folder_of(results, kind) / "weights.safetensors"
    write_json(
        out.with_name("summary.json"),
        {
            "dataset": dataset,
            "source": "detector" if brought is None else brought.source,
            "scale": plan.config.scale,
            "images": len(store),
            **found,
            "seconds": round(seconds, 2),
            "images_per_second": round(len(store) / seconds, 1),
            "detection": None if brought else _settings(plan, kind),
            "weights_digest": None if brought else sha256(weights),
            "threads": torch.get_num_threads(),
            "config_digest": plan.digest,
            **devices.commit(),
            "versions": devices.versions(),
            "machine": devices.machine(),
            "command": plan.command(out.as_posix()),
        },
    )
    clear(checkpoints)
    return _sentence(kind, len(store), found)


def found_parts(table: pd.DataFrame) -> dict[str, Any]:
    """Boxes an image, images by D whose first D boxes had to be filled up, boxes by class."""
    boxes = int(table["rank"].max()) + 1
    filled = table[table["label"] == FILLED].groupby("image")["rank"].min()
    labels = table.loc[(table["rank"] < LABELLED) & (table["label"] != FILLED), "label"]
    return {
        "boxes": boxes,
        "filled": {str(depth): int((filled < depth).sum()) for depth in DEPTHS if depth <= boxes},
        "labels": {str(name): int(count) for name, count in labels.value_counts().items()},
    }


def found_joints(table: pd.DataFrame) -> dict[str, Any]:
    """How many images lack one of GLAD's four keypoints, and how many lack each joint."""
    from reid_repro.keypoints.joints import GLAD, NAMES

    missing = table["confidence"].to_numpy().reshape(-1, len(NAMES)) == 0
    return {
        "lacking": int(missing[:, list(GLAD)].any(axis=1).sum()),
        "lacking_by_joint": dict(zip(NAMES, missing.sum(axis=0).tolist(), strict=True)),
    }


def _sentence(kind: Kind, images: int, found: dict[str, Any]) -> str:
    if kind == "parts":
        filled = ", ".join(f"{n:,} of D = {depth}" for depth, n in found["filled"].items())
        return f"{images:,} images; filled up: {filled}"
    return f"{images:,} images; {found['lacking']:,} lack one of GLAD's keypoints"


def _settings(plan: Plan, kind: Kind) -> dict[str, Any]:
    detection = getattr(plan.config.detectors, kind).detection
    found: dict[str, Any] = detection.model_dump(mode="json")
    return found


def _parts(
    plan: Plan, dataset: str, results: Path, store: ImageStore, checkpoints: Path
) -> pd.DataFrame:
    from reid_repro.parts import detection, weights

    settings = plan.config.detectors.parts
    network = weights.load(folder_of(results, "parts") / "weights.safetensors", settings)
    return detection.detect(
        network,
        store,
        settings.detection,
        folder=checkpoints,
        content=_content(results, dataset),
        name=f"{dataset} parts",
    )


def _keypoints(
    plan: Plan, dataset: str, results: Path, store: ImageStore, checkpoints: Path
) -> pd.DataFrame:
    from reid_repro.finished import FinishedBatches
    from reid_repro.keypoints import detection, weights

    settings = plan.config.detectors.keypoints
    file = folder_of(results, "keypoints") / "weights.safetensors"
    network = weights.load(file, settings)
    known = {
        "weights": sha256(file),
        "content": _content(results, dataset),
        "settings": settings.model_dump(mode="json", exclude={"training", "data"}),
    }
    finished = FinishedBatches(checkpoints, code=detection.CODE, settings=known)
    return detection.detect(f"{dataset} keypoints", network, store, settings, finished=finished)


def _content(results: Path, dataset: str) -> str:
    content: str = read_json(results / "data" / dataset / "content.json")["content_hash"]
    return content


def _imported(
    plan: Plan, brought: PartsImport | KeypointsImport, store: ImageStore
) -> pd.DataFrame:
    from reid_repro.keypoints import imports as joints
    from reid_repro.parts import imports as boxes

    names = store.images["image"].tolist()
    match brought:
        case MasksImport(folder=folder):
            return boxes.masks(names, folder)
        case PointsImport(files=files, width=width, height=height):
            return joints.published_points(files, store.images, size=(width, height))
        case BoxesCsv(file=file):
            return boxes.csv(names, file, plan.config.detectors.parts.detection.boxes)
        case JointsCsv(file=file, unit=unit):
            images = store.images
            if unit == "pixels":
                width, height = store.sizes().T
                images = images.assign(width=width, height=height)
            return joints.keypoints_csv(file, images, unit=unit)
