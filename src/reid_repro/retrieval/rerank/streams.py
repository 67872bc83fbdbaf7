"""Fusion of a descriptor's streams with weights of their own (GLAD, Section 6.3, Table 1).

GLAD puts the descriptors of its streams side by side. Table 1 ranks by one of them, by some of
them, and by three with the weights 0.2, 0.4 and 0.4: all from one network, so here from the
features of one run. The measure is the squared Euclidean distance (Section 6.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.retrieval.distances import Features, FeatureSpace, as_features, check_choice
from reid_repro.retrieval.rerank.base import check_rows, timed
from reid_repro.retrieval.rows import normalised

On = Literal["descriptors", "distances"]


class StreamFusion:
    """Equal blocks of the features' columns, weighted and ranked by squared Euclidean distance.

    With w_s the weight of stream s and x_s its block, the distance of two images is
    sum over s of w_s^2 |x_s - y_s|^2 where weights stand before the descriptors, and
    sum over s of w_s |x_s - y_s|^2 where they stand before the distances. The same weight
    everywhere gives the ranking of the plain concatenation; a weight of 0 drops a stream, and with
    a single one left it alone is compared.

    Exactness: the weighted features are held in float32, in `space`, and their exact order is known
    (`evaluate` uses it). `distances` comes from a float32 product: see `AverageQueryExpansion`.

    Args:
        weights: one a stream, in the order of the blocks, none negative and not all 0.
        on: whether weights multiply the "descriptors", as words like "fusing descriptors with
            weights" say, or the streams' squared "distances".
        normalise: each block of each image has length 1 before it is weighted. False keeps what
            the network and the feature extraction made of it, in which a long block counts more.

    Attributes:
        space: weighted queries and gallery under the Euclidean metric, after `fit`.
        timings: seconds of "fusion" (the weighted features) and "distances" (rows asked for).
    """

    def __init__(
        self,
        weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0),
        *,
        on: On = "descriptors",
        normalise: bool = True,
    ) -> None:
        check_choice("on", on, On)
        self.weights = _checked(weights)
        self.on, self.normalise = on, normalise
        self.timings: dict[str, float] = {}
        self.space: FeatureSpace | None = None

    def fit(self, query: Features, gallery: Features) -> Self:
        """Weight the blocks of queries (n, d) and gallery (g, d).

        Raises:
            ValueError: features that are not float matrices of one width on one device, empty, not
                finite, or of a width that the streams do not divide.
        """
        self.timings, self.space = {}, None
        queries, entries = as_features(query, "query"), as_features(gallery, "gallery")
        with timed(self.timings, "fusion"):
            space = FeatureSpace(self._fused(queries), self._fused(entries), "euclidean")
        self.space = space
        return self

    def distances(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Squared distances of queries start:stop to the gallery, (stop - start, g) float32."""
        if self.space is None:
            raise ValueError("StreamFusion: call fit before distances")
        check_rows(start, stop, self.space.n_queries)
        with timed(self.timings, "distances"):
            rows = self.space.approximate(start, stop).clamp_(min=0)
            return np.asarray(rows.cpu().numpy(), dtype=np.float32)

    def _fused(self, features: Tensor) -> Tensor:
        """The blocks with a weight, each times it (or its root), side by side."""
        width, streams = features.shape[1], len(self.weights)
        if width % streams:
            raise ValueError(
                f"features of {width} columns are no {streams} equal streams; give one weight for "
                "each stream of the network"
            )
        every, blocks = features.view(len(features), streams, -1), []
        for stream, weight in enumerate(self.weights):
            if weight > 0:
                block = every[:, stream]
                rows = normalised(block.contiguous()) if self.normalise else block
                blocks.append(rows * (weight if self.on == "descriptors" else weight**0.5))
        return torch.cat(blocks, dim=1)


def _checked(weights: Sequence[float]) -> tuple[float, ...]:
    """The weights as floats; ValueError unless they are finite, none negative, one above 0."""
    given = tuple(float(weight) for weight in weights)
    if not all(0 <= weight < float("inf") for weight in given) or not any(given):
        raise ValueError(f"weights are {given}: use numbers of at least 0, one of them above 0")
    return given
