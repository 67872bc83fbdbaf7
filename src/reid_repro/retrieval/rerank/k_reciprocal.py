"""k-reciprocal re-ranking: Zhong, Zheng, Cao and Li, Re-ranking Person Re-identification with
k-reciprocal Encoding, 2017.

The definition is that of the authors' released code, which the paper's text leaves in places; each
such place is an option of `KReciprocal`. Queries and gallery together are the n nodes. Only rows of
neighbours are ever held: neighbour lists come from the exact blocked search, reciprocal sets
(Eqs. 1 to 3), their expansion R* (Eq. 5), the encoded vectors V (Eq. 7) and local query expansion
(Eq. 11) are sparse rows, the Jaccard distance (Eq. 10) walks an inverted index of the gallery, and
the blend (Eq. 12) is computed for the query rows asked for.

On the CPU the sparse steps are compiled loops (`reciprocal_codes.py`), on other devices torch
operations (`reciprocal_codes_torch.py`).
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import torch

from reid_repro.retrieval.distances import (
    Features,
    FeatureSpace,
    Metric,
    check_choice,
    default_block,
)
from reid_repro.retrieval.rerank import devices
from reid_repro.retrieval.rerank.base import check_at_least, check_block, check_rows, timed
from reid_repro.retrieval.rerank.nodes import joint_nodes
from reid_repro.retrieval.rerank.reciprocal_codes import CompiledCodes
from reid_repro.retrieval.rerank.reciprocal_codes_torch import TensorCodes
from reid_repro.retrieval.search import Progress, neighbours

Neighbourhood = Literal["code", "text"]
Overlap = Literal["more", "at_least"]
Scale = Literal["row_maximum", "none"]


class KReciprocal:
    """k-reciprocal encoding, the released code's definition by default.

    Ranks put a node itself first, then others by exact distance, ties in order (queries before
    gallery). Sizes beyond the number of nodes are clipped to it.

    Exactness: sets, codes and the Jaccard distance do not depend on blocks or threads, bit for bit
    on the CPU; so neither do rows with `lambda_` 0. The original distance in the blend is a float32
    product, within `FeatureSpace.slack` of the exact squared distance, whose last bits may follow
    the block and the library.

    Agreement with others: the defaults are the authors' code; torchreid's `re_ranking` and
    fast-reid's function of that name are the same on matrices of Euclidean (not squared) distances.
    fast-reid's evaluator instead takes k1 ranks, round(k1 / 2) + 1 of a candidate, and no row
    maximum: for its k1 = 20, `KReciprocal(19, k2, lambda_, weight_scale="none",
    blend_scale="none")` with the Euclidean metric. With the cosine metric it blends 1 - cos, half
    the squared distance here: `lambda_ / (2 - lambda_)` then gives its distances divided by
    1 - lambda_ / 2, so the same order.

    Args:
        k1: size of the reciprocal neighbourhood.
        k2: nodes in the local query expansion, the node itself included; 1 turns it off.
        lambda_: share of the original distance in the result, 0 to 1.
        neighbourhood: "code" takes k1 + 1 and round(k1 / 2) + 1 ranks, the node itself being the
            first; "text" takes k1 and round(k1 / 2) ranks. Halves round to even.
        overlap: a candidate's half neighbourhood joins R* when it shares "more" than two thirds of
            itself with R (code) or "at_least" two thirds (text, Eq. 5).
        expand: False leaves R* = R.
        weight_scale: squared distances are divided by the "row_maximum" before exp(-d) (code), or
            taken as they are ("none": Eq. 7).
        blend_scale: the same choice for the original distance in the blend.
        metric: squared Euclidean distances of the features as given, or ("cosine") L2-normalised.
        block: queries a block of the search and of the rows; None chooses from the size.
        progress: called with (nodes done, n) during the search.

    Attributes:
        timings: seconds of "neighbours" and "reciprocal" (the sets R and R*), which make phase 1 of
            Table 3 of the GNN re-ranking paper, and of "encoding", "local expansion" and
            "distances" (Jaccard and blend, for the rows asked for), which make its phase 2.
    """

    def __init__(
        self,
        k1: int = 20,
        k2: int = 6,
        lambda_: float = 0.3,
        *,
        neighbourhood: Neighbourhood = "code",
        overlap: Overlap = "more",
        expand: bool = True,
        weight_scale: Scale = "row_maximum",
        blend_scale: Scale = "row_maximum",
        metric: Metric = "euclidean",
        block: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        check_at_least("k1", k1, 1)
        check_at_least("k2", k2, 1)
        check_block(block)
        if not 0 <= lambda_ <= 1:
            raise ValueError(f"lambda_ is {lambda_!r}: use a share from 0 to 1")
        check_choice("neighbourhood", neighbourhood, Neighbourhood)
        check_choice("overlap", overlap, Overlap)
        check_choice("weight_scale", weight_scale, Scale)
        check_choice("blend_scale", blend_scale, Scale)
        check_choice("metric", metric, Metric)
        self.k1, self.k2, self.lambda_ = k1, k2, lambda_
        self.neighbourhood, self.overlap, self.expand = neighbourhood, overlap, expand
        self.weight_scale, self.blend_scale = weight_scale, blend_scale
        self.metric, self.block, self.progress = metric, block, progress
        self.timings: dict[str, float] = {}
        self._space: FeatureSpace | None = None

    def fit(self, query: Features, gallery: Features) -> Self:
        """Build the graph of queries (n, d) and gallery (g, d) and encode every node.

        Raises:
            ValueError: features that are not float matrices of one width on one device, empty, or
                not finite.
        """
        self.timings, self._space = {}, None  # an earlier fit's rows need not be held beside this
        nodes, n_query = joint_nodes(query, gallery, normalise=self.metric == "cosine")
        space = FeatureSpace(nodes, nodes, "euclidean")
        extra = int(self.neighbourhood == "code")
        wide = min(self.k1 + extra, len(nodes))
        half = min(max(round(self.k1 / 2) + extra, 1), len(nodes))
        near = min(self.k2, len(nodes))
        with devices.timed_on(nodes.device, self.timings, "neighbours"):
            found = neighbours(
                space,
                max(wide, near),
                block=self.block,
                self_match="first",
                farthest="row_maximum" in (self.weight_scale, self.blend_scale),
                progress=self.progress,
            )
        scale = None
        if found.farthest is not None:
            scale = torch.from_numpy(found.farthest).to(nodes.device).double().square_()
            scale[scale == 0] = 1  # all features are equal: distances are zero over anything
        on_tensors = devices.takes_tensor_steps(nodes.device)
        codes = TensorCodes(found, nodes.device) if on_tensors else CompiledCodes(found)
        with devices.timed_on(nodes.device, self.timings, "reciprocal"):
            codes.find_sets(wide, half, expand=self.expand, at_least=self.overlap == "at_least")
        with devices.timed_on(nodes.device, self.timings, "encoding"):
            codes.encode(space, scale if self.weight_scale == "row_maximum" else None)
        with devices.timed_on(nodes.device, self.timings, "local expansion"):
            if near > 1:
                codes.average(near)
            codes.index(n_query)
        weight = torch.full((n_query,), self.lambda_, dtype=torch.float64, device=nodes.device)
        if self.blend_scale == "row_maximum" and scale is not None:
            weight /= scale[:n_query]
        self._weight, self._codes, self._n_query = weight, codes, n_query
        self._space = space
        return self

    def distances(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Blended distances of queries start:stop to the gallery, (stop - start, g) float32."""
        if self._space is None:
            raise ValueError("KReciprocal: call fit before distances")
        check_rows(start, stop, self._n_query)
        with timed(self.timings, "distances"):
            n_gallery = self._space.n_gallery - self._n_query
            step = self.block or default_block(n_gallery)
            if start < stop <= start + step:
                return self._blend(self._space, start, stop)
            out = np.empty((stop - start, n_gallery), dtype=np.float32)
            for first in range(start, stop, step):
                last = min(first + step, stop)
                out[first - start : last - start] = self._blend(self._space, first, last)
            return out

    def _blend(self, space: FeatureSpace, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Eq. 12 for a block of queries: (1 - lambda) Jaccard + lambda original, (m, g)."""
        columns = slice(self._n_query, None)
        if self.lambda_ > 0:
            squared = space.approximate(start, stop, columns)
        else:
            shape = (stop - start, space.n_gallery - self._n_query)
            squared = torch.zeros(shape, device=space.gallery.device)
        return self._codes.blend(start, stop, squared, self._weight[start:stop], 1 - self.lambda_)
