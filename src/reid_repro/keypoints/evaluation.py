"""How good detected joints are: PCK, the share of joints that are where they should be.

A joint counts as right when it lies within `THRESHOLD` of the torso's diameter of its true place.
That diameter is the distance between left shoulder and right hip; seen from the side, where one
diagonal may all but vanish while the torso is as tall as ever, it is the larger of the two
diagonals.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.errors import UserError
from reid_repro.keypoints.joints import (
    GLAD,
    JOINTS,
    LEFT_HIP,
    LEFT_SHOULDER,
    NAMES,
    RIGHT_HIP,
    RIGHT_SHOULDER,
    as_arrays,
    frame_of,
)

THRESHOLD = 0.2
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def evaluate(
    detected: pd.DataFrame,
    annotations: pd.DataFrame,
    images: pd.DataFrame,
    *,
    threshold: float = THRESHOLD,
    least_confidence: float = 0.0,
    prior: pd.DataFrame | None = None,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The scores of `detected`, and those of each image.

    `detected` (image, joint, x, y, confidence), `annotations` (image, joint, x, y, visible) and
    the `images` table (width, height; row i is image i). Images without annotations are left out
    of the PCK. Joints count that lie in the image, and by themselves those that are visible.

    The scores: `mean` and `mean_visible` (over the joints' shares, as printed in pose papers; None
    where nothing counts), `threshold`, `images`, `joints` (a row a joint: joint, name, n, pck,
    n_visible, pck_visible), `lacking` (images where one of GLAD's four keypoints is not more
    confident than `least_confidence`) of `detected_images`; with a `prior`, such as `mean_pose`,
    its `mean` as `prior`. The table: image, n, right, pck, lacking. Raises UserError for a table
    without all joints of an image.
    """
    rows, places, present = as_arrays(annotations)
    seen = present & _sorted(annotations)["visible"].to_numpy(bool).reshape(-1, JOINTS)
    found_rows, found, _ = as_arrays(detected)
    confidence = _sorted(detected)["confidence"].to_numpy(float).reshape(-1, JOINTS)
    at = np.searchsorted(found_rows, rows)
    missing = (at == len(found_rows)) | (found_rows[np.minimum(at, len(found_rows) - 1)] != rows)
    if missing.any():
        raise UserError(f"keypoints: image {rows[missing][0]} is annotated but was not detected")
    size = images[["width", "height"]].to_numpy(float)[rows][:, None]
    right = correct(found[at] * size, places * size, threshold)
    lacking = (confidence[:, list(GLAD)] <= least_confidence).any(axis=1)
    table = [
        {
            "joint": joint,
            "name": name,
            "n": int(present[:, joint].sum()),
            "pck": _share(right[:, joint], present[:, joint]),
            "n_visible": int(seen[:, joint].sum()),
            "pck_visible": _share(right[:, joint], seen[:, joint]),
        }
        for joint, name in enumerate(NAMES)
    ]
    scores: dict[str, Any] = {
        "mean": _mean(table, "pck"),
        "mean_visible": _mean(table, "pck_visible"),
        "threshold": threshold,
        "images": len(rows),
        "joints": table,
        "lacking": int(lacking.sum()),
        "detected_images": len(found_rows),
    }
    if prior is not None:
        scores["prior"] = evaluate(prior, annotations, images, threshold=threshold)[0]["mean"]
    counted = present.sum(axis=1)
    correct_joints = (right & present).sum(axis=1)
    each = pd.DataFrame(
        {
            "image": rows.astype(np.int32),
            "n": counted,
            "right": correct_joints,
            "pck": correct_joints / np.maximum(counted, 1),
            "lacking": lacking[at],
        }
    )
    return scores, each


def mean_pose(annotations: pd.DataFrame, images: pd.Series | npt.NDArray[np.int64]) -> pd.DataFrame:
    """For each of `images`, without looking at it, where each joint is in the mean."""
    _, places, present = as_arrays(annotations)
    total = np.where(present[..., None], places, 0).sum(axis=0, dtype=float)
    mean = total / np.maximum(present.sum(axis=0), 1)[:, None]
    rows = np.unique(np.asarray(images))
    found = np.concatenate([mean, np.ones((JOINTS, 1))], axis=1).astype(np.float32)
    return frame_of(np.broadcast_to(found, (len(rows), JOINTS, 3)), rows)


def correct(found: FloatArray, places: FloatArray, threshold: float = THRESHOLD) -> BoolArray:
    """Which joints (n, 14, 2), in pixels, are within `threshold` torsos of their places: (n, 14).

    Where no diagonal of the torso is known, no joint is.
    """
    reach = threshold * torso(places)[:, None]
    near: BoolArray = np.linalg.norm(found - places, axis=2) <= reach  # never, where NaN
    return near


def torso(places: FloatArray) -> FloatArray:
    """The torso's diameter (n,) of joints (n, 14, 2): the larger diagonal; NaN if none is known."""
    diagonals = np.stack(
        [
            np.linalg.norm(places[:, a] - places[:, b], axis=1)
            for a, b in ((LEFT_SHOULDER, RIGHT_HIP), (RIGHT_SHOULDER, LEFT_HIP))
        ]
    )
    larger: FloatArray = np.fmax(*diagonals)
    return larger


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(["image", "joint"], kind="stable")


def _share(right: BoolArray, counted: BoolArray) -> float | None:
    return float(right[counted].mean()) if counted.any() else None


def _mean(table: list[dict[str, Any]], name: str) -> float | None:
    values = [row[name] for row in table if row[name] is not None]
    return float(np.mean(values)) if values else None
