"""The 14 joints of a person, in the order of DeeperCut's MPII network."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.errors import UserError
from reid_repro.models.layers.regions import ANCHORS

NAMES = (
    "right ankle",
    "right knee",
    "right hip",
    "left hip",
    "left knee",
    "left ankle",
    "right wrist",
    "right elbow",
    "right shoulder",
    "left shoulder",
    "left elbow",
    "left wrist",
    "chin",
    "forehead",
)
JOINTS = len(NAMES)
RIGHT_HIP, LEFT_HIP, RIGHT_SHOULDER, LEFT_SHOULDER, CHIN, FOREHEAD = 2, 3, 8, 9, 12, 13
# The raw annotation's number of each: its "upper neck" is the chin, its "head top" the forehead.
MPII_IDS = (0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 8, 9)
PAIRS = ((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9))
# MIRRORED[j] is the joint that j becomes in a mirrored image.
_PARTNER = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
MIRRORED = tuple(_PARTNER.get(joint, joint) for joint in range(JOINTS))
# The four keypoints of GLAD (Section 4.1).
GLAD = ANCHORS
COLUMNS = ["image", "joint", "x", "y"]


def as_arrays(
    frame: pd.DataFrame,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """A frame of joints as (images (n,), x and y (n, 14, 2), present (n, 14)).

    The frame has image, joint, x and y in shares of the image. Present is a joint that lies in the
    image; NaN stands for one that nobody marked. Raises UserError unless each image has each of
    the 14 joints once.
    """
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise UserError(f"joints: no column '{missing[0]}'; needed are {', '.join(COLUMNS)}")
    ordered = frame.sort_values(["image", "joint"], kind="stable")
    images = ordered["image"].to_numpy(np.int64)
    rows = np.unique(images)
    if not (
        len(frame) == JOINTS * len(rows) > 0
        and np.array_equal(images, np.repeat(rows, JOINTS))
        and np.array_equal(ordered["joint"], np.tile(np.arange(JOINTS), len(rows)))
    ):
        raise UserError(
            f"joints: {len(frame):,} rows for {len(rows):,} images; each image needs each of the "
            f"joints 0 to {JOINTS - 1} once"
        )
    places = ordered[["x", "y"]].to_numpy(np.float32).reshape(-1, JOINTS, 2)
    present = ((places >= 0) & (places <= 1)).all(axis=2)  # of NaN, neither holds
    return rows, places, present


def frame_of(found: npt.NDArray[np.float32], rows: npt.NDArray[np.integer]) -> pd.DataFrame:
    """Joints (n, 14, 3) of the images `rows` as the table of `keypoints.parquet`."""
    return pd.DataFrame(
        {
            "image": np.repeat(rows, JOINTS).astype(np.int32),
            "joint": np.tile(np.arange(JOINTS, dtype=np.int16), len(rows)),
            **{
                column: found[..., place].reshape(-1)
                for place, column in enumerate(("x", "y", "confidence"))
            },
        }
    )
