"""Picture sheets of a few measured queries, with the measured numbers on them."""

from __future__ import annotations

import numpy as np

from reid_repro.datasets.places import BOX
from reid_repro.files import read_parquet
from reid_repro.measures import activation as activations
from reid_repro.measures import corners as in_corners
from reid_repro.measures import part_attention as attentions
from reid_repro.measures.boxes import share_inside
from reid_repro.measures.forward import network
from reid_repro.measures.source import SEED, Rows, Source
from reid_repro.models.ssrnet import SSRNet
from reid_repro.reporting.looks import Box, Line, Picture, View, to_peak

LEAST_WEIGHT = 0.02  # of a box whose weight is written on it
CHOSEN = f"Queries drawn at random (seed {SEED})."


def _line(source: Source, row: int, views: list[View], numbers: dict[str, float]) -> Line:
    images = source.store.images
    return Line(
        query=row,
        identity=int(images["identity"].iloc[row]),
        camera=int(images["camera"].iloc[row]),
        pixels=source.store[row],
        views=tuple(views),
        numbers=numbers,
    )


def _places(source: Source) -> Rows:
    """Where the shown queries stand among the measured ones."""
    found: Rows = np.searchsorted(source.queries, source.shown).astype(np.int64)
    return found


def activation(source: Source) -> Picture:
    """CHCA, Fig. 5: class activation before and after the context modules."""
    places = _places(source)
    found = {
        key: activations.maps_of_queries(source, name)[places]
        for name, key in (("chca/none", "baseline"), ("chca/chca", "with CHCM"))
    }
    shares = {key: activations.active_share(maps) for key, maps in found.items()}
    heats = {key: to_peak(maps) for key, maps in found.items()}
    lines = []
    for number, row in enumerate(source.shown.tolist()):
        views = [
            View(heat=heats[key][number], note=f"active {shares[key][number]:.0%}") for key in found
        ]
        numbers = {f"active area, {key}": float(shares[key][number]) for key in found}
        lines.append(_line(source, row, [View(), *views], numbers))
    return Picture(
        name="activation",
        title="Class activation before and after the context modules",
        caption=(
            f"{CHOSEN} What speaks for the likeliest training identity, at every cell of the last "
            "map: the classifier's weights times the scale of the neck. Active: the share of cells "
            "of at least half the map's maximum."
        ),
        columns=("Query", "Baseline", "With CHCM"),
        lines=tuple(lines),
        low="0",
        high="maximum",
        scale="activation, as a share of each map's maximum",
    )


def part_attention(source: Source) -> Picture:
    """PGAN, Figs. 1 and 4: part boxes with their weights, part attention beside grid attention."""
    places = _places(source)
    parts, origin = attentions.part_boxes(source)
    parts = parts[parts["image"].isin(source.shown)]
    found = {
        key: attentions.attention_of_queries(source, name)
        for name, key in (("pgan/pgan", "PGAN"), ("pgan/grid", "grid"))
    }
    maps = {key: one.maps[places] for key, one in found.items()}
    inside = {
        key: attentions.shares(source, f"pgan/{key.lower()}", parts, source.shown, one)
        for key, one in maps.items()
    }
    heats = {key: to_peak(one) for key, one in maps.items()}
    weights = found["PGAN"].weights
    assert weights is not None
    detected = _detected(source, weights.shape[1])
    lines = []
    for number, row in enumerate(source.shown.tolist()):
        boxes = tuple(
            (box, f"{100 * weight:.0f}" if weight >= LEAST_WEIGHT else "")
            for box, weight in zip(detected[row], weights[places[number]], strict=True)
        )
        views = [
            View(heat=heats[key][number], note=f"in parts {inside[key][number]:.0%}")
            for key in maps
        ]
        numbers = {f"attention in parts, {key}": float(inside[key][number]) for key in maps}
        numbers["largest weight of a box"] = float(weights[places[number]].max())
        lines.append(_line(source, row, [View(boxes=boxes), *views], numbers))
    return Picture(
        name="attention",
        title="Part attention and grid attention",
        caption=(
            f"{CHOSEN} Left, the {weights.shape[1]} surest detected boxes; the number on a box is "
            f"its weight in percent, where at least {LEAST_WEIGHT:.0%}. In parts: the share of the "
            f"attention in the {origin} boxes of parts."
        ),
        columns=("Boxes and weights", "Part attention", "Grid attention"),
        lines=tuple(lines),
        low="0",
        high="maximum",
        scale="attention, as a share of each map's maximum",
    )


def _detected(source: Source, count: int) -> dict[int, list[Box]]:
    """The `count` boxes of each shown query that the network is given, fillers too."""
    settings = network(source, "pgan/pgan").settings
    name = "truth" if settings.places == "truth" else "parts"
    table = read_parquet(source.results / "parts" / source.dataset / f"{name}.parquet")
    table = table[table["image"].isin(source.shown) & (table["rank"] < count)]
    table = table.sort_values(["image", "rank"], kind="stable")
    return {
        int(row): [(a, b, c, d) for a, b, c, d in part[BOX].to_numpy(float).tolist()]
        for row, part in table.groupby("image")
    }


def corners(source: Source) -> Picture:
    """SSR-Net, Fig. 3: spatial attention, and its share in the corners."""
    name = "ssrnet/ssrnet"
    places = _places(source)
    maps = in_corners.spatial_maps_of_queries(source, name)[places]
    module = network(source, name).module
    assert isinstance(module, SSRNet)
    crop = 2 / 3 if module.relation is None else module.relation.crop
    cells = in_corners.corner_cells(maps.shape[1], maps.shape[2], crop)
    inside = share_inside(maps, cells[None])
    outlines = tuple((box, "") for box in corner_boxes(cells))
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    heats = (maps - low) / np.maximum(high - low, 1e-12)
    lines = []
    for number, row in enumerate(source.shown.tolist()):
        view = View(heat=heats[number], boxes=outlines, note=f"in corners {inside[number]:.0%}")
        numbers = {
            "attention in the corners": float(inside[number]),
            "least attention": float(low[number].item()),
            "most attention": float(high[number].item()),
        }
        lines.append(_line(source, row, [View(), view], numbers))
    return Picture(
        name="attention",
        title="Spatial attention and the corners",
        caption=(
            f"{CHOSEN} Framed: what belongs to one corner region of the graph alone, "
            f"{cells.mean():.0%} of the map. In corners: the share of the attention there."
        ),
        columns=("Query", "Spatial attention"),
        lines=tuple(lines),
        low="least",
        high="most",
        scale="attention, from the least to the most of each map",
    )


def corner_boxes(cells: np.ndarray) -> list[Box]:
    """The four corners of a map of cells, as boxes in shares of the image."""
    height, width = cells.shape
    rows, columns = np.asarray(cells.any(axis=1)), np.asarray(cells.any(axis=0))
    found = []
    for top, bottom in _runs(rows):
        for left, right in _runs(columns):
            found.append((left / width, top / height, right / width, bottom / height))
    return found


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Start and stop of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
