"""What GNN re-ranking says of its method and its settings, shown on this project's re-ranker."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reranking_oracles import clustered, cosine_distances, unit_rows

from reid_repro import plan
from reid_repro.methods import GNNOptions
from reid_repro.retrieval.rerank import GNN
from reid_repro.retrieval.rerank.sparse import add_rows, neighbour_rows, transpose
from reid_repro.rows import reranker_on


def ranked(features: np.ndarray) -> np.ndarray:
    """Each node's nodes, itself first, then by cosine distance."""
    distance = cosine_distances(features).astype(np.float32)
    np.fill_diagonal(distance, -1)
    return np.argsort(distance, axis=1, kind="stable")


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 60), k1=st.integers(1, 20))
def test_the_symmetric_adjacency_is_equation_9(seed: int, n: int, k1: int) -> None:
    """A* = (A + A') / 2: zeros, halves and ones, symmetric, at most 2 n k1 of them not zero."""
    query, gallery = clustered(seed, 2, n)
    nearest = ranked(np.concatenate([query, gallery]))[:, :k1].astype(np.int64)
    adjacent = neighbour_rows(nearest, np.ones(nearest.shape, dtype=np.float32))
    twice = add_rows(adjacent, transpose(adjacent, adjacent.n))
    dense = np.zeros((n + 2, n + 2))
    for row in range(n + 2):
        at = slice(twice.indptr[row], twice.indptr[row + 1])
        dense[row, twice.indices[at]] = twice.data[at] / 2
    literal = np.zeros_like(dense)
    literal[np.arange(n + 2)[:, None], nearest] = 1
    np.testing.assert_array_equal(dense, (literal + literal.T) / 2)
    np.testing.assert_array_equal(dense, dense.T)
    assert set(np.unique(dense)) <= {0, 0.5, 1}
    assert np.count_nonzero(dense) == len(twice.data) <= 2 * (n + 2) * nearest.shape[1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_local_query_expansion_is_one_layer(seed: int) -> None:
    """Section 3.4: one layer with alpha = 0 and the mean averages the rows of k2 neighbours.

    The node itself is the first of its neighbours (Eq. 13), so nothing is added beside them.
    """
    query, gallery = clustered(seed, 12, 80)
    order = ranked(np.concatenate([query, gallery]))
    adjacent = np.zeros((92, 92))
    adjacent[np.arange(92)[:, None], order[:, :9]] = 1
    expanded = unit_rows((adjacent + adjacent.T)[order[:, :4]].mean(axis=1))
    expected = 1 - expanded[:12] @ expanded[12:].T
    one_layer = GNN(9, 4, layers=1, alpha=0, aggregate="mean", residual=False)
    got = one_layer.fit(query, gallery).distances(0, 12)
    np.testing.assert_allclose(got, expected, atol=2e-6)
    assert np.abs(got - GNN(9, 4).fit(query, gallery).distances(0, 12)).max() > 1e-3


@pytest.mark.parametrize(("dataset", "k1", "k2"), [("market1501", 26, 7), ("veri776", 60, 10)])
def test_settings_are_those_of_section_4_1(dataset: str, k1: int, k2: int) -> None:
    """Two layers, sums, alpha = 2, and each dataset's own numbers of neighbours."""
    options = reranker_on(plan.load({"scale": "paper"}), "gnn", dataset).options
    assert isinstance(options, GNNOptions)
    assert (options.layers, options.aggregate, options.alpha) == (2, "sum", 2)
    assert (options.k1, options.k2, options.symmetric) == (k1, k2, "paper")


def test_veri776_is_timed_with_its_own_neighbours() -> None:
    """Section 4.1: 60 and 10 neighbours on VeRi-776."""
    timing = plan.load({"scale": "paper"}).papers["gnn"].timings["reranking"]
    assert timing.measure == "reranking"
    assert timing.settings["veri"]["gnn2"] == {"k1": 60, "k2": 10}
