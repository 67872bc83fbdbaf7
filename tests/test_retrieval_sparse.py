"""Sparse rows of the re-rankers against dense matrices."""

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse as scipy_sparse

from reid_repro.retrieval.rerank.sparse import (
    Rows,
    add_rows,
    combine_rows,
    cosine_rows,
    jaccard_rows,
    neighbour_rows,
    row_norms,
    row_sums,
    transpose,
)

Matrix = npt.NDArray[np.float64]


def random_rows(rng: np.random.Generator, n: int, n_columns: int, share: float) -> Rows:
    matrix = scipy_sparse.random_array((n, n_columns), density=share, rng=rng, dtype=np.float32)
    matrix = scipy_sparse.csr_array(matrix)
    matrix.sort_indices()
    return Rows(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)


def dense(rows: Rows, n_columns: int) -> Matrix:
    assert all(
        (np.diff(rows.indices[a:b]) > 0).all()
        for a, b in zip(rows.indptr, rows.indptr[1:], strict=False)
    )
    return scipy_sparse.csr_array(rows.csr, shape=(rows.n, n_columns)).toarray().astype(np.float64)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 90),
    n_columns=st.integers(1, 200),
    share=st.sampled_from([0.0, 0.05, 0.4, 1.0]),
    k=st.integers(1, 6),
)
def test_sparse_steps_are_the_dense_ones(
    seed: int, n: int, n_columns: int, share: float, k: int
) -> None:
    rng = np.random.default_rng(seed)
    left, right = (random_rows(rng, n, n_columns, share) for _ in range(2))
    x, y = dense(left, n_columns), dense(right, n_columns)
    np.testing.assert_allclose(dense(add_rows(left, right), n_columns), x + y, rtol=1e-6)
    np.testing.assert_array_equal(dense(transpose(left, n_columns), n), x.T)
    np.testing.assert_array_equal(dense(left.part(n // 3, n), n_columns), x[n // 3 :])
    near = rng.integers(n, size=(n, k))
    weight, own = rng.random((n, k), dtype=np.float32), rng.random(n, dtype=np.float32)
    messages = weight[:, :, None].astype(np.float64) * x[near]
    combined = dense(combine_rows(near, weight, left, n_columns), n_columns)
    np.testing.assert_allclose(combined, messages.sum(1), rtol=1e-5)
    largest = combine_rows(near, weight, left, n_columns, own=own, maximum=True)
    want = messages.max(1) + own[:, None] * x
    np.testing.assert_allclose(dense(largest, n_columns), want, rtol=1e-5)
    np.testing.assert_allclose(row_sums(left), x.sum(1))
    np.testing.assert_allclose(row_norms(left), np.linalg.norm(x, axis=1))
    out = np.empty((n, n), dtype=np.float32)
    inverted = transpose(right, n_columns)
    jaccard_rows(left, row_sums(left), inverted, row_sums(right), out)
    most = np.maximum(x[:, None], y[None]).sum(2)
    shared = np.minimum(x[:, None], y[None]).sum(2)
    want = 1 - np.divide(shared, most, out=np.zeros_like(most), where=most > 0)
    np.testing.assert_allclose(out, want, atol=1e-6)
    scale = rng.random(n) / n_columns
    cosine_rows(left, scale, inverted, scale, out)
    np.testing.assert_allclose(out, 1 - scale[:, None] * (x @ y.T) * scale, atol=1e-6)


def test_a_limit_is_kept_before_anything_is_built() -> None:
    rows = neighbour_rows(np.array([[2, 0], [1, 2], [0, 1]]), np.ones((3, 2), dtype=np.float32))
    near, weight = np.array([[0, 1], [1, 2], [2, 0]]), np.ones((3, 2), dtype=np.float32)
    full = combine_rows(near, weight, rows, 3, limit=9)
    assert full is not None
    np.testing.assert_array_equal(dense(full, 3), [[1, 1, 2], [1, 2, 1], [2, 1, 1]])
    assert combine_rows(near, weight, rows, 3, limit=8) is None
