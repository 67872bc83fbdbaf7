"""Phases `parts` and `keypoints`: what a rendered set knows of its images, in the form of files."""

from __future__ import annotations

from pathlib import Path

from reid_repro.datasets.places import places_file, true_keypoints, true_parts
from reid_repro.detectors import Kind
from reid_repro.errors import UserError
from reid_repro.files import read_parquet, write_parquet
from reid_repro.networks import SUBJECTS
from reid_repro.plan import Plan


def run(plan: Plan, kind: Kind, dataset: str, results: Path) -> Path:
    """Write `results/{kind}/{dataset}/truth.parquet`.

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
        table = true_keypoints(annotations)
    else:
        table = true_parts(annotations, len(read_parquet(data / "images.parquet")))
    file = places_file(results, dataset, kind, "truth")
    write_parquet(file, table)
    return file
