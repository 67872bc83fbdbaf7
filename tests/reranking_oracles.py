"""Re-rankers by dense n x n matrices, one loop a step, from their equations; and small features."""

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Features = npt.NDArray[np.float32]


def clustered(
    seed: int, n_query: int, n_gallery: int, *, dim: int = 8, identities: int = 6, copies: int = 0
) -> tuple[Features, Features]:
    """Features around identity centres; the first `copies` gallery rows repeat others."""
    rng = np.random.default_rng(seed)
    n = n_query + n_gallery
    centres = rng.normal(size=(identities, dim))
    features = centres[rng.integers(identities, size=n)] + 0.6 * rng.normal(size=(n, dim))
    features = features.astype(np.float32)
    features[n_query : n_query + copies] = features[rng.integers(n, size=copies)]
    return features[:n_query], features[n_query:]


def cosine_distances(features: Features) -> Matrix:
    """All cosine distances as `distances.py` defines them."""
    wide = features.astype(np.float64)
    norm = np.linalg.norm(wide, axis=1, keepdims=True)
    unit = (wide / np.where(norm > 0, norm, 1)).astype(np.float32).astype(np.float64)
    zero = (norm[:, 0] == 0) / 2
    return ((unit[:, None] - unit[None]) ** 2).sum(2) / 2 + zero[:, None] + zero


def unit_rows(matrix: Matrix) -> Matrix:
    norm = np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix / np.where(norm > 0, norm, 1)


def dense_gnn(
    query: Features,
    gallery: Features,
    k1: int = 26,
    k2: int = 7,
    *,
    layers: int = 2,
    alpha: float = 2.0,
    aggregate: str = "sum",
    nodes: str = "symmetric",
    edge_weights: bool = True,
    propagate: bool = True,
    symmetric: str = "paper",
    residual: bool | None = None,
    blend: float = 0.0,
) -> Matrix:
    """Eqs. 7 to 14 with n x n matrices, or the released code's order of the same steps."""
    features = np.concatenate([query, gallery])
    n, n_query = len(features), len(query)
    distance = cosine_distances(features)
    similarity = 1 - distance  # Eq. 7
    similarity[similarity < 2.0**-22] = 0  # below zero, or zero but for the features' rounding
    first = distance.astype(np.float32)
    np.fill_diagonal(first, -1)
    ranked = np.argsort(first, axis=1, kind="stable")
    adjacent = np.zeros((n, n))
    for i in range(n):
        adjacent[i, ranked[i, :k1]] = 1  # Eq. 8
    every_layer = symmetric == "authors" and nodes == "symmetric"
    if nodes == "features":
        h = unit_rows(features.astype(np.float64))
    elif nodes == "adjacency" or (every_layer and propagate):
        h = adjacent
    else:
        h = (adjacent + adjacent.T) / 2  # Eq. 9
    keep = symmetric == "paper" if residual is None else residual
    for _ in range(layers if propagate else 0):
        if every_layer:
            h = h + h.T
        new = np.empty_like(h)
        for i in range(n):
            edges = ranked[i, :k2]
            weight = similarity[i, edges] ** alpha  # Eqs. 12 and 14
            messages = (weight if edge_weights else np.ones(len(edges)))[:, None] * h[edges]
            new[i] = {"sum": np.sum, "mean": np.mean, "max": np.max}[aggregate](messages, axis=0)
            new[i] += h[i] if keep else 0
        h = unit_rows(new)
    h = unit_rows(h)
    refined = 1 - h[:n_query] @ h[n_query:].T
    return (1 - blend) * refined + blend * distance[:n_query, n_query:]


def dense_sca(
    query: Features,
    gallery: Features,
    k1: int = 20,
    k2: int = 6,
    *,
    weight_scale: str = "row_maximum",
    membership: str = "sum",
    metric: str = "euclidean",
) -> Matrix:
    """The encoding with n x n matrices and one loop a step."""
    features = np.concatenate([query, gallery]).astype(np.float64)
    if metric == "cosine":
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        features = features.astype(np.float32).astype(np.float64)
    squared = ((features[:, None] - features[None]) ** 2).sum(2)
    distance = squared / 2 if metric == "cosine" else np.sqrt(squared)
    first = distance.astype(np.float32)
    np.fill_diagonal(first, -1)
    ranked = np.argsort(first, axis=1, kind="stable")
    if weight_scale == "row_maximum":
        distance = distance / distance.max(axis=1, keepdims=True)
    n, n_query = len(features), len(query)
    encoded = np.zeros((n, n))
    for i in range(n):
        near = ranked[i, :k1]
        weight = np.exp(-distance[i, near])
        encoded[i, near] = weight / (weight.sum() if membership == "sum" else 1)
    encoded = np.stack([encoded[ranked[i, :k2]].mean(axis=0) for i in range(n)])
    out = np.empty((n_query, n - n_query))
    for i in range(n_query):
        for j in range(n_query, n):
            shared = np.minimum(encoded[i], encoded[j]).sum()
            out[i, j - n_query] = 1 - shared / np.maximum(encoded[i], encoded[j]).sum()
    return out
