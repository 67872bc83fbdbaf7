"""Phases `parts` and `keypoints`: what a rendered set knows of its images, in the form of files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reid_repro.datasets.places import FILLED, Kind, places_file, true_keypoints, true_parts
from reid_repro.errors import UserError
from reid_repro.files import read_parquet, write_parquet
from reid_repro.networks import SUBJECTS
from reid_repro.plan import Plan


def run(plan: Plan, dataset: str, kind: Kind, results: Path) -> str:
    """Write `results/{kind}/{dataset}/truth.parquet`; what it holds, as a sentence.

    Raises UserError for a dataset that does not know its parts or joints.
    """
    settings = plan.dataset(dataset)
    if not plan.is_rendered(dataset) or settings.subject != SUBJECTS[kind]:
        raise UserError(
            f"dataset '{dataset}' has no true {kind}: only rendered {SUBJECTS[kind]}s know them"
        )
    data = results / "data" / dataset
    annotations = read_parquet(data / "annotations.parquet")
    if kind == "keypoints":
        joints = true_keypoints(annotations)
        lacking = int((joints.groupby("image")["confidence"].min() == 0).sum())
        return _written(joints, places_file(results, dataset, kind), f"{lacking} lack a joint")
    images = len(read_parquet(data / "images.parquet"))
    parts = true_parts(annotations, images)
    filled = int((parts["label"] == FILLED).groupby(parts["image"]).any().sum())
    return _written(parts, places_file(results, dataset, kind), f"{filled} filled up")


def _written(table: pd.DataFrame, file: Path, note: str) -> str:
    write_parquet(file, table)
    return f"{table['image'].nunique():,} images, {note}"
