"""Scores of detected parts against annotations: recall@D, and mAP at an overlap of 0.5.

Recall is what PGAN cares for (section 3.2: a missed part is lost, a wrong one can be weighed down).
Average precision is pycocotools', over the stored boxes alone: D an image, after class-agnostic
suppression, so it lies below what the detector would reach with all its boxes.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.datasets.places import BOX, FILLED
from reid_repro.parts.classes import PARTS
from reid_repro.parts.coverage import IOU, FloatArray, covered, recall, truth_of

DEPTHS = 4, 6, 8, 10  # D of PGAN's Table 5
SHOWN = 8  # D of PGAN itself


class Evaluation(NamedTuple):
    """`summary`: images, iou, mAP50, average_precision, n_truth, recall, prior_recall, filled.

    Recalls are by D, as text; `prior_recall` is None without a prior. `per_image`: image, parts,
    covered, recall (of the first 8 boxes, or of all where fewer are stored).
    """

    summary: dict[str, Any]
    per_image: pd.DataFrame


def evaluate(
    detected: pd.DataFrame,
    annotations: pd.DataFrame,
    images: npt.NDArray[np.integer],
    *,
    prior: FloatArray | None = None,
) -> Evaluation:
    """Score the boxes of `detected` (a parts.parquet) for `images` (row numbers, each once).

    `annotations`: image, label, x0, y0, x1, y1; labels that are no parts do not count. `prior` is
    the (D, 4) answer of `coverage.fixed_boxes`.
    """
    images = np.unique(images).astype(np.int64)
    annotations = annotations[annotations["image"].isin(images) & annotations["label"].isin(PARTS)]
    detected = detected[detected["image"].isin(images)].sort_values(["image", "rank"])
    stored = len(detected) // max(1, len(images))
    if not np.array_equal(detected["image"].to_numpy(), np.repeat(images, stored)) or not stored:
        raise ValueError("detected: not the same number of boxes for each of the images")
    truth = truth_of(annotations, images)
    boxes = detected[BOX].to_numpy(np.float32).reshape(len(images), stored, 4)
    counts = covered(boxes, truth)
    depths = [depth for depth in DEPTHS if depth <= stored] or [stored]
    precision = average_precision(detected, annotations, images)
    scored = [value for value in precision.values() if value is not None]
    shown = min(SHOWN, stored)
    labels = annotations["label"].value_counts()
    summary = {
        "images": len(images),
        "iou": IOU,
        "mAP50": round(float(np.mean(scored)), 4) if scored else None,
        "average_precision": precision,
        "n_truth": {name: int(labels.get(name, 0)) for name in PARTS},
        "recall": {str(d): _mean(recall(counts, truth, d)) for d in depths},
        "prior_recall": None,
        "filled": fillings(detected),
    }
    if prior is not None:
        fixed = covered(np.tile(prior[None], (len(images), 1, 1)), truth)
        summary["prior_recall"] = {
            str(d): _mean(recall(fixed, truth, d)) for d in depths if d <= len(prior)
        }
    per_image = pd.DataFrame(
        {
            "image": images.astype(np.int32),
            "parts": (truth.labels > 0).sum(dim=1).numpy(),
            "covered": counts[:, shown - 1],
            "recall": recall(counts, truth, shown),
        }
    )
    return Evaluation(summary, per_image)


def fillings(detected: pd.DataFrame) -> dict[str, int]:
    """How many images had to be filled up, and with how many boxes in all."""
    filled = detected[detected["label"] == FILLED]
    return {"images": int(filled["image"].nunique()), "boxes": len(filled)}


def average_precision(
    detected: pd.DataFrame, annotations: pd.DataFrame, images: npt.NDArray[np.integer]
) -> dict[str, float | None]:
    """AP at `IOU` of each part (101 points of recall), None for one that no image has.

    All are None where no box has the name of a part."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    found = detected[detected["label"].isin(PARTS)]
    if annotations.empty or found.empty:  # imported masks, say, have no labels
        return dict.fromkeys(PARTS)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports each step
        truth, answers = COCO(), COCO()
        for part, frame in ((truth, annotations), (answers, found)):
            part.dataset = _coco(frame, images)
            part.createIndex()
        scores = COCOeval(truth, answers, "bbox")
        scores.params.iouThrs = np.array([IOU])
        scores.params.areaRng, scores.params.areaRngLbl = [[0, np.inf]], ["all"]
        scores.params.maxDets = [len(detected)]
        scores.evaluate()
        scores.accumulate()
    curves = scores.eval["precision"][0, :, :, 0, 0]  # (points, classes), -1 where no truth
    means = curves.mean(axis=0)
    return {
        name: round(float(mean), 4) if mean >= 0 else None
        for name, mean in zip(PARTS, means, strict=True)
    }


def _coco(frame: pd.DataFrame, images: npt.NDArray[np.integer]) -> dict[str, Any]:
    corners = frame[BOX].to_numpy(np.float64)
    sides = corners[:, 2:] - corners[:, :2]
    numbers = frame["label"].map({name: 1 + n for n, name in enumerate(PARTS)})
    scores = frame["score"] if "score" in frame else np.ones(len(frame))
    rows = zip(
        frame["image"].tolist(),
        numbers.tolist(),
        np.concatenate([corners[:, :2], sides], axis=1).tolist(),
        sides.prod(axis=1).tolist(),
        np.asarray(scores, np.float64).tolist(),
        strict=True,
    )
    return {
        "images": [{"id": int(image)} for image in images],
        "categories": [{"id": 1 + n, "name": name} for n, name in enumerate(PARTS)],
        # Numbered from 1: pycocotools takes a match with number 0 for none.
        "annotations": [
            {
                "id": 1 + number,
                "image_id": image,
                "category_id": label,
                "bbox": box,
                "area": area,
                "score": score,
                "iscrowd": 0,
            }
            for number, (image, label, box, area, score) in enumerate(rows)
        ],
    }


def _mean(shares: FloatArray) -> float | None:
    """The mean over the images that have parts."""
    known = shares[~np.isnan(shares)]
    return round(float(known.mean()), 4) if len(known) else None
