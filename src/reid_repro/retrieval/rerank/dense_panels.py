"""Dense rows in panels of columns, in memory or in a temporary file: where sparse rows fill up.

After many layers of propagation every node has heard of every other in its component, and n rows
have up to n entries. A panel holds a few columns of all rows, (n, width) float32, and a layer needs
one panel at a time, because a layer acts on each column alone; only the norm of a row runs over all
panels, and that is a scale which the next layer applies. So memory is O(width x n), beside the
temporary file of 4 n^2 bytes that is used where the matrix itself does not fit.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import weakref
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.compiled import inner, kernel
from reid_repro.retrieval.rerank.sparse import Rows, Vector

Panel = npt.NDArray[np.float32]

PANEL_ELEMENTS = 6 << 20  # of a panel: 24 MiB, about what a shared cache holds
STRIP = 32  # columns whose products are summed in float32
TILE = 1024  # gallery rows that a thread compares at a time


class Panels:
    """An n x n float32 matrix, initially zero, as panels of columns.

    Args:
        n: rows and columns.
        memory: bytes that the matrix may take in memory; a larger one goes to a temporary file.

    Raises:
        ValueError: it goes to a file for which there is not enough room.
    """

    def __init__(self, n: int, memory: int) -> None:
        self.n = n
        self.step = min(n, max(16, PANEL_ELEMENTS // n))  # columns of a panel
        self.count = -(-n // self.step)
        size = 4 * n * n
        self._held: list[Panel] | None = None
        if size <= memory:
            self._held = [np.zeros((n, self.width(p)), np.float32) for p in range(self.count)]
            return
        room = shutil.disk_usage(tempfile.gettempdir()).free
        if size > room:
            raise ValueError(
                f"{n} x {n} dense node features need {size / 2**30:.1f} GiB of temporary files, "
                f"{room / 2**30:.1f} GiB are free: use fewer layers, or point TMPDIR to more room"
            )
        with contextlib.ExitStack() as opened:
            self._file = opened.enter_context(tempfile.TemporaryFile(buffering=0))
            self._file.truncate(size)
            weakref.finalize(self, opened.pop_all().close)  # it lives as long as this does

    def width(self, panel: int) -> int:
        """Columns of a panel; the last may have fewer."""
        return min(self.step, self.n - panel * self.step)

    def read(self, panel: int, start: int, stop: int, out: Panel | None = None) -> Panel:
        """Rows start:stop of a panel, not to be written to; `out` is where a file's rows go.

        Raises:
            OSError: the file has become shorter.
        """
        if self._held is not None:
            return self._held[panel][start:stop]
        if out is None or out.shape != (stop - start, self.width(panel)):
            out = np.empty((stop - start, self.width(panel)), dtype=np.float32)
        self._file.seek(self._place(panel, start))
        view = out.data.cast("B")
        while len(view):
            count = self._file.readinto(view)
            if not count:
                raise OSError(
                    f"temporary file of node features: panel {panel} ends {len(view)} bytes early, "
                    "something cut the file: point TMPDIR to a file system of your own"
                )
            view = view[count:]
        return out

    def write(self, panel: int, start: int, rows: Panel) -> None:
        """Replace the rows of a panel from `start` on."""
        if self._held is not None:
            self._held[panel][start : start + len(rows)] = rows
            return
        self._file.seek(self._place(panel, start))
        view = np.ascontiguousarray(rows).data.cast("B")
        while len(view):
            view = view[self._file.write(view) :]

    def _place(self, panel: int, row: int) -> int:
        return 4 * (self.n * panel * self.step + row * self.width(panel))

    def fill(self, rows: Rows) -> None:
        """Set the matrix from sparse rows, panel by panel."""
        place = rows.indptr[:-1].copy()  # of the first entry of each row not yet in a panel
        for p in range(self.count):
            panel = np.zeros((self.n, self.width(p)), dtype=np.float32)
            _expand(*rows, p * self.step, place, panel)
            self.write(p, 0, panel)

    def combine(
        self, neighbours: npt.NDArray[np.int64], weights: Panel, own: Panel | None, maximum: bool
    ) -> Vector:
        """`sparse.combine_rows` in place; returns the squared norms of the new rows, (n,)."""
        squared = np.zeros(self.n)
        old = new = np.empty((self.n, self.width(0)), dtype=np.float32)
        if self._held is None:
            old = np.empty_like(new)
        for p in range(self.count):
            old = self.read(p, 0, self.n, old)
            if new.shape != old.shape:
                new = np.empty_like(old)
            squared += combine_dense(old, neighbours, weights, own, maximum, new)
            if self._held is None:
                self.write(p, 0, new)
            else:
                self._held[p], new = new, old
        return squared

    def symmetrise(self, scale: Vector) -> None:
        """Replace H by D H + (D H)^T, D the diagonal of `scale`."""
        factor = scale.astype(np.float32)[:, None]
        for p, first in self._starts():
            for q, second in self._starts():
                if q < p:
                    continue
                upper = (
                    self.read(q, first, first + self.width(p))
                    * factor[first : first + self.width(p)]
                )
                lower = self.read(p, second, second + self.width(q))
                total = upper + (lower * factor[second : second + self.width(q)]).T
                self.write(q, first, total)
                if q > p:
                    self.write(p, second, np.ascontiguousarray(total.T))

    def _starts(self) -> Iterator[tuple[int, int]]:
        return ((p, p * self.step) for p in range(self.count))

    def cosine_rows(self, scale: Vector, start: int, stop: int, first: int, out: Panel) -> None:
        """Write cosine distances of rows start:stop to rows first:n into out, float32.

        Sums run in float32 over a strip of columns and in float64 over strips: the same for every
        block of rows.
        """
        total = np.zeros(out.shape)
        for p in range(self.count):
            gallery = np.ascontiguousarray(self.read(p, first, self.n).T)
            tiles = -(-gallery.shape[1] // TILE)
            _add_products(tiles, self.read(p, start, stop), gallery, total)
        total *= scale[start:stop, None]
        total *= scale[first:]
        np.maximum(1 - total, 0, out=out, casting="same_kind")


def combine_dense(
    rows: Panel,
    neighbours: npt.NDArray[np.int64],
    weights: Panel,
    own: Panel | None,
    maximum: bool,
    out: Panel,
) -> Vector:
    """`sparse.combine_rows` of dense rows (n, c) of any sign into `out`; squared norms, (n,)."""
    missing = -neighbours.shape[1] % 4
    if missing:  # the last neighbour again changes no maximum, and no sum without a weight
        neighbours = np.concatenate([neighbours, neighbours[:, -1:].repeat(missing, 1)], axis=1)
        rest = weights[:, -1:].repeat(missing, 1)
        weights = np.concatenate([weights, rest if maximum else 0 * rest], axis=1)
    neighbours = np.ascontiguousarray(neighbours)  # views of lists would be a type of their own
    squared = np.empty(len(rows))
    mine = np.empty(0, dtype=np.float32) if own is None else own
    _combine(rows, neighbours, weights, mine, own is not None, maximum, out, squared)
    return squared


@kernel(over="panel")
def _expand(
    begin: int,
    end: int,
    indptr: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int32],
    data: Panel,
    first: int,
    place: npt.NDArray[np.int64],
    panel: Panel,
) -> None:
    width = panel.shape[1]
    for row in range(begin, end):
        entry = place[row]
        while entry < indptr[row + 1] and indices[entry] < first + width:
            panel[row, indices[entry] - first] = data[entry]
            entry += 1
        place[row] = entry


@inner
def _squared_norm(row: Panel) -> float:
    """In four interleaved sums, whose order is fixed."""
    w, x, y, z = 0.0, 0.0, 0.0, 0.0
    whole = len(row) - len(row) % 4
    for c in range(0, whole, 4):
        w += np.float64(row[c]) * row[c]
        x += np.float64(row[c + 1]) * row[c + 1]
        y += np.float64(row[c + 2]) * row[c + 2]
        z += np.float64(row[c + 3]) * row[c + 3]
    for c in range(whole, len(row)):
        w += np.float64(row[c]) * row[c]
    return (w + x) + (y + z)


@kernel(over="rows")
def _combine(
    begin: int,
    end: int,
    rows: Panel,
    neighbours: npt.NDArray[np.int64],
    weights: Panel,
    own: Panel,
    with_own: bool,
    maximum: bool,
    out: Panel,
    squared: Vector,
) -> None:
    """Four neighbours at a time, as many as they are, which halves the traffic to memory."""
    width = rows.shape[1]
    for row in range(begin, end):
        mix = out[row]
        for p in range(0, neighbours.shape[1], 4):
            near, weight = neighbours[row, p : p + 4], weights[row, p : p + 4]
            h, i, j, k = rows[near[0]], rows[near[1]], rows[near[2]], rows[near[3]]
            w, x, y, z = weight[0], weight[1], weight[2], weight[3]
            if maximum:
                for c in range(width):
                    largest = max(max(w * h[c], x * i[c]), max(y * j[c], z * k[c]))
                    mix[c] = largest if p == 0 else max(mix[c], largest)
            elif p == 0:
                for c in range(width):
                    mix[c] = w * h[c] + x * i[c] + y * j[c] + z * k[c]
            else:
                for c in range(width):
                    mix[c] += w * h[c] + x * i[c] + y * j[c] + z * k[c]
        if with_own:
            h, w = rows[row], own[row]
            for c in range(width):
                mix[c] += w * h[c]
        squared[row] = _squared_norm(mix)


@kernel(over="tiles")
def _add_products(
    begin: int, end: int, tiles: int, queries: Panel, gallery: Panel, total: Vector
) -> None:
    """total += queries (m, c) @ gallery (c, g), columns of the panel in order for every element."""
    m, width = queries.shape
    g = gallery.shape[1]
    for tile in range(begin, end):
        a, b = tile * TILE, min(tile * TILE + TILE, g)
        size = b - a
        sums = np.empty(TILE, dtype=np.float32)
        for row in range(m):
            for first in range(0, width, STRIP):
                for e in range(size):
                    sums[e] = 0
                last = min(first + STRIP, width)
                for c in range(first, last - 3, 4):
                    w, x = queries[row, c], queries[row, c + 1]
                    y, z = queries[row, c + 2], queries[row, c + 3]
                    h, i = gallery[c, a:b], gallery[c + 1, a:b]
                    j, k = gallery[c + 2, a:b], gallery[c + 3, a:b]
                    for e in range(size):
                        sums[e] += w * h[e] + x * i[e] + y * j[e] + z * k[e]
                for c in range(last - (last - first) % 4, last):
                    w, h = queries[row, c], gallery[c, a:b]
                    for e in range(size):
                        sums[e] += w * h[e]
                for e in range(size):
                    total[row, a + e] += sums[e]
