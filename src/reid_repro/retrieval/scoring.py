"""mAP, CMC and mINP from the ranks of the true matches of each query.

AP has two definitions in the field, and both are here. With the j-th match at rank r_j:

* `step`: the mean over the matches of the precision at the match, j / r_j;
* `trapezoid`: the mean over the matches of the average of the precision at the match and just
  before it, (j / r_j + (j - 1) / (r_j - 1)) / 2, the latter being 1 at rank 1 (the released
  Market-1501 and Oxford5k evaluations).

INP is the number of matches over the rank of the hardest one (Ye et al., Deep Learning for Person
Re-identification: A Survey and Outlook, 2021).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.distances import check_choice
from reid_repro.retrieval.matches import SameCamera

APRule = Literal["step", "trapezoid"]


@dataclass(frozen=True)
class Evaluation:
    """Result of an evaluation; the per-query arrays have one entry for each valid query.

    Attributes:
        mAP: mean average precision over the valid queries, 0 to 1.
        mINP: mean inverse negative penalty over the valid queries, 0 to 1.
        cmc: share of valid queries with a match at rank r or better, r = 1..len(cmc), float64.
        query: row numbers of the valid queries, ascending, int64.
        ap: average precision; a mean over the repeats with a single-shot gallery, float64.
        inp: inverse negative penalty, likewise.
        first_hit: rank of the first match, int64; with a single-shot gallery its mean over the
            repeats, float64.
        hits: share of the repeats in which the first match is at rank r or better,
            (n_valid, len(cmc)) float32, whose mean over the queries is `cmc`; None without
            repeats, where `first_hit` says it all.
        n_query: all queries; n_valid: those with at least one match.
        protocol: the settings that the numbers hold for.
    """

    mAP: float
    mINP: float
    cmc: npt.NDArray[np.float64]
    query: npt.NDArray[np.int64]
    ap: npt.NDArray[np.float64]
    inp: npt.NDArray[np.float64]
    first_hit: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    hits: npt.NDArray[np.float32] | None
    n_query: int
    n_valid: int
    protocol: dict[str, str | int | bool]

    def to_dict(self) -> dict[str, Any]:
        """The summary (no per-query values) as plain JSON types; cmc[0] is Rank-1."""
        return {
            "mAP": self.mAP,
            "mINP": self.mINP,
            "cmc": self.cmc.tolist(),
            "n_query": self.n_query,
            "n_valid": self.n_valid,
            "protocol": dict(self.protocol),
        }


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Settings of an evaluation, checked."""

    ap: APRule
    same_camera: SameCamera
    single_gallery_shot: bool
    repeats: int
    seed: int
    ranks: int

    def __post_init__(self) -> None:
        check_choice("ap", self.ap, APRule)
        check_choice("same_camera", self.same_camera, SameCamera)
        if self.repeats < 1 or self.ranks < 1 or self.seed < 0:
            raise ValueError(
                f"repeats {self.repeats} and ranks {self.ranks} start at 1, seed {self.seed} at 0"
            )
        if self.repeats > 1 and not self.single_gallery_shot:
            raise ValueError("repeats need single_gallery_shot=True: nothing else is drawn")


def average_precision(ranks: npt.ArrayLike, rule: APRule = "step") -> npt.NDArray[np.float64]:
    """AP of ascending match ranks (from 1) along the last axis: (..., m) to (...)."""
    check_choice("rule", rule, APRule)
    place = np.asarray(ranks)
    return np.asarray(_precisions(place, np.arange(1, place.shape[-1] + 1), rule).mean(-1))


def _precisions(
    ranks: npt.NDArray[Any], hit: npt.NDArray[np.int64], rule: APRule
) -> npt.NDArray[np.float64]:
    """What each match adds to the AP: `hit` is its number among its query's matches, from 1."""
    place = ranks.astype(np.float64)
    precision = hit / place
    if rule == "trapezoid":
        before = np.where(place > 1, (hit - 1) / np.maximum(place - 1, 1), 1.0)
        precision = (precision + before) / 2
    return np.asarray(precision)


class Ranks(NamedTuple):
    """Ranks of the matches of some queries, flat: those of query i are starts[i]:starts[i + 1].

    Attributes:
        query: numbers of the valid queries, (v,).
        starts: (v + 1,).
        ranks: ascending for each query, (total,); (v, repeats) with drawn galleries, where each
            query has one match.
    """

    query: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    ranks: npt.NDArray[np.int64]


def score(blocks: Iterable[Ranks], n_query: int, rules: Rules) -> Evaluation:
    """Put the ranks of blocks of queries together into an Evaluation."""
    found = [block for block in blocks if len(block.query)]
    if not found:
        raise ValueError("no query has a match in the gallery: check identities and cameras")
    measured = [_measured(block, rules) for block in found]
    ap, inp, first = (np.concatenate(values) for values in zip(*measured, strict=True))
    hits = np.stack([first <= rank for rank in range(1, rules.ranks + 1)], axis=1)
    shares = hits.mean(2) if hits.ndim == 3 else hits
    return Evaluation(
        mAP=float(ap.mean()),
        mINP=float(inp.mean()),
        cmc=shares.mean(0, dtype=np.float64),
        query=np.concatenate([block.query for block in found]),
        ap=ap,
        inp=inp,
        first_hit=first.mean(1) if rules.repeats > 1 else first.reshape(-1),
        hits=shares.astype(np.float32) if rules.repeats > 1 else None,
        n_query=n_query,
        n_valid=len(ap),
        protocol=asdict(rules),
    )


def _measured(block: Ranks, rules: Rules) -> tuple[npt.NDArray[Any], ...]:
    """AP, INP (float64, (v,)) and rank of the first match ((v,), or (v, repeats)) of a block."""
    if rules.single_gallery_shot:
        first = block.ranks
        ap = average_precision(first[..., None], rules.ap).mean(1)
        return ap, (1 / first).mean(1), first
    starts, total = block.starts[:-1], np.diff(block.starts)
    hit = np.arange(len(block.ranks)) - np.repeat(starts, total) + 1
    precision = _precisions(block.ranks, hit, rules.ap)
    ap = np.add.reduceat(precision, starts) / total
    return ap, total / block.ranks[block.starts[1:] - 1], block.ranks[starts]
