"""Detection at several scales, its resume after a kill, and PCK against loops."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from reid_repro.detectors import KeypointsDetector
from reid_repro.errors import UserError
from reid_repro.finished import FinishedBatches
from reid_repro.keypoints import detection
from reid_repro.keypoints.decoding import decode
from reid_repro.keypoints.detection import detect, read
from reid_repro.keypoints.evaluation import evaluate, mean_pose, torso
from reid_repro.keypoints.joints import GLAD, JOINTS, frame_of
from reid_repro.keypoints.network import PoseNetwork, build, shown

IMAGES, BATCH = 10, 4
SETTINGS = KeypointsDetector.model_validate(
    {
        "data": {"source": "rendered", "dataset": "x"},
        "network": "small",
        "width": 8,
        "height": 64,
        "image_width": 32,
        "training": {
            "iterations": 1,
            "batch_size": 1,
            "learning_rate": 0.1,
            "precision": "32-true",
        },
        "detection": {"scales": (0.9, 0.95, 1.0), "batch_size": BATCH},
    }
)


class Noise:
    """Images of several sizes."""

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(0)
        self.pictures = [
            rng.integers(0, 256, (64 - 5 * (n % 2), 32, 3), dtype=np.uint8) for n in range(count)
        ]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.pictures[row]


@pytest.fixture(scope="module")
def network() -> PoseNetwork:
    torch.manual_seed(0)
    model = build(SETTINGS)
    with torch.no_grad():  # differing answers at differing places
        model.part_pred.weight.normal_(0, 0.5)
        model.locref_pred.weight.normal_(0, 0.2)
    return model.eval()


def test_every_image_has_its_surest_reading(network: PoseNetwork) -> None:
    store = Noise(IMAGES)
    found = detect("noise", network, store, SETTINGS)
    assert found.dtypes.astype(str).to_dict() == {
        "image": "int32",
        "joint": "int16",
        "x": "float32",
        "y": "float32",
        "confidence": "float32",
    }
    assert list(found["image"]) == [n for n in range(IMAGES) for _ in range(JOINTS)]
    assert list(found["joint"]) == list(range(JOINTS)) * IMAGES
    values = found[["x", "y", "confidence"]].to_numpy().reshape(IMAGES, JOINTS, 3)
    chosen = set()
    for n in range(1, IMAGES, 2):  # a picture of its own size is resized first
        pixels = torch.from_numpy(store.pictures[n - 1])[None]
        readings = []
        for height, width in ((58, 29), (61, 30), (64, 32)):
            with torch.no_grad():
                maps = network(shown(pixels, (height, width)))
            readings.append(decode(maps, (height, width), locref_scale=7.2801)[0])
        best = max(range(3), key=lambda k: float(readings[k][:, 2].min()))
        chosen.add(best)
        assert np.allclose(values[n - 1], readings[best], atol=1e-5)
    assert len(chosen) > 1


def test_precision_is_the_trainings() -> None:
    for precision, dtype in (("bf16-mixed", torch.bfloat16), ("32-true", None)):
        training = SETTINGS.training.model_copy(update={"precision": precision})
        chosen = SETTINGS.model_copy(update={"training": training})
        assert detection.autocast_type(chosen) == dtype


def finished(folder: Path, weights: str = "a") -> FinishedBatches:
    return FinishedBatches(folder, code=detection.CODE, settings={"weights": weights})


def test_a_killed_detection_loses_one_batch(
    network: PoseNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Noise(IMAGES)
    whole = detect("whole", network, store, SETTINGS)
    calls: list[int] = []

    def killed(*given: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(detection, "read", killed)
    with pytest.raises(KeyboardInterrupt):
        detect("killed", network, store, SETTINGS, finished=finished(tmp_path))
    kept = finished(tmp_path)
    assert sorted(int(file.stem) for file in kept.folder.iterdir()) == [0, BATCH]
    first = kept.folder / "00000000.npy"
    first.write_bytes(first.read_bytes()[:-8])  # a damaged batch is computed again
    calls[:] = [1] * 10
    again = detect("again", network, store, SETTINGS, finished=kept)
    assert len(calls) == 10 + 2
    pd.testing.assert_frame_equal(again, whole)
    calls.clear()
    detect("done", network, store, SETTINGS, finished=kept)
    assert calls == []
    assert finished(tmp_path, weights="b").load(0, (BATCH, JOINTS, 3)) is None
    kept.clear()
    assert not kept.folder.exists()


def test_an_unreadable_image_is_named(network: PoseNetwork) -> None:
    class Damaged(Noise):
        def __getitem__(self, row: int) -> np.ndarray:
            if row == 7:
                raise UserError("seven.jpg: not a readable image")
            return super().__getitem__(row)

    with pytest.raises(UserError, match=r"seven\.jpg"):
        detect("damaged", network, Damaged(IMAGES), SETTINGS)


def some_people(seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Detected joints of 8 images, the truth of 5 of them, and the images' sizes."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-0.1, 1.1, (8, JOINTS, 2))
    found = np.concatenate([places, rng.random((8, JOINTS, 1))], axis=2).astype(np.float32)
    found[..., :2] += rng.normal(0, 0.15, (8, JOINTS, 2))
    found[..., :2] = found[..., :2].clip(0, 1)
    places[6, 8:10] = np.nan  # neither shoulder is known: no torso
    places[4, 8] = np.nan
    rows = [1, 3, 4, 6, 7]
    truth = pd.DataFrame(
        {
            "image": np.repeat(rows, JOINTS),
            "joint": np.tile(np.arange(JOINTS), 5),
            "x": places[rows, :, 0].ravel(),
            "y": places[rows, :, 1].ravel(),
            "visible": rng.random(5 * JOINTS) < 0.7,
        }
    )
    images = pd.DataFrame({"width": 60 + np.arange(8), "height": 120 + 2 * np.arange(8)})
    return frame_of(found, np.arange(8)), truth, images


@pytest.mark.parametrize("seed", range(3))
def test_pck_against_a_loop(seed: int) -> None:
    detected, truth, images = some_people(seed)
    order = np.random.default_rng(seed).permutation(len(truth))
    scores, each = evaluate(detected, truth.iloc[order], images, least_confidence=0.1)
    where = detected.set_index(["image", "joint"])
    right: dict[tuple[int, int], bool] = {}
    shown: dict[tuple[int, int], bool] = {}
    for image, people in truth.groupby("image"):
        wide, high = images.loc[image, "width"], images.loc[image, "height"]
        xy = {row.joint: (row.x * wide, row.y * high) for row in people.itertuples(index=False)}
        spans = [math.dist(xy[9], xy[2]), math.dist(xy[8], xy[3])]
        reach = 0.2 * max((span for span in spans if not math.isnan(span)), default=math.nan)
        for row in people.itertuples(index=False):
            if 0 <= row.x <= 1 and 0 <= row.y <= 1:
                guess = where.loc[(image, row.joint)]
                found = guess["x"] * wide, guess["y"] * high
                right[image, row.joint] = math.dist(found, xy[row.joint]) <= reach
                shown[image, row.joint] = row.visible
    shares, visible_shares = [], []
    for joint, row in enumerate(scores["joints"]):
        own = {key: value for key, value in right.items() if key[1] == joint}
        seen = [value for key, value in own.items() if shown[key]]
        assert (row["n"], row["n_visible"]) == (len(own), len(seen))
        for name, values, into in (
            ("pck", list(own.values()), shares),
            ("pck_visible", seen, visible_shares),
        ):
            assert row[name] == (pytest.approx(np.mean(values)) if values else None)
            into += [np.mean(values)] if values else []
    assert scores["mean"] == pytest.approx(np.mean(shares))
    assert scores["mean_visible"] == pytest.approx(np.mean(visible_shares))
    assert (scores["images"], scores["detected_images"]) == (5, 8)
    lacking = {
        image
        for image in range(8)
        if any(where.loc[(image, joint), "confidence"] <= 0.1 for joint in GLAD)
    }
    assert scores["lacking"] == len(lacking)
    for row in each.itertuples(index=False):
        own = [value for key, value in right.items() if key[0] == row.image]
        assert (row.n, row.right) == (len(own), sum(own))
        assert row.pck == pytest.approx(np.mean(own))
        assert row.lacking == (row.image in lacking)


def test_the_truth_is_right_and_a_swap_of_sides_is_not() -> None:
    _, truth, images = some_people(0)
    truth[["x", "y"]] = np.random.default_rng(1).random((len(truth), 2))
    same = truth.assign(confidence=1.0)
    assert evaluate(same, truth, images)[0]["mean"] == 1
    moved = same.assign(x=(same["x"] + 0.5) % 1, y=(same["y"] + 0.5) % 1)
    assert evaluate(moved, truth, images, threshold=0.05)[0]["mean"] == 0


def test_a_torso_from_the_side_keeps_its_size() -> None:
    places = np.zeros((2, JOINTS, 2))
    places[:, [8, 9]] = [[10, 0], [20, 0]]
    places[:, [2, 3]] = [[18, 30], [19, 30]]
    places[1, 9] = np.nan
    assert torso(places) == pytest.approx([math.hypot(9, 30), math.hypot(9, 30)])


def test_an_image_without_detection_is_named() -> None:
    detected, truth, images = some_people(0)
    with pytest.raises(UserError, match="image 6 is annotated but was not detected"):
        evaluate(detected[detected["image"] != 6], truth, images)


def test_mean_pose_is_the_mean_of_joints_in_the_image() -> None:
    _, truth, images = some_people(2)
    pose = mean_pose(truth, np.array([4, 4, 7]))
    inside = truth[truth["x"].between(0, 1) & truth["y"].between(0, 1)]
    expected = inside.groupby("joint")[["x", "y"]].mean()
    for image in (4, 7):
        own = pose[pose["image"] == image]
        assert np.allclose(own[["x", "y"]], expected)
    assert len(pose) == 2 * JOINTS
    prior = mean_pose(truth, truth["image"])
    scores, _ = evaluate(prior, truth, images, prior=prior)
    assert scores["prior"] == scores["mean"]
