"""Many small images in one WebP file, and where each of them lies in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from reid_repro.errors import UserError
from reid_repro.files import whole

Pixels = npt.NDArray[np.uint8]
QUALITY = 80
WEBP_LIMIT = 16383  # pixels a side, by the format


@dataclass(frozen=True)
class Grid:
    """Tiles of one size, `gap` pixels apart, filled row by row. Sizes in pixels."""

    tile_width: int
    tile_height: int
    columns: int
    gap: int = 4

    def origin(self, number: int) -> tuple[int, int]:
        """Left and top of the n-th tile."""
        row, column = divmod(number, self.columns)
        return column * (self.tile_width + self.gap), row * (self.tile_height + self.gap)

    def size(self, count: int) -> tuple[int, int]:
        """Width and height of a sheet of `count` tiles."""
        rows = -(-count // self.columns)
        return (
            self.columns * (self.tile_width + self.gap) - self.gap,
            rows * (self.tile_height + self.gap) - self.gap,
        )


def fit(pixels: Pixels, width: int, height: int) -> Image.Image:
    """An image scaled into a tile, its shape kept; what it leaves free is mid grey."""
    image = Image.fromarray(pixels)
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, Image.Resampling.LANCZOS)
    if size == (width, height):
        return image
    tile = Image.new("RGB", (width, height), (128, 128, 128))
    tile.paste(image, ((width - size[0]) // 2, (height - size[1]) // 2))
    return tile


def sheet(tiles: Sequence[Image.Image], grid: Grid) -> Image.Image:
    """The tiles on one transparent ground, so that the gaps take the page's colour."""
    width, height = grid.size(len(tiles))
    if max(width, height) > WEBP_LIMIT:
        raise UserError(f"an image sheet of {width} x {height} pixels is beyond WebP's limit")
    ground = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    for number, tile in enumerate(tiles):
        ground.paste(tile, grid.origin(number))
    return ground


def write_webp(image: Image.Image, out: Path) -> None:
    """Write one WebP file, whole or not at all; equal pixels give equal bytes."""
    with whole(out) as beside:
        image.save(beside, "WEBP", quality=QUALITY, method=6)
