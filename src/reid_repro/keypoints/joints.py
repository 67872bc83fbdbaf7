"""The 14 joints of a person, in the order of DeeperCut's MPII network."""

from __future__ import annotations

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
