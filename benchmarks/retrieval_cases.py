"""The lines of the retrieval benchmark: this project's work, and the bounds and peers beside it.

A line is compared with the line named in `beside`; what its time holds is told in
`retrieval_tasks.py`.
"""

from __future__ import annotations

from typing import Final

from retrieval_bounds import argsort_evaluator
from retrieval_group_cases import CASES as GROUPING
from retrieval_line import Line
from retrieval_peers import fastreid_evaluator
from retrieval_tasks import (
    alpha_expansion,
    alpha_expansion_of_all,
    average_expansion,
    average_expansion_of_all,
    dense_gnn,
    fastreid_aqe,
    fastreid_k_reciprocal_task,
    gnn,
    gnn_as_released,
    k_reciprocal,
    own_evaluator,
    product,
    rows_only,
    sca,
    scored,
    torchreid_k_reciprocal,
    torchreid_scored,
    with_map,
)
from retrieval_tasks_search import (
    faiss_searched,
    gallery_searched,
    searched,
    single_faiss,
    single_own,
    single_product,
    topk_searched,
)

BOUND: Final = "bound"
PEER: Final = "peer"
SMALL_PRODUCT, WIDE_PRODUCT = "product q x g, fp32 torch", "product n x n, fp32 torch"
WIDE_BF16 = "product n x n, bf16 torch"
CYTHON, TORCHREID, FASTREID = (
    "fast-reid evaluator, Cython",
    "torchreid re_ranking, from distances",
    "fast-reid k-reciprocal, faiss",
)
SEARCH, SINGLE_MV = "knn, n x n, k = 21", "one query: torch product, topk"
DENSE_GPU = "GNN, dense torch, GPU"

Lines = tuple[Line, ...]

PRODUCTS: Lines = tuple(
    Line(f"product {shape}, {title}", "Bare products", product(bits, shape == "n x n"), BOUND)
    for shape in ("q x g", "n x n")
    for bits, title in (("fp32", "fp32 torch"), ("numpy", "fp32 numpy"), ("bf16", "bf16 torch"))
)

EVALUATION: Lines = (
    Line("stable argsort evaluator, numpy", "Evaluation", scored(lambda: argsort_evaluator), PEER),
    Line(CYTHON, "Evaluation", scored(fastreid_evaluator), PEER),
    Line("torchreid evaluator, Cython", "Evaluation", torchreid_scored(compiled=True), PEER),
    Line("torchreid evaluator, Python", "Evaluation", torchreid_scored(compiled=False), PEER),
    Line("evaluate_distances", "Evaluation", scored(lambda: own_evaluator), beside=CYTHON),
    Line("evaluate", "Evaluation", with_map(None), beside=SMALL_PRODUCT),
)

SEARCHES: Lines = (
    Line("faiss IndexFlatIP", "Search", faiss_searched(inner_product=True), PEER),
    Line("faiss IndexFlatL2", "Search", faiss_searched(inner_product=False), PEER),
    Line("torch mm and topk", "Search", topk_searched, PEER),
    Line(SEARCH, "Search", searched, beside="faiss IndexFlatIP"),
    Line("knn, q x g, k = 10", "Search", gallery_searched, beside=SMALL_PRODUCT),
    Line(SINGLE_MV, "Search", single_product, PEER, threads=1),
    Line("one query: faiss IndexFlatIP", "Search", single_faiss, PEER, threads=1),
    Line("one query: neighbours", "Search", single_own, threads=1, beside=SINGLE_MV),
)

RERANKING: Lines = (
    Line(TORCHREID, "Re-ranking", torchreid_k_reciprocal, PEER),
    Line(FASTREID, "Re-ranking", fastreid_k_reciprocal_task, PEER),
    Line("k-reciprocal with mAP", "Re-ranking", with_map(k_reciprocal), beside=TORCHREID),
    Line("GNN, dense torch", "Re-ranking", dense_gnn("cpu"), PEER),
    Line("GNN with mAP", "Re-ranking", with_map(gnn), beside="GNN, dense torch"),
    Line(
        "GNN as released, with mAP",
        "Re-ranking",
        with_map(gnn_as_released),
        beside="GNN, dense torch",
    ),
    Line("fast-reid aqe", "Re-ranking", fastreid_aqe, PEER),
    Line(
        "AQE, queries and gallery",
        "Re-ranking",
        rows_only(average_expansion_of_all),
        beside=SEARCH,
    ),
    Line(
        "alpha-QE, queries and gallery",
        "Re-ranking",
        rows_only(alpha_expansion_of_all),
        beside="fast-reid aqe",
    ),
    Line("AQE with mAP", "Re-ranking", with_map(average_expansion)),
    Line("alpha-QE with mAP", "Re-ranking", with_map(alpha_expansion)),
    Line("SCA", "Re-ranking", rows_only(sca), beside=SEARCH),
    Line("SCA with mAP", "Re-ranking", with_map(sca)),
)

ON_GPU: Lines = (
    Line(DENSE_GPU, "On a GPU, features resident", dense_gnn("cuda"), PEER, device="cuda"),
    Line(
        "GNN, GPU",
        "On a GPU, features resident",
        rows_only(gnn, "cuda"),
        device="cuda",
        beside=DENSE_GPU,
    ),
    Line(
        "k-reciprocal, GPU",
        "On a GPU, features resident",
        rows_only(k_reciprocal, "cuda"),
        device="cuda",
    ),
)

LINES: Lines = PRODUCTS + EVALUATION + SEARCHES + RERANKING + GROUPING + ON_GPU
