"""Evaluation by walks down fully sorted rows, as the protocols word it; and small random inputs."""

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

Labels = npt.NDArray[np.int64]
Distances = npt.NDArray[np.floating[Any]]


def naive(
    distances: Distances,
    query_ids: Labels,
    gallery_ids: Labels,
    query_cameras: Labels | None,
    gallery_cameras: Labels | None,
    *,
    ap: str,
    same_camera: str,
    ranks: int,
) -> dict[str, Any] | None:
    """Walk down each fully sorted row; None where no query has a match."""
    rows: list[tuple[int, float, float, int]] = []
    cmc = np.zeros(ranks)
    for q, row in enumerate(distances):
        place, hits, last, total = 0, 0, 0, 0.0
        first = 0
        before = 1.0
        for g in sorted(range(len(row)), key=lambda g: (row[g], g)):
            same = query_ids[q] == gallery_ids[g]
            if gallery_ids[g] == -1:
                continue
            if (
                same
                and same_camera == "remove"
                and query_cameras is not None
                and gallery_cameras is not None
                and query_cameras[q] == gallery_cameras[g] != -1
                and query_ids[q] > 0
            ):
                continue
            place += 1
            match = same and query_ids[q] > 0
            hits += match
            precision = hits / place
            if match:
                first, last = first or place, place
                total += precision if ap == "step" else (before + precision) / 2
            before = precision
        if hits:
            rows.append((q, total / hits, hits / last, first))
            cmc[first - 1 :] += 1
    if not rows:
        return None
    query, aps, inps, firsts = (np.array(column) for column in zip(*rows, strict=True))
    return {
        "query": query,
        "ap": aps,
        "inp": inps,
        "first_hit": firsts,
        "cmc": cmc / len(rows),
        "mAP": aps.mean(),
        "mINP": inps.mean(),
    }


def check(got: Any, want: dict[str, Any]) -> None:
    for name in ("query", "first_hit"):
        np.testing.assert_array_equal(getattr(got, name), want[name])
        assert getattr(got, name).dtype == np.int64
    for name in ("ap", "inp", "cmc", "mAP", "mINP"):
        np.testing.assert_allclose(getattr(got, name), want[name], rtol=1e-12, atol=1e-15)
    assert got.n_valid == len(want["query"])


def first_ranks_of_draws(
    distances: Distances,
    query_ids: Labels,
    gallery_ids: Labels,
    query_cameras: Labels | None = None,
    gallery_cameras: Labels | None = None,
    *,
    same_camera: str = "remove",
    repeats: int,
    seed: int,
) -> dict[int, list[int]]:
    """Rank of the match in each drawn gallery, by query: the smallest key that counts represents.

    The keys are those of `matches.SingleShotGalleries`; all else is loops.
    """
    kept = np.flatnonzero(gallery_ids != -1)
    firsts: dict[int, list[int]] = {}
    for repeat in range(repeats):
        keys = np.random.default_rng([seed, repeat]).permutation(len(kept))
        for q in np.flatnonzero(query_ids > 0).tolist():
            chosen: dict[tuple[Any, Any], tuple[int, int]] = {}
            for key, entry in zip(keys.tolist(), kept.tolist(), strict=True):
                if (
                    same_camera == "remove"
                    and query_cameras is not None
                    and gallery_cameras is not None
                    and gallery_ids[entry] == query_ids[q]
                    and query_cameras[q] == gallery_cameras[entry] != -1
                ):
                    continue
                who = (gallery_ids[entry], entry if gallery_ids[entry] == 0 else -1)
                chosen[who] = min(chosen.get(who, (key, entry)), (key, entry))
            if (query_ids[q], -1) not in chosen:
                continue
            gallery = sorted((distances[q, entry], entry) for _, entry in chosen.values())
            ranking = [entry for _, entry in gallery]
            firsts.setdefault(q, []).append(ranking.index(chosen[query_ids[q], -1][1]) + 1)
    return firsts


def check_draws(got: Any, firsts: dict[int, list[int]]) -> None:
    """Compare an evaluation of drawn galleries with the ranks of the draws."""
    ranks = np.array([firsts[q] for q in got.query])
    assert sorted(firsts) == got.query.tolist()
    np.testing.assert_allclose(got.first_hit, ranks.mean(1))
    np.testing.assert_allclose(got.ap, (1 / ranks).mean(1))
    np.testing.assert_allclose(got.inp, (1 / ranks).mean(1))
    lengths = range(1, len(got.cmc) + 1)
    np.testing.assert_allclose(got.cmc, [(ranks <= r).mean() for r in lengths])


@st.composite
def labels(draw: st.DrawFn) -> dict[str, Any]:
    rng = np.random.default_rng(draw(st.integers(0, 99_999)))
    n, g, people = draw(st.integers(1, 8)), draw(st.integers(1, 40)), draw(st.integers(0, 5))
    out: dict[str, Any] = {
        "query_ids": rng.integers(-1, people + 1, size=n),
        "gallery_ids": rng.integers(-1, people + 1, size=g),
    }
    if draw(st.booleans()):
        cameras = draw(st.integers(0, 3))
        out["query_cameras"] = rng.integers(-1, cameras + 1, size=n)
        out["gallery_cameras"] = rng.integers(-1, cameras + 1, size=g)
    return out


rules = st.fixed_dictionaries(
    {
        "ap": st.sampled_from(["step", "trapezoid"]),
        "same_camera": st.sampled_from(["remove", "keep"]),
    }
)


def features(seed: int, n: int, grid: bool) -> npt.NDArray[np.float32]:
    """Small integers (ties, copies, zero rows), or a narrow cone far from the origin."""
    rng = np.random.default_rng(seed)
    if grid:
        return rng.integers(-1, 2, size=(n, 4)).astype(np.float32)
    return (50 + 1e-3 * rng.normal(size=(n, 4))).astype(np.float32)


def exact_distances(
    query: npt.NDArray[np.float32], gallery: npt.NDArray[np.float32], metric: str
) -> npt.NDArray[np.float32]:
    """float64 distances of float32 features (normalised for cosine), rounded to float32."""
    x, y = query.astype(np.float64), gallery.astype(np.float64)
    zero = np.zeros((len(x), len(y)))
    if metric == "cosine":
        norms = [np.sqrt((values**2).sum(1, keepdims=True)) for values in (x, y)]
        zero = (norms[0] == 0) + (norms[1] == 0).T.astype(float)
        x, y = (
            (values / np.where(norm > 0, norm, 1)).astype(np.float32).astype(np.float64)
            for values, norm in zip((x, y), norms, strict=True)
        )
    squared = ((x[:, None] - y[None]) ** 2).sum(2) + zero
    return (squared / 2 if metric == "cosine" else np.sqrt(squared)).astype(np.float32)


def expectation(
    distances: Distances, given_labels: dict[str, Any], rule: dict[str, Any]
) -> dict[str, Any] | None:
    full = {"query_cameras": None, "gallery_cameras": None} | given_labels
    return naive(distances, **full, **rule, ranks=12)
