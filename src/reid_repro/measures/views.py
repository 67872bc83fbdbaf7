"""Answers from the other side of a vehicle (PGAN, appendix A.3).

Which side a camera sees is known of rendered vehicles alone: each photograph's viewpoint is drawn
first from its own generator, and is drawn here again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.config import RenderedDataset
from reid_repro.measures.source import LeftOutError, Measure, Source
from reid_repro.rendering.cameras import draw_shot, make_cameras
from reid_repro.rendering.scene import image_generator

FIRST = 5
HALF_ANGLE = 60.0  # degrees about straight ahead or behind that count as front or rear
NAME = re.compile(r"(\d+)_c(\d+)_(\d+)\.jpg")


def azimuths(names: Iterable[str], *, seed: int, cameras: int) -> npt.NDArray[np.float64]:
    """Degrees from which rendered vehicles are seen, 0 from the front, by the images' names."""
    eyes = make_cameras(seed, "vehicle", cameras)
    found = []
    for name in names:
        match = NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"'{name}' is no rendered image: expected IDENTITY_cCAMERA_INDEX.jpg")
        identity, camera, index = (int(part) for part in match.groups())
        rng = image_generator(seed, "vehicle", identity - 1, camera - 1, index)
        found.append(draw_shot(eyes[camera - 1], rng).azimuth)
    return np.array(found)


def side(azimuth: npt.ArrayLike) -> npt.NDArray[np.str_]:
    """`front`, `rear` or `side` of each azimuth in degrees."""
    turned = (np.asarray(azimuth, np.float64) + 180) % 360 - 180
    ahead = np.abs(turned)
    return np.where(
        ahead <= HALF_ANGLE, "front", np.where(ahead >= 180 - HALF_ANGLE, "rear", "side")
    )


def cross_recall(
    ranking: pd.DataFrame, query: pd.DataFrame, gallery: pd.DataFrame, *, first: int
) -> pd.Series:
    """Recall of front views by rear queries: of each, by image, among the `first` answers.

    `query` and `gallery` have image, identity, camera and side. A query's front views are those of
    its identity by other cameras; it can find `first` of them at most. Queries without any are
    left out.
    """
    front = gallery[gallery["side"] == "front"]
    pairs = query[query["side"] == "rear"].merge(front, on="identity", suffixes=("", "_found"))
    pairs = pairs[pairs["camera"] != pairs["camera_found"]]
    wanted = pairs.groupby("image").size().clip(upper=first)
    answers = ranking[ranking["match"] & (ranking["rank"] <= first)]
    found = answers[answers["image"].isin(front["image"])].groupby("query").size()
    return found.reindex(wanted.index, fill_value=0) / wanted


def cross_view(source: Source) -> Iterator[Measure]:
    """A.3: the recall of front views among the first five answers to a rear view.

    Raises LeftOutError for a dataset whose viewpoints are not known.
    """
    settings = source.plan.dataset(source.dataset)
    if not isinstance(settings, RenderedDataset) or settings.subject != "vehicle":
        raise LeftOutError("the viewpoints of the images are not known")
    images = source.store.images
    tables = {}
    for role in ("query", "gallery"):
        rows = source.rows(role)
        table = images.iloc[rows][["image", "identity", "camera"]].reset_index(drop=True)
        degrees = azimuths(table["image"], seed=settings.seed, cameras=settings.cameras)
        tables[role] = table.assign(image=rows, side=side(degrees))
    what = (
        f"of rear queries, the share of front views (within {HALF_ANGLE:g}° of straight ahead, "
        f"other cameras) among the first {FIRST} answers"
    )
    for name in ("pgan", "grid"):
        ranking = source.first_ranks(f"pgan/{name}")
        recall = cross_recall(ranking, tables["query"], tables["gallery"], first=FIRST)
        items = recall.index.to_numpy(np.int64)
        yield source.of("A.3", (name, "cross_view_recall5"), items, recall.to_numpy(), what)
