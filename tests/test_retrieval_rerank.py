"""What the re-rankers have in common: streaming into the evaluator, and clear errors."""

from collections.abc import Callable

import numpy as np
import pytest
from reranking import clustered

from reid_repro.retrieval import evaluate, evaluate_distances
from reid_repro.retrieval.rerank import (
    AlphaQueryExpansion,
    AverageQueryExpansion,
    KReciprocal,
    Reranker,
)


@pytest.mark.parametrize(
    "reranker", [AverageQueryExpansion(3), AlphaQueryExpansion(3, 2.0), KReciprocal(6, 3)]
)
def test_evaluate_streams_a_reranker(reranker: Reranker) -> None:
    assert isinstance(reranker, Reranker)
    query, gallery = clustered(7, 20, 90)
    rng = np.random.default_rng(0)
    query_ids, gallery_ids = rng.integers(1, 8, size=20), rng.integers(-1, 8, size=90)
    got = evaluate(query, gallery, query_ids, gallery_ids, reranker=reranker)
    rows = reranker.fit(query, gallery).distances(0, 20)
    want = evaluate_distances(rows, query_ids, gallery_ids)
    np.testing.assert_array_equal(got.ap, want.ap)
    assert reranker.timings["distances"] > 0


def test_reranking_helps_on_clusters() -> None:
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(40, 32))
    ids = np.repeat(np.arange(1, 41), 12)
    features = centres[ids - 1] + 1.1 * rng.normal(size=(480, 32))
    query = np.arange(480) % 12 < 2
    split = (features[query], features[~query], ids[query], ids[~query])
    baseline = evaluate(*split, metric="cosine").mAP
    for reranker in (AverageQueryExpansion(5), KReciprocal(10, 4, metric="cosine")):
        assert evaluate(*split, reranker=reranker).mAP > baseline + 0.02


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: KReciprocal(k1=0), "k1"),
        (lambda: KReciprocal(k2=2.5), "k2"),
        (lambda: KReciprocal(lambda_=1.2), "lambda_"),
        (lambda: KReciprocal(overlap="less"), "overlap"),
        (lambda: KReciprocal(metric="l1"), "metric"),
        (lambda: KReciprocal(block=0), "block"),
        (lambda: AverageQueryExpansion(0), "k is 0"),
        (lambda: AverageQueryExpansion(times=0), "times is 0"),
        (lambda: AverageQueryExpansion(pool="query"), "pool"),
        (lambda: AverageQueryExpansion(averaged="raw"), "averaged"),
        (lambda: AlphaQueryExpansion(3, -1.0), "alpha"),
        (lambda: KReciprocal().distances(0, 1), "call fit"),
        (lambda: AverageQueryExpansion().distances(0, 1), "call fit"),
        (lambda: KReciprocal(2, 1).fit(*clustered(0, 2, 5)).distances(1, 3), "lie outside the 2"),
    ],
)
def test_bad_arguments_are_named(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
