"""Body regions and the standard pose image against literal loops over images and joints."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reid_repro.models.layers import pose_image as pose
from reid_repro.models.layers import regions
from reid_repro.models.layers.pose_image import canvas_keypoints, part_maps, pose_image
from reid_repro.models.layers.regions import (
    REGIONS,
    anchors,
    check_keypoints,
    crop,
    crop_rows,
    region_boxes,
    region_size,
)

FLIPPED = [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13]  # each joint's mirror image
CPU = torch.device("cpu")


def person(seed: int = 0, count: int = 1) -> Tensor:
    """Upright figures with some noise, all joints visible, (count, 14, 3)."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.ones(count, 14, 3)
    noise = 0.03 * torch.randn(count, 14, 2, generator=generator)
    points[..., :2] = torch.tensor(regions.STANDARD) + noise
    return points


def literal_boxes(
    points: npt.NDArray[np.float64], height: int, width: int, overlap: float
) -> npt.NDArray[np.float64]:
    """Eqs. 2 and 3 for one image whose four joints are visible, then clipped and made to last."""
    x1, y1 = points[13] * (width, height)
    x2, y2 = points[12] * (width, height)
    yc = (points[3, 1] + points[2, 1]) / 2 * height
    alpha = overlap * height
    w, xc = y2 - y1 + 2 * alpha, (x1 + x2) / 2
    boxes = [
        [xc - w / 2, y1 - alpha, xc + w / 2, y2 + alpha],
        [0, y2 - 2 * alpha, width, yc + 2 * alpha],
        [0, yc - 2 * alpha, width, height],
    ]
    for box in boxes:
        for low, size in ((0, width), (1, height)):
            start, stop = (min(max(box[low + end], 0), size) for end in (0, 2))
            least = min(height / 16, size)
            if stop - start < least:
                start = min(max((start + stop - least) / 2, 0), size - least)
                stop = start + least
            box[low], box[low + 2] = start, stop
    return np.array(boxes)


coordinate = st.floats(-0.5, 1.5)


@settings(max_examples=60)
@given(
    points=st.lists(st.tuples(coordinate, coordinate), min_size=14, max_size=14),
    height=st.integers(32, 300),
    width=st.integers(16, 200),
    overlap=st.sampled_from([0.0, 15 / 512, 0.2]),
)
def test_boxes_are_those_of_equations_2_and_3(
    points: list[tuple[float, float]], height: int, width: int, overlap: float
) -> None:
    keypoints = torch.ones(1, 14, 3)
    keypoints[0, :, :2] = torch.tensor(points)
    boxes = region_boxes(keypoints, height, width, overlap)
    expected = literal_boxes(np.array(points), height, width, overlap)
    np.testing.assert_allclose(boxes[0].numpy(), expected, atol=1e-3)
    sides = boxes[0, :, 2:] - boxes[0, :, :2]
    assert (sides >= min(height / 16, width) - 1e-3).all()
    assert (boxes >= 0).all()
    assert (boxes[..., 2] <= width).all()
    assert (boxes[..., 3] <= height).all()


def test_boxes_at_the_papers_size() -> None:
    keypoints = person()
    keypoints[0, [13, 12, 2, 3], :2] = torch.tensor(
        ((0.5, 0.125), (0.5, 0.25), (0.4, 0.5), (0.6, 0.5))
    )
    boxes = region_boxes(keypoints, 512, 256)
    # alpha = 15: the head from 64 - 15 to 128 + 15, a square about x = 128, and so on.
    expected = [[81, 49, 175, 143], [0, 98, 256, 286], [0, 226, 256, 512]]
    torch.testing.assert_close(boxes[0], torch.tensor(expected, dtype=torch.float32))
    assert [region_size(region, 512, 256) for region in REGIONS] == [
        (96, 96),
        (224, 256),
        (224, 256),
    ]
    assert [region_size(region, 128, 64) for region in REGIONS] == [(24, 24), (56, 64), (56, 64)]


def literal_anchor(points: npt.NDArray[np.float64], joint: int) -> npt.NDArray[np.float64]:
    """A joint, or where the standard figure has it once shifted onto its first stand-ins."""
    if points[joint, 2] > 0:
        return points[joint, :2]
    standard = np.array(regions.STANDARD)
    for group in regions.STAND_INS[joint]:
        there = [other for other in group if points[other, 2] > 0]
        if there:
            shifts = [points[other, :2] - standard[other] for other in there]
            return standard[joint] + np.mean(shifts, axis=0)
    return standard[joint]


@settings(max_examples=60)
@given(hidden=st.sets(st.integers(0, 13)), seed=st.integers(0, 99))
def test_a_missing_joint_stands_where_its_neighbours_say(hidden: set[int], seed: int) -> None:
    keypoints = person(seed, 2)
    keypoints[0, list(hidden), 2] = 0
    keypoints[0, list(hidden), :2] = math.nan  # must not matter
    got = anchors(keypoints)
    for image in range(2):
        points = keypoints[image].double().numpy()
        expected = [literal_anchor(points, joint) for joint in regions.ANCHORS]
        np.testing.assert_allclose(got[image].numpy(), expected, atol=1e-6)
    assert region_boxes(keypoints, 128, 64).isfinite().all()


def test_a_missing_hip_takes_the_height_of_the_other() -> None:
    keypoints = person(3)
    keypoints[0, 2, 2] = 0
    assert float(anchors(keypoints)[0, 2, 1]) == pytest.approx(float(keypoints[0, 3, 1]))


def test_regions_do_not_depend_on_left_and_right_or_on_the_batch() -> None:
    keypoints = person(4, 5)
    keypoints[1, [12, 2], 2] = 0
    boxes = region_boxes(keypoints, 128, 64)
    mirrored = keypoints[:, FLIPPED].clone()
    mirrored[..., 0] = 1 - mirrored[..., 0]
    flipped = region_boxes(mirrored, 128, 64)
    torch.testing.assert_close(flipped[..., [1, 3]], boxes[..., [1, 3]])
    torch.testing.assert_close(flipped[..., [0, 2]], 64 - boxes[..., [2, 0]])
    for image in range(5):
        alone = region_boxes(keypoints[image : image + 1], 128, 64)
        torch.testing.assert_close(alone[0], boxes[image])


def literal_sample(image: npt.NDArray[np.float32], x: float, y: float) -> npt.NDArray[np.float32]:
    """The bilinear value between pixel centres, those outside being the nearest inside."""
    height, width = image.shape[1:]
    x, y = min(max(x - 0.5, 0), width - 1), min(max(y - 0.5, 0), height - 1)
    column, row = int(x), int(y)
    right, below = min(column + 1, width - 1), min(row + 1, height - 1)
    fx, fy = x - column, y - row
    upper = (1 - fx) * image[:, row, column] + fx * image[:, row, right]
    lower = (1 - fx) * image[:, below, column] + fx * image[:, below, right]
    value: npt.NDArray[np.float32] = (1 - fy) * upper + fy * lower
    return value


def literal_crop(
    image: npt.NDArray[np.float32], box: npt.NDArray[np.float32], rows: int, columns: int
) -> npt.NDArray[np.float32]:
    x0, y0, x1, y1 = (float(side) for side in box)
    out = np.empty((len(image), rows, columns), np.float32)
    for row in range(rows):
        for column in range(columns):
            x = x0 + (column + 0.5) * (x1 - x0) / columns
            y = y0 + (row + 0.5) * (y1 - y0) / rows
            out[:, row, column] = literal_sample(image, x, y)
    return out


@pytest.mark.parametrize("channels_last", [False, True])
def test_crops_are_bilinear(channels_last: bool) -> None:
    images = torch.randn(3, 2, 19, 13, generator=torch.Generator().manual_seed(1))
    if channels_last:
        images = images.to(memory_format=torch.channels_last)
    boxes = torch.tensor([[[1.5, 2.0, 9.0, 17.2], [0.0, 0.0, 13.0, 19.0]]]).repeat(3, 1, 1)
    boxes[2, 0] = torch.tensor([0.0, 15.0, 5.0, 19.0])
    got = crop(images, boxes, (7, 6))
    assert got.shape == (3, 2, 2, 7, 6)
    assert got.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    for image in range(3):
        for box in range(2):
            expected = literal_crop(images[image].numpy(), boxes[image, box].numpy(), 7, 6)
            np.testing.assert_allclose(got[image, box].numpy(), expected, atol=1e-5)
    torch.testing.assert_close(crop(images, boxes[:, 1:], (19, 13))[:, 0], images)


def test_bands_keep_their_columns() -> None:
    images = torch.randn(2, 3, 16, 8, generator=torch.Generator().manual_seed(2))
    boxes = torch.tensor([[[0.0, 3.1, 8.0, 12.0], [0.0, 0.0, 8.0, 5.5]]]).repeat(2, 1, 1)
    bands = crop_rows(images, boxes, 6)
    assert bands.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(bands, crop(images, boxes, (6, 8)))


def literal_pose(
    image: npt.NDArray[np.float32], points: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Pixel by pixel: the part whose place holds it, then the point of the image it comes from."""
    height, width = image.shape[1:]
    out = np.zeros_like(image)
    framed = np.pad(image, ((0, 0), (1, 1), (1, 1)))  # beyond the border lies the mean, 0
    for part in pose.PARTS.values():
        ends = []
        for joints in (part.top, part.bottom):
            there = [points[j, :2] * (width, height) for j in joints if points[j, 2] > 0]
            ends.append(np.mean(there, axis=0) if there else None)
        if ends[0] is None or ends[1] is None:
            continue
        line = ends[1] - ends[0]
        length = float(np.hypot(*line))
        along = line / length if length > 0 else np.array((0.0, 1.0))
        across = np.array((along[1], -along[0]))
        start = ends[0] - along * part.margins[0] * height
        whole = length + sum(part.margins) * height
        x0, y0, x1, y1 = part.place
        for row in range(height):
            for column in range(width):
                x, y = (column + 0.5) / width, (row + 0.5) / height
                if not (x0 <= x < x1 and y0 <= y < y1):
                    continue
                sideways = (x - (x0 + x1) / 2) * width
                source = start + along * whole * (y - y0) / (y1 - y0) + across * sideways
                if -0.5 < source[0] < width + 0.5 and -0.5 < source[1] < height + 0.5:
                    out[:, row, column] = literal_sample(framed, source[0] + 1, source[1] + 1)
    return out


@pytest.mark.parametrize("hidden", [(), (7,), (8,), (8, 9), (13, 0, 4)])
def test_the_pose_image_moves_ten_parts(hidden: tuple[int, ...]) -> None:
    images = torch.randn(2, 3, 32, 16, generator=torch.Generator().manual_seed(3))
    keypoints = person(7, 2)
    keypoints[:, 1] = keypoints[:, 0]  # a limb that points at the camera
    keypoints[1, list(hidden), 2] = 0
    keypoints[1, list(hidden), :2] = math.nan
    got = pose_image(images.to(memory_format=torch.channels_last), keypoints)
    for image in range(2):
        expected = literal_pose(images[image].numpy(), keypoints[image].numpy())
        np.testing.assert_allclose(got[image].numpy(), expected, atol=2e-4)


def test_a_part_without_a_joint_stays_empty() -> None:
    images = torch.ones(1, 3, 64, 32)
    keypoints = person(8)
    names = list(pose.PARTS)
    for number, part in enumerate(pose.PARTS.values()):
        hidden = keypoints.clone()
        hidden[0, list(part.bottom), 2] = 0
        x0, y0, x1, y1 = part.place
        place = (slice(round(y0 * 64) + 1, round(y1 * 64) - 1), slice(round(32 * x0) + 1, None))
        shown = [pose_image(images, points)[0, 0] for points in (keypoints, hidden)]
        columns = slice(round(x0 * 32) + 1, round(x1 * 32) - 1)
        assert shown[0][place[0], columns].abs().sum() > 0, names[number]
        assert shown[1][place[0], columns].abs().sum() == 0, names[number]
    nobody = torch.zeros(1, 14, 3)
    assert pose_image(images, nobody).abs().sum() == 0
    assert part_maps(nobody, 64, 32).isfinite().all()


def test_a_mirrored_person_has_the_mirrored_pose_image() -> None:
    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(5))
    keypoints = person(9, 2)
    mirrored = keypoints[:, FLIPPED].clone()
    mirrored[..., 0] = 1 - mirrored[..., 0]
    got = pose_image(images.flip(3), mirrored)
    torch.testing.assert_close(got, pose_image(images, keypoints).flip(3), atol=1e-4, rtol=1e-4)


def test_the_canvas_is_cut_between_its_parts() -> None:
    head, upper, lower = region_boxes(canvas_keypoints(CPU), 128, 64, 0.0)[0].tolist()
    places = pose.PARTS
    assert head[1::2] == pytest.approx([0, places["head"].place[3] * 128])
    assert head[0] < places["head"].place[0] * 64 + 1
    assert upper[1] == head[3]
    assert upper[3] == lower[1] == pytest.approx((places["torso"].place[3] - 0.02) * 128)
    assert lower[3] == 128


def test_parts_do_not_overlap_and_lie_in_the_canvas() -> None:
    covered = np.zeros((200, 100), int)
    for part in pose.PARTS.values():
        x0, y0, x1, y1 = (round(v * s) for v, s in zip(part.place, (100, 200) * 2, strict=True))
        assert 0 <= x0 < x1 <= 100
        assert 0 <= y0 < y1 <= 200
        covered[y0:y1, x0:x1] += 1
    assert covered.max() == 1


@pytest.mark.parametrize("under", ["bfloat16", "none"])
def test_coordinates_keep_their_precision_under_autocast(under: str) -> None:
    images, keypoints = torch.randn(1, 3, 64, 32), person(2)
    expected = pose_image(images, keypoints)
    with torch.autocast("cpu", torch.bfloat16, enabled=under == "bfloat16"):
        got = pose_image(images, keypoints)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, expected)


def test_keypoints_of_another_shape_are_named() -> None:
    images = torch.zeros(2, 3, 32, 16)
    with pytest.raises(ValueError, match=r"\(2, 14, 3\).*got none"):
        check_keypoints(None, images)
    with pytest.raises(ValueError, match=r"got shape \(2, 14, 2\)"):
        check_keypoints(torch.zeros(2, 14, 2), images)
    with pytest.raises(ValueError, match=r"got shape \(3, 14, 3\)"):
        check_keypoints(torch.zeros(3, 14, 3), images)
