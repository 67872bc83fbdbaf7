"""Part boxes and joints of rendered sets: what the files hold, and what is wrong with bad ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid_repro.datasets.places import (
    FILLED,
    JOINTS,
    STORED,
    load,
    places_file,
    true_keypoints,
    true_parts,
)
from reid_repro.errors import UserError
from reid_repro.files import write_parquet

BOX = ["x0", "y0", "x1", "y1"]


def annotated(rng: np.random.Generator, counts: list[int]) -> pd.DataFrame:
    """`counts[i]` boxes on image i, of few classes, so that classes recur."""
    rows = [
        {
            "image": image,
            "label": str(rng.choice(["wheel", "logo", "plate", "car light", "carrier"])),
            **dict(zip(BOX, np.sort(rng.random((2, 2)), axis=0).ravel(), strict=True)),
            "visibility": float(rng.choice([0.4, 0.8, 1.0])),
        }
        for image, count in enumerate(counts)
        for _ in range(count)
    ]
    return pd.DataFrame(rows, columns=["image", "label", *BOX, "visibility"])


def literal_order(boxes: pd.DataFrame) -> list[int]:
    """Round after round, the best box left of every class; the index of each box."""
    left = boxes.to_dict("index")

    def goodness(index: int) -> tuple[float, float]:
        box = left[index]
        return box["visibility"], (box["x1"] - box["x0"]) * (box["y1"] - box["y0"])

    order: list[int] = []
    while left:
        turn = []
        for label in {box["label"] for box in left.values()}:
            of_label = [index for index in left if left[index]["label"] == label]
            turn.append(max(of_label, key=goodness))
        turn.sort(key=goodness, reverse=True)
        order += turn
        left = {index: box for index, box in left.items() if index not in turn}
    return order


@given(counts=st.lists(st.integers(0, 16), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_the_best_box_of_every_class_comes_first(counts: list[int], seed: int) -> None:
    annotations = annotated(np.random.default_rng(seed), counts)
    parts = true_parts(annotations, len(counts))
    assert len(parts) == STORED * len(counts)
    for image, count in enumerate(counts):
        own = parts[parts["image"] == image]
        assert own["rank"].tolist() == list(range(STORED))
        order = literal_order(annotations[annotations["image"] == image])[:STORED]
        expected = annotations.loc[order, BOX].to_numpy(np.float32)
        np.testing.assert_array_equal(own[BOX].to_numpy()[: len(order)], expected)
        filled = own[min(count, STORED) :]
        assert set(filled["label"]) <= {FILLED}
        assert (filled["score"] == 0).all()
        assert (filled[BOX].to_numpy() == [0, 0, 1, 1]).all()


def joints_of(images: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "image": np.repeat(np.arange(images), JOINTS),
            "joint": np.tile(np.arange(JOINTS), images),
            "x": rng.random(images * JOINTS),
            "y": rng.random(images * JOINTS),
            "visible": rng.random(images * JOINTS) < 0.7,
        }
    )


def test_joints_out_of_the_image_are_missing_and_hidden_ones_are_not() -> None:
    annotations = joints_of(2)
    annotations.loc[3, ["x", "visible"]] = [1.2, True]
    annotations.loc[4, "visible"] = False
    annotations.loc[5, "visible"] = True
    found = true_keypoints(annotations.sample(frac=1, random_state=1))
    assert found["confidence"].iloc[[3, 4, 5]].tolist() == [0.0, 0.5, 1.0]
    np.testing.assert_allclose(found["x"], annotations["x"], rtol=1e-6)


def test_what_is_loaded_is_aligned_with_the_images(tmp_path: Path) -> None:
    assert load(tmp_path, "d", "none", "none", 3) is None
    joints = true_keypoints(joints_of(3))
    file = places_file(tmp_path, "d", "keypoints", "detected")
    write_parquet(file, joints.sample(frac=1, random_state=2))
    values = load(tmp_path, "d", "keypoints", "detected", 3)
    assert values is not None
    assert values.shape == (3, JOINTS, 3)
    row = joints[(joints["image"] == 1) & (joints["joint"] == 7)].iloc[0]
    np.testing.assert_array_equal(values[1, 7], row[["x", "y", "confidence"]].to_numpy(np.float32))
    with pytest.raises(UserError, match="not 14 rows for each of 4 images"):
        load(tmp_path, "d", "keypoints", "detected", 4)
    write_parquet(file, joints.assign(x=np.nan))
    with pytest.raises(UserError, match="a coordinate is no number"):
        load(tmp_path, "d", "keypoints", "detected", 3)
