"""The re-ranking methods that a configuration can name, with the options of each.

The options mirror the keyword arguments of the classes in `reid_repro.retrieval` (a test compares
names, types and defaults), so that a mistake is named when the configuration is read, without
torch. What sets no result (block sizes, progress) is no option here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from reid_repro.checking import Strict

OptionValue = bool | int | float | str | tuple[float, ...] | None
Options = dict[str, OptionValue]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class NoOptions(Strict):
    """The bare distance has none."""


class AverageQueryExpansionOptions(Strict):
    """Of `rerank.AverageQueryExpansion`."""

    k: Positive = 10
    include_query: bool = True
    expand_gallery: bool = False
    pool: Literal["gallery", "all"] = "gallery"
    averaged: Literal["normalised", "given"] = "normalised"
    times: Positive = 1


class AlphaQueryExpansionOptions(AverageQueryExpansionOptions):
    """Of `rerank.AlphaQueryExpansion`."""

    alpha: float = Field(3.0, ge=0)


class SparseContextualActivationOptions(Strict):
    """Of `rerank.SparseContextualActivation`."""

    k1: Positive = 20
    k2: Positive = 6
    weight_scale: Literal["row_maximum", "none"] = "row_maximum"
    membership: Literal["sum", "none"] = "sum"
    metric: Literal["euclidean", "cosine"] = "euclidean"


class KReciprocalOptions(Strict):
    """Of `rerank.KReciprocal`."""

    k1: Positive = 20
    k2: Positive = 6
    lambda_: Share = 0.3
    neighbourhood: Literal["code", "text"] = "code"
    overlap: Literal["more", "at_least"] = "more"
    expand: bool = True
    weight_scale: Literal["row_maximum", "none"] = "row_maximum"
    blend_scale: Literal["row_maximum", "none"] = "row_maximum"
    metric: Literal["euclidean", "cosine"] = "euclidean"


class GNNOptions(Strict):
    """Of `rerank.GNN`."""

    k1: Positive = 26
    k2: Positive = 7
    layers: Positive = 2
    alpha: float = Field(2.0, ge=0)
    aggregate: Literal["sum", "mean", "max"] = "sum"
    nodes: Literal["symmetric", "adjacency", "features"] = "symmetric"
    edge_weights: bool = True
    propagate: bool = True
    symmetric: Literal["paper", "authors"] = "paper"
    residual: bool | None = None
    blend: Share = 0.0


class CoarseToFineOptions(Strict):
    """Of `groups.CoarseToFine`; `share` is `n_groups` as a share of the gallery's images."""

    share: float | None = Field(None, gt=0, le=1)
    threshold: float | None = Field(None, ge=0)
    n_groups: Positive | None = None
    dim: Positive | None = 128
    groups: Positive = 100
    append_rest: bool = False
    fitted_on: Literal["gallery", "descriptors"] = "gallery"

    @model_validator(mode="after")
    def _one_way_to_group(self) -> CoarseToFineOptions:
        ways = (self.share, self.threshold, self.n_groups)
        if sum(way is not None for way in ways) > 1:
            raise ValueError("give one of share, threshold and n_groups")
        return self


class StreamFusionOptions(Strict):
    """Of `rerank.StreamFusion`; `weights` has one entry for each stream of the network."""

    weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    on: Literal["descriptors", "distances"] = "descriptors"
    normalise: bool = True

    @model_validator(mode="after")
    def _some_weight(self) -> StreamFusionOptions:
        if not all(0 <= weight < float("inf") for weight in self.weights) or not any(self.weights):
            raise ValueError("weights: numbers of at least 0, one of them above 0")
        return self


class Ranking(Strict):
    """What every ranking has: the title under which tables show it, and a method."""

    title: str
    method: str


class BareDistance(Ranking):
    """The distance of the features as they are."""

    method: Literal["none"]
    options: NoOptions = NoOptions()


class AverageQueryExpansion(Ranking):
    """AQE (Chum et al. 2007)."""

    method: Literal["AverageQueryExpansion"]
    options: AverageQueryExpansionOptions = AverageQueryExpansionOptions()


class AlphaQueryExpansion(Ranking):
    """alpha-QE (Radenovic et al. 2019)."""

    method: Literal["AlphaQueryExpansion"]
    options: AlphaQueryExpansionOptions = AlphaQueryExpansionOptions()


class SparseContextualActivation(Ranking):
    """SCA (Bai and Bai 2016)."""

    method: Literal["SparseContextualActivation"]
    options: SparseContextualActivationOptions = SparseContextualActivationOptions()


class KReciprocal(Ranking):
    """k-reciprocal re-ranking (Zhong et al. 2017)."""

    method: Literal["KReciprocal"]
    options: KReciprocalOptions = KReciprocalOptions()


class GNN(Ranking):
    """GNN re-ranking (Zhang et al. 2020)."""

    method: Literal["GNN"]
    options: GNNOptions = GNNOptions()


class CoarseToFine(Ranking):
    """Coarse-to-fine retrieval in groups (GLAD, Section 5)."""

    method: Literal["CoarseToFine"]
    options: CoarseToFineOptions = CoarseToFineOptions()


class StreamFusion(Ranking):
    """Weighted fusion of a descriptor's streams (GLAD, Table 1)."""

    method: Literal["StreamFusion"]
    options: StreamFusionOptions = StreamFusionOptions()


ReRankerConfig = Annotated[
    BareDistance
    | AverageQueryExpansion
    | AlphaQueryExpansion
    | SparseContextualActivation
    | KReciprocal
    | GNN
    | CoarseToFine
    | StreamFusion,
    Field(discriminator="method"),
]


class ReRankerFile(Strict):
    """One re-ranker by itself, as a point of a sweep is checked."""

    reranker: ReRankerConfig


def written(settings: Ranking) -> Options:
    """The options that the configuration states; the class has defaults for the others."""
    options: dict[str, Any] = settings.model_dump(exclude_unset=True).get("options", {})
    return options
