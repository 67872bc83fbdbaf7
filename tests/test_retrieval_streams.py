"""Fusion of streams against literal loops over images and streams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from reid_repro.methods import ReRankerConfig
from reid_repro.phases.metrics import reranker_of
from reid_repro.retrieval import evaluate, evaluate_distances
from reid_repro.retrieval.rerank import Reranker, StreamFusion

Floats = npt.NDArray[np.float32]
# Table 1 of GLAD: global, head, upper, lower.
ROWS = {
    "global": (1.0, 0.0, 0.0, 0.0),
    "upper and lower": (0.0, 0.0, 1.0, 1.0),
    "local": (0.0, 1.0, 1.0, 1.0),
    "local, weighted": (0.0, 0.2, 0.4, 0.4),
    "all": (1.0, 1.0, 1.0, 1.0),
}


def features(seed: int, rows: int, streams: int = 4, width: int = 5) -> Floats:
    """Blocks of very different length from image to image and from stream to stream."""
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.1, 4, size=(rows, streams, 1))
    values = rng.normal(size=(rows, streams, width)) * scale
    return values.reshape(rows, -1).astype(np.float32)


def literal(
    query: Floats, gallery: Floats, weights: tuple[float, ...], on: str, *, normalise: bool
) -> npt.NDArray[np.float64]:
    """Pair by pair and stream by stream, (q, g) float64."""
    width = query.shape[1] // len(weights)
    out = np.zeros((len(query), len(gallery)))
    for i, one in enumerate(query.astype(np.float64)):
        for j, other in enumerate(gallery.astype(np.float64)):
            for stream, weight in enumerate(weights):
                x, y = (v[stream * width : (stream + 1) * width] for v in (one, other))
                if normalise:
                    x, y = (v / (np.linalg.norm(v) or 1) for v in (x, y))
                apart = float(((x - y) ** 2).sum())
                out[i, j] += apart * (weight**2 if on == "descriptors" else weight)
    return out


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("on", ["descriptors", "distances"])
@pytest.mark.parametrize("row", ROWS)
def test_distances_are_weighted_sums_over_streams(row: str, on: str, normalise: bool) -> None:
    query, gallery = features(1, 6), features(2, 9)
    query[2, 5:10] = 0  # a stream that says nothing
    fusion = StreamFusion(ROWS[row], on=on, normalise=normalise)
    assert isinstance(fusion, Reranker)
    expected = literal(query, gallery, ROWS[row], on, normalise=normalise)
    got = fusion.fit(query, gallery).distances(0, 6)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fusion.distances(2, 5), expected[2:5], rtol=1e-4, atol=1e-5)
    assert set(fusion.timings) == {"fusion", "distances"}


@settings(max_examples=30)
@given(
    weights=st.lists(st.sampled_from([0.0, 0.2, 0.5, 1.0, 3.0]), min_size=1, max_size=5).filter(
        any
    ),
    on=st.sampled_from(["descriptors", "distances"]),
    seed=st.integers(0, 99),
)
def test_any_number_of_streams(weights: list[float], on: str, seed: int) -> None:
    query, gallery = (features(seed + i, 4, len(weights), 3) for i in (0, 1))
    fusion = StreamFusion(tuple(weights), on=on)
    got = fusion.fit(query, gallery).distances(0, 4)
    expected = literal(query, gallery, tuple(weights), on, normalise=True)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_evaluate_ranks_as_the_literal_distances_do() -> None:
    query, gallery = features(3, 12), features(4, 60)
    rng = np.random.default_rng(5)
    ids = rng.integers(1, 6, size=12), rng.integers(-1, 6, size=60)
    for weights in ROWS.values():
        got = evaluate(query, gallery, *ids, reranker=StreamFusion(weights))
        rows = literal(query, gallery, weights, "descriptors", normalise=True)
        np.testing.assert_allclose(got.ap, evaluate_distances(rows, *ids).ap)


def test_a_single_stream_is_that_stream_alone() -> None:
    query, gallery = features(6, 8), features(7, 30)
    ids = np.arange(8) % 3 + 1, np.arange(30) % 3 + 1
    for stream in range(4):
        weights = tuple(float(stream == other) for other in range(4))
        block = slice(5 * stream, 5 * stream + 5)
        alone = evaluate(query[:, block].copy(), gallery[:, block].copy(), *ids, metric="cosine")
        fused = evaluate(query, gallery, *ids, reranker=StreamFusion(weights))
        np.testing.assert_array_equal(fused.ap, alone.ap)
    kept = StreamFusion((0.0, 2.0, 0.0, 0.0)).fit(query, gallery).space
    assert kept is not None
    assert kept.gallery.shape == (30, 5)


def test_tensors_and_arrays_agree_and_stay_as_they_are() -> None:
    query, gallery = features(8, 5), features(9, 7)
    before = query.copy(), gallery.copy()
    fusion = StreamFusion((0.5, 0.2, 0.4, 0.4), normalise=False)
    rows = fusion.fit(query, gallery).distances(0, 5)
    tensors = torch.from_numpy(query), torch.from_numpy(gallery).double()
    np.testing.assert_array_equal(fusion.fit(*tensors).distances(0, 5), rows)
    np.testing.assert_array_equal(query, before[0])
    np.testing.assert_array_equal(gallery, before[1])


def test_a_second_fit_starts_afresh() -> None:
    fusion = StreamFusion().fit(features(1, 3), features(2, 4))
    fusion.distances(0, 3)
    fusion.fit(features(3, 2), features(4, 6))
    assert set(fusion.timings) == {"fusion"}
    assert fusion.distances(0, 2).shape == (2, 6)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((), "weights are"),
        ((0.0, 0.0), "one of them above 0"),
        ((1.0, -0.1), "at least 0"),
        ((1.0, float("nan")), "at least 0"),
        ((1.0, float("inf")), "at least 0"),
    ],
)
def test_wrong_weights_are_named(weights: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StreamFusion(weights)
    settings = {"title": "T", "method": "StreamFusion", "options": {"weights": list(weights)}}
    with pytest.raises(ValidationError, match="weights: numbers of at least 0, one of them above"):
        TypeAdapter(ReRankerConfig).validate_python(settings)


def test_wrong_features_are_named() -> None:
    with pytest.raises(ValueError, match="20 columns are no 3 equal streams"):
        StreamFusion((1.0, 1.0, 1.0)).fit(features(1, 3), features(2, 4))
    with pytest.raises(ValueError, match="call fit before distances"):
        StreamFusion().distances(0, 1)
    with pytest.raises(ValueError, match="lie outside the 3"):
        StreamFusion().fit(features(1, 3), features(2, 4)).distances(0, 4)
    with pytest.raises(ValueError, match="on is 'ranks'"):
        StreamFusion(on="ranks")
    with pytest.raises(ValueError, match="20 dimensions, gallery has 24"):
        StreamFusion((1.0, 1.0)).fit(features(1, 3), features(2, 4, 4, 6))


def test_the_configuration_makes_it(repository: Path) -> None:
    settings = {
        "title": "Head, upper and lower body, weighted",
        "method": "StreamFusion",
        "options": {"weights": [0, 0.2, 0.4, 0.4], "on": "distances"},
    }
    made = reranker_of(TypeAdapter(ReRankerConfig).validate_python(settings), (9, 20))
    assert isinstance(made, StreamFusion)
    assert (made.weights, made.on, made.normalise) == ((0, 0.2, 0.4, 0.4), "distances", True)
