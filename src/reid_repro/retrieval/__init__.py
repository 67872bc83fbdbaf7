"""Retrieval: exact search, evaluation and re-ranking of feature matrices.

Stands alone: it takes numpy arrays or torch tensors and imports nothing else of the project.
"""

from reid_repro.retrieval.metrics import (
    Evaluation,
    average_precision,
    evaluate,
    evaluate_distances,
)
from reid_repro.retrieval.search import knn

__all__ = ["Evaluation", "average_precision", "evaluate", "evaluate_distances", "knn"]
