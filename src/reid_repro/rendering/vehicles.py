"""Rendered vehicles: the embedded stand-in for VeRi-776, VehicleID and the PGAN part data.

A low-poly body under perspective is photographed by cameras with fixed distributions of
viewpoint, light and optics. All 16 part classes of PGAN's Table 4 are drawn, and their visible
boxes are exact. Identities come in groups that share body model and paint and differ only in
such parts, so that there is something for part attention to gain.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final

import numpy as np
from PIL import ImageDraw

from reid_repro.rendering.cameras import develop, draw_shot, make_cameras
from reid_repro.rendering.scene import Rendered, identity_generator, image_generator
from reid_repro.rendering.vehicle_bodies import BODY_TYPES, BodyShape, draw_body
from reid_repro.rendering.vehicle_cargo import add_cargo
from reid_repro.rendering.vehicle_details import Details, draw_details
from reid_repro.rendering.vehicle_ends import add_ends
from reid_repro.rendering.vehicle_frame import compose, paint_street
from reid_repro.rendering.vehicle_mesh import Mesh, MeshBuilder, Wear
from reid_repro.rendering.vehicle_raster import (
    arrange,
    composite,
    paint_numbers,
    part_boxes,
    shade,
)
from reid_repro.rendering.vehicle_shell import CabinRings, add_shell
from reid_repro.rendering.vehicle_sides import add_sides
from reid_repro.rendering.vehicle_street import draw_occluder
from reid_repro.rendering.vehicle_windscreen import add_windscreen

# The part classes of PGAN's Table 4, in its order.
PART_CLASSES: Final[tuple[str, ...]] = (
    "annual service signs",
    "back mirror",
    "car light",
    "carrier",
    "car topwindow",
    "entry license",
    "hanging",
    "lay ornament",
    "light cover",
    "logo",
    "newer sign",
    "tissuebox",
    "plate",
    "safe belt",
    "wheel",
    "wind-shield glass",
)

MIN_SIZE: Final = 32  # pixels; below that no part is left to see
_SUPERSAMPLING: Final = 2
# Keys of groups (body, deck of details) and of blocks of groups lie above those of identities
# in the same stream.
_GROUP_KEY: Final = 1 << 40
_DECK_KEY: Final = 1 << 41
_BLOCK_KEY: Final = 1 << 42


class VehicleRenderer:
    """Photographs of vehicles, each a pure function of (seed, identity, camera, index).

    Identity i belongs to group i // `group_size`; a group shares body type, proportions and
    paint. Any five groups 5k..5k + 4 hold all five body types.
    """

    def __init__(self, *, seed: int = 0, cameras: int = 6, group_size: int = 4) -> None:
        """Raises ValueError for a negative seed, no camera or an empty group."""
        for name, value, least in (
            ("seed", seed, 0),
            ("cameras", cameras, 1),
            ("group_size", group_size, 1),
        ):
            if value < least:
                raise ValueError(f"VehicleRenderer: {name} is {value}, must be at least {least}")
        self.seed = seed
        self.group_size = group_size
        self.cameras = make_cameras(seed, "vehicle", cameras)
        # Caches on the instance: geometry is a pure function of (seed, identity), so a cache
        # changes no result.
        self._shape = lru_cache(maxsize=128)(self._draw_shape)
        self._shell = lru_cache(maxsize=32)(self._build_shell)
        self._mesh = lru_cache(maxsize=512)(self._build_mesh)
        self._words = lru_cache(maxsize=4096)(self._name_attributes)

    def __reduce__(self) -> tuple[Callable[[], VehicleRenderer], tuple[()]]:
        """Pickle the arguments alone: workers fill their own caches."""
        count = len(self.cameras)
        make = partial(VehicleRenderer, seed=self.seed, cameras=count, group_size=self.group_size)
        return make, ()

    def attributes(self, identity: int) -> dict[str, str]:
        """Body type, colour and group of an identity, and the details that it has."""
        self._check_identity(identity)
        return dict(self._words(identity))

    def render(
        self, identity: int, camera: int, index: int, size: tuple[int, int] = (128, 128)
    ) -> Rendered:
        """Photograph `index` of an identity by a camera; `size` is (height, width) in pixels.

        Raises ValueError for a negative identity or index, an unknown camera and a size below
        32 pixels.
        """
        self._check_identity(identity)
        if not 0 <= camera < len(self.cameras):
            raise ValueError(
                f"camera {camera} does not exist: this renderer has cameras 0 to "
                f"{len(self.cameras) - 1}"
            )
        if index < 0:
            raise ValueError(f"image index {index} is negative: count from 0")
        if min(size) < MIN_SIZE:
            raise ValueError(
                f"size {tuple(size)} is too small: height and width must be at least {MIN_SIZE}"
            )
        rng = image_generator(self.seed, "vehicle", identity, camera, index)
        shape = self._shape(identity // self.group_size)
        mesh = self._mesh(identity)
        eye = self.cameras[camera]
        shot = draw_shot(eye, rng)
        canvas_size = size[1] * _SUPERSAMPLING, size[0] * _SUPERSAMPLING
        view, frame, projected = compose(shape, mesh, shot, canvas_size, rng)
        colours, hidden = _dress(mesh, rng)
        drawing = arrange(mesh, view, projected, frame.apply(projected), hidden)
        numbers = paint_numbers(drawing, canvas_size)
        palette = shade(mesh, colours, eye, view, shot.azimuth)
        if shot.occluded:
            draw = ImageDraw.Draw(numbers)
            extra = draw_occluder(draw, canvas_size, len(palette) + 1, rng)
            palette = np.concatenate([palette, np.array(extra).clip(0, 255).astype(np.uint8)])
        seen = np.asarray(numbers)
        small = frame.shrunk(_SUPERSAMPLING)
        street = paint_street(eye, shot, shape, view, small, (size[1], size[0]), rng)
        scene = composite(seen, palette, street)
        return Rendered(
            image=develop(scene, eye, shot, rng, size),
            parts=part_boxes(drawing, seen),
            attributes=self.attributes(identity),
        )

    def _check_identity(self, identity: int) -> None:
        if not 0 <= identity < _GROUP_KEY:
            raise ValueError(f"identity {identity} is out of range: choose one from 0 up")

    def _name_attributes(self, identity: int) -> dict[str, str]:
        group = identity // self.group_size
        shape = self._shape(group)
        words = {"body": shape.kind, "colour": shape.paint_name, "group": str(group)}
        return words | self._draw_details(identity).words()

    def _draw_shape(self, group: int) -> BodyShape:
        types = len(BODY_TYPES)
        block = identity_generator(self.seed, "vehicle", _BLOCK_KEY + group // types)
        kind = BODY_TYPES[int(block.permutation(types)[group % types])]
        return draw_body(kind, identity_generator(self.seed, "vehicle", _GROUP_KEY + group))

    def _draw_details(self, identity: int) -> Details:
        group, rank = divmod(identity, self.group_size)
        deck = identity_generator(self.seed, "vehicle", _DECK_KEY + group)
        return draw_details(deck, identity_generator(self.seed, "vehicle", identity), rank)

    def _build_shell(self, group: int) -> tuple[MeshBuilder, CabinRings]:
        """What all identities of a group have in common."""
        shape, builder = self._shape(group), MeshBuilder()
        rings = add_shell(builder, shape)
        if shape.cargo is not None:
            add_cargo(builder, shape.cargo)
        return builder, rings

    def _build_mesh(self, identity: int) -> Mesh:
        group = identity // self.group_size
        shape, details = self._shape(group), self._draw_details(identity)
        shell, rings = self._shell(group)
        builder = shell.copy()
        add_windscreen(builder, rings, details)
        add_ends(builder, shape, rings, details)
        add_sides(builder, shape, details)
        return builder.build()


def _dress(mesh: Mesh, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(P, 3) colours and (P,) hidden polygons of one photograph: clothes, and who sits inside."""
    colours = mesh.colours.copy()
    clothes = rng.uniform(30, 125, size=(2, 1)) + rng.uniform(-14, 14, size=(2, 3))
    passenger = rng.random() < 0.4
    colours[mesh.wear == Wear.DRIVER_CLOTHES] = clothes[0]
    colours[mesh.wear == Wear.PASSENGER_CLOTHES] = clothes[1]
    sits_beside = (mesh.wear == Wear.PASSENGER_CLOTHES) | (mesh.wear == Wear.PASSENGER_SKIN)
    return colours, sits_beside & (not passenger)
