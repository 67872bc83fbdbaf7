"""Phases `parts` and `keypoints`: how good detected boxes or joints are, where the truth is known.

Scored are the test images of a rendered set: no detector has seen their identities. Beside each
figure stands that of a prior which looks at no image: fixed boxes, a mean pose.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reid_repro.datasets.places import places_file
from reid_repro.detectors import Kind
from reid_repro.errors import UserError
from reid_repro.files import read_parquet, write_json
from reid_repro.plan import Plan


def run(plan: Plan, kind: Kind, dataset: str, results: Path) -> str:
    """Write `results/{kind}/{dataset}/evaluation.json`; the main figure as a sentence.

    Raises UserError for a dataset whose parts or joints are not known.
    """
    if not plan.is_rendered(dataset):
        raise UserError(f"dataset '{dataset}': its true {kind} are not known")
    data = results / "data" / dataset
    splits = read_parquet(data / "splits.parquet")
    tested = np.unique(splits.loc[splits["role"] != "train", "image"].to_numpy())
    file = places_file(results, dataset, kind, "detected")
    detected, annotations = read_parquet(file), read_parquet(data / "annotations.parquet")
    learnt = _learnt(plan, kind, dataset, results)
    if kind == "parts":
        found = _parts(detected, annotations, tested, learnt)
        line = f"recall@8 {found['recall'].get('8')}, mAP@0.5 {found['mAP50']}"
    else:
        images = read_parquet(data / "images.parquet")
        found = _keypoints(detected, annotations, tested, images, learnt)
        line = f"PCK@{found['threshold']} {found['mean']}"
    write_json(file.with_name("evaluation.json"), {"dataset": dataset, **found})
    return line


def _learnt(plan: Plan, kind: Kind, dataset: str, results: Path) -> pd.DataFrame:
    """The annotations that a prior is made from: the detector's, or the set's own to train on."""
    data = results / "data" / (plan.trained_on(kind) or dataset)
    splits = read_parquet(data / "splits.parquet")
    rows = splits.loc[splits["role"] == "train", "image"]
    annotations = read_parquet(data / "annotations.parquet")
    return annotations[annotations["image"].isin(rows)]


def _parts(
    detected: pd.DataFrame, annotations: pd.DataFrame, tested: np.ndarray, learnt: pd.DataFrame
) -> dict[str, Any]:
    from reid_repro.parts.coverage import fixed_boxes
    from reid_repro.parts.evaluation import evaluate

    prior = fixed_boxes(learnt, int(detected["rank"].max()) + 1)
    summary, per_image = evaluate(detected, annotations, tested, prior=prior)
    return summary | {"per_image": _by_image(per_image, "recall")}


def _keypoints(
    detected: pd.DataFrame,
    annotations: pd.DataFrame,
    tested: np.ndarray,
    images: pd.DataFrame,
    learnt: pd.DataFrame,
) -> dict[str, Any]:
    from reid_repro.keypoints.evaluation import evaluate, mean_pose

    own = annotations[annotations["image"].isin(tested)]
    scores, per_image = evaluate(detected, own, images, prior=mean_pose(learnt, tested))
    joints = scores["joints"]
    return {
        "images": scores["images"],
        "threshold": scores["threshold"],
        "reference": "the larger diagonal between the shoulders and the hips",
        "pck": {row["name"]: _rounded(row["pck"]) for row in joints},
        "pck_visible": {row["name"]: _rounded(row["pck_visible"]) for row in joints},
        "n": {row["name"]: row["n"] for row in joints},
        "mean": _rounded(scores["mean"]),
        "mean_visible": _rounded(scores["mean_visible"]),
        "prior": {"mean": _rounded(scores["prior"])},
        "lacking": int(per_image["lacking"].sum()),
        "per_image": _by_image(per_image, "pck"),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _by_image(table: pd.DataFrame, column: str) -> dict[str, float | None]:
    """{row of images.parquet: value}; None where an image has nothing to be found."""
    values = table[column].astype(float).round(4)
    return {
        str(image): None if np.isnan(value) else float(value)
        for image, value in zip(table["image"], values, strict=True)
    }
