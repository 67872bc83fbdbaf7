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
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.distances import check_choice
from reid_repro.retrieval.matches import (
    Matches,
    SameCamera,
    SingleShotGalleries,
    ranks_of_matches,
)

APRule = Literal["step", "trapezoid"]
FloatArray = npt.NDArray[np.floating[Any]]


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
    place = np.asarray(ranks, dtype=np.float64)
    hit = np.arange(1, place.shape[-1] + 1)
    precision = hit / place
    if rule == "trapezoid":
        before = np.where(place > 1, (hit - 1) / np.maximum(place - 1, 1), 1.0)
        precision = (precision + before) / 2
    return np.asarray(precision.mean(-1))


def score(blocks: Iterable[FloatArray], matches: Matches, rules: Rules) -> Evaluation:
    """Stream blocks of distance rows over the kept entries into an Evaluation."""
    query: list[int] = []
    values: list[tuple[float, float, float]] = []
    total = np.zeros(rules.ranks)
    shares: list[npt.NDArray[np.float32]] = []
    shots = None
    if rules.single_gallery_shot:
        shots = SingleShotGalleries(matches, repeats=rules.repeats, seed=rules.seed)
    done = 0
    for block in blocks:
        if done + len(block) > matches.n_query:
            raise ValueError(f"more distance rows than the {matches.n_query} of query_ids")
        for number, ranks in _ranks_of_block(block, done, matches, shots):
            first = ranks[:, 0]
            query.append(number)
            values.append(
                (
                    float(average_precision(ranks, rules.ap).mean()),
                    float((ranks.shape[1] / ranks[:, -1]).mean()),
                    float(first.mean()),
                )
            )
            within = first[first <= rules.ranks] - 1
            share = np.bincount(within, minlength=rules.ranks).cumsum() / len(first)
            total += share
            if rules.repeats > 1:
                shares.append(share.astype(np.float32))
        done += len(block)
    if done != matches.n_query:
        raise ValueError(f"{done} distance rows for {matches.n_query} queries")
    if not query:
        raise ValueError("no query has a match in the gallery: check identities and cameras")
    ap, inp, first_hit = np.array(values).T.copy()
    return Evaluation(
        mAP=float(ap.mean()),
        mINP=float(inp.mean()),
        cmc=total / len(query),
        query=np.array(query, dtype=np.int64),
        ap=ap,
        inp=inp,
        first_hit=first_hit if rules.repeats > 1 else first_hit.astype(np.int64),
        hits=np.stack(shares) if shares else None,
        n_query=matches.n_query,
        n_valid=len(query),
        protocol=asdict(rules),
    )


def _ranks_of_block(
    block: FloatArray, start: int, matches: Matches, shots: SingleShotGalleries | None
) -> list[tuple[int, npt.NDArray[np.int64]]]:
    """Query number and match ranks (rankings, matches) of the valid queries of a block."""
    found = [(start + i, *matches.of(start + i)) for i in range(len(block))]
    found = [(number, right, removed) for number, right, removed in found if len(right)]
    if shots is None:
        return [
            (number, ranks_of_matches(block[number - start], right, removed)[None])
            for number, right, removed in found
        ]
    if not found:
        return []
    numbers = np.array([number for number, _, _ in found])
    ranks = shots.ranks(block[numbers - start], numbers, [right for _, right, _ in found])
    return [(int(number), row[:, None]) for number, row in zip(numbers, ranks, strict=True)]
