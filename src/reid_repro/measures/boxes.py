"""Areas of boxes that overlap, and how much of an attention map lies in them.

Boxes are x0, y0, x1, y1 in shares of the image; a map's cells divide the image evenly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
FINE = 16  # samples along each side of a cell


def union_area(boxes: npt.ArrayLike) -> Floats:
    """The share of the image that boxes (n, d, 4) cover together, (n,); exact.

    The borders of all boxes divide an image into at most (2 d + 1)^2 fields, each covered whole or
    not at all.
    """
    given = np.asarray(boxes, np.float64).clip(0, 1)
    x, y = (np.sort(given[..., [low, low + 2]].reshape(len(given), -1), axis=1) for low in (0, 1))
    wide, high = np.diff(x, axis=1), np.diff(y, axis=1)
    middle_x, middle_y = (line[:, :-1] + np.diff(line, axis=1) / 2 for line in (x, y))
    columns = _within(middle_x, given[..., 0], given[..., 2])  # (n, d, fields)
    lines = _within(middle_y, given[..., 1], given[..., 3])
    covered = np.einsum("ndy,ndx->nyx", lines.astype(np.float32), columns.astype(np.float32)) > 0
    found: Floats = np.einsum("nyx,ny,nx->n", covered, high, wide)
    return found


def _within(places: Floats, low: Floats, high: Floats) -> npt.NDArray[np.bool_]:
    """Which places (n, p) lie in intervals (n, d): (n, d, p)."""
    inside: npt.NDArray[np.bool_] = (low[..., None] < places[:, None]) & (
        places[:, None] < high[..., None]
    )
    return inside


def cell_cover(boxes: npt.ArrayLike, height: int, width: int) -> Floats:
    """How much of each cell the boxes (d, 4) of one image cover together, (height, width).

    Sampled at `FINE` x `FINE` places a cell. No boxes cover nothing.
    """
    given = np.asarray(boxes, np.float64).reshape(-1, 4)
    lines, columns = (
        _within(
            ((np.arange(cells * FINE) + 0.5) / (cells * FINE))[None],
            given[None, :, low],
            given[None, :, low + 2],
        )[0]
        for cells, low in ((height, 1), (width, 0))
    )
    covered = (lines.T.astype(np.float32) @ columns.astype(np.float32)) > 0
    found: Floats = covered.reshape(height, FINE, width, FINE).mean(axis=(1, 3))
    return found


def share_inside(maps: npt.ArrayLike, cover: npt.ArrayLike) -> Floats:
    """The share of the mass of maps (n, h, w) that lies in what `cover` (n or 1, h, w) covers.

    NaN for a map without mass. Raises ValueError for a map with negative cells.
    """
    given, inside = np.asarray(maps, np.float64), np.asarray(cover, np.float64)
    if (given < 0).any():
        raise ValueError("an attention map has a negative cell: it has no mass to share out")
    whole = given.sum(axis=(1, 2))
    mass = (given * inside).sum(axis=(1, 2))
    shares: Floats = np.divide(mass, whole, out=np.full(len(given), np.nan), where=whole > 0)
    return shares
