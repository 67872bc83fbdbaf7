"""Search, evaluation and re-ranking grow by far less than one n x n matrix.

They run one after another in a process of their own, which first does the same at a small size (so
that compiled code, threads and the buffers of the libraries are there) and then tells, for each,
how far the resident memory went at most above what it was before the first of them.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

N = 12_000
MATRIX = 4 * N * N  # 576 MB in float32
LIMIT = 250e6  # a half-precision matrix would not fit either

MEASURED = """
import json
import sys

import torch
from retrieval_line import forget_peak, resident_bytes

from reid_repro.retrieval import evaluate, knn
from reid_repro.retrieval.rerank import (
    GNN,
    AlphaQueryExpansion,
    KReciprocal,
    SparseContextualActivation,
)
from reid_repro.retrieval.simulation import Size, simulate


def scored(reranker):
    return lambda split: evaluate(split.query, split.gallery, *split.labels, reranker=reranker).mAP


WORK = {
    "search": lambda split: float(knn(split.nodes, split.nodes, 21, self_match="first")[1].mean()),
    "evaluation": scored(None),
    "k-reciprocal": scored(KReciprocal()),
    "GNN": scored(GNN(12, 6)),
    "SCA": scored(SparseContextualActivation()),
    "alpha-QE": scored(AlphaQueryExpansion(10, 3.0, expand_gallery=True, pool="all")),
    "matrix": lambda split: float(torch.ones(len(split.nodes), len(split.nodes)).mean()),
}

torch.set_num_threads(2)
small = simulate(Size(300, 1700, 100, 4, 32, 0.6))
for work in WORK.values():
    work(small)
n = int(sys.argv[1])
split = simulate(Size(n // 6, n - n // 6, n // 12, 4, 32, 0.6))
before = resident_bytes()[0]
told = {}
for name, work in WORK.items():
    forget_peak()
    result = work(split)
    told[name] = {"growth": resident_bytes()[1] - before, "result": result}
print(json.dumps(told))
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak of a part needs Linux's /proc"
)


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, float]]:
    benchmarks = Path(__file__).parents[1] / "benchmarks"
    code = f"import sys; sys.path.append({str(benchmarks)!r})\n{MEASURED}"
    command = [sys.executable, "-c", code, str(N)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    told: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_a_matrix_is_seen(measured: dict[str, dict[str, float]]) -> None:
    """The measurement itself."""
    assert measured["matrix"]["growth"] > 0.99 * MATRIX > LIMIT


@pytest.mark.parametrize("work", ["search", "evaluation", "k-reciprocal", "GNN", "SCA", "alpha-QE"])
def test_memory_stays_below_half_a_matrix(work: str, measured: dict[str, dict[str, float]]) -> None:
    assert 0 < measured[work]["result"] < 1
    assert measured[work]["growth"] < LIMIT < MATRIX / 2
