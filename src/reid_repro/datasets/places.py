"""Where the parts of a vehicle and the joints of a pedestrian are, as the networks take them.

`parts.parquet` holds the same number of boxes for every image (image, rank, label, score, x0, y0,
x1, y1), `keypoints.parquet` 14 joints an image (image, joint in MPII order, x, y, confidence);
coordinates are shares of the image. Rendered sets know both exactly: `truth.parquet`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from reid_repro.detectors import Kind
from reid_repro.errors import UserError
from reid_repro.files import read_parquet

Origin = Literal["none", "detected", "truth"]
STORED = 10  # true boxes an image: the largest D of PGAN's Table 5
JOINTS = 14
FILLED = "whole image"
BOX = ["x0", "y0", "x1", "y1"]
# An annotated joint that something hides is where it is all the same.
HIDDEN = 0.5


def places_file(results: Path, dataset: str, kind: Kind, origin: Origin) -> Path:
    """Where the boxes or joints of a dataset lie."""
    name = "truth" if origin == "truth" else kind
    return results / kind / dataset / f"{name}.parquet"


def true_parts(annotations: pd.DataFrame, images: int) -> pd.DataFrame:
    """The `STORED` boxes of each image, from all its visible parts.

    Truth has no confidence to rank by: the best visible box of every class comes first, then the
    second ones, larger boxes before smaller ones. An image with fewer parts is filled up with boxes
    of the whole image, of score 0.
    """
    boxes = annotations.assign(
        area=(annotations["x1"] - annotations["x0"]) * (annotations["y1"] - annotations["y0"])
    ).sort_values(["image", "visibility", "area"], ascending=[True, False, False], kind="stable")
    boxes["turn"] = boxes.groupby(["image", "label"]).cumcount()
    boxes = boxes.sort_values(
        ["image", "turn", "visibility", "area"], ascending=[True, True, False, False], kind="stable"
    )
    boxes["rank"] = boxes.groupby("image").cumcount()
    boxes = boxes[boxes["rank"] < STORED]
    whole = pd.MultiIndex.from_product([range(images), range(STORED)], names=["image", "rank"])
    filled = boxes.set_index(["image", "rank"]).reindex(whole).reset_index()
    empty = filled["label"].isna()
    filled.loc[empty, BOX] = [0.0, 0.0, 1.0, 1.0]
    return pd.DataFrame(
        {
            "image": filled["image"].astype("int32"),
            "rank": filled["rank"].astype("int16"),
            "label": filled["label"].astype(object).where(~empty, FILLED),
            "score": filled["visibility"].fillna(0.0).astype("float32"),
            **{name: filled[name].astype("float32") for name in BOX},
        }
    )


def true_keypoints(annotations: pd.DataFrame) -> pd.DataFrame:
    """The joints with confidence 1 where visible, `HIDDEN` behind something, 0 out of the image."""
    joints = annotations.sort_values(["image", "joint"], kind="stable").reset_index(drop=True)
    inside = joints["x"].between(0, 1) & joints["y"].between(0, 1)
    confidence = np.where(joints["visible"], 1.0, HIDDEN) * inside
    return pd.DataFrame(
        {
            "image": joints["image"].astype("int32"),
            "joint": joints["joint"].astype("int16"),
            "x": joints["x"].astype("float32"),
            "y": joints["y"].astype("float32"),
            "confidence": confidence.astype("float32"),
        }
    )


def load(
    results: Path, dataset: str, kind: Kind | Literal["none"], origin: Origin, images: int
) -> np.ndarray | None:
    """What a network needs of all `images`: (n, D, 4) boxes or (n, 14, 3) joints, float32.

    Row i belongs to row i of images.parquet, the D boxes are in the order of their rank. UserError
    names a file that does not fit.
    """
    if kind == "none" or origin == "none":
        return None
    file = places_file(results, dataset, kind, origin)
    table = read_parquet(file)
    each = int(table["rank"].max()) + 1 if kind == "parts" and len(table) else JOINTS
    order = "rank" if kind == "parts" else "joint"
    columns = BOX if kind == "parts" else ["x", "y", "confidence"]
    table = table.sort_values(["image", order], kind="stable")
    expected = np.repeat(np.arange(images), each), np.tile(np.arange(each), images)
    if not all(
        np.array_equal(table[name].to_numpy(), wanted)
        for name, wanted in zip(("image", order), expected, strict=True)
    ):
        raise UserError(
            f"{file}: not {each} rows for each of {images:,} images; delete it and run again"
        )
    values: np.ndarray = table[columns].to_numpy(np.float32).reshape(images, each, len(columns))
    if not np.isfinite(values).all():
        raise UserError(f"{file}: a coordinate is no number; delete it and run again")
    return values
