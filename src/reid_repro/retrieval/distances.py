"""Distances between feature rows: fast rows with a certified error bound, and exact pairs.

One definition holds everywhere in `reid_repro.retrieval`, on every device and at every block size:

* features are held in float32 (other float types are rounded to it on the way in);
* `euclidean` is |x - y|; `cosine` is 1 - cos(x, y), computed as half the squared Euclidean
  distance of the L2-normalised features; a zero vector is at cosine distance 1 from everything;
* a distance is evaluated in float64 from the differences of the features, then rounded to float32;
  equal distances are ordered by the gallery's own order.

A matrix product in float32 cannot give that: its last bits change with the shape of the block, the
library and the device, and |x|^2 + |y|^2 - 2 x.y cancels for near copies. So the product only
*proposes* (`FeatureSpace.approximate`), within a bound on its rounding error that holds for any
order of summation (`FeatureSpace.slack`), and whatever that bound leaves undecided is settled by
`FeatureSpace.exact`. Searches and evaluations built on the three are exact and repeatable.
"""

from __future__ import annotations

from copy import copy
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.retrieval.exact import squared_pairs
from reid_repro.retrieval.products import as_many_threads, multiply, product_for
from reid_repro.retrieval.rows import mean_row, normalised, shifted, squared_norms

Metric = Literal["euclidean", "cosine"]
Features = npt.NDArray[np.floating[Any]] | Tensor

UNIT_ROUNDOFF = 2.0**-24
SMALLEST_NORMAL = 2.0**-126
LARGEST_NORM = 1e18  # beyond it the squares of float32 features overflow
PAIR_ELEMENTS = 1 << 24  # elements of a chunk of exact pairs on a GPU
BLOCK_ELEMENTS = 1 << 23  # elements of a default block x gallery matrix (32 MiB in float32)


def check_choice(name: str, value: str, choices: object) -> None:
    """Raise ValueError unless `value` is one of the strings of the Literal type `choices`."""
    allowed = get_args(choices)
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}: use one of {', '.join(map(repr, allowed))}")


def default_block(n_gallery: int, elements: int = BLOCK_ELEMENTS) -> int:
    """Rows of a block such that block x gallery stays near 32 MiB (16 to 1,024 rows)."""
    return int(min(1024, max(16, elements // max(n_gallery, 1))))


def as_features(features: Features, name: str, device: torch.device | str | None = None) -> Tensor:
    """Check a feature matrix and return it as a contiguous float32 tensor (n, d).

    Numpy arrays come to the CPU, tensors stay on their device unless `device` is given.

    Raises:
        ValueError: not a float matrix, empty, not finite, or too large for float32 squares.
    """
    if isinstance(features, np.ndarray):
        native = features.dtype.newbyteorder("=")
        features = np.ascontiguousarray(features, dtype=native)
        if not features.flags.writeable:
            features = features.copy()  # torch knows no read-only tensors
    tensor = torch.as_tensor(features)
    if tensor.ndim != 2 or not tensor.is_floating_point():
        raise ValueError(
            f"{name} must be a float matrix (n, d); got {tensor.dtype} "
            f"of shape {tuple(tensor.shape)}"
        )
    if tensor.shape[0] == 0 or tensor.shape[1] == 0:
        raise ValueError(f"{name} is empty: shape {tuple(tensor.shape)}")
    tensor = tensor.detach().to(device=device, dtype=torch.float32).contiguous()
    finite = torch.isfinite(tensor.amin(1)) & torch.isfinite(tensor.amax(1))
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0])
        raise ValueError(f"{name} row {row} holds NaN or infinite values in float32")
    return tensor


class FeatureSpace:
    """Queries (n, d) and gallery (g, d) prepared for one metric.

    "Squared" below is the squared Euclidean distance of the prepared rows. Under `cosine` the rows
    are normalised, and a zero row counts one more, so that the distance is always squared / 2.
    """

    def __init__(self, queries: Features, gallery: Features, metric: Metric) -> None:
        check_choice("metric", metric, Metric)
        same = queries is gallery
        query, entries = as_features(queries, "queries"), as_features(gallery, "gallery")
        if query.shape[1] != entries.shape[1]:
            raise ValueError(
                f"queries have {query.shape[1]} dimensions, gallery has {entries.shape[1]}"
            )
        if query.device != entries.device:
            raise ValueError(f"queries are on {query.device}, gallery on {entries.device}")
        if metric == "cosine":
            entries = normalised(entries)
            query = entries if same else normalised(query)
        self.metric: Metric = metric
        self.queries = entries if same else query
        self.gallery = entries
        self._prepare()

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return self.queries.shape[0]

    @property
    def n_gallery(self) -> int:
        """Number of gallery entries."""
        return self.gallery.shape[0]

    def _prepare(self) -> None:
        """Choose the origin of the products: the gallery's centre when features sit far off zero.

        Distances do not move with the origin but the rounding error of the product grows with the
        norms: features in a narrow cone (an untrained network) would leave too much undecided.
        """
        same = self.queries is self.gallery
        centre = mean_row(self.gallery)
        right = squared_norms(self.gallery, None)
        self.centre: Tensor | None = None
        if float(centre.square().sum()) > 0.25 * float(right.mean()):
            self.centre = centre
            right = squared_norms(self.gallery, centre)
        left = right if same else squared_norms(self.queries, self.centre)
        largest = float(max(left.max(), right.max())) ** 0.5
        if not largest < LARGEST_NORM:
            raise ValueError(f"features have norms up to {largest:.3g}: scale them down")
        self.gallery_zero = self._zero_bias(self.gallery)
        self.query_zero = self.gallery_zero if same else self._zero_bias(self.queries)
        self.query_halves, self.gallery_halves = (
            (left + self.query_zero) / 2,
            (right + self.gallery_zero) / 2,
        )
        self._slack = self._rounding_bound(left.sqrt(), float(right.max()) ** 0.5)

    @cached_property
    def _operands(self) -> tuple[Tensor, Tensor]:
        """Rows of the float32 product; copies only where they are centred."""
        if self.centre is None:
            return self.queries, self.gallery
        right = shifted(self.gallery, self.centre)
        same = self.queries is self.gallery
        return right if same else shifted(self.queries, self.centre), right

    def restricted(self, columns: Tensor) -> FeatureSpace:
        """The space with the gallery's `columns` alone (their numbers), as they are prepared."""
        part = copy(self)
        part.__dict__.pop("_operands", None)
        part.gallery, part.gallery_zero = self.gallery[columns], self.gallery_zero[columns]
        part.gallery_halves = self.gallery_halves[columns]
        return part

    def _zero_bias(self, features: Tensor) -> Tensor:
        if self.metric == "euclidean":
            return torch.zeros(len(features), dtype=torch.float64, device=features.device)
        return (features.abs().amax(1) == 0).double()

    def _rounding_bound(self, left_norm: Tensor, right_norm: float) -> Tensor:
        """Bound of |approximate - exact squared|, one for each query, shape (n, 1), float32.

        2 gamma_d |x||y| is the product's error for any order of summation, gamma_d = d u/(1 - d u).
        16 u (|x| + |y|)^2 covers the norms, two additions, the centring, the rounding of both
        compared distances to float32 and of the thresholds. The last term covers underflow.
        """
        dim = self.gallery.shape[1]
        gamma = dim * UNIT_ROUNDOFF / (1 - dim * UNIT_ROUNDOFF)
        bound = 2 * gamma * left_norm * right_norm
        spread = (left_norm + right_norm).square()
        if self.metric == "cosine":
            spread = spread + 2  # the count of zero rows enters the sum as well
        bound = bound + 16 * UNIT_ROUNDOFF * spread + 4 * dim * SMALLEST_NORMAL
        return (bound * (1 + 4 * UNIT_ROUNDOFF)).float()[:, None]

    def approximate(
        self, start: int, stop: int, columns: slice = slice(None), out: Tensor | None = None
    ) -> Tensor:
        """Squared distances of queries start:stop to gallery[columns], float32, within slack().

        Values may be slightly negative. Shape (stop - start, number of columns); `out`, where
        given, is a contiguous matrix of that shape to write into.
        """
        return self.approximate_rows(slice(start, stop), columns, out)

    def approximate_rows(
        self, rows: slice | Tensor, columns: slice = slice(None), out: Tensor | None = None
    ) -> Tensor:
        """`approximate` for any queries: a slice, or their numbers."""
        left, right = (side[at] for side, at in zip(self._operands, (rows, columns), strict=True))
        if out is None:
            out = torch.empty((len(left), len(right)), device=right.device)
        product = product_for("float32", right.device, left.numel() * len(right))
        with as_many_threads():
            multiply(left * -2, right, out, product)
        out.add_((2 * self.gallery_halves[columns]).float())
        return out.add_((2 * self.query_halves[rows]).float()[:, None])

    def slack(self, rows: slice | Tensor) -> Tensor:
        """Bound on the error of `approximate` for queries `rows`, (m, 1) float32.

        An entry whose approximate squared distance is more than this from the exact squared
        distance of another is on the same side of it in the final float32 order.
        """
        return self._slack[rows]

    def exact(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Exact squared distances of the pairs (queries[rows], gallery[columns]), (p,) float64."""
        if self.gallery.device.type == "cpu":
            pairs = self.queries.numpy(), self.gallery.numpy(), rows.numpy(), columns.numpy()
            out = torch.from_numpy(squared_pairs(*pairs))
        else:
            out = torch.empty(len(rows), dtype=torch.float64, device=self.gallery.device)
            step = max(1, PAIR_ELEMENTS // self.gallery.shape[1])
            for first in range(0, len(rows), step):
                pair = slice(first, first + step)
                gap = self.queries[rows[pair]].double() - self.gallery[columns[pair]].double()
                out[pair] = gap.square_().sum(1)
        if self.metric == "cosine":
            out += self.query_zero[rows] + self.gallery_zero[columns]
        return out

    def distance(self, squared: Tensor) -> Tensor:
        """The metric's distance of squared distances, float32 of the same shape."""
        if self.metric == "cosine":
            return (squared / 2).clamp_(min=0).float()
        return squared.clamp(min=0).sqrt_().float()
