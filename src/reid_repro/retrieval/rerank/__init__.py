"""Re-rankers: new query-gallery distances from the features, without any n x n matrix.

Each is configured by its constructor, fitted on `(query, gallery)` and asked for distance rows
(`base.Reranker`). The baseline is no re-ranker at all.
"""

from reid_repro.retrieval.rerank.base import Reranker
from reid_repro.retrieval.rerank.gnn import GNN
from reid_repro.retrieval.rerank.k_reciprocal import KReciprocal
from reid_repro.retrieval.rerank.query_expansion import AlphaQueryExpansion, AverageQueryExpansion
from reid_repro.retrieval.rerank.sca import SparseContextualActivation
from reid_repro.retrieval.rerank.streams import StreamFusion

__all__ = [
    "GNN",
    "AlphaQueryExpansion",
    "AverageQueryExpansion",
    "KReciprocal",
    "Reranker",
    "SparseContextualActivation",
    "StreamFusion",
]
