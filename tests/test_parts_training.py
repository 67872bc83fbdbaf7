"""The detector as a whole: batches, training that resumes exactly, detection that resumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from reid_repro.datasets.images import ImageStore
from reid_repro.datasets.places import BOX
from reid_repro.detectors import PartsDetection
from reid_repro.devices import Precision
from reid_repro.errors import UserError
from reid_repro.parts import detection, weights
from reid_repro.parts.classes import ATTRIBUTES, PARTS
from reid_repro.parts.coverage import fixed_boxes
from reid_repro.parts.detection import detect
from reid_repro.parts.evaluation import evaluate
from reid_repro.parts.network import PartsNetwork, build
from reid_repro.parts.samples import Samples, moved, seen_through
from reid_repro.parts.training import train
from reid_repro.training.augment import FILL
from reid_repro.training.checkpoint import Checkpoints

from parts_world import Vehicles, detector, write_vehicles


@pytest.fixture(scope="module")
def vehicles(tmp_path_factory: pytest.TempPathFactory) -> Vehicles:
    folder = tmp_path_factory.mktemp("vehicles")
    write_vehicles(folder, train=48, test=8)
    return Vehicles(folder)


def network_of(**settings: int) -> PartsNetwork:
    torch.manual_seed(0)
    return build(detector(**settings), PARTS)


def samples_of(vehicles: Vehicles, **training: float) -> Samples:
    settings = detector(**training).training
    return Samples(vehicles.store, vehicles.annotations, vehicles.train, PARTS, 64, settings)


def test_a_batch_follows_from_its_number_alone(vehicles: Vehicles) -> None:
    one, other = (samples_of(vehicles, zoom=0.3, colour=1.0) for _ in range(2))
    first = [one(number) for number in range(5)]
    for number in (4, 0, 2):
        again = other(number)
        for a, b in zip(again[:3], first[number][:3], strict=True):
            assert torch.equal(a, b)
        assert all(map(torch.equal, again.truth, first[number].truth))
    assert not torch.equal(first[0].pixels, first[1].pixels)


def test_a_round_has_every_image_once(vehicles: Vehicles) -> None:
    samples = samples_of(vehicles, flip=0.0, batch_size=16)
    seen = torch.cat([samples(number).pixels for number in range(len(vehicles.train) // 16)])
    distinct = {image.numpy().tobytes() for image in seen}
    assert len(distinct) == len(seen) == len(vehicles.train)


def test_plain_batches_are_the_annotations(vehicles: Vehicles) -> None:
    samples = samples_of(vehicles, flip=0.0, batch_size=len(vehicles.train))
    truth = samples(0).truth
    boxes = vehicles.boxes(vehicles.train)
    assert int((truth.labels > 0).sum()) == len(boxes)
    found = truth.boxes[truth.labels > 0].numpy()
    np.testing.assert_array_equal(
        found[np.lexsort(found.T)],
        (own := boxes[BOX].to_numpy(np.float32))[np.lexsort(own.T)],
    )


@pytest.mark.parametrize("window", [(0.25, 0.5, 0.75, 1.0), (-0.5, -0.25, 1.5, 1.75)])
def test_boxes_move_with_the_pixels(window: tuple[float, float, float, float]) -> None:
    """A white part on black is where its moved box says, for windows inside and around."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[36:52, 20:44] = 255
    boxes = np.array([[20, 36, 44, 52], [0, 0, 8, 8]], np.float32) / 64
    where = np.array(window, np.float32)
    shown, (own, labels) = seen_through(image, where), moved(boxes, np.array([1, 2]), where)
    rows, columns = np.nonzero(shown.min(axis=2) > 128)
    corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(own[0] * 64, corners, atol=1)
    inside = window[0] >= 0
    assert labels.tolist() == ([1] if inside else [1, 2])
    assert (shown[0, 0] == (0 if inside else FILL)).all()


class KilledError(Exception):
    """Stands in for a kill."""


def test_training_resumes_exactly(
    vehicles: Vehicles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = detector(iterations=6, checkpoints=3, colour=1.0, optimizer="adam")

    def trained(folder: Path) -> PartsNetwork:
        network = network_of()
        keeper = Checkpoints(folder, code=["parts/*.py"], settings={"a": 1})
        fitted = train(
            network, vehicles.store, vehicles.annotations, vehicles.train, settings, keeper=keeper
        )
        assert fitted.history["iteration"].tolist() == [2, 4, 6]
        return network

    whole = trained(tmp_path / "whole")
    make = Samples.__call__

    def killed(self: Samples, number: int) -> object:
        if number == 5:
            raise KilledError
        return make(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(Samples, "__call__", killed)
        with pytest.raises(KilledError):
            trained(tmp_path / "parts")
    calls = []
    monkeypatch.setattr(
        Samples, "__call__", lambda self, number: (calls.append(number), make(self, number))[1]
    )
    resumed = trained(tmp_path / "parts")
    assert calls == [4, 5]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_training_without_a_box_is_refused(vehicles: Vehicles) -> None:
    with pytest.raises(UserError, match="none of the 192 training images has a box"):
        train(
            network_of(), vehicles.store, vehicles.annotations.iloc[:0], vehicles.train, detector()
        )


class Counted(ImageStore):
    """A store that counts what is read and dies at a row."""

    def __init__(self, vehicles: Vehicles, images: int, killed_at: int | None = None) -> None:
        names = vehicles.store.images.iloc[:images]
        super().__init__(folder=vehicles.store._folder, images=names, root=None)
        self.read: list[int] = []
        self.killed_at = killed_at

    def __getitem__(self, row: int) -> np.ndarray:
        if row == self.killed_at:
            raise KilledError
        self.read.append(row)
        return super().__getitem__(row)


def test_a_killed_detection_loses_one_batch(vehicles: Vehicles, tmp_path: Path) -> None:
    network, settings = network_of(), PartsDetection(batch_size=4)

    def found(store: ImageStore, folder: str) -> pd.DataFrame:
        return detect(
            network, store, settings, folder=tmp_path / folder, content="x", precision="32-true"
        )

    whole = found(Counted(vehicles, 18), "whole")
    assert whole["image"].tolist() == np.repeat(np.arange(18), 10).tolist()
    assert whole["rank"].tolist() == np.tile(np.arange(10), 18).tolist()
    assert whole[["score", *BOX]].to_numpy().min() >= 0
    assert whole[["score", *BOX]].to_numpy().max() <= 1
    with pytest.raises(KilledError):
        found(Counted(vehicles, 18, killed_at=13), "parts")
    again = Counted(vehicles, 18)
    pd.testing.assert_frame_equal(found(again, "parts"), whole)
    assert sorted(again.read) == list(range(12, 18))


def key_of(
    network: PartsNetwork, settings: PartsDetection, content: str, precision: Precision
) -> str:
    return detection.finished_of(Path(), network, settings, content, precision).folder.name


def test_the_cache_is_of_this_very_detection(vehicles: Vehicles) -> None:
    network, settings = network_of(), PartsDetection()

    def key(own: PartsNetwork = network, content: str = "x", **changes: float) -> str:
        changed = settings.model_copy(update=changes)
        return key_of(own, changed, content, "32-true")

    torch.manual_seed(1)
    other = build(detector(), PARTS)
    keys = [key(), key(other), key(content="y"), key(boxes=8), key(overlap=0.5)]
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]
    assert key_of(network, settings, "x", "bf16-mixed") != keys[0]


def test_a_damaged_batch_is_found_anew(vehicles: Vehicles, tmp_path: Path) -> None:
    network, settings, store = network_of(), PartsDetection(batch_size=4), Counted(vehicles, 8)
    whole = detect(network, store, settings, folder=tmp_path, content="x")
    first = min(tmp_path.rglob("*.npy"))
    first.write_bytes(first.read_bytes()[:50])
    store.read.clear()
    pd.testing.assert_frame_equal(
        detect(network, store, settings, folder=tmp_path, content="x"), whole
    )
    assert sorted(store.read) == [0, 1]


def test_weights_come_back_and_wrong_ones_are_named(tmp_path: Path) -> None:
    settings, file = detector(), tmp_path / "weights.safetensors"
    network = network_of()
    weights.save(network, settings, file)
    loaded = weights.load(file, settings)
    assert loaded.classes == PARTS
    assert weights.digest(loaded) == weights.digest(network)
    for changed, message in (
        ({"width": 16}, r"width is 8, but detectors\.parts\.width is 16"),
        ({"size": 96}, "size is 64"),
    ):
        with pytest.raises(UserError, match=message):
            weights.load(file, settings.model_copy(update=changed))
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match="not a readable safetensors file"):
        weights.load(file, settings)
    with pytest.raises(UserError, match="no such file of weights"):
        weights.load(tmp_path / "none", settings)
    network.ssd.register_buffer("stray", torch.zeros(1))
    weights.save(network, settings, file)
    with pytest.raises(UserError, match="does not fit the small network: 'stray' is unexpected"):
        weights.load(file, settings)


def test_ssd300_has_the_default_boxes_of_the_paper() -> None:
    settings = detector(size=300).model_copy(update={"network": "ssd300_vgg16"})
    with torch.device("meta"):
        network = build(settings, ATTRIBUTES).eval()
        pixels = torch.empty(1, 300, 300, 3, dtype=torch.uint8)
    heads = network(pixels)
    assert heads.logits.shape == (1, 8732, 22)
    assert heads.offsets.shape == (1, 8732, 4)
    with pytest.raises(UserError, match="size: 300"):
        build(settings.model_copy(update={"size": 320}), PARTS)
    with pytest.raises(UserError, match="no ImageNet weights"):
        build(detector().model_copy(update={"weights": "imagenet"}), PARTS)


def test_default_boxes_of_the_small_network_reach_signs_and_logos() -> None:
    anchors = network_of()(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)).anchors / 64
    sides = anchors[:, 2:] - anchors[:, :2]
    assert float(sides.min()) < 0.07
    assert float(sides.max()) > 0.4


def test_images_are_normalised_and_recoloured(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of().eval()
    seen: list[torch.Tensor] = []
    backbone = network.ssd.backbone.forward
    monkeypatch.setattr(
        network.ssd.backbone, "forward", lambda images: (seen.append(images), backbone(images))[1]
    )
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    gain, shift = torch.tensor([[1.0, 2, 3], [1, 1, 1]]), torch.tensor([[0.0, 5, 0], [0, 0, -7]])
    network(pixels, gain, shift)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    coloured = pixels.numpy() * gain[:, None, None].numpy() + shift[:, None, None].numpy()
    wanted = ((coloured / 255 - mean) / std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(seen[0].numpy(), wanted, atol=1e-5)


def test_a_few_seconds_of_training_beat_fixed_boxes(vehicles: Vehicles, tmp_path: Path) -> None:
    recipe = {"iterations": 200, "batch_size": 8, "learning_rate": 6e-3, "warmup": 10}
    settings = detector(size=96, width=16, optimizer="adam", weight_decay=0.0, **recipe)
    network = network_of(size=96, width=16)
    train(network, vehicles.store, vehicles.annotations, vehicles.train, settings)
    found = detect(network, vehicles.store, settings.detection, folder=tmp_path, content="x")
    prior = fixed_boxes(vehicles.boxes(vehicles.train), 10)
    scores = evaluate(found, vehicles.annotations, vehicles.test, prior=prior).summary
    assert scores["recall"]["8"] > scores["prior_recall"]["8"] + 0.1
