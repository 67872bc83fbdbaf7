"""Attention in the corners of a vehicle, and regions that grow alike (SSR-Net, Figs. 3 and 4).

Fig. 3 says that most attention lies in the four corners. The corner regions of the graph overlap:
at crops of two thirds they cover the whole map together. A corner is therefore what belongs to one
corner region alone, a third of each side at that crop.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from reid_repro.measures.boxes import share_inside
from reid_repro.measures.forward import batches, network
from reid_repro.measures.source import LeftOutError, Measure, Rows, Source
from reid_repro.models.layers.attention import CBAM
from reid_repro.models.layers.graph import REGIONS, pool_regions, region_bounds
from reid_repro.models.ssrnet import SSRNet

Floats = npt.NDArray[np.float32]
CROPS = {"ssrnet/ssrnet": "2/3", "ssrnet/crop_three_quarters": "3/4"}


def corner_cells(height: int, width: int, crop: float) -> npt.NDArray[np.bool_]:
    """Which cells of a map belong to one corner region alone, (height, width)."""
    regions = np.zeros((height, width), np.int64)
    for name, bounds in zip(REGIONS, region_bounds(height, width, crop), strict=True):
        if name != "middle":
            regions[bounds] += 1
    alone: npt.NDArray[np.bool_] = regions == 1
    return alone


@torch.inference_mode()
def spatial_maps(source: Source, name: str, rows: Rows) -> Floats:
    """CBAM's spatial attention M_s (n, h, w) on images (Eq. 1).

    Raises LeftOutError for a network with another attention, or none.
    """
    found = network(source, name)
    module = found.module
    assert isinstance(module, SSRNet)
    attend = None if module.attention is None else module.attention.attend
    if not isinstance(attend, CBAM):
        raise LeftOutError(f"{name} has no spatial attention")
    maps = []
    for batch in batches(source, found, rows):
        features = module.backbone(batch.images)
        refined = features * attend.channel_map(features)
        maps.append(attend.spatial_map(refined)[:, 0].float().cpu().numpy())
    return np.concatenate(maps)


def spatial_maps_of_queries(source: Source, name: str) -> Floats:
    """The maps of all measured queries, computed once."""
    key = "spatial", name
    if key not in source.cache:
        source.cache[key] = spatial_maps(source, name, source.queries)
    found: Floats = source.cache[key]
    return found


def in_corners(source: Source) -> Iterator[Measure]:
    """Fig. 3: the share of the attention in the corners, beside their share of the area."""
    name = "ssrnet/ssrnet"
    maps = spatial_maps_of_queries(source, name)
    module = network(source, name).module
    assert isinstance(module, SSRNet)
    crop = 2 / 3 if module.relation is None else module.relation.crop
    corners = corner_cells(maps.shape[1], maps.shape[2], crop)
    attention = share_inside(maps, corners[None])
    area = np.full(len(maps), corners.mean())
    where = "the cells that belong to one corner region of the graph alone"
    for key, values, what in (
        ("attention_share", attention, f"share of CBAM's spatial attention in {where}"),
        ("area_share", area, f"share of the map that is {where}"),
    ):
        yield source.of("Fig. 3", ("corners", key), source.queries, values, what)


@torch.inference_mode()
def region_cosines(source: Source, name: str, rows: Rows) -> Floats:
    """Of each image the mean cosine of the five regions' means with the mean of the whole map."""
    found = network(source, name)
    module = found.module
    assert isinstance(module, SSRNet)
    if module.attention is None or module.relation is None:
        raise LeftOutError(f"{name} has no graph of regions")
    values = []
    for batch in batches(source, found, rows):
        attended, _ = module.attention(module.backbone(batch.images))
        local = pool_regions(attended, module.relation.crop)
        whole = attended.mean(dim=(2, 3), dtype=torch.float32)
        cosine = functional.cosine_similarity(local, whole[:, None], dim=2)
        values.append(cosine.mean(dim=1).cpu().numpy())
    return np.concatenate(values)


def local_and_global(source: Source) -> Iterator[Measure]:
    """Section 4.4: how alike regions of two sizes are to the whole."""
    what = "mean cosine of the five pooled regions with the pooled map (F_Attn)"
    for name, crop in CROPS.items():
        values = region_cosines(source, name, source.queries)
        yield source.of("lambda", (crop, "cos_local_global"), source.queries, values, what)
