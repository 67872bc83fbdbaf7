"""Rendered pedestrians with exact joints: the embedded data for person re-identification.

A photograph is a pure function of (seed, identity, camera, index). The identity fixes build and
clothes (pedestrian_identity), the camera fixes the distributions of viewpoint, light and optics
(cameras), and the index draws one pose and one shot from them. Identities i with the same
i // group_size wear the same colours: hard negatives.

A joint is *visible* (1) when it lies inside the image, the surface seen at its pixel belongs to
a body part that carries the joint (`CARRIERS`, e.g. thigh or shin for a knee), and that surface
is not further than `THICKNESS` of the stature before it; so a limb's own flesh and clothing do
not hide its joint, but the other leg, the trunk, a bag, an occluder or the image border do.
Positions are exact in every case and may lie outside 0..1 when the crop cuts the body.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from reid_repro.rendering.backdrop import draw_backdrop
from reid_repro.rendering.cameras import Camera, Shot, develop, draw_shot, make_cameras
from reid_repro.rendering.pedestrian_body import draw_figure
from reid_repro.rendering.pedestrian_figure import Figure, Part, outline
from reid_repro.rendering.pedestrian_identity import MAX_IDENTITIES, Identity, make_identity
from reid_repro.rendering.pedestrian_occluders import OCCLUDERS, draw_occluder
from reid_repro.rendering.pedestrian_raster import Raster
from reid_repro.rendering.pedestrian_skeleton import BONES, JOINTS, Point, build_skeleton, draw_pose
from reid_repro.rendering.pedestrian_textures import Wardrobe, make_wardrobe
from reid_repro.rendering.pedestrian_view import View
from reid_repro.rendering.scene import Rendered, image_generator

__all__ = ["BONES", "CARRIERS", "JOINTS", "THICKNESS", "PedestrianRenderer"]

_R, _L = (
    (Part.RIGHT_THIGH, Part.RIGHT_SHIN, Part.RIGHT_FOOT),
    (Part.LEFT_THIGH, Part.LEFT_SHIN, Part.LEFT_FOOT),
)
_RA, _LA = (Part.RIGHT_UPPER_ARM, Part.RIGHT_FOREARM), (Part.LEFT_UPPER_ARM, Part.LEFT_FOREARM)
# The parts that carry each joint, in the order of JOINTS. Skirts and coats carry hip and knee.
CARRIERS: Final[tuple[frozenset[int], ...]] = tuple(
    frozenset(int(p) for p in parts)
    for parts in (
        (_R[1], _R[2]), (_R[0], _R[1], Part.HIPS, Part.TORSO), (_R[0], Part.HIPS, Part.TORSO),
        (_L[0], Part.HIPS, Part.TORSO), (_L[0], _L[1], Part.HIPS, Part.TORSO), (_L[1], _L[2]),
        (_RA[1],), _RA, (_RA[0], Part.TORSO),
        (_LA[0], Part.TORSO), _LA, (_LA[1],),
        (Part.HEAD, Part.NECK), (Part.HEAD,),
    )
)  # fmt: skip
THICKNESS: Final = 0.13

_SUPERSAMPLING: Final = 2
# Passers-by are people beyond the numbered identities; a few dozen are enough.
_STRANGERS: Final = MAX_IDENTITIES
_STRANGER_COUNT: Final = 32


class PedestrianRenderer:
    """Draws any photograph of any identity by any of its cameras.

    `cameras` is how many cameras the scene has; `group_size` how many identities share the
    colours of their clothes. Instances hold only caches and may be used in any order.
    """

    def __init__(self, *, seed: int = 0, cameras: int = 6, group_size: int = 4) -> None:
        for name, value, least in (
            ("seed", seed, 0),
            ("cameras", cameras, 1),
            ("group_size", group_size, 1),
        ):
            if value < least:
                raise ValueError(f"{name} is {value}; it must be at least {least}")
        self.seed, self.group_size = seed, group_size
        self.cameras = make_cameras(seed, "pedestrian", cameras)
        self._person = lru_cache(maxsize=4096)(self._make_person)

    def __reduce__(self) -> tuple[Callable[[], PedestrianRenderer], tuple[()]]:
        """Pickle the arguments alone: workers fill their own caches."""
        count = len(self.cameras)
        make = partial(
            PedestrianRenderer, seed=self.seed, cameras=count, group_size=self.group_size
        )
        return make, ()

    def attributes(self, identity: int) -> dict[str, str]:
        """Words about an identity: group, colours, pattern, hair, bag, legwear and so on."""
        _check_identity(identity)
        return self._person(identity)[0].attributes()

    def render(
        self, identity: int, camera: int, index: int, size: tuple[int, int] = (128, 64)
    ) -> Rendered:
        """Photograph `index` of an identity by a camera; `size` = (height, width) in pixels."""
        self._check(identity, camera, index, size)
        lens = self.cameras[camera]
        rng = image_generator(self.seed, "pedestrian", identity, camera, index)
        shot = draw_shot(lens, rng)
        figure = self._pose(identity, rng)
        height, width = size[0] * _SUPERSAMPLING, size[1] * _SUPERSAMPLING
        view = _frame(figure, shot, rng, height, width)
        raster = Raster(height, width, _light(lens))
        draw_figure(raster, view, figure)
        if shot.occluded:
            self._occlude(raster, view, rng)
        joints = _annotate(raster, view, figure)
        canvas = Image.new("RGB", (width, height))
        draw_backdrop(canvas, lens, rng, _horizon(view, height))
        _drop_shadow(canvas, view, figure)
        picture = Image.fromarray(raster.composite(np.asarray(canvas)))
        return Rendered(
            image=develop(picture, lens, shot, rng, size),
            joints=joints,
            attributes=figure.person.attributes(),
        )

    def _check(self, identity: int, camera: int, index: int, size: tuple[int, int]) -> None:
        _check_identity(identity)
        if index < 0:
            raise ValueError(f"index is {index}; photographs are numbered from 0")
        if not 0 <= camera < len(self.cameras):
            raise ValueError(
                f"camera is {camera}; this scene has cameras 0..{len(self.cameras) - 1}"
            )
        if min(size) < 16:
            raise ValueError(f"size is {size}; height and width must be at least 16 pixels")

    def _make_person(self, identity: int) -> tuple[Identity, Wardrobe]:
        person = make_identity(self.seed, identity, self.group_size)
        return person, make_wardrobe(person)

    def _pose(self, identity: int, rng: np.random.Generator) -> Figure:
        person, wardrobe = self._person(identity)
        carries = person.bag == "handbag" and person.bag_side == "right"
        strap = "left" if person.bag == "backpack" else None
        pose = draw_pose(rng, phone_hand=not carries, strap_side=strap)
        skeleton = build_skeleton(
            pose,
            stature=person.stature,
            girth=person.girth,
            shoulders=person.shoulders,
            hips=person.hips,
        )
        return Figure(person, wardrobe, skeleton)

    def _occlude(self, raster: Raster, view: View, rng: np.random.Generator) -> None:
        kind = OCCLUDERS[int(rng.integers(len(OCCLUDERS)))]
        if kind != "passer-by":
            draw_occluder(raster, kind, rng, front=4.0 * raster.height)
            return
        stranger = self._pose(_STRANGERS + int(rng.integers(_STRANGER_COUNT)), rng)
        side = float(rng.choice([-1.0, 1.0]))
        zoom = float(rng.uniform(1.02, 1.2))
        before = View(
            azimuth=float(rng.uniform(0, 360)), elevation=view.elevation, distance=view.distance,
            centre=stranger.skeleton.pelvis, scale=view.scale * zoom,
            x0=raster.width * (0.5 + side * float(rng.uniform(0.42, 0.62))),
            y0=view.y0 + raster.height * float(rng.uniform(0.0, 0.06)),
        )  # fmt: skip
        front = Raster(raster.height, raster.width, raster.light)
        draw_figure(front, before, stranger)
        raster.cover(front, Part.OCCLUDER)


def _check_identity(identity: int) -> None:
    if not 0 <= identity < MAX_IDENTITIES:
        raise ValueError(
            f"identity is {identity}; identities are numbered from 0 to {MAX_IDENTITIES - 1}"
        )


def _light(camera: Camera) -> Point:
    """Where light comes from on the screen, as the weights of a surface's normal."""
    angle = math.radians(camera.light_azimuth)
    return (0.30 * math.sin(angle), -0.16, 0.24 + 0.10 * math.cos(angle))


def _frame(figure: Figure, shot: Shot, rng: np.random.Generator, height: int, width: int) -> View:
    """A view that frames a person as a detector would: most of the height, a little off."""
    stature = figure.skeleton.stature
    view = View(
        azimuth=shot.azimuth, elevation=shot.elevation, distance=float(rng.uniform(5.5, 9.0)),
        centre=(0.0, 0.0, 0.53 * stature),
    )  # fmt: skip
    left = top = math.inf
    right = bottom = -math.inf
    for point, radius in outline(figure):
        x, y, _, k = view.project(point)
        left, right = min(left, x - radius * k), max(right, x + radius * k)
        top, bottom = min(top, y - radius * k), max(bottom, y + radius * k)
    fill = float(rng.uniform(0.86, 0.96))
    view.scale = min(fill * height / (bottom - top), 1.06 * width / (right - left))
    shift = rng.normal(0, (0.035, 0.014))
    view.x0 = width * (0.5 + float(shift[0])) - view.scale * 0.5 * (left + right)
    view.y0 = height * (0.5 + float(shift[1])) - view.scale * 0.5 * (top + bottom)
    return view


def _horizon(view: View, height: int) -> float:
    """Where the wall three metres behind a person meets the ground, as a share of the height."""
    foot = (-3.0 * view.toward[0], -3.0 * view.toward[1], 0.0)
    return view.project(foot)[1] / height


def _drop_shadow(canvas: Image.Image, view: View, figure: Figure) -> None:
    """A soft patch of shade under each foot."""
    draw = ImageDraw.Draw(canvas, "RGBA")
    tilt = max(0.18, math.sin(math.radians(view.elevation)))
    for limbs in (figure.skeleton.left, figure.skeleton.right):
        ankle = limbs["ankle"]
        x, y, _, k = view.project((ankle[0] + 0.05, ankle[1], 0.0))
        for radius, alpha in ((0.26, 34), (0.16, 60)):
            draw.ellipse(
                (x - radius * k, y - radius * k * tilt, x + radius * k, y + radius * k * tilt),
                fill=(20, 20, 22, alpha),
            )


def _annotate(raster: Raster, view: View, figure: Figure) -> np.ndarray:
    """Positions and visibility of the 14 joints, (14, 3) float32."""
    tolerance = THICKNESS * figure.skeleton.stature * view.scale
    joints = np.zeros((len(JOINTS), 3), dtype=np.float32)
    for row, point in enumerate(figure.skeleton.joints()):
        x, y, depth, _ = view.project(point)
        joints[row, :2] = x / raster.width, y / raster.height
        column, line = math.floor(x), math.floor(y)
        if 0 <= column < raster.width and 0 <= line < raster.height:
            seen = int(raster.part[line, column]) in CARRIERS[row]
            joints[row, 2] = seen and float(raster.depth[line, column]) - depth <= tolerance
    return joints
