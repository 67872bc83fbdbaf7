"""Simulated test sets: counts and labels as asked for, features drawn the same at any block."""

from dataclasses import replace

import numpy as np
import pytest

import reid_repro.retrieval.simulation as simulation
from reid_repro.retrieval import evaluate
from reid_repro.retrieval.simulation import SIZES, Size, simulate

SIZE = Size(60, 200, 30, 5, 24, 1.2, distractors=40, junk=25, strangers=20)


def test_counts_labels_and_norms() -> None:
    split = simulate(SIZE)
    assert split.nodes.shape == (60 + 265, 24)
    assert split.nodes.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(split.nodes, axis=1), 1, rtol=0, atol=1e-6)
    identities, counts = np.unique(split.gallery_ids, return_counts=True)
    assert identities.tolist() == [-1, 0, *range(1, 31)]
    assert counts[:2].tolist() == [25, 40]
    assert set(counts[2:]) <= {6, 7}  # 200 images of 30 identities, as evenly as it goes
    assert set(split.query_ids) == set(range(1, 31))
    for cameras in (split.query_cameras, split.gallery_cameras):
        assert set(cameras) == set(range(5))
    # Views, not copies: a large set is in memory once.
    assert split.query.base is split.nodes
    assert split.gallery.base is split.nodes
    assert [len(labels) for labels in split.labels] == [60, 265, 60, 265]


def test_identities_are_mixed_through_the_gallery() -> None:
    split = simulate(SIZE)
    assert np.flatnonzero(split.gallery_ids == -1).min() < 100
    assert np.count_nonzero(np.diff(split.gallery_ids) == 1) < 50


def test_draws_repeat_and_depend_neither_on_blocks_nor_on_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(simulation, "STREAM_ELEMENTS", 1000)  # several streams, the last one short
    first, other = simulate(SIZE, seed=1), simulate(SIZE, seed=2)
    monkeypatch.setattr(simulation, "BLOCK_ELEMENTS", 100)
    again = simulate(SIZE, seed=1, threads=3)
    np.testing.assert_array_equal(first.nodes, again.nodes)
    for one, two in zip(first.labels, again.labels, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.nodes, other.nodes)


def test_every_stream_has_random_numbers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "STREAM_ELEMENTS", 24 * 65)
    # Noise alone: one centre, no cameras to speak of.
    nodes = simulate(replace(SIZE, identities=1, strangers=1, cameras=0, noise=50.0)).nodes
    assert len(np.unique(nodes, axis=0)) == len(nodes)
    assert np.abs(np.corrcoef(nodes.reshape(5, -1)) - np.eye(5)).max() < 0.1


def test_ranking_leaves_something_to_do_and_noise_decides_how_much() -> None:
    scores = []
    for noise in (0.5, 1.6, 4.0):
        split = simulate(replace(SIZES["small"], noise=noise))
        scores.append(evaluate(split.query, split.gallery, *split.labels).mAP)
    assert scores[0] > 0.99
    assert 0.75 < scores[1] < 0.85
    assert scores[2] < 0.5


def test_distractors_resemble_nobody_and_cameras_shift() -> None:
    split = simulate(replace(SIZE, noise=0.0))
    cosine = split.query @ split.gallery.T
    same = split.query_ids[:, None] == split.gallery_ids
    shared = split.query_cameras[:, None] == split.gallery_cameras
    # Without noise, an identity's images differ by their cameras alone.
    np.testing.assert_allclose(cosine[same & shared], 1, rtol=0, atol=1e-6)
    assert cosine[same & ~shared].max() < 0.999
    assert cosine[:, split.gallery_ids < 1].max() < 0.9


def test_no_cameras_are_unknown_cameras() -> None:
    split = simulate(replace(SIZE, cameras=0))
    assert set(split.query_cameras) == set(split.gallery_cameras) == {-1}
    assert evaluate(split.query, split.gallery, *split.labels).n_valid == 60


def test_sizes_are_those_of_the_test_sets() -> None:
    counts = {name: (size.queries, size.gallery, size.dim) for name, size in SIZES.items()}
    del counts["small"]
    assert counts == {
        "market": (3368, 19732, 1536),
        "veri": (1678, 11579, 2048),
        "wild": (10000, 128517, 512),
        "oxford": (55, 5007, 2048),
        "paris": (55, 6357, 2048),
        "university": (37855, 951, 512),
        "glad": (3368, 19732, 4096),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": 0}, "start at 1"),
        ({"dim": 0}, "start at 1"),
        ({"cameras": -1}, "start at 0"),
        ({"noise": -0.1}, "start at 0"),
        ({"strangers": 0}, "need strangers"),
    ],
)
def test_impossible_counts_are_named(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(replace(SIZE, **change))
