"""Targets, loss and decoding against loops; batches, exact resume, and what is learnt."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_repro.detectors import KeypointsDetector
from reid_repro.errors import UserError
from reid_repro.keypoints import training
from reid_repro.keypoints.decoding import decode, surest
from reid_repro.keypoints.detection import detect
from reid_repro.keypoints.evaluation import evaluate, mean_pose
from reid_repro.keypoints.joints import JOINTS, MIRRORED, as_arrays
from reid_repro.keypoints.network import PoseMaps, map_size
from reid_repro.keypoints.targets import Targets, losses, targets
from reid_repro.keypoints.training import Batches, augmented, train
from reid_repro.rendering.pedestrians import PedestrianRenderer
from reid_repro.training.checkpoint import Checkpoints

LOCREF = 7.2801


class Drawn:
    """Rendered people as a source of images."""

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.pictures[row]


def people(count: int, *, seed: int) -> tuple[Drawn, pd.DataFrame]:
    """One photograph each of `count` people by as many cameras, and their joints."""
    renderer = PedestrianRenderer(seed=seed, cameras=count, group_size=4)
    drawn = [renderer.render(number, number, 0, (128, 64)) for number in range(count)]
    frames = [
        pd.DataFrame(
            {
                "image": number,
                "joint": np.arange(JOINTS),
                "x": one.joints[:, 0],
                "y": one.joints[:, 1],
                "visible": one.joints[:, 2] > 0,
            }
        )
        for number, one in enumerate(drawn)
        if one.joints is not None
    ]
    return Drawn([one.image for one in drawn]), pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def learnt() -> tuple[Drawn, pd.DataFrame]:
    return people(192, seed=1)


def detector(**recipe: object) -> KeypointsDetector:
    return KeypointsDetector.model_validate(
        {
            "data": {"source": "rendered", "dataset": "x"},
            "network": "small",
            "width": 8,
            "height": 128,
            "image_width": 64,
            "radius": 7,
            "jitter": (0.9, 1.1),
            "training": {
                "iterations": 8,
                "batch_size": 8,
                "optimizer": "adam",
                "learning_rate": 5e-3,
                "warmup": 4,
                "precision": "32-true",
                "checkpoints": 2,
            }
            | recipe,
            "detection": {"scales": (0.9, 1.0), "batch_size": 32},
        }
    )


def literal_targets(
    joints: np.ndarray, present: np.ndarray, size: tuple[int, int], radius: float
) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = (2 * math.ceil(side / 16) for side in size)
    inside = np.zeros((len(joints), JOINTS, rows, columns), bool)
    offsets = np.zeros((len(joints), JOINTS, 2, rows, columns))
    for n, person in enumerate(joints):
        for joint, (x, y) in enumerate(person):
            for i in range(rows):
                for j in range(columns):
                    dx, dy = x - (8 * j + 4), y - (8 * i + 4)
                    own = 8 * j <= x < 8 * j + 8 and 8 * i <= y < 8 * i + 8
                    if present[n, joint] and (math.hypot(dx, dy) <= radius or own):
                        inside[n, joint, i, j] = True
                        offsets[n, joint, :, i, j] = dx / LOCREF, dy / LOCREF
    return inside, offsets


def some_joints(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    joints = rng.uniform(0, 1, (2, JOINTS, 2)) * (size[1], size[0])
    return joints.astype(np.float32), rng.random((2, JOINTS)) < 0.8


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(17, 60),
    width=st.integers(9, 40),
    radius=st.floats(1, 20),
    seed=st.integers(0, 99),
)
def test_targets_are_discs(height: int, width: int, radius: float, seed: int) -> None:
    joints, present = some_joints(np.random.default_rng(seed), (height, width))
    found = targets(
        torch.from_numpy(joints),
        torch.from_numpy(present),
        (height, width),
        radius=radius,
        locref_scale=LOCREF,
    )
    inside, offsets = literal_targets(joints, present, (height, width), radius)
    assert np.array_equal(found.inside.numpy(), inside)
    assert np.allclose(found.offsets.numpy(), offsets, atol=1e-5)
    assert (found.inside.flatten(2).any(2).numpy() == present).all()


@pytest.mark.parametrize("intermediate", [False, True])
def test_losses_against_a_loop(intermediate: bool) -> None:
    rng = np.random.default_rng(0)
    size = (40, 24)
    joints, present = some_joints(rng, size)
    inside, offsets = literal_targets(joints, present, size, 9.0)
    shape = inside.shape
    scores, early = rng.normal(size=(2, *shape)) * 3
    moves = rng.normal(size=offsets.shape) * 2
    entropy = {"scores": 0.0, "intermediate": 0.0}
    for name, logits in (("scores", scores), ("intermediate", early)):
        for logit, truth in zip(logits.ravel(), inside.ravel(), strict=True):
            chance = 1 / (1 + math.exp(-logit))
            entropy[name] -= math.log(chance if truth else 1 - chance) / inside.size
    total, count = 0.0, 0
    for n, joint, i, j in np.argwhere(inside):
        for axis in range(2):
            error = abs(moves[n, joint, axis, i, j] - offsets[n, joint, axis, i, j])
            total += error**2 / 2 if error <= 1 else error - 0.5
            count += 1
    maps = PoseMaps(
        torch.from_numpy(scores),
        torch.from_numpy(moves).flatten(1, 2),
        torch.from_numpy(early) if intermediate else None,
    )
    wanted = Targets(torch.from_numpy(inside), torch.from_numpy(offsets).float())
    found = losses(maps, wanted, locref_weight=0.05)
    expected = {"scores": entropy["scores"], "offsets": 0.05 * total / count}
    if intermediate:
        expected["intermediate"] = entropy["intermediate"]
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-4)


def test_no_joint_in_the_image_no_offset_loss() -> None:
    wanted = targets(
        torch.zeros(1, JOINTS, 2),
        torch.zeros(1, JOINTS, dtype=torch.bool),
        (32, 32),
        radius=9,
        locref_scale=LOCREF,
    )
    maps = PoseMaps(torch.zeros(1, JOINTS, 4, 4), torch.ones(1, 2 * JOINTS, 4, 4), None)
    assert float(losses(maps, wanted, locref_weight=1.0)["offsets"]) == 0


@settings(max_examples=25, deadline=None)
@given(height=st.integers(17, 300), width=st.integers(9, 150), seed=st.integers(0, 999))
def test_what_is_encoded_is_decoded_within_half_a_pixel(height: int, width: int, seed: int) -> None:
    size = (height, width)
    joints, _ = some_joints(np.random.default_rng(seed), size)
    places = torch.from_numpy(joints)
    present = torch.ones(2, JOINTS, dtype=torch.bool)
    wanted = targets(places, present, size, radius=11, locref_scale=LOCREF)
    maps = PoseMaps(wanted.inside.float() * 20 - 10, wanted.offsets.flatten(1, 2), None)
    found = decode(maps, size, locref_scale=LOCREF)
    pixels = found[..., :2] * torch.tensor([width, height])
    assert (pixels - places).abs().max() < 0.5
    assert torch.allclose(found[..., 2], torch.tensor(10.0).sigmoid())


def test_decoding_against_a_loop() -> None:
    rng = np.random.default_rng(2)
    size = (50, 30)
    rows, columns = map_size(size[0]), map_size(size[1])
    scores = rng.normal(size=(2, JOINTS, rows, columns))
    moves = rng.normal(size=(2, 2 * JOINTS, rows, columns))
    maps = PoseMaps(torch.from_numpy(scores), torch.from_numpy(moves), None)
    found = decode(maps, size, locref_scale=LOCREF).numpy()
    for n in range(2):
        for joint in range(JOINTS):
            i, j = np.unravel_index(scores[n, joint].argmax(), (rows, columns))
            x = 8 * j + 4 + LOCREF * moves[n, 2 * joint, i, j]
            y = 8 * i + 4 + LOCREF * moves[n, 2 * joint + 1, i, j]
            expected = np.clip([x / size[1], y / size[0]], 0, 1)
            assert np.allclose(found[n, joint, :2], expected, atol=1e-5)
            chance = 1 / (1 + math.exp(-scores[n, joint].max()))
            assert found[n, joint, 2] == pytest.approx(chance, abs=1e-6)


def test_the_surest_least_sure_joint_wins() -> None:
    rng = np.random.default_rng(4)
    readings = [torch.from_numpy(rng.random((20, JOINTS, 3))) for _ in range(3)]
    found = surest(readings)
    for n in range(20):
        best = max(range(3), key=lambda k: float(readings[k][n, :, 2].min()))
        assert torch.equal(found[n], readings[best][n])


def test_a_mirrored_batch_is_the_mirror_image(learnt: tuple[Drawn, pd.DataFrame]) -> None:
    store, joints = learnt
    plain = Batches(detector(flip=0.0), store, joints)(3)
    turned = Batches(detector(flip=1.0), store, joints)(3)
    assert torch.equal(plain.pixels, turned.pixels)
    assert torch.equal(plain.colour, turned.colour)
    assert not plain.flip.any()
    assert turned.flip.all()
    for joint, partner in enumerate(MIRRORED):
        expected = plain.joints[:, partner] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
        assert torch.allclose(turned.joints[:, joint], expected)
        assert torch.equal(turned.present[:, joint], plain.present[:, partner])
    images = augmented(plain.pixels, plain.flip, plain.colour, size=(128, 64))
    mirror = augmented(turned.pixels, turned.flip, turned.colour, size=(128, 64))
    assert torch.allclose(images.flip(3), mirror)


def test_colours_change_within_bytes_and_one_is_none(learnt: tuple[Drawn, pd.DataFrame]) -> None:
    batch = Batches(detector(), learnt[0], learnt[1])(0)
    still = torch.zeros(8, dtype=torch.bool)
    same = augmented(batch.pixels, still, torch.ones(8, 3), size=(128, 64))
    assert torch.allclose(same, batch.pixels.permute(0, 3, 1, 2).float(), atol=1e-3)
    grey = augmented(batch.pixels, still, torch.tensor([[1.0, 1.0, 0.0]] * 8), size=(128, 64))
    assert torch.allclose(grey, grey.mean(1, keepdim=True).expand_as(grey), atol=1e-3)
    bright = augmented(batch.pixels, still, torch.tensor([[9.0, 1.2, 1.0]] * 8), size=(128, 64))
    assert bright.max() <= 255


def test_each_pass_shows_every_image_once(learnt: tuple[Drawn, pd.DataFrame]) -> None:
    store, joints = learnt
    first = [Batches(detector(), store, joints)(number) for number in range(48)]
    again = Batches(detector(), store, joints)(13)  # asked for out of order
    for a, b in zip(first[13], again, strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
    pictures = {picture.tobytes() for picture in store.pictures}
    for turn in (first[:24], first[24:]):
        shown = [image.numpy().tobytes() for batch in turn for image in batch.pixels]
        assert len(shown) == 192
        assert set(shown) == pictures
    assert not torch.equal(first[0].pixels, first[24].pixels)
    assert len({batch.size for batch in first}) > 3


def test_a_killed_training_goes_on_exactly(
    tmp_path: Path, learnt: tuple[Drawn, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, joints = learnt
    whole, _ = train("whole", detector(), store, joints)

    def keeper() -> Checkpoints:
        return Checkpoints(tmp_path, code=training.CODE, settings={})

    real = training.loss_of

    def killed(*given: object) -> dict[str, torch.Tensor]:
        killed.calls += 1
        if killed.calls > 6:  # two iterations after the checkpoint at 4
            raise KeyboardInterrupt
        return real(*given)

    killed.calls = 0
    monkeypatch.setattr(training, "loss_of", killed)
    with pytest.raises(KeyboardInterrupt):
        train("killed", detector(), store, joints, keeper=keeper())
    monkeypatch.setattr(training, "loss_of", real)
    again, fitted = train("again", detector(), store, joints, keeper=keeper())
    assert fitted.resumed == 1
    assert list(fitted.history["iteration"]) == [4, 8]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_few_seconds_of_training_beat_the_mean_pose(
    learnt: tuple[Drawn, pd.DataFrame],
) -> None:
    store, joints = learnt
    chosen = detector(iterations=150, learning_rate=1e-2)
    network, _ = train("short", chosen, store, joints)
    unseen, truth = people(48, seed=2)
    images = pd.DataFrame({"width": [64] * 48, "height": [128] * 48})
    found = detect("unseen", network, unseen, chosen)
    prior = mean_pose(joints, truth["image"])
    scores, _ = evaluate(found, truth, images, prior=prior)
    assert scores["mean"] > scores["prior"] + 0.05


def test_incomplete_joints_are_named(learnt: tuple[Drawn, pd.DataFrame]) -> None:
    store, joints = learnt
    with pytest.raises(UserError, match="each image needs each of the joints 0 to 13 once"):
        train("x", detector(), store, joints.iloc[1:])
    with pytest.raises(UserError, match="no column 'y'"):
        train("x", detector(), store, joints.drop(columns="y"))


def test_joints_that_nobody_marked_are_absent() -> None:
    frame = pd.DataFrame({"image": 5, "joint": range(JOINTS), "x": 0.5, "y": 0.5})
    frame.loc[3, "x"], frame.loc[4, "y"], frame.loc[5, "x"] = np.nan, 1.2, 1.0
    rows, _, present = as_arrays(frame.sample(frac=1, random_state=0))
    assert list(rows) == [5]
    assert list(np.flatnonzero(~present[0])) == [3, 4]
