"""How many true parts a set of boxes covers, class-agnostic, and the best fixed set of boxes.

A box covers a part from an intersection over union of 0.5 on. In the order of their ranks each box
takes the part that it overlaps most among those not taken yet; so the parts that the first D boxes
cover are counted for every D at once. Recall@D counts against min(parts, D), which D boxes can
reach: a vehicle has up to 22 parts in sight.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from reid_repro.datasets.places import BOX
from reid_repro.parts.targets import Truth, pairwise_iou

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

IOU = 0.5
CHUNK = 4096  # images at a time
# Annotated boxes from which the fixed ones are chosen, and against which; both are drawn.
CANDIDATES, IMAGES = 1500, 1500


def truth_of(annotations: pd.DataFrame, images: npt.NDArray[np.integer]) -> Truth:
    """The annotated parts of `images` in that order, as tensors filled up to the same length."""
    place = pd.Series(np.arange(len(images)), index=images)
    own = annotations[annotations["image"].isin(images)]
    position = place.loc[own["image"]].to_numpy()
    order = np.argsort(position, kind="stable")
    position = position[order]
    turn = np.arange(len(position)) - np.searchsorted(position, position)
    most = int(turn.max()) + 1 if len(turn) else 0
    boxes = np.zeros((len(images), most, 4), np.float32)
    boxes[position, turn] = own[BOX].to_numpy(np.float32)[order]
    labels = np.zeros((len(images), most), np.int64)
    labels[position, turn] = 1
    return Truth(torch.from_numpy(boxes), torch.from_numpy(labels))


def covered(boxes: FloatArray, truth: Truth) -> IntArray:
    """(n, D) how many parts of each image its first 1, 2, ... D boxes cover.

    `boxes` are (n, D, 4), the most confident first.
    """
    counts = np.zeros(boxes.shape[:2], np.int64)
    if truth.labels.shape[1] == 0:
        return counts
    for start in range(0, len(boxes), CHUNK):
        part = slice(start, start + CHUNK)
        own = torch.from_numpy(np.ascontiguousarray(boxes[part]))
        overlap = pairwise_iou(own, truth.boxes[part])
        overlap = overlap.masked_fill(truth.labels[part][:, None] == 0, 0)
        for rank in range(boxes.shape[1]):
            best, which = overlap[:, rank].max(dim=1)
            hit = best >= IOU
            counts[part, rank] = hit.numpy()
            taken = torch.zeros_like(overlap[:, 0], dtype=torch.bool)
            taken.scatter_(1, which[:, None], hit[:, None])
            overlap = overlap.masked_fill(taken[:, None], 0)
    return counts.cumsum(axis=1)


def recall(covered_parts: IntArray, truth: Truth, boxes: int) -> FloatArray:
    """(n,) recall@`boxes` of each image; NaN for one without parts."""
    reachable = np.minimum((truth.labels > 0).sum(dim=1).numpy(), boxes).astype(np.float32)
    reachable[reachable == 0] = np.nan
    shares: FloatArray = covered_parts[:, boxes - 1] / reachable
    return shares


def fixed_boxes(annotations: pd.DataFrame, boxes: int, *, seed: int = 0) -> FloatArray:
    """The prior: (boxes, 4), the same for every image, learnt from training annotations alone.

    Greedy: of a sample of the annotated boxes, next comes the one that raises the mean share of
    covered parts most, counted against min(parts, `boxes`).
    """
    rng = np.random.default_rng(seed)
    images = np.unique(annotations["image"].to_numpy())
    images = np.sort(rng.permutation(images)[:IMAGES])
    own = annotations[annotations["image"].isin(images)]
    every = np.array(own[BOX], np.float32)
    candidates = every[rng.permutation(len(every))[:CANDIDATES]]
    if len(candidates) == 0:
        raise ValueError("no annotated box to learn fixed boxes from")
    parts = own.groupby("image")["image"].transform("size").to_numpy()
    worth: FloatArray = (1 / np.minimum(parts, boxes)).astype(np.float32)
    hits = pairwise_iou(torch.from_numpy(candidates), torch.from_numpy(every)).numpy() >= IOU
    chosen = []
    for _ in range(boxes):
        best = int((hits @ worth).argmax())
        chosen.append(best)
        worth[hits[best]] = 0
    found: FloatArray = candidates[chosen]
    return found
