"""Street-like grey backgrounds of the embedded data.

A backdrop is a road and what stands behind it. Its greys come from the camera and its layout
from the photograph's own randomness, never from the identity: what stands behind an object
must not help to re-identify it.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from reid_repro.rendering.cameras import Camera

_GRID = 24  # cells of the soft mottle of road and wall, along either axis

Colour = tuple[int, int, int]


def draw_backdrop(
    canvas: Image.Image, camera: Camera, rng: np.random.Generator, horizon: float
) -> None:
    """Paint a street over the whole of `canvas`, in place.

    `canvas` is RGB. `horizon` is the line where the ground meets what stands behind it, as a
    share of the canvas height from the top; a value outside 0..1 leaves only the ground (below
    0) or only the wall (above 1). The number of draws from `rng` depends on chance: hand over a
    generator of which nothing else depends, or draw the backdrop last.
    """
    if canvas.mode != "RGB":
        raise ValueError(
            f"draw_backdrop paints RGB canvases, not {canvas.mode!r}: convert it first"
        )
    ground = np.array(camera.ground) + rng.normal(0, 5)
    wall = np.array(camera.wall) + rng.normal(0, 8)
    _paint_surfaces(canvas, ground, wall, rng, horizon)
    draw = ImageDraw.Draw(canvas)
    line = round(horizon * canvas.height)
    if line > 2:
        _draw_wall(draw, canvas.size, wall, rng, line)
        _draw_kerb(draw, canvas.size, ground, rng, line)
    _draw_road(draw, canvas.size, ground, rng, max(line, 0))


def _paint_surfaces(
    canvas: Image.Image,
    ground: np.ndarray,
    wall: np.ndarray,
    rng: np.random.Generator,
    horizon: float,
) -> None:
    """Fill ground and wall with soft gradients and a mottle, both drawn coarse and scaled up."""
    width, height = canvas.size
    line = min(max(round(horizon * height), 0), height)
    mottle = rng.normal(0, 1, size=(_GRID, _GRID, 1))
    depth = np.linspace(-1, 1, _GRID)[:, None, None]
    for base, top, bottom, slope, grain in (
        (wall, 0, line, -7.0, 4.0),
        (ground, line, height, 6.0, 3.0),
    ):
        if bottom > top:
            cells = (base + slope * depth + grain * mottle).clip(0, 255).astype(np.uint8)
            patch = Image.fromarray(cells).resize((width, bottom - top), Image.Resampling.BILINEAR)
            canvas.paste(patch, (0, top))


def _draw_wall(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    wall: np.ndarray,
    rng: np.random.Generator,
    line: int,
) -> None:
    """Fronts of buildings: panels of slightly different greys, some with windows or shutters."""
    width, height = size
    x = -float(rng.uniform(0, 0.3)) * width
    while x < width:
        span = float(rng.uniform(0.25, 0.7)) * width
        panel = wall + rng.normal(0, 12)
        style = int(rng.integers(0, 4))
        if style == 0:  # plain: the mottled surface shows
            pass
        else:
            draw.rectangle((x, 0, x + span, line), fill=_grey(panel))
        if style == 2:  # windows
            _draw_windows(draw, (x, span), height, panel, rng, line)
        elif style == 3:  # a roller shutter
            step = max(3.0, 0.02 * height)
            for y in np.arange(0, line, step):
                draw.line((x, y, x + span, y), fill=_grey(panel - 9))
        draw.line((x, 0, x, line), fill=_grey(panel - 22), width=max(1, width // 128))
        x += span


def _draw_windows(
    draw: ImageDraw.ImageDraw,
    extent: tuple[float, float],
    height: int,
    panel: np.ndarray,
    rng: np.random.Generator,
    line: int,
) -> None:
    x, span = extent
    columns = int(rng.integers(1, 4))
    tall = float(rng.uniform(0.10, 0.22)) * height
    pitch = span / columns
    glass = _grey(panel - float(rng.uniform(20, 45)))
    y = line - tall * float(rng.uniform(1.1, 1.6))
    while y > -tall:
        for column in range(columns):
            left = x + (column + 0.2) * pitch
            draw.rectangle((left, y, left + 0.6 * pitch, y + tall), fill=glass)
        y -= 1.5 * tall


def _draw_kerb(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    ground: np.ndarray,
    rng: np.random.Generator,
    line: int,
) -> None:
    """A pavement strip between wall and road, with a bright edge and a dark gutter."""
    width, height = size
    depth = float(rng.uniform(0.02, 0.07)) * height
    edge = max(1.0, 0.008 * height)
    pavement = ground + float(rng.uniform(4, 22))
    draw.rectangle((0, line, width, line + depth), fill=_grey(pavement))
    draw.rectangle((0, line + depth, width, line + depth + edge), fill=_grey(pavement + 14))
    draw.rectangle(
        (0, line + depth + edge, width, line + depth + 2 * edge),
        fill=_grey(ground - 18),
    )


def _draw_road(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    ground: np.ndarray,
    rng: np.random.Generator,
    line: int,
) -> None:
    """Patches, cracks and, at times, a lane marking in perspective."""
    width, height = size
    room = max(height - line, 1)
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(0, width), line + rng.uniform(0.15, 1) * room
        rx, ry = rng.uniform(0.05, 0.2) * width, rng.uniform(0.01, 0.05) * height
        draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=_grey(ground + rng.normal(0, 7)))
    if rng.random() < 0.5:
        paint = _grey(ground + float(rng.uniform(30, 65)))
        foot, head = rng.uniform(-0.3, 1.3) * width, rng.uniform(0.1, 0.9) * width
        near, far = 0.03 * width, 0.012 * width
        top = line + 0.12 * room
        draw.polygon(
            [
                (head - far, top),
                (head + far, top),
                (foot + near, height),
                (foot - near, height),
            ],
            fill=paint,
        )


def _grey(values: np.ndarray) -> Colour:
    red, green, blue = values.clip(0, 255).astype(int).tolist()
    return red, green, blue
