"""The joint node matrix of re-rankers that search queries and gallery among themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from reid_repro.retrieval.distances import Features, as_features
from reid_repro.retrieval.rows import normalised

CHUNK_ELEMENTS = 1 << 22  # feature elements normalised at a time


def joint_nodes(query: Features, gallery: Features, *, normalise: bool) -> tuple[Tensor, int]:
    """Queries (n, d) above gallery (g, d) in one float32 matrix, and the number of queries.

    At most one copy is made of float32 features: normalised rows are written straight into it, and
    tensors that are already consecutive rows of one matrix, to be taken as given, are not copied.

    Raises:
        ValueError: bad features (`as_features`), or two sides that do not fit together.
    """
    queries, entries = as_features(query, "query"), as_features(gallery, "gallery")
    if queries.shape[1] != entries.shape[1]:
        raise ValueError(f"query has {queries.shape[1]} dimensions, gallery has {entries.shape[1]}")
    if queries.device != entries.device:
        raise ValueError(f"query is on {queries.device}, gallery on {entries.device}: use one")
    n_query, dim = queries.shape
    shape = (n_query + len(entries), dim)
    if not normalise and _consecutive(queries, entries):
        return torch.as_strided(queries, shape, (dim, 1)), n_query
    nodes = entries.new_empty(shape)
    step = max(1, CHUNK_ELEMENTS // dim)
    for side, into in ((queries, nodes[:n_query]), (entries, nodes[n_query:])):
        for first in range(0, len(side), step):
            rows = slice(first, first + step)
            into[rows] = normalised(side[rows]) if normalise else side[rows]
    return nodes, n_query


def _consecutive(first: Tensor, second: Tensor) -> bool:
    """Whether two contiguous matrices follow one another in the same storage."""
    same = first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr()
    return same and int(second.storage_offset()) == int(first.storage_offset()) + first.numel()
