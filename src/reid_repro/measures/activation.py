"""Class activation maps with and without CHCA's context modules (CHCA, Section IV-D, Fig. 5).

The map of class c at a cell is sum_k w_ck s_k F_k: F the last feature map, w the classifier's
weights and s the scale of the BNNeck between the two, gamma / sqrt(variance). What the neck takes
off every cell alike is left out, as biases usually are. A test image has none of the training
identities: its class is the one that the network itself finds likeliest. An area is active where
the positive part of the map is at least half its maximum.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.measures.forward import batches, network
from reid_repro.measures.source import Measure, Rows, Source
from reid_repro.models.chca import CHCA
from reid_repro.models.outputs import Neck

KEYS = {"chca/chca": "chcm", "chca/none": "baseline"}
WHAT = (
    "share of cells whose class activation (classifier weights times neck scale on the last map, "
    "class of the largest logit) is at least half the map's maximum"
)

Floats = npt.NDArray[np.float32]


def activation(features: Tensor, neck: Neck) -> Tensor:
    """Class activation maps (n, h, w) of feature maps (n, c, h, w), for the likeliest class."""
    descriptor = neck(features.mean(dim=(2, 3), dtype=torch.float32))
    likeliest = neck.classifier(descriptor).argmax(dim=1)
    variance = neck.norm.running_var
    assert variance is not None
    scale = neck.norm.weight / (variance + neck.norm.eps).sqrt()
    weights = neck.classifier.weight[likeliest] * scale
    return torch.einsum("nc,nchw->nhw", weights, features.float())


def active_share(maps: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Of each map (n, h, w) the share of cells of at least half the maximum, (n,).

    Nothing is active in a map without a positive cell.
    """
    given = np.asarray(maps, np.float64)
    peak = given.max(axis=(1, 2))
    active = (given >= peak[:, None, None] / 2) & (peak > 0)[:, None, None]
    found: npt.NDArray[np.float64] = active.mean(axis=(1, 2))
    return found


@torch.inference_mode()
def maps_of(source: Source, name: str, rows: Rows) -> Floats:
    """The maps (n, h, w) of images by the network of PAPER/VARIANT."""
    found = network(source, name)
    module = found.module
    assert isinstance(module, CHCA)
    maps = [
        activation(module.feature_map(batch.images), module.neck).cpu().numpy()
        for batch in batches(source, found, rows)
    ]
    return np.concatenate(maps)


def maps_of_queries(source: Source, name: str) -> Floats:
    """The maps of all measured queries, computed once."""
    key = "activation", name
    if key not in source.cache:
        source.cache[key] = maps_of(source, name, source.queries)
    found: Floats = source.cache[key]
    return found


def active_areas(source: Source) -> Iterator[Measure]:
    """Fig. 5: the active area with the modules and without them."""
    for name, key in KEYS.items():
        shares = active_share(maps_of_queries(source, name))
        yield source.of("Fig. 5", (key, "active_area"), source.queries, shares, WHAT)
