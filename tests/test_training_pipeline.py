"""Decoding, augmentation and batches against loops over images and pixels."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from reid_repro.config import TrainingConfig
from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.training import augment, pixels
from reid_repro.training.augment import Draws, augmented, draw, mirrored_places, moved_places
from reid_repro.training.batches import Batches, prefetched
from reid_repro.training.pixels import Pixels, decoding_threads

from conftest import write_image

CPU = torch.device("cpu")
SIZE = (48, 24)  # height and width of the images that `store` holds


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    root = tmp_path_factory.mktemp("images")
    names = [f"{number}.jpg" for number in range(10)]
    for number, name in enumerate(names):
        write_image(root / name, number, (SIZE[1], SIZE[0]))
    images = pd.DataFrame({"image": names})
    return ImageStore(folder=root, images=images, root=root)


def recipe(**changes: object) -> TrainingConfig:
    settings = {"height": SIZE[0], "width": SIZE[1], "epochs": 1, "crop_padding": 4} | changes
    return TrainingConfig.model_validate(settings)


def literal(image: npt.NDArray[np.uint8], draws: Draws, number: int) -> npt.NDArray[np.uint8]:
    """One image, pixel after pixel: mirrored, moved over black, then erased."""
    height, width, _ = image.shape
    down, right = draws.shift[number]
    top, left, tall, wide = draws.erased[number]
    out = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            from_y, from_x = y - down, x - right
            if 0 <= from_y < height and 0 <= from_x < width:
                out[y, x] = image[from_y, width - 1 - from_x if draws.flip[number] else from_x]
            if top <= y < top + tall and left <= x < left + wide:
                out[y, x] = (124, 116, 104)
    return out


@given(
    height=st.integers(4, 20),
    width=st.integers(4, 20),
    padding=st.integers(0, 25),
    seed=st.integers(0, 1000),
)
def test_augmentation_of_a_batch_is_that_of_each_image(
    height: int, width: int, padding: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(4)]
    before = [image.copy() for image in images]
    draws = draw(rng, 4, (height, width), recipe(crop_padding=padding))
    batch = augmented(images, draws)
    for number, image in enumerate(images):
        np.testing.assert_array_equal(batch[number], literal(image, draws, number))
        np.testing.assert_array_equal(image, before[number])


def test_draws_have_the_ranges_and_shares_of_torchvisions() -> None:
    n, size = 4000, (128, 64)
    draws = draw(np.random.default_rng(0), n, size, recipe(flip=0.3, erasing=0.6, crop_padding=5))
    assert draws.flip.mean() == pytest.approx(0.3, abs=0.03)
    assert set(draws.shift[:, 0]) == set(draws.shift[:, 1]) == set(range(-5, 6))
    top, left, tall, wide = draws.erased[draws.erased[:, 2] > 0].T
    assert len(tall) / n == pytest.approx(0.6, abs=0.03)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + tall <= size[0]).all()
    assert (left + wide <= size[1]).all()
    # The same quantities from torchvision's own transform.
    peer = v2.RandomErasing(p=1.0, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0)
    white = torch.ones(1, *size)
    torch.manual_seed(0)
    holes = [peer(white)[0] == 0 for _ in range(1500)]
    heights = [float(hole.any(dim=1).sum()) for hole in holes]
    widths = [float(hole.any(dim=0).sum()) for hole in holes]
    for ours, theirs in (
        (tall, heights),
        (wide, widths),
        (tall * wide, np.multiply(heights, widths)),
    ):
        shares = [10, 50, 90]
        np.testing.assert_allclose(
            np.percentile(ours, shares), np.percentile(theirs, shares), rtol=0.12
        )


def test_nothing_is_done_where_nothing_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (8, 6, 3), dtype=np.uint8) for _ in range(50)]
    draws = draw(rng, 50, (8, 6), recipe(flip=0.0, crop_padding=0, erasing=0.0))
    np.testing.assert_array_equal(augmented(images, draws), np.stack(images))
    always = draw(rng, 50, (8, 6), recipe(flip=1.0, crop_padding=0, erasing=0.0))
    np.testing.assert_array_equal(augmented(images, always), np.stack(images)[:, :, ::-1])


@given(x=st.integers(2, 9), y=st.integers(2, 9), seed=st.integers(0, 100))
def test_a_keypoint_stays_on_its_pixel(x: int, y: int, seed: int) -> None:
    """A bright pixel is found again where its keypoint has gone, under its mirrored name."""
    size, rng = (12, 12), np.random.default_rng(seed)
    image = np.zeros((*size, 3), np.uint8)
    image[y, x] = 255
    draws = draw(rng, 1, size, recipe(crop_padding=2, erasing=0.0))
    joints = np.zeros((1, 14, 3), np.float32)
    joints[0, 0] = (x + 0.5) / 12, (y + 0.5) / 12, 0.75  # the right ankle
    moved = moved_places(joints, draws, size)
    found = moved[0, 5 if draws.flip[0] else 0]  # in a mirror it is the left one
    (row,), (column,) = np.nonzero(augmented([image], draws)[0][..., 0])
    np.testing.assert_allclose(found, [(column + 0.5) / 12, (row + 0.5) / 12, 0.75], atol=1e-6)


def test_mirrored_joints_change_sides_and_come_back() -> None:
    joints = np.random.default_rng(0).random((3, 14, 3)).astype(np.float32)
    mirrored = mirrored_places(joints)
    for one, other in ((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9), (12, 12), (13, 13)):
        np.testing.assert_allclose(mirrored[:, one, 0], 1 - joints[:, other, 0])
        np.testing.assert_array_equal(mirrored[:, one, 1:], joints[:, other, 1:])
    np.testing.assert_allclose(mirrored_places(mirrored), joints, atol=1e-6)


@given(seed=st.integers(0, 100))
def test_boxes_are_moved_and_cut_at_the_edge(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = (20, 10)
    corners = np.sort(rng.random((3, 5, 2, 2)), axis=2)
    boxes = corners.reshape(3, 5, 4).astype(np.float32)
    draws = draw(rng, 3, size, recipe(crop_padding=4))
    expected = np.empty_like(boxes)
    for n in range(3):
        for d in range(5):
            x0, y0, x1, y1 = boxes[n, d]
            if draws.flip[n]:
                x0, x1 = 1 - x1, 1 - x0
            down, right = draws.shift[n, 0] / size[0], draws.shift[n, 1] / size[1]
            moved = x0 + right, y0 + down, x1 + right, y1 + down
            expected[n, d] = [min(1, max(0, value)) for value in moved]
    found = moved_places(boxes, draws, size)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (found[..., :2] <= found[..., 2:]).all()


def test_images_are_decoded_once_where_they_fit(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    real = ImageStore.__getitem__

    def counted(self: ImageStore, row: int) -> npt.NDArray[np.uint8]:
        reads.append(row)
        return real(self, row)

    monkeypatch.setattr(ImageStore, "__getitem__", counted)
    rows, positions = np.array([7, 3, 3, 9]), np.array([0, 2, 2, 3])
    expected = [real(store, row) for row in (7, 3, 3, 9)]
    kept = Pixels(store, rows, size=SIZE, threads=2)
    assert kept.keeps
    for _ in range(2):
        np.testing.assert_array_equal(np.stack(kept.images(positions)), expected)
    assert sorted(reads) == [3, 7, 9]
    monkeypatch.setattr(pixels, "CACHE_BYTES", 4 * SIZE[0] * SIZE[1] * 3 - 1)
    streamed = Pixels(store, rows, size=SIZE, threads=2)
    assert not streamed.keeps
    np.testing.assert_array_equal(np.stack(streamed.images(positions)), expected)
    assert len(reads) == 3 + 4


def test_images_of_another_size_are_resized_without_aliasing(store: ImageStore) -> None:
    size = (13, 7)
    (found,) = Pixels(store, np.array([4]), size=size).images(np.array([0]))
    tensor = torch.from_numpy(store[4].copy()).permute(2, 0, 1)
    peer = v2.functional.resize(tensor, list(size), antialias=True).permute(1, 2, 0).numpy()
    assert np.abs(found.astype(int) - peer).max() <= 1


def test_threads_are_those_asked_for_or_the_cores() -> None:
    assert decoding_threads(3) == 3
    assert 1 <= decoding_threads(0, processes=1000) == 1
    assert decoding_threads(0) >= 1


def epoch(batches: Batches, config: TrainingConfig, number: int = 0) -> list[torch.Tensor]:
    order = [[0, 3, 5, 9], [1, 1, 2, 8]]
    return [batch.images.clone() for batch in batches.training(order, config, seed=0, epoch=number)]


def test_batches_do_not_depend_on_threads_memory_or_devices(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, config = np.arange(10), recipe()
    expected = epoch(Batches(Pixels(store, rows, size=SIZE), device=CPU), config)
    again = Batches(Pixels(store, rows, size=SIZE, threads=3, keep=False), device=CPU)
    assert all(map(torch.equal, epoch(again, config), expected))
    halves = [
        epoch(Batches(Pixels(store, rows, size=SIZE), device=CPU, rank=rank, world=2), config)
        for rank in (0, 1)
    ]
    joined = [torch.cat(pair) for pair in zip(*halves, strict=True)]
    assert all(map(torch.equal, joined, expected))
    other = epoch(again, config, number=1)
    assert not torch.equal(other[0], expected[0])


def test_batches_are_normalised_augmented_images_with_their_places(store: ImageStore) -> None:
    config = recipe()
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.random((10, 2, 2, 2)), axis=2).reshape(10, 2, 4).astype(np.float32)
    labels = rng.integers(0, 5, 10)
    data = Pixels(store, np.arange(10), size=SIZE)
    batches = Batches(data, device=CPU, labels=labels, places=boxes)
    order = [[4, 2, 6], [1, 9, 0]]
    for number, batch in enumerate(batches.training(order, config, seed=7, epoch=3)):
        draws = draw(np.random.default_rng((7, 3, number)), 3, SIZE, config)
        mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        for place, position in enumerate(order[number]):
            image = literal(store[position], draws, place) / 255
            expected = ((image - mean) / std).transpose(2, 0, 1)
            np.testing.assert_allclose(batch.images[place], expected, atol=1e-5)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.labels.tolist() == labels[order[number]].tolist()
        assert batch.places is not None
        moved = moved_places(boxes[order[number]], draws, SIZE)
        np.testing.assert_array_equal(batch.places, moved)


def test_test_batches_are_plain_and_the_last_is_short(store: ImageStore) -> None:
    batches = Batches(Pixels(store, np.arange(10), size=SIZE, keep=False), device=CPU)
    found = [batch.images.clone() for batch in batches.test([[0, 1, 2, 3], [9]])]
    assert [len(images) for images in found] == [4, 1]
    mean, std = torch.tensor(augment.IMAGENET_MEAN), torch.tensor(augment.IMAGENET_STD)
    plain = (torch.from_numpy(store[9].copy()) / 255 - mean) / std
    torch.testing.assert_close(found[1][0], plain.permute(2, 0, 1), rtol=0, atol=1e-5)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "good.jpg", 0)
    (tmp_path / "bad.jpg").write_bytes(b"not an image")
    images = pd.DataFrame({"image": ["good.jpg", "bad.jpg"]})
    store = ImageStore(folder=tmp_path, images=images, root=tmp_path)
    batches = Batches(Pixels(store, np.arange(2), size=SIZE, threads=2), device=CPU)
    with pytest.raises(UserError, match=r"bad\.jpg"):
        list(batches.test([[0], [0, 1]]))


def test_items_are_made_ahead_but_not_without_end() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    reader = prefetched(items(), ahead=2)
    assert next(reader) == 0
    deadline = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(made) == 4  # one taken, two ready, one in hand
    threads = threading.active_count()
    reader.close()
    assert threading.active_count() == threads - 1
    assert list(prefetched(iter(range(7)), ahead=3)) == list(range(7))


def test_an_error_comes_out_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    reader = prefetched(items())
    assert next(reader) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(reader)


def test_pillow_and_the_store_agree_on_rgb(store: ImageStore) -> None:
    """What `Pixels` gives is RGB, row by row, as Pillow reads the file."""
    (found,) = Pixels(store, np.array([6]), size=SIZE).images(np.array([0]))
    assert store._root is not None
    with Image.open(store._root / "6.jpg") as image:
        np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))
