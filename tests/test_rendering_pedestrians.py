"""Rendered pedestrians: determinism, groups, exact joints and visibility, solids of the raster."""

from __future__ import annotations

import hashlib
import itertools
import math
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_repro.rendering import pedestrian_figure, pedestrians
from reid_repro.rendering.pedestrian_figure import Figure, Part
from reid_repro.rendering.pedestrian_identity import (
    BAGS,
    HAIRS,
    LEGWEAR,
    LENGTHS,
    MAX_IDENTITIES,
    PATTERNS,
    PRINTS,
)
from reid_repro.rendering.pedestrian_raster import Raster, Ring
from reid_repro.rendering.pedestrian_skeleton import JOINTS, Point, Pose, Skeleton, build_skeleton
from reid_repro.rendering.pedestrian_textures import Ink, colours
from reid_repro.rendering.pedestrian_view import View
from reid_repro.rendering.pedestrians import CARRIERS, THICKNESS, PedestrianRenderer
from reid_repro.rendering.scene import Rendered

R_ANKLE, R_KNEE, R_HIP, L_HIP, L_KNEE, L_ANKLE = range(6)
R_WRIST, R_ELBOW, R_SHOULDER, L_SHOULDER, L_ELBOW, L_WRIST, CHIN, FOREHEAD = range(6, 14)
FLAT_LIGHT = (0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def renderer() -> PedestrianRenderer:
    return PedestrianRenderer(seed=3, cameras=4)


def digest(image: np.ndarray) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


def with_camera(seed: int = 2, **changes: Any) -> PedestrianRenderer:
    """A renderer of one camera, some of whose properties are set by hand."""
    renderer = PedestrianRenderer(seed=seed, cameras=1)
    renderer.cameras = (replace(renderer.cameras[0], **changes),)
    return renderer


class LayeredRaster(Raster):
    """A raster that also keeps the depth of every part by itself, whatever lies before it."""

    made: list[LayeredRaster]

    def __init__(self, height: int, width: int, light: Point) -> None:
        super().__init__(height, width, light)
        self.layers: dict[int, np.ndarray] = {}
        self.made.append(self)

    def _write(
        self,
        window: tuple[slice, slice],
        inside: np.ndarray,
        depth: np.ndarray,
        shade: np.ndarray,
        part: int,
        ink: int | np.ndarray,
    ) -> None:
        layer = self.layers.setdefault(int(part), np.full_like(self.depth, -np.inf))
        np.maximum(layer[window], np.where(inside, depth, -np.inf), out=layer[window])
        super()._write(window, inside, depth, shade, part, ink)

    def cover(self, front: Raster, part: int) -> None:
        self.layers[part] = np.where(front.part > 0, np.float32(np.inf), np.float32(-np.inf))
        super().cover(front, part)


@dataclass
class Observed:
    """One photograph and what was behind the scenes while it was taken."""

    rendered: Rendered
    view: View
    figure: Figure
    raster: LayeredRaster


def observe(
    renderer: PedestrianRenderer,
    identity: int,
    camera: int,
    index: int,
    size: tuple[int, int] = (128, 64),
) -> Observed:
    seen: list[tuple[View, Figure]] = []
    original = pedestrians._frame

    def frame(figure: Figure, *rest: Any) -> View:
        view = original(figure, *rest)
        seen.append((view, figure))
        return view

    LayeredRaster.made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pedestrians, "_frame", frame)
        patch.setattr(pedestrians, "Raster", LayeredRaster)
        rendered = renderer.render(identity, camera, index, size)
    ((view, figure),) = seen
    return Observed(rendered, view, figure, LayeredRaster.made[0])


def pinhole(view: View, point: Point) -> tuple[float, float, float]:
    """Where the ray from the eye through a point meets the picture plane, and the point's depth.

    The eye stands `distance` from the centre at the given azimuth and elevation; the plane goes
    through the centre and faces the eye.
    """
    azimuth, elevation = math.radians(view.azimuth), math.radians(view.elevation)
    ground = np.array([math.cos(azimuth), math.sin(azimuth), 0.0])
    towards_eye = math.cos(elevation) * ground + math.sin(elevation) * np.array([0.0, 0.0, 1.0])
    right = np.cross([0.0, 0.0, 1.0], ground)
    up = np.cross(towards_eye, right)
    centre, p = np.array(view.centre), np.array(point)
    eye = centre + view.distance * towards_eye
    ray = p - eye
    hit = eye + ray * (view.distance / -(ray @ towards_eye)) - centre
    return (
        view.x0 + view.scale * float(hit @ right),
        view.y0 - view.scale * float(hit @ up),
        view.scale * float((p - centre) @ towards_eye),
    )


# --- one image, one key -----------------------------------------------------------------------


def test_same_image_in_any_order() -> None:
    keys = [(0, 1, 0), (5, 0, 2), (0, 1, 1), (9, 3, 0)]
    first, second = PedestrianRenderer(seed=3, cameras=4), PedestrianRenderer(seed=3, cameras=4)
    forwards = {key: first.render(*key) for key in keys}
    for key in reversed(keys):
        again = second.render(*key)
        np.testing.assert_array_equal(again.image, forwards[key].image)
        np.testing.assert_array_equal(again.joints, forwards[key].joints)
        assert again.attributes == forwards[key].attributes


def test_same_image_in_another_process(renderer: PedestrianRenderer) -> None:
    code = (
        "import hashlib; from reid_repro.rendering.pedestrians import PedestrianRenderer; "
        "r = PedestrianRenderer(seed=3, cameras=4).render(7, 2, 1); "
        "print(hashlib.sha256(r.image.tobytes() + r.joints.tobytes()).hexdigest())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = renderer.render(7, 2, 1)
    assert here.joints is not None
    expected = hashlib.sha256(here.image.tobytes() + here.joints.tobytes()).hexdigest()
    assert out.stdout.strip() == expected


def test_survives_pickling() -> None:
    renderer = PedestrianRenderer(seed=6, cameras=3, group_size=5)
    copy = pickle.loads(pickle.dumps(renderer))
    assert digest(copy.render(7, 2, 0).image) == digest(renderer.render(7, 2, 0).image)
    assert copy.attributes(7) == renderer.attributes(7)
    assert copy.group_size == 5
    assert len(copy.cameras) == 3


def test_every_part_of_the_key_matters(renderer: PedestrianRenderer) -> None:
    other_seed = PedestrianRenderer(seed=4, cameras=4)
    images = [renderer.render(*key) for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))]
    images.append(other_seed.render(0, 0, 0))
    assert len({digest(rendered.image) for rendered in images}) == len(images)


def test_camera_does_not_depend_on_their_number() -> None:
    few, many = PedestrianRenderer(seed=1, cameras=2), PedestrianRenderer(seed=1, cameras=9)
    assert digest(few.render(4, 1, 0).image) == digest(many.render(4, 1, 0).image)


@settings(max_examples=40, deadline=None)
@given(
    identity=st.integers(0, MAX_IDENTITIES - 1),
    camera=st.integers(0, 3),
    index=st.integers(0, 500),
    size=st.tuples(st.integers(16, 160), st.integers(16, 160)),
)
def test_any_image_is_well_formed(
    identity: int, camera: int, index: int, size: tuple[int, int]
) -> None:
    rendered = PedestrianRenderer(seed=3, cameras=4).render(identity, camera, index, size)
    assert rendered.image.shape == (*size, 3)
    assert rendered.image.dtype == np.uint8
    assert rendered.image.std() > 5
    assert rendered.parts == ()
    assert rendered.joints is not None
    assert rendered.joints.shape == (14, 3)
    assert rendered.joints.dtype == np.float32
    assert np.isfinite(rendered.joints).all()
    assert set(rendered.joints[:, 2].tolist()) <= {0.0, 1.0}
    shown = rendered.joints[rendered.joints[:, 2] > 0]
    assert ((shown[:, :2] >= 0) & (shown[:, :2] <= 1)).all()


# --- groups of hard negatives -----------------------------------------------------------------


@pytest.mark.parametrize("group_size", [2, 4, 6])
def test_group_shares_colours_and_differs_in_looks(group_size: int) -> None:
    renderer = PedestrianRenderer(seed=0, group_size=group_size)
    for group in range(12):
        members = range(group_size * group, group_size * (group + 1))
        words = [renderer.attributes(identity) for identity in members]
        assert len({(w["upper"], w["lower"], w["accent"]) for w in words}) == 1
        assert {w["group"] for w in words} == {str(group)}
        # The decks are at least as long as these groups: no two members hold the same card.
        for name in ("pattern", "hair", "legwear"):
            assert len({w[name] for w in words}) == group_size, name


def test_colours_repeat_across_groups() -> None:
    """Colour alone must not tell groups apart."""
    renderer = PedestrianRenderer(seed=0)
    pairs = Counter(
        (w["upper"], w["lower"]) for w in (renderer.attributes(4 * g) for g in range(60))
    )
    assert len(pairs) > 10
    assert max(pairs.values()) >= 3


def test_groups_beyond_a_deck_deal_it_again() -> None:
    renderer = PedestrianRenderer(seed=0, group_size=23)
    patterns = Counter(renderer.attributes(i)["pattern"] for i in range(23))
    assert set(patterns) == set(PATTERNS)
    assert set(patterns.values()) == {2, 3}


def test_every_kind_of_look_occurs() -> None:
    renderer = PedestrianRenderer(seed=0)
    words = [renderer.attributes(identity) for identity in range(80)]
    for name, expected in (
        ("pattern", PATTERNS),
        ("hair", HAIRS),
        ("bag", BAGS),
        ("legwear", LEGWEAR),
        ("length", LENGTHS),
        ("print_shape", PRINTS),
        ("sleeves", ("long", "short")),
        ("bag_side", ("left", "right")),
        *((name, ("yes", "no")) for name in ("beard", "glasses", "boots", "scarf")),
    ):
        assert {w[name] for w in words} == set(expected), name


def test_attributes_belong_to_the_identity(renderer: PedestrianRenderer) -> None:
    for identity in (0, 17):
        words = renderer.attributes(identity)
        assert all(isinstance(v, str) and v for v in words.values())
        assert renderer.render(identity, 1, 0).attributes == words
        assert renderer.render(identity, 3, 4).attributes == words


def test_patterns_can_be_told_apart() -> None:
    """Members of a group wear different cloth: no two torso textures are near one another."""
    renderer = PedestrianRenderer(seed=5, group_size=len(PATTERNS))
    cloth = [renderer._person(i)[1].torso for i in range(len(PATTERNS))]
    for one, other in itertools.combinations(cloth, 2):
        assert np.mean(one != other) > 0.01


@pytest.mark.parametrize("bag", ["backpack", "shoulder-bag", "handbag"])
def test_bag_is_drawn_when_carried(bag: str) -> None:
    renderer = with_camera(occlusion=0.0, azimuth=180.0, azimuth_spread=0.0)
    for identity in range(12):
        drawn = bool((observe(renderer, identity, 0, 0).raster.part == Part.BAG).any())
        words = renderer.attributes(identity)
        if words["bag"] in ("none", "backpack"):  # a back view hides no backpack
            assert drawn == (words["bag"] == "backpack")
    carriers = [i for i in range(40) if renderer.attributes(i)["bag"] == bag][:3]
    shown = [(observe(renderer, i, 0, 0).raster.part == Part.BAG).sum() for i in carriers]
    assert max(shown) > 50


def test_faces_are_seen_from_the_front_and_hair_from_behind() -> None:
    shares = {}
    for azimuth in (0.0, 180.0):
        renderer = with_camera(occlusion=0.0, azimuth=azimuth, azimuth_spread=0.0)
        haired = [i for i in range(40) if renderer.attributes(i)["hair"] in ("short", "long")][:8]
        skin = []
        for identity in haired:
            raster = observe(renderer, identity, 0, 0).raster
            head = raster.ink[raster.part == Part.HEAD]
            skin.append(np.mean(head == 1 + Ink.SKIN))  # the person's inks follow the empty one
        shares[azimuth] = np.mean(skin)
    assert shares[0.0] > 0.3
    assert shares[180.0] < 0.1


# --- the skeleton -----------------------------------------------------------------------------

poses = st.builds(
    Pose,
    phase=st.floats(0, 2 * math.pi),
    speed=st.floats(0, 1),
    lean=st.floats(-0.05, 0.15),
    head_yaw=st.floats(-0.8, 0.8),
    head_pitch=st.floats(-0.2, 0.4),
    left_arm=st.sampled_from(["swing", "pocket", "strap"]),
    right_arm=st.sampled_from(["swing", "phone", "pocket"]),
)
statures = st.floats(1.48, 1.98)


@settings(max_examples=60, deadline=None)
@given(pose=poses, h=statures, shoulders=st.floats(0.85, 1.15), hips=st.floats(0.88, 1.15))
def test_segments_keep_their_lengths_in_every_pose(
    pose: Pose, h: float, shoulders: float, hips: float
) -> None:
    joints = build_skeleton(pose, stature=h, shoulders=shoulders, hips=hips).joints()
    for a, b, share in (
        (R_HIP, R_KNEE, 0.245), (L_HIP, L_KNEE, 0.245),
        (R_KNEE, R_ANKLE, 0.242), (L_KNEE, L_ANKLE, 0.242),
        (R_SHOULDER, R_ELBOW, 0.17), (L_SHOULDER, L_ELBOW, 0.17),
        (R_ELBOW, R_WRIST, 0.15), (L_ELBOW, L_WRIST, 0.15),
        (R_HIP, L_HIP, 0.104 * hips), (R_SHOULDER, L_SHOULDER, 0.206 * shoulders),
    ):  # fmt: skip
        assert math.dist(joints[a], joints[b]) == pytest.approx(share * h, rel=2e-3)


@settings(max_examples=60, deadline=None)
@given(pose=poses, h=statures)
def test_body_stands_on_the_ground_left_side_left(pose: Pose, h: float) -> None:
    skeleton = build_skeleton(pose, stature=h)
    joints = skeleton.joints()
    for left, right in ((L_HIP, R_HIP), (L_KNEE, R_KNEE), (L_ANKLE, R_ANKLE)):
        assert joints[left][1] > 0 > joints[right][1]
    assert joints[L_SHOULDER][1] > joints[R_SHOULDER][1]
    assert joints[FOREHEAD][2] > joints[CHIN][2] > joints[R_SHOULDER][2] - 0.03 * h
    soles = [
        min(leg["ankle"][2] - 0.037 * h, leg["toe"][2] - 0.015 * h)
        for leg in (skeleton.left, skeleton.right)
    ]
    assert min(soles) == pytest.approx(0, abs=1e-9)
    for leg in (skeleton.left, skeleton.right):
        assert leg["toe"][0] > leg["ankle"][0]  # feet point forwards


def mirrored(skeleton: Skeleton) -> list[tuple[float, float, float]]:
    order = [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13]
    joints = skeleton.joints()
    return [(joints[j][0], -joints[j][1], joints[j][2]) for j in order]


@settings(max_examples=40, deadline=None)
@given(pose=poses, h=statures)
def test_half_a_stride_later_the_other_side_does_the_same(pose: Pose, h: float) -> None:
    pose = replace(pose, left_arm="swing", right_arm="swing")
    later = replace(pose, phase=pose.phase + math.pi, head_yaw=-pose.head_yaw)
    one, other = build_skeleton(pose, stature=h), build_skeleton(later, stature=h)
    np.testing.assert_allclose(mirrored(one), other.joints(), atol=1e-9)


def test_standing_heights_follow_the_anthropometric_table() -> None:
    pose = Pose(0.0, 0.0, 0.0, 0.0, 0.0, "swing", "swing")
    joints = build_skeleton(pose, stature=1.0).joints()
    for joint, share in ((R_HIP, 0.53), (R_KNEE, 0.285), (R_SHOULDER, 0.82)):
        assert joints[joint][2] == pytest.approx(share, abs=0.025)


# --- joints in the picture --------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    view=st.builds(
        View,
        azimuth=st.floats(0, 360),
        elevation=st.floats(0, 35),
        distance=st.floats(4, 10),
        centre=st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 1)),
        scale=st.floats(20, 300),
        x0=st.floats(-50, 200),
        y0=st.floats(-50, 200),
    ),
    point=st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(-1, 2)),
)
def test_projection_is_a_pinhole_camera(view: View, point: Point) -> None:
    x, y, depth, k = view.project(point)
    np.testing.assert_allclose((x, y, depth), pinhole(view, point), atol=1e-6, rtol=1e-9)
    # k is the magnification there: a centimetre to the right is k centimetres in the picture.
    beside = tuple(p + 0.01 * r for p, r in zip(point, view.right, strict=True))
    assert view.project(beside)[0] - x == pytest.approx(0.01 * k, abs=1e-6)


@pytest.mark.parametrize("size", [(128, 64), (96, 96), (256, 128)])
def test_joints_are_the_projected_skeleton(
    renderer: PedestrianRenderer, size: tuple[int, int]
) -> None:
    for identity, camera in itertools.product((0, 5, 11, 22), range(4)):
        seen = observe(renderer, identity, camera, 1, size)
        assert seen.rendered.joints is not None
        for row, point in enumerate(seen.figure.skeleton.joints()):
            x, y, _ = pinhole(seen.view, point)
            expected = (x / (2 * size[1]), y / (2 * size[0]))
            np.testing.assert_allclose(seen.rendered.joints[row, :2], expected, atol=1e-5)


def test_joints_do_not_depend_on_the_resolution(renderer: PedestrianRenderer) -> None:
    for identity in range(6):
        small = renderer.render(identity, 1, 0, (64, 32)).joints
        large = renderer.render(identity, 1, 0, (192, 96)).joints
        assert small is not None
        assert large is not None
        np.testing.assert_allclose(small[:, :2], large[:, :2], atol=1e-5)


@pytest.mark.parametrize("azimuth", [0.0, 90.0, 180.0, 270.0])
def test_ankles_lie_on_the_shoes_of_the_picture(
    azimuth: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finished photograph itself, not the buffers: shoes alone are painted green."""

    def painted(person: Any) -> list[tuple[int, int, int]]:
        palette = [(20, 20, 20)] * len(colours(person))
        palette[Ink.SHOE] = (0, 255, 0)
        return palette

    monkeypatch.setattr(pedestrian_figure, "colours", painted)
    renderer = with_camera(
        occlusion=0.0, azimuth=azimuth, azimuth_spread=0.0, noise=0.0, blur=0.0, resolution=1.0,
        jpeg_quality=95, exposure=1.0, exposure_spread=0.0, contrast=1.0, cast=(1.0, 1.0, 1.0),
    )  # fmt: skip
    checked = 0
    for identity in range(14):
        words = renderer.attributes(identity)
        if words["boots"] == "yes" or words["legwear"] == "wide-trousers":
            continue  # a shoe's colour that reaches up the shin, a hem that covers the shoe
        rendered = renderer.render(identity, 0, 0, (256, 128))
        red, green, _ = rendered.image.astype(int).transpose(2, 0, 1)
        rows, columns = np.nonzero((green > 60) & (green > red + 40))
        assert rendered.joints is not None
        for joint in (R_ANKLE, L_ANKLE):
            x, y, visible = rendered.joints[joint] * (128, 256, 1)
            if visible:
                # The end of the shin, 0.026 of the stature thick, may lie over the shoe.
                distance = np.hypot(rows + 0.5 - y, columns + 0.5 - x).min()
                assert distance < 0.035 * 256
                checked += 1
        # And no shoe without an ankle: neither foot is left unexplained.
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            ankles = rendered.joints[[R_ANKLE, L_ANKLE], :2] * (128, 256)
            assert np.hypot(*(ankles - (column + 0.5, row + 0.5)).T).min() < 0.16 * 256
    assert checked > 12


def test_left_and_right_follow_the_facing() -> None:
    """Seen from the front the left side is on the right of the picture, from behind the left."""
    for azimuth, sign in ((0.0, 1), (180.0, -1)):
        renderer = with_camera(azimuth=azimuth, azimuth_spread=0.0)
        for identity in range(8):
            joints = renderer.render(identity, 0, 0).joints
            assert joints is not None
            for left, right in ((L_HIP, R_HIP), (L_SHOULDER, R_SHOULDER), (L_ANKLE, R_ANKLE)):
                assert sign * (joints[left, 0] - joints[right, 0]) > 0


def test_side_views_show_the_near_side() -> None:
    near_left, near_right = (
        np.mean(
            [
                with_camera(azimuth=azimuth, azimuth_spread=0.0, occlusion=0.0)
                .render(identity, 0, 0)
                .joints[:, 2]
                for identity in range(24)
            ],
            axis=0,
        )
        for azimuth in (90.0, 270.0)
    )
    for left, right in ((L_HIP, R_HIP), (L_SHOULDER, R_SHOULDER), (L_ELBOW, R_ELBOW)):
        assert near_left[left] > near_left[right] + 0.3
        assert near_right[right] > near_right[left] + 0.3


def test_order_is_that_of_mpii_without_thorax_and_pelvis() -> None:
    assert JOINTS == (
        "r-ankle", "r-knee", "r-hip", "l-hip", "l-knee", "l-ankle",
        "r-wrist", "r-elbow", "r-shoulder", "l-shoulder", "l-elbow", "l-wrist",
        "chin", "forehead",
    )  # fmt: skip
    joints = with_camera(azimuth=0.0, azimuth_spread=0.0, elevation=5.0).render(0, 0, 0).joints
    assert joints is not None
    heights = [joints[list(rows), 1].mean() for rows in (
        (FOREHEAD,), (CHIN,), (R_SHOULDER, L_SHOULDER), (R_ELBOW, L_ELBOW), (R_HIP, L_HIP),
        (R_KNEE, L_KNEE), (R_ANKLE, L_ANKLE),
    )]  # fmt: skip
    assert heights == sorted(heights)


# --- visibility -------------------------------------------------------------------------------


def cause(seen: Observed, row: int) -> str:
    """Why a joint cannot be seen, found part by part in the layers; "" if it can."""
    x, y, depth = pinhole(seen.view, seen.figure.skeleton.joints()[row])
    column, line = math.floor(x), math.floor(y)
    if not (0 <= column < seen.raster.width and 0 <= line < seen.raster.height):
        return "outside"
    carried = other = -math.inf
    blocker = ""
    for part, layer in seen.raster.layers.items():
        surface = float(layer[line, column])
        if part in CARRIERS[row]:
            carried = max(carried, surface)
        elif surface > other:
            other, blocker = surface, Part(part).name.lower()
    if max(carried, other) == -math.inf:
        return "nothing there"
    if other > carried:
        return blocker
    thickness = THICKNESS * seen.figure.skeleton.stature * seen.view.scale
    return "own part, too deep" if carried - depth > thickness else ""


def test_visibility_agrees_with_the_layers_one_by_one(renderer: PedestrianRenderer) -> None:
    found: Counter[str] = Counter()
    for identity, camera, index in itertools.product(range(30), range(4), range(2)):
        seen = observe(renderer, identity, camera, index)
        assert seen.rendered.joints is not None
        for row in range(14):
            why = cause(seen, row)
            assert bool(seen.rendered.joints[row, 2]) == (why == ""), (identity, camera, row, why)
            found[why] += 1
            if why == "nothing there":
                # Only ever a joint on the very outline, half a pixel off the drawn surface.
                x, y, _ = pinhole(seen.view, seen.figure.skeleton.joints()[row])
                rows, columns = np.nonzero(np.isin(seen.raster.part, list(CARRIERS[row])))
                gap = np.hypot(rows + 0.5 - y, columns + 0.5 - x).min()
                assert gap < 0.02 * seen.raster.height
    joints = sum(found.values())
    assert found["nothing there"] < 0.01 * joints
    assert {"torso", "bag", "occluder", "right_thigh", "left_thigh"} <= set(found)
    assert 0.6 * joints < found[""] < 0.95 * joints


def test_joints_outside_the_picture_are_hidden(renderer: PedestrianRenderer) -> None:
    outside = 0
    for identity, camera in itertools.product(range(60), range(4)):
        joints = renderer.render(identity, camera, 0, (128, 40)).joints
        assert joints is not None
        beyond = ((joints[:, :2] < 0) | (joints[:, :2] > 1)).any(axis=1)
        assert not joints[beyond, 2].any()
        outside += int(beyond.sum())
    assert outside > 0


def test_occluders_hide_joints_and_move_none() -> None:
    clear, blocked = with_camera(occlusion=0.0), with_camera(occlusion=1.0)
    seen = lost = 0
    for identity in range(30):
        before, after = clear.render(identity, 0, 0).joints, blocked.render(identity, 0, 0).joints
        assert before is not None
        assert after is not None
        np.testing.assert_array_equal(before[:, :2], after[:, :2])
        assert (after[:, 2] <= before[:, 2]).all()
        seen += int(before[:, 2].sum())
        lost += int((before[:, 2] - after[:, 2]).sum())
    assert 0.05 * seen < lost < 0.6 * seen


def test_all_occluders_are_drawn() -> None:
    renderer = with_camera(occlusion=1.0)
    areas = [
        float((observe(renderer, identity, 0, 0).raster.part == Part.OCCLUDER).mean())
        for identity in range(40)
    ]
    assert sum(area > 0.005 for area in areas) > 34  # a passer-by may stay outside the frame
    assert max(areas) < 0.75


# --- solids -----------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    a=st.tuples(st.floats(-4, 28), st.floats(-4, 28), st.floats(-9, 9)),
    b=st.tuples(st.floats(-4, 28), st.floats(-4, 28), st.floats(-9, 9)),
    radius=st.floats(1.5, 8),
)
def test_capsule_covers_what_is_near_its_axis(a: Point, b: Point, radius: float) -> None:
    raster = Raster(24, 26, FLAT_LIGHT)
    raster.capsule(a, b, radius, radius, 7, raster.inks([(9, 9, 9)]))
    for y, x in itertools.product(range(24), range(26)):
        # Closest of a thousand points of the axis, as it appears in the picture.
        t = np.linspace(0, 1, 1001)
        gaps = np.hypot(a[0] + t * (b[0] - a[0]) - x - 0.5, a[1] + t * (b[1] - a[1]) - y - 0.5)
        near = int(gaps.argmin())
        gap = float(gaps[near])
        if abs(gap - radius) < 0.02:
            continue
        assert (raster.part[y, x] == 7) == (gap < radius)
        if gap < 0.9 * radius and math.dist(a[:2], b[:2]) > 1:
            depth = a[2] + t[near] * (b[2] - a[2]) + math.sqrt(radius**2 - gap**2)
            assert raster.depth[y, x] == pytest.approx(depth, abs=0.1)


@pytest.mark.parametrize("azimuth", [0, 45, 90, 135, 180, 225, 270, 315])
def test_barrel_turns_its_texture_with_the_body(azimuth: int) -> None:
    """Eight inks around a round barrel: the one that faces the camera is seen."""
    view = View(float(azimuth), 0.0, 6.0, (0, 0, 0), scale=40.0, x0=32.0, y0=32.0)
    raster = Raster(64, 64, FLAT_LIGHT)
    first = raster.inks([(k, k, k) for k in range(8)])
    # An eighth of the columns each, rolled back by half of that: ink k is centred at k / 8.
    texture = np.roll(np.repeat(np.arange(8), 8), -4)[None, :].repeat(4, axis=0) + first
    rings = [Ring((0, 0, 0.5), 0.4, 0.4, 0.0), Ring((0, 0, -0.5), 0.4, 0.4, 1.0)]
    raster.barrel(view, rings, 0.0, 3, texture.astype(np.uint8))
    assert raster.ink[32, 32] - first == azimuth // 45
    # To the right of the picture lies what is further to the person's left.
    assert raster.ink[32, 42] - first == (azimuth // 45 + 1) % 8
    rows, columns = np.nonzero(raster.part == 3)
    assert columns.max() - columns.min() + 1 == pytest.approx(32, abs=1)
    assert rows.max() - rows.min() + 1 == pytest.approx(40, abs=1)


def test_barrel_seen_from_above_bulges_downwards() -> None:
    """The near side of a hoop appears lower than its centre, by sin(elevation) of its radius."""
    view = View(0.0, 30.0, 1000.0, (0, 0, 0), scale=40.0, x0=48.0, y0=48.0)
    raster = Raster(96, 96, FLAT_LIGHT)
    rings = [Ring((0, 0, 0.5), 0.6, 0.6, 0.0), Ring((0, 0, -0.5), 0.6, 0.6, 1.0)]
    raster.barrel(view, rings, 0.0, 3, np.ones((2, 2), np.uint8))
    top, bottom = (view.project((0, 0, z))[1] for z in (0.5, -0.5))
    for column, across in ((48, 0.0), (48 + 22, 22.5 / 24)):
        drawn = np.flatnonzero(raster.part[:, column])
        lower = 0.5 * 24 * math.sqrt(1 - across**2)
        assert drawn[0] == pytest.approx(top + lower, abs=1)
        assert drawn[-1] + 1 == pytest.approx(bottom + lower, abs=1)


def test_barrel_yaw_turns_to_the_persons_left() -> None:
    rings = [Ring((0, 0, 0.5), 0.4, 0.2, 0.0), Ring((0, 0, -0.5), 0.4, 0.2, 1.0)]
    texture = np.arange(1, 17, dtype=np.uint8)[None, :].repeat(2, axis=0)
    one, other = Raster(64, 64, FLAT_LIGHT), Raster(64, 64, FLAT_LIGHT)
    one.barrel(View(70.0, 0.0, 6.0, (0, 0, 0), 40.0, 32.0, 32.0), rings, 0.0, 3, texture)
    turned = View(90.0, 0.0, 6.0, (0, 0, 0), 40.0, 32.0, 32.0)
    other.barrel(turned, rings, math.radians(20), 3, texture)
    np.testing.assert_array_equal(one.ink, other.ink)
    np.testing.assert_allclose(one.depth, other.depth, atol=1e-3)


def test_ball_is_an_ellipse() -> None:
    raster = Raster(40, 50, FLAT_LIGHT)
    raster.ball((21.3, 18.6, 2.0), (12.0, 9.0), 1, raster.inks([(5, 5, 5)]))
    for y, x in itertools.product(range(40), range(50)):
        value = ((x + 0.5 - 21.3) / 12) ** 2 + ((y + 0.5 - 18.6) / 9) ** 2
        if abs(value - 1) > 1e-4:
            assert (raster.part[y, x] == 1) == (value < 1)


def test_nearer_solids_win_in_any_order() -> None:
    pictures = []
    for order in ((0, 1), (1, 0)):
        raster = Raster(32, 32, FLAT_LIGHT)
        ink = raster.inks([(9, 9, 9), (200, 0, 0)])
        for k in order:
            raster.ball((14.0 + 4 * k, 16.0, 20.0 * k), (8.0, 8.0), k + 1, ink + k)
        pictures.append(raster.composite(np.full((32, 32, 3), 77, np.uint8)))
    np.testing.assert_array_equal(*pictures)
    assert tuple(pictures[0][0, 0]) == (77, 77, 77)
    assert pictures[0][16, 16, 0] > pictures[0][16, 16, 1]  # the red one stands before


def test_cover_lays_one_picture_over_another() -> None:
    below, above = Raster(16, 16, FLAT_LIGHT), Raster(16, 16, FLAT_LIGHT)
    below.ball((8.0, 8.0, 100.0), (6.0, 6.0), 1, below.inks([(10, 10, 10)]))
    above.ball((8.0, 8.0, 0.0), (3.0, 3.0), 2, above.inks([(0, 0, 0), (90, 200, 90)]) + 1)
    covered = above.part > 0
    below.cover(above, 16)
    np.testing.assert_array_equal(below.part == 16, covered)
    picture = below.composite(np.zeros((16, 16, 3), np.uint8))
    assert (picture[covered][:, 1] > picture[covered][:, 0]).all()
    assert (below.part[~covered] != 16).all()


def test_palette_overflow_is_named() -> None:
    raster = Raster(16, 16, FLAT_LIGHT)
    with pytest.raises(ValueError, match="at most 256"):
        raster.inks([(0, 0, 0)] * 256)


# --- background -------------------------------------------------------------------------------


def test_background_says_nothing_about_identity(renderer: PedestrianRenderer) -> None:
    """The upper corner of the frame has the same mean for differently dressed people."""

    def corners(identity: int, camera: int) -> np.ndarray:
        shots = (renderer.render(identity, camera, k, (48, 24)).image for k in range(60))
        return np.array([shot[:4, :3].mean() for shot in shots])

    for camera in range(2):
        samples = [corners(identity, camera) for identity in (0, 4, 8)]
        for one, other in ((samples[0], samples[1]), (samples[0], samples[2])):
            error = np.sqrt(one.var() / len(one) + other.var() / len(other))
            assert abs(one.mean() - other.mean()) < 4 * error


# --- bad arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 0, 0), "identity is -1"),
        ((MAX_IDENTITIES, 0, 0), f"identities are numbered from 0 to {MAX_IDENTITIES - 1}"),
        ((0, 4, 0), r"camera is 4; this scene has cameras 0\.\.3"),
        ((0, -1, 0), "camera is -1"),
        ((0, 0, -2), "index is -2"),
        ((0, 0, 0, (15, 64)), "at least 16"),
        ((0, 0, 0, (64, 8)), "at least 16"),
    ],
)
def test_bad_arguments(
    renderer: PedestrianRenderer, arguments: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        renderer.render(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["seed", "cameras", "group_size"])
def test_bad_options(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} is -1"):
        PedestrianRenderer(**{option: -1})
    with pytest.raises(ValueError, match="identity is -3"):
        PedestrianRenderer().attributes(-3)
