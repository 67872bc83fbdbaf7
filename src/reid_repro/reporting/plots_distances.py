"""Distances to the same identity in other cameras against the nearest other identity.

Where the two distributions part, a threshold would verify identities; where they overlap, queries
fail at rank 1. Distances are Euclidean between descriptors, as the rankings take them. The matrix
of distances is never held: blocks of queries are compared with the whole gallery, and of large
sets a random part of the queries is taken (the gallery stays whole, or the nearest other identity
would seem farther than it is).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet
from reid_repro.plan import Plan
from reid_repro.reporting import formats
from reid_repro.reporting.plots_axes import Axis
from reid_repro.reporting.plots_canvas import Canvas
from reid_repro.reporting.plots_common import FloatArray, Plot, Side, comparison, existing, scope

WORK: Final = 3 * 10**10  # multiply-adds of one run at most: two seconds of two cores
BLOCK: Final = 1 << 22  # distances held at a time: 16 MiB
BINS: Final = 48
SEED: Final = 0


@dataclass(frozen=True)
class Labels:
    """Labels of n images, each array (n,): identity (-1 junk), camera (-1 unknown), image row."""

    identity: npt.NDArray[np.int64]
    camera: npt.NDArray[np.int64]
    image: npt.NDArray[np.int64]

    def take(self, places: npt.NDArray[np.intp]) -> Labels:
        """The labels at `places`."""
        return Labels(self.identity[places], self.camera[places], self.image[places])


@dataclass(frozen=True)
class Distances:
    """Distances of the queries that have a right answer.

    Attributes:
        same: to every image of the query's identity that counts, (p,).
        other: to the nearest image of another identity, (q,).
        first: share of the queries with a right answer nearer than any other identity.
        queries: the number of queries taken, of `of`.
    """

    same: FloatArray
    other: FloatArray
    first: float
    queries: int
    of: int


def distances(
    query: npt.NDArray[np.float32],
    gallery: npt.NDArray[np.float32],
    of_query: Labels,
    of_gallery: Labels,
    *,
    remove: bool,
    work: int = WORK,
) -> Distances | None:
    """Distances of q queries (q, d) to g gallery images (g, d); None without a right answer.

    Junk (identity -1) never counts, nor does the query's own image; with `remove`, neither does
    the query's identity in its own known camera. With more than `work` multiply-adds, a random
    part of the queries is taken.
    """
    total = len(query)
    kept = np.arange(total)
    most = max(1, work // max(1, gallery.size))
    if total > most:
        kept = np.sort(np.random.default_rng(SEED).choice(total, most, replace=False))
    norms = np.einsum("ij,ij->i", gallery, gallery)
    step = max(1, BLOCK // max(1, len(gallery)))
    same, other, first = [], [], []
    for start in range(0, len(kept), step):
        rows = kept[start : start + step]
        block, labels = query[rows], of_query.take(rows)
        squared = norms - 2 * (block @ gallery.T) + np.einsum("ij,ij->i", block, block)[:, None]
        away = np.sqrt(np.maximum(squared, 0))
        mine = labels.identity[:, None] == of_gallery.identity
        left_out = labels.image[:, None] == of_gallery.image
        if remove:
            known = labels.camera[:, None] >= 0
            left_out |= mine & known & (labels.camera[:, None] == of_gallery.camera)
        right = mine & ~left_out
        wrong = ~mine & (of_gallery.identity >= 0)
        valid = right.any(axis=1) & wrong.any(axis=1)
        hardest = np.where(wrong, away, np.inf).min(axis=1)
        nearest = np.where(right, away, np.inf).min(axis=1)
        same.append(away[right & valid[:, None]])
        other.append(hardest[valid])
        first.append(nearest[valid] < hardest[valid])
    answers = np.concatenate(first)
    if not len(answers):
        return None
    return Distances(
        np.concatenate(same).astype(np.float64),
        np.concatenate(other).astype(np.float64),
        float(answers.mean()),
        len(kept),
        total,
    )


def plot(plan: Plan, paper: str, dataset: str, results: Path) -> Plot | None:
    """The distributions of the main variant and of its base; None where features are missing."""
    sides = _sides(plan, paper, dataset)
    subset = plan.subsets(dataset)[0]
    files = [
        results / "features" / str(side.runs(plan, dataset)[0]) / f"{subset}.npy" for side in sides
    ]
    described = results / "data" / dataset / "dataset.json"
    needed = [*files, *(file.with_suffix(".parquet") for file in files), described]
    if not sides or not existing(needed):
        return None
    remove = read_json(described)["protocol"]["same_camera"] == "remove"
    found = {}
    for side, file in zip(sides, files, strict=True):
        one = read(file, results / "data" / dataset / "splits.parquet", subset, remove=remove)
        if one is None:
            return None
        found[side.title] = one
    first = next(iter(found.values()))
    part = "" if first.queries == first.of else f" of {first.of:,}, drawn at random,"
    cameras = "in another camera" if remove else "in any camera"
    edges = _edges(found.values())  # shared, so that the panels can be held against each other
    panels = tuple(_panel(title, one, edges) for title, one in found.items())
    return Plot(
        name=f"distances-{dataset}",
        title=f"Distances on {plan.config.datasets[dataset].title or dataset}",
        caption=(
            f"Share of the Euclidean distances a bin: to images of the query's identity {cameras}, "
            f"and to the nearest other identity (dashed). {first.queries:,} queries{part} against "
            f"the whole gallery. {scope(plan, dataset, first_seed=True)}."
        ),
        description=" ".join(_words(title, one) for title, one in found.items()),
        panels=panels,
        values=_values(found, edges),
        sources=tuple(files),
    )


def read(file: Path, splits: Path, subset: str, *, remove: bool) -> Distances | None:
    """The distances of one run's features, first trial; UserError names a damaged file."""
    try:
        features = np.load(file, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        raise UserError(f"{file}: missing or damaged; delete it and run again") from None
    rows = read_parquet(file.with_suffix(".parquet"))
    table = read_parquet(splits)
    table = table[(table["subset"] == subset) & table["role"].isin(["query", "gallery"])]
    table = table[table["trial"] == table["trial"].min()]
    index = pd.Index(rows["image"].to_numpy())
    places = {
        role: index.get_indexer(table.loc[table["role"] == role, "image"].to_numpy())
        for role in ("query", "gallery")
    }
    if len(rows) != len(features) or min(p.min(initial=0) for p in places.values()) < 0:
        raise UserError(f"{file}: made from other splits; delete it and run again")
    labels = Labels(*(rows[name].to_numpy(np.int64) for name in ("identity", "camera", "image")))
    query, gallery = places["query"], places["gallery"]
    return distances(
        _rows(features, query),
        _rows(features, gallery),
        labels.take(query),
        labels.take(gallery),
        remove=remove,
    )


def _rows(
    features: npt.NDArray[np.float32], places: npt.NDArray[np.intp]
) -> npt.NDArray[np.float32]:
    """The features at `places`: a view where they lie in a row, for a gallery may be a gigabyte."""
    if len(places) and np.array_equal(places, np.arange(places[0], places[0] + len(places))):
        return np.asarray(features[places[0] : places[0] + len(places)], dtype=np.float32)
    return np.asarray(features[places], dtype=np.float32)


def _sides(plan: Plan, paper: str, dataset: str) -> tuple[Side, ...]:
    """The variants whose descriptors are shown: main and base, or the only one."""
    planned = plan.variants_on(paper, dataset)
    found = comparison(plan, paper, dataset)
    if found and found.base.variant != found.main.variant and planned:
        return found.base, found.main
    if not planned:  # the descriptors are another paper's, and shown there
        return ()
    title = plan.papers[paper].variants[planned[0]].title
    return (Side(paper, planned[0], "none", title),)


def _edges(found: Iterable[Distances]) -> FloatArray:
    values = np.concatenate([part for one in found for part in (one.same, one.other)])
    low, high = float(values.min()), float(values.max())
    return np.linspace(low, high if high > low else low + 1, BINS + 1)


def _shares(values: FloatArray, edges: FloatArray) -> FloatArray:
    return np.histogram(values, edges)[0] / len(values)


def _panel(title: str, one: Distances, edges: FloatArray) -> str:
    same, other = (100 * _shares(values, edges) for values in (one.same, one.other))
    canvas = Canvas(
        Axis(edges[0], edges[-1], "Distance"),
        Axis(0, 1.05 * max(same.max(), other.max()), "Share (%)"),
        title=title,
        label=f"Distributions of distances: {title}",
        legend=[("same identity", "line", 0, 0), ("nearest other identity", "line", 1, 1)],
    )
    canvas.steps(edges, same, 0)
    canvas.steps(edges, other, 1, dash=1)
    return canvas.svg()


def _words(title: str, one: Distances) -> str:
    return (
        f"{title}: median distance {np.median(one.same):.3f} to the same identity and "
        f"{np.median(one.other):.3f} to the nearest other one; {formats.percent(one.first)} % of "
        "the queries have a right answer nearer than any other identity."
    )


def _values(found: dict[str, Distances], edges: FloatArray) -> pd.DataFrame:
    """The bins as drawn: variant, ends, shares of both distributions."""
    frames = []
    for title, one in found.items():
        frames.append(
            pd.DataFrame(
                {
                    "variant": title,
                    "from": np.round(edges[:-1], 6),
                    "to": np.round(edges[1:], 6),
                    "same_identity": np.round(_shares(one.same, edges), 6),
                    "nearest_other_identity": np.round(_shares(one.other, edges), 6),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)
