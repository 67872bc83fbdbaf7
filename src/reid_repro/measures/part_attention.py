"""How much of PGAN's attention lies on the parts of a vehicle (PGAN, Figs. 1 and 4).

A network's map is sum_i w_i M_i of Eq. 3: part masks times part weights, equal weights, or a weight
a cell. Its mass is compared with the boxes of parts: the true ones where the dataset knows them,
else the detected ones. A network that looks at detected boxes puts no mass outside of those, so
that only true boxes tell its attention from right; what was taken is said with every value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from reid_repro.datasets.places import BOX, FILLED
from reid_repro.files import read_parquet
from reid_repro.measures.boxes import cell_cover, share_inside
from reid_repro.measures.forward import batches, network
from reid_repro.measures.source import Measure, Rows, Source
from reid_repro.models.pgan import PGAN

# Fig. 1: attention leaves the background and the mirrors; the signs are what it turns to.
MIRROR, SIGNS = "back mirror", "annual service signs"

Floats = npt.NDArray[np.float32]
Chosen = Callable[[pd.DataFrame], pd.DataFrame]


class Attention(NamedTuple):
    """Maps (n, h, w) of images; weights (n, D) of their boxes, most confident first, or None."""

    maps: Floats
    weights: Floats | None


@torch.inference_mode()
def attention_of(source: Source, name: str, rows: Rows) -> Attention:
    """The attention of the network of PAPER/VARIANT on images."""
    found = network(source, name)
    module = found.module
    assert isinstance(module, PGAN)
    maps: list[Floats] = []
    weights: list[Floats] = []

    def keep(_module: object, _inputs: object, output: Tensor) -> None:
        weights.append(output.float().cpu().numpy())

    hook = None
    if module.attention == "parts":
        hook = module.part_attention.register_forward_hook(keep)
    for batch in batches(source, found, rows):
        attended = module.attend(module.backbone(batch.images), batch.places)
        maps.append(attended[:, 0].float().cpu().numpy())
    if hook is not None:
        hook.remove()
    return Attention(np.concatenate(maps), np.concatenate(weights) if weights else None)


def attention_of_queries(source: Source, name: str) -> Attention:
    """The attention on all measured queries, computed once."""
    key = "attention", name
    if key not in source.cache:
        source.cache[key] = attention_of(source, name, source.queries)
    found: Attention = source.cache[key]
    return found


def part_boxes(source: Source) -> tuple[pd.DataFrame, str]:
    """image, label and box of every part, and which boxes these are: `true` or `detected`."""
    if source.annotations is not None:
        return source.annotations, "true"
    found = read_parquet(source.results / "parts" / source.dataset / "parts.parquet")
    # What only fills an image up was not detected.
    return found[(found["label"] != FILLED) & (found["score"] > 0)], "detected"


def shares(source: Source, name: str, boxes: pd.DataFrame, rows: Rows, maps: Floats) -> Floats:
    """The share of each image's attention that lies in its boxes; NaN where it has none."""
    of_image = {int(row): part[BOX].to_numpy() for row, part in boxes.groupby("image")}
    empty = np.empty((0, 4))
    cover = np.stack([cell_cover(of_image.get(int(row), empty), *maps.shape[1:]) for row in rows])
    inside = share_inside(maps, cover)
    return np.where([int(row) in of_image for row in rows], inside, np.nan).astype(np.float32)


def in_parts(source: Source) -> Iterator[Measure]:
    """Fig. 1: attention on parts other than mirrors, and on signs alone, with PAM and without."""
    parts, origin = part_boxes(source)
    parts = parts[parts["image"].isin(source.queries)]
    chosen = {
        "attention_in_parts": (
            parts[parts["label"] != MIRROR],
            f"share of the attention in the {origin} boxes of all parts but mirrors",
        ),
        "attention_on_signs": (
            parts[parts["label"] == SIGNS],
            f"share of the attention in the {origin} boxes of annual service signs, of queries "
            "that show some",
        ),
    }
    for name, key in {"pgan/pgan": "pgan", "pgan/uniform": "uniform"}.items():
        maps = attention_of_queries(source, name).maps
        for quantity, (boxes, what) in chosen.items():
            values = shares(source, name, boxes, source.queries, maps)
            yield source.of("Fig. 1", (key, quantity), source.queries, values, what)


def in_boxes(source: Source) -> Iterator[Measure]:
    """Fig. 4: attention in the boxes of all parts, of part attention and of grid attention."""
    parts, origin = part_boxes(source)
    parts = parts[parts["image"].isin(source.queries)]
    what = f"share of the attention in the {origin} boxes of all parts"
    for name, key in {"pgan/pgan": "pgan", "pgan/grid": "grid"}.items():
        maps = attention_of_queries(source, name).maps
        values = shares(source, name, parts, source.queries, maps)
        yield source.of("Fig. 4", (key, "attention_in_boxes"), source.queries, values, what)
