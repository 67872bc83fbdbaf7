"""Rendered vehicles: determinism, groups, exact part boxes, cameras and backdrops."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from reid_repro.rendering.backdrop import draw_backdrop
from reid_repro.rendering.cameras import Shot, develop, draw_shot, make_cameras
from reid_repro.rendering.scene import PartBox
from reid_repro.rendering.vehicle_bodies import BODY_TYPES, draw_body
from reid_repro.rendering.vehicle_frame import Frame, compose
from reid_repro.rendering.vehicle_mesh import MeshBuilder, Zone, add_cuboid
from reid_repro.rendering.vehicle_raster import (
    MIN_VISIBILITY,
    Drawing,
    arrange,
    look,
    paint_numbers,
    part_boxes,
    zone_ranks,
)
from reid_repro.rendering.vehicles import PART_CLASSES, VehicleRenderer

CANVAS = (128, 128)


@pytest.fixture(scope="module")
def renderer() -> VehicleRenderer:
    return VehicleRenderer(seed=3, cameras=4)


def digest(image: np.ndarray) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


def stage(
    renderer: VehicleRenderer,
    identity: int,
    azimuth: float,
    elevation: float = 16.0,
    hide: tuple[int, ...] = (),
    shift: float = 0.0,
) -> tuple[Drawing, np.ndarray]:
    """The drawing of an identity from a chosen side, and its number canvas."""
    shape = renderer._shape(identity // renderer.group_size)
    mesh = renderer._mesh(identity)
    shot = Shot(azimuth=azimuth, elevation=elevation, exposure=1.0, occluded=False)
    rng = np.random.default_rng(0)
    view, frame, projected = compose(shape, mesh, shot, CANVAS, rng)
    frame = Frame(frame.scale, frame.offset + np.array([shift, 0.0]))
    hidden = np.isin(mesh.part, hide) if hide else np.zeros(len(mesh.part), dtype=bool)
    drawing = arrange(mesh, view, projected, frame.apply(projected), hidden)
    return drawing, np.asarray(paint_numbers(drawing, CANVAS))


def family(drawing: Drawing, part: int) -> set[int]:
    """A part and all that lies on it."""
    members = {part}
    for child, parent in enumerate(drawing.mesh.parents):
        if parent in members:
            members.add(child)
    return members


def naive_boxes(drawing: Drawing, numbers: np.ndarray) -> list[PartBox]:
    """Pixel by pixel, and each part drawn alone on a canvas with wide margins."""
    mesh, margin = drawing.mesh, 300
    height, width = numbers.shape
    boxes = []
    for part, label in enumerate(mesh.labels):
        members = family(drawing, part)
        own = [p for p in drawing.order.tolist() if int(mesh.part[p]) in members]
        if not own:
            continue
        seen = [
            (x, y) for y in range(height) for x in range(width) if int(numbers[y, x]) - 1 in own
        ]
        alone = Image.new("L", (width + 2 * margin, height + 2 * margin))
        draw = ImageDraw.Draw(alone)
        for polygon in own:
            start, stop = mesh.starts[polygon : polygon + 2]
            corners = drawing.corners[start:stop] + np.float32(margin)
            draw.polygon([(float(x), float(y)) for x, y in corners], fill=1)
        full = sum(1 for value in alone.tobytes() if value)
        if not seen or len(seen) < MIN_VISIBILITY * full:
            continue
        xs, ys = [x for x, _ in seen], [y for _, y in seen]
        boxes.append(
            PartBox(
                label,
                min(xs) / width,
                min(ys) / height,
                (max(xs) + 1) / width,
                (max(ys) + 1) / height,
                min(1.0, len(seen) / full),
            )
        )
    return boxes


# --- one image, one key -----------------------------------------------------------------------


def test_same_image_in_any_order() -> None:
    keys = [(0, 1, 0), (5, 0, 2), (0, 1, 1), (9, 3, 0)]
    first, second = VehicleRenderer(seed=3, cameras=4), VehicleRenderer(seed=3, cameras=4)
    forwards = {key: first.render(*key) for key in keys}
    for key in reversed(keys):
        again = second.render(*key)
        np.testing.assert_array_equal(again.image, forwards[key].image)
        assert again.parts == forwards[key].parts
        assert again.attributes == forwards[key].attributes


def test_same_image_in_another_process(renderer: VehicleRenderer) -> None:
    code = (
        "import hashlib; from reid_repro.rendering.vehicles import VehicleRenderer; "
        "r = VehicleRenderer(seed=3, cameras=4); "
        "print(hashlib.sha256(r.render(7, 2, 1).image.tobytes()).hexdigest())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == digest(renderer.render(7, 2, 1).image)


def test_survives_pickling(renderer: VehicleRenderer) -> None:
    copy = pickle.loads(pickle.dumps(renderer))
    assert digest(copy.render(2, 1, 0).image) == digest(renderer.render(2, 1, 0).image)


def test_every_part_of_the_key_matters(renderer: VehicleRenderer) -> None:
    other_seed = VehicleRenderer(seed=4, cameras=4)
    images = [renderer.render(*key) for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))]
    images.append(other_seed.render(0, 0, 0))
    assert len({digest(rendered.image) for rendered in images}) == len(images)


def test_camera_does_not_depend_on_their_number() -> None:
    few, many = VehicleRenderer(seed=1, cameras=2), VehicleRenderer(seed=1, cameras=9)
    assert digest(few.render(4, 1, 0).image) == digest(many.render(4, 1, 0).image)


# --- groups of hard negatives -----------------------------------------------------------------


def test_group_shares_model_and_paint_and_differs_in_details() -> None:
    renderer = VehicleRenderer(seed=0, group_size=4)
    for group in range(6):
        members = range(4 * group, 4 * group + 4)
        words = [renderer.attributes(identity) for identity in members]
        assert {(w["body"], w["colour"], w["group"]) for w in words} == {
            (words[0]["body"], words[0]["colour"], str(group))
        }
        assert len({w["wheel"] for w in words}) == 4
        details = [renderer._draw_details(identity) for identity in members]
        assert len({d.glyphs for d in details}) == 4
        assert len({d.plate for d in details}) == 4


def test_group_size_sets_the_groups() -> None:
    renderer = VehicleRenderer(seed=0, group_size=6)
    assert [renderer.attributes(i)["group"] for i in (0, 5, 6, 11, 12)] == ["0", "0", "1", "1", "2"]


def test_five_groups_hold_all_body_types() -> None:
    renderer = VehicleRenderer(seed=8)
    for block in range(3):
        kinds = {renderer.attributes(4 * (5 * block + k))["body"] for k in range(5)}
        assert kinds == set(BODY_TYPES)


def test_attributes_name_what_is_drawn(renderer: VehicleRenderer) -> None:
    """A part that only some vehicles have is in the mesh exactly when an attribute says so."""
    sometimes = {
        "annual service signs",
        "carrier",
        "car topwindow",
        "entry license",
        "hanging",
        "lay ornament",
        "light cover",
        "newer sign",
        "tissuebox",
        "safe belt",
    }
    for identity in range(16):
        drawn = set(renderer._mesh(identity).labels)
        assert drawn & sometimes == set(renderer.attributes(identity)) & sometimes
        assert drawn - sometimes == {
            "back mirror", "car light", "logo", "plate", "wheel", "wind-shield glass"
        }  # fmt: skip


def test_paints_repeat_across_groups() -> None:
    """Colour alone must not tell groups apart."""
    renderer = VehicleRenderer(seed=0)
    colours = [renderer.attributes(4 * group)["colour"] for group in range(25)]
    assert len(set(colours)) <= 10
    assert max(colours.count(colour) for colour in colours) >= 4


# --- parts ------------------------------------------------------------------------------------


def test_all_part_classes_appear(renderer: VehicleRenderer) -> None:
    seen = {
        part.label
        for identity in range(40)
        for camera in range(2)
        for part in renderer.render(identity, camera + 2 * (identity % 2), 0, (64, 64)).parts
    }
    assert seen == set(PART_CLASSES)
    assert len(PART_CLASSES) == 16


@pytest.mark.parametrize(
    ("identity", "azimuth"), [(0, 10), (4, 70), (9, 140), (14, 200), (17, 315)]
)
def test_boxes_match_a_naive_count(
    renderer: VehicleRenderer, identity: int, azimuth: float
) -> None:
    drawing, numbers = stage(renderer, identity, azimuth)
    fast, naive = part_boxes(drawing, numbers), naive_boxes(drawing, numbers)
    assert len(fast) > 4
    assert [replace(box, visibility=0) for box in fast] == [
        replace(box, visibility=0) for box in naive
    ]
    for mine, theirs in zip(fast, naive, strict=True):
        assert mine.visibility == pytest.approx(theirs.visibility, abs=0.02)


@pytest.mark.parametrize("azimuth", [0, 40, 180, 300])
def test_box_holds_exactly_what_vanishes_with_the_part(
    renderer: VehicleRenderer, azimuth: float
) -> None:
    identity = 6
    drawing, numbers = stage(renderer, identity, azimuth)
    boxes = {(b.label, b.x0, b.y0, b.x1, b.y1) for b in part_boxes(drawing, numbers)}
    for part, label in enumerate(drawing.mesh.labels):
        _, without = stage(renderer, identity, azimuth, hide=tuple(family(drawing, part)))
        ys, xs = np.nonzero(numbers != without)
        if len(xs):
            width, height = CANVAS
            box = (
                label, xs.min() / width, ys.min() / height,
                (xs.max() + 1) / width, (ys.max() + 1) / height,
            )  # fmt: skip
            boxes.discard(box)
    assert not boxes


def test_leaving_the_frame_lowers_visibility(renderer: VehicleRenderer) -> None:
    drawing, numbers = stage(renderer, 0, 0)
    (before,) = [b for b in part_boxes(drawing, numbers) if b.label == "wind-shield glass"]
    middle = (before.x0 + before.x1) / 2 * CANVAS[0]
    drawing, numbers = stage(renderer, 0, 0, shift=-round(middle))
    (after,) = [b for b in part_boxes(drawing, numbers) if b.label == "wind-shield glass"]
    assert before.visibility > 0.9
    assert after.visibility == pytest.approx(before.visibility / 2, abs=0.1)
    assert after.x0 == 0.0


def test_parts_are_seen_from_the_right_side(renderer: VehicleRenderer) -> None:
    only_front = {"wind-shield glass", "hanging", "lay ornament", "tissuebox", "safe belt"}
    for identity in range(20):
        front = {b.label for b in part_boxes(*stage(renderer, identity, 0))}
        rear = {b.label for b in part_boxes(*stage(renderer, identity, 180))}
        assert {"wind-shield glass", "logo", "plate", "car light", "back mirror"} <= front
        assert "newer sign" not in front
        assert {"logo", "plate", "car light"} <= rear
        assert not rear & only_front
        for side in (90, 270):
            labels = [b.label for b in part_boxes(*stage(renderer, identity, side))]
            assert labels.count("wheel") >= 2
            assert "plate" not in labels


@settings(max_examples=25, deadline=None)
@given(
    identity=st.integers(0, 10_000),
    camera=st.integers(0, 3),
    index=st.integers(0, 500),
    size=st.tuples(st.integers(32, 160), st.integers(32, 160)),
)
def test_any_image_is_well_formed(
    identity: int, camera: int, index: int, size: tuple[int, int]
) -> None:
    rendered = VehicleRenderer(seed=3, cameras=4).render(identity, camera, index, size)
    assert rendered.image.shape == (*size, 3)
    assert rendered.image.dtype == np.uint8
    assert rendered.joints is None
    assert rendered.image.std() > 5
    assert rendered.parts
    for part in rendered.parts:
        assert part.label in PART_CLASSES
        assert 0 <= part.x0 < part.x1 <= 1
        assert 0 <= part.y0 < part.y1 <= 1
        assert MIN_VISIBILITY <= part.visibility <= 1


def test_occluders_hide_parts() -> None:
    """Something in front takes pixels from parts and adds to none."""
    clear, blocked = VehicleRenderer(seed=2, cameras=1), VehicleRenderer(seed=2, cameras=1)
    clear.cameras = (replace(clear.cameras[0], occlusion=0.0),)
    blocked.cameras = (replace(blocked.cameras[0], occlusion=1.0),)

    def total(renderer: VehicleRenderer) -> float:
        parts = [p for i in range(12) for p in renderer.render(i, 0, 0, (64, 64)).parts]
        return sum(p.visibility for p in parts)

    assert total(blocked) < 0.97 * total(clear)


# --- geometry ---------------------------------------------------------------------------------


def test_projection_has_the_left_side_on_the_right_of_a_front_view() -> None:
    view = look(0.0, 20.0, 8.0, np.array([0.0, 0.0, 0.5]))
    points = np.array([[0, 0, 0.5], [0, 1, 0.5], [0, 0, 1.5], [2, 0, 0.5]], dtype=np.float32)
    middle, left, above, nearer = view.project(points)
    np.testing.assert_allclose(middle, (0, 0, 8), atol=1e-5)
    np.testing.assert_allclose(left, (1 / 8, 0, 8), atol=1e-5)
    assert above[1] < 0
    assert nearer[2] == pytest.approx(8 - 2 * np.cos(np.deg2rad(20)), abs=1e-5)


def test_mesh_normals_point_outwards() -> None:
    builder = MeshBuilder()
    add_cuboid(builder, (1.0, 2.0, 3.0), (2.0, 1.0, 0.5), (9, 9, 9), Zone.BODY)
    builder.add([(0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 0)], (9, 9, 9), Zone.BODY, (0, 0, -1))
    mesh = builder.build()
    expected = [(0, 0, 1), (0, -1, 0), (1, 0, 0), (0, 1, 0), (-1, 0, 0), (0, 0, -1)]
    np.testing.assert_allclose(mesh.normals, expected, atol=1e-6)
    for polygon in range(len(expected)):
        corners = mesh.points[mesh.starts[polygon] : mesh.starts[polygon + 1]]
        turn = np.cross(corners[1] - corners[0], corners[2] - corners[1])
        assert turn @ np.array(expected[polygon]) > 0
        nexts = mesh.following[mesh.starts[polygon] : mesh.starts[polygon + 1]]
        np.testing.assert_array_equal(mesh.points[nexts], np.roll(corners, -1, axis=0))


@pytest.mark.parametrize("position", [(9, 3, 2), (9, -3, 2), (-9, 3, 2), (-9, -3, 2)])
def test_near_things_are_drawn_last(position: tuple[float, float, float]) -> None:
    ranks = zone_ranks(np.array(position), split=0.0)
    assert sorted(ranks) == list(range(len(Zone)))
    left, right = ranks[Zone.MIRROR_LEFT], ranks[Zone.MIRROR_RIGHT]
    assert (left > ranks[Zone.CABIN] > right) == (position[1] > 0)
    assert (ranks[Zone.CABIN] > ranks[Zone.CARGO_DECALS]) == (position[0] > 0)


def test_body_curves_are_smooth_and_symmetric() -> None:
    for kind in BODY_TYPES:
        shape = draw_body(kind, np.random.default_rng(5))
        for x in np.linspace(shape.rear, shape.front, 9):
            ring = shape.ring(float(x))
            assert (np.diff(ring[:, 1]) > 0).all()
            assert ring[:, 0].max() <= shape.half_width + 1e-9
            left, right = shape.flank(float(x), 0.6, 1), shape.flank(float(x), 0.6, -1)
            assert left == (right[0], -right[1], right[2])
        assert shape.rear < shape.tail < shape.roof_rear < shape.roof_front < shape.cowl
        assert shape.cowl < shape.front
    with pytest.raises(ValueError, match="unknown body type 'tram'"):
        draw_body("tram", np.random.default_rng(0))


# --- cameras and backdrops --------------------------------------------------------------------


def test_develop_follows_its_formula() -> None:
    camera = replace(
        make_cameras(0, "vehicle", 1)[0],
        noise=0.0, blur=0.0, resolution=1.0, jpeg_quality=95, contrast=0.9, cast=(1.1, 1.0, 0.9),
    )  # fmt: skip
    shot = Shot(azimuth=0, elevation=0, exposure=0.8, occluded=False)
    canvas = Image.new("RGB", (64, 64), (100, 120, 200))
    image = develop(canvas, camera, shot, np.random.default_rng(0), (64, 64))
    gained = np.array((100, 120, 200)) * np.array(camera.cast) * 0.8
    expected = (gained - 110) * 0.9 + 110
    np.testing.assert_allclose(image.reshape(-1, 3).mean(axis=0), expected, atol=2.0)


def test_shots_keep_to_their_camera() -> None:
    for camera in make_cameras(5, "vehicle", 3):
        rng = np.random.default_rng(1)
        shots = [draw_shot(camera, rng) for _ in range(400)]
        turn = [(s.azimuth - camera.azimuth + 180) % 360 - 180 for s in shots]
        assert abs(np.mean(turn)) < 0.2 * camera.azimuth_spread
        assert np.std(turn) == pytest.approx(camera.azimuth_spread, rel=0.15)
        assert np.mean([s.elevation for s in shots]) == pytest.approx(camera.elevation, abs=1.0)
        assert np.mean([s.occluded for s in shots]) == pytest.approx(camera.occlusion, abs=0.07)


def test_background_says_nothing_about_identity(renderer: VehicleRenderer) -> None:
    """The corner of the frame has the same mean for different vehicles, camera by camera."""

    def corners(identity: int, camera: int) -> np.ndarray:
        shots = (renderer.render(identity, camera, k, (48, 48)).image for k in range(40))
        return np.array([shot[-4:, :3].mean() for shot in shots])

    for camera in range(2):
        # One identity each of different groups, so body and paint differ.
        samples = [corners(identity, camera) for identity in (0, 4, 8)]
        assert len({renderer.attributes(i)["body"] for i in (0, 4, 8)}) == 3
        for one, other in ((samples[0], samples[1]), (samples[0], samples[2])):
            error = np.sqrt(one.var() / len(one) + other.var() / len(other))
            assert abs(one.mean() - other.mean()) < 4 * error


@pytest.mark.parametrize("horizon", [-0.5, 0.0, 0.3, 1.0, 1.4])
def test_backdrop_is_grey_and_covers_the_canvas(horizon: float) -> None:
    for camera in make_cameras(2, "vehicle", 3):
        canvas = Image.new("RGB", (96, 64), (255, 0, 255))
        draw_backdrop(canvas, camera, np.random.default_rng(4), horizon)
        pixels = np.asarray(canvas).astype(int)
        assert (pixels.max(axis=2) - pixels.min(axis=2)).max() < 60
        again = Image.new("RGB", (96, 64))
        draw_backdrop(again, camera, np.random.default_rng(4), horizon)
        np.testing.assert_array_equal(np.asarray(again), pixels)


def test_backdrop_refuses_other_modes() -> None:
    camera = make_cameras(0, "vehicle", 1)[0]
    with pytest.raises(ValueError, match="RGB"):
        draw_backdrop(Image.new("L", (32, 32)), camera, np.random.default_rng(0), 0.3)


# --- bad arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 0, 0), "identity -1"),
        ((0, 4, 0), "camera 4 does not exist: this renderer has cameras 0 to 3"),
        ((0, -1, 0), "camera -1"),
        ((0, 0, -2), "index -2"),
        ((0, 0, 0, (31, 64)), "at least 32"),
        ((0, 0, 0, (64, 8)), "at least 32"),
    ],
)
def test_bad_arguments(
    renderer: VehicleRenderer, arguments: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        renderer.render(*arguments)


@pytest.mark.parametrize("option", ["seed", "cameras", "group_size"])
def test_bad_options(option: str) -> None:
    with pytest.raises(ValueError, match=option):
        VehicleRenderer(**{option: -1})
    with pytest.raises(ValueError, match="identity -3"):
        VehicleRenderer().attributes(-3)
