"""How sure the pose network is of each joint (GLAD, Section 4.1, Fig. 3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from reid_repro.files import read_parquet
from reid_repro.measures.source import Measure, Source

# The paper's words -> joints in MPII's order; both sides where the claim names none.
JOINTS: Final[dict[str, tuple[int, ...]]] = {
    "head": (13,),
    "neck": (12,),
    "rhip": (2,),
    "lhip": (3,),
    "shoulder": (8, 9),
    "elbow": (7, 10),
    "wrist": (6, 11),
    "knee": (1, 4),
    "ankle": (0, 5),
}


def confidences(source: Source) -> Iterator[Measure]:
    """The mean confidence of every joint over the test images."""
    table = read_parquet(source.results / "keypoints" / source.dataset / "keypoints.parquet")
    tested = np.concatenate([source.rows("query"), source.rows("gallery")])
    table = table[table["image"].isin(tested)]
    for name, joints in JOINTS.items():
        means = table[table["joint"].isin(joints)].groupby("image")["confidence"].mean()
        what = f"confidence of the pose network, {name}, of query and gallery images"
        items = means.index.to_numpy(np.int64)
        yield source.of("Fig. 3", (name, "mean_confidence"), items, means.to_numpy(), what)
