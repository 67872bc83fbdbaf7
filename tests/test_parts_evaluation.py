"""Recall@D, the fixed-box prior and average precision against loops."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_repro.datasets.places import BOX
from reid_repro.parts.classes import PARTS
from reid_repro.parts.coverage import fixed_boxes
from reid_repro.parts.evaluation import average_precision, evaluate
from reid_repro.parts.imports import ranked

from parts_world import loop_iou, random_boxes

NAMES = ("wheel", "plate", "logo")


def random_annotations(rng: np.random.Generator, images: int, most: int) -> pd.DataFrame:
    image = np.repeat(np.arange(images), rng.integers(0, most + 1, images))
    frame = pd.DataFrame({"image": image, "label": rng.choice(NAMES, len(image))})
    frame[BOX] = random_boxes(rng, len(image))
    return frame


def detections_near(
    rng: np.random.Generator, annotations: pd.DataFrame, images: int, boxes: int
) -> pd.DataFrame:
    """Moved copies of some annotations among boxes drawn at random."""
    near = annotations.sample(frac=0.8, random_state=int(rng.integers(1 << 30)))
    shifted = near[BOX].to_numpy() + rng.normal(0, 0.02, (len(near), 4))
    corners = np.sort(shifted.reshape(-1, 2, 2), axis=1)
    near[BOX] = corners.reshape(-1, 4)
    stray = pd.DataFrame({"image": rng.integers(0, images, 2 * images)})
    stray["label"] = rng.choice(NAMES, len(stray))
    stray[BOX] = random_boxes(rng, len(stray))
    both = pd.concat([near, stray], ignore_index=True)
    return ranked(both.assign(score=rng.permutation(len(both)) / len(both)), images, boxes)


def loop_covered(found: np.ndarray, true: np.ndarray) -> int:
    taken: set[int] = set()
    for box in found:
        overlaps = [
            -1.0 if row in taken else loop_iou(torch.tensor(box), torch.tensor(part))
            for row, part in enumerate(true)
        ]
        if overlaps and max(overlaps) >= 0.5:
            taken.add(int(np.argmax(overlaps)))
    return len(taken)


def loop_precision(detected: pd.DataFrame, annotations: pd.DataFrame, label: str) -> float | None:
    """101-point average precision of one class at an overlap of 0.5."""
    true = annotations[annotations["label"] == label]
    if true.empty:
        return None
    own = detected[detected["label"] == label].sort_values("score", ascending=False)
    taken: set[int] = set()
    hits = []
    for row in own.itertuples():
        best, which = 0.0, -1
        for number, part in true[true["image"] == row.image].iterrows():
            box = torch.tensor([row.x0, row.y0, row.x1, row.y1])
            overlap = loop_iou(box, torch.tensor(part[BOX].to_numpy(float)))
            if number not in taken and overlap >= max(best, 0.5):
                best, which = overlap, int(number)
        if which >= 0:
            taken.add(which)
        hits.append(which >= 0)
    recall = np.cumsum(hits) / len(true)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    points = [
        max((p for p, r in zip(precision, recall, strict=True) if r >= point), default=0.0)
        for point in np.linspace(0, 1, 101)
    ]
    return float(np.mean(points))


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_scores_are_those_of_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    annotations = random_annotations(rng, 6, 7)
    detected = detections_near(rng, annotations, 6, 10)
    images = np.array([4, 0, 1, 3, 5])  # not all, in any order
    prior = random_boxes(rng, 10)
    found = evaluate(detected, annotations, images, prior=prior)
    groups = {image: own[BOX].to_numpy() for image, own in annotations.groupby("image")}
    for depth in (4, 6, 8, 10):
        shares: dict[str, list[float]] = {"recall": [], "prior_recall": []}
        for image in images:
            true = groups.get(image, np.empty((0, 4)))
            own = detected[detected["image"] == image].sort_values("rank")[BOX].to_numpy()
            if len(true):
                reachable = min(len(true), depth)
                shares["recall"].append(loop_covered(own[:depth], true) / reachable)
                shares["prior_recall"].append(loop_covered(prior[:depth], true) / reachable)
        for key, values in shares.items():
            wanted = pytest.approx(np.mean(values), abs=1e-4) if values else None
            assert found.summary[key][str(depth)] == wanted
    kept, truth = (
        frame[frame["image"].isin(images)].reset_index(drop=True)
        for frame in (detected, annotations)
    )
    for label in NAMES:
        wanted_precision = loop_precision(kept, truth, label)
        score = found.summary["average_precision"][label]
        if wanted_precision is None:
            assert score is None
        else:
            assert score == pytest.approx(wanted_precision, abs=2e-4)
    assert found.per_image["image"].tolist() == sorted(images)


def test_perfect_boxes_score_one_and_are_told_by_image() -> None:
    annotations = random_annotations(np.random.default_rng(1), 5, 4)
    detected = ranked(annotations.assign(score=0.9), 5, 8)
    found = evaluate(detected, annotations, np.arange(5))
    counts = annotations.groupby("image").size().reindex(range(5), fill_value=0)
    assert found.summary["recall"] == {"4": 1.0, "6": 1.0, "8": 1.0}
    assert found.summary["mAP50"] == 1.0
    assert found.summary["prior_recall"] is None
    assert found.summary["n_truth"]["wheel"] == int((annotations["label"] == "wheel").sum())
    assert set(found.summary["average_precision"]) == set(PARTS)
    assert found.summary["filled"] == {"images": 5, "boxes": 40 - len(annotations)}
    assert found.per_image["parts"].tolist() == counts.tolist()
    assert found.per_image["recall"].isna().tolist() == (counts == 0).tolist()


def test_boxes_without_names_have_no_average_precision() -> None:
    annotations = random_annotations(np.random.default_rng(1), 5, 4)
    unnamed = ranked(annotations.assign(score=0.9, label="part"), 5, 8)
    assert set(average_precision(unnamed, annotations, np.arange(5)).values()) == {None}
    assert evaluate(unnamed, annotations, np.arange(5)).summary["mAP50"] is None


def test_images_of_unlike_many_boxes_are_refused() -> None:
    annotations = random_annotations(np.random.default_rng(1), 3, 4)
    detected = ranked(annotations.assign(score=0.9), 3, 8)
    with pytest.raises(ValueError, match="not the same number of boxes"):
        evaluate(detected.iloc[1:], annotations, np.arange(3))


def test_fixed_boxes_are_the_greedy_cover_of_a_loop() -> None:
    annotations = random_annotations(np.random.default_rng(5), 12, 5)
    every, images = annotations[BOX].to_numpy(np.float32), annotations["image"].to_numpy()
    left = {row: 1 / min(int((images == images[row]).sum()), 4) for row in range(len(every))}
    found = fixed_boxes(annotations, 4)
    for box in found:
        gains = []
        for candidate in every:
            hit = [
                row
                for row in left
                if loop_iou(torch.tensor(candidate), torch.tensor(every[row])) >= 0.5
            ]
            gains.append((sum(left[row] for row in hit), hit, candidate))
        best = max(gain for gain, _, _ in gains)
        ours = [row for row in left if loop_iou(torch.tensor(box), torch.tensor(every[row])) >= 0.5]
        assert sum(left[row] for row in ours) == pytest.approx(best, abs=1e-5)
        for row in ours:
            del left[row]
    with pytest.raises(ValueError, match="no annotated box"):
        fixed_boxes(annotations.iloc[:0], 4)
