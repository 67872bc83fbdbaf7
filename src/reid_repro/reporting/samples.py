"""Sample images of a dataset: identities x cameras, plain and with boxes or joints.

The sheet holds the plain grid above and, where the dataset is annotated, the same grid with its
annotation below: a page shows either half of one file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet, write_json
from reid_repro.reporting import overlays
from reid_repro.reporting.sprites import Grid, fit, sheet, write_webp

IDENTITIES, CAMERAS = 4, 6
TILE = {"vehicle": (160, 160), "pedestrian": (96, 192)}


def samples(dataset: Path, out: Path) -> None:
    """Draw `out` (.webp) and describe it in `out.with_suffix(".json")`.

    `dataset` is a folder `results/data/{dataset}`. The JSON holds the size of the sheet and of a
    tile, the grid of image rows, the rule by which they were chosen, alternative texts, and the
    legend of the annotation (`annotation` is null without one).
    """
    facts = read_json(dataset / "dataset.json")
    store = ImageStore.open(dataset)
    tested = _test_images(dataset, store.images)
    identities, rule = _choose_identities(tested)
    cameras = sorted(tested["camera"].unique())[:CAMERAS]
    rows = _rows(tested, identities, cameras)
    width, height = TILE.get(facts["subject"], TILE["pedestrian"])
    grid = Grid(width, height, columns=len(cameras))
    plain = [_tile(store, row, grid) for line in rows for row in line]
    annotation, annotated, legend = _annotate(dataset, rows, plain)
    write_webp(sheet(plain + annotated, grid), out)
    sheet_width, sheet_height = grid.size(len(plain) + len(annotated))
    subject = facts["subject"]
    write_json(
        out.with_suffix(".json"),
        {
            "dataset": facts["name"],
            "size": [sheet_width, sheet_height],
            "tile": [width, height],
            "gap": grid.gap,
            "plain_height": grid.size(len(plain))[1],
            "annotation": annotation,
            "rule": rule,
            "cameras": [int(camera) for camera in cameras],
            "identities": [int(identity) for identity in identities],
            "images": rows,
            "captions": [
                f"{len(identities)} {subject}s of {facts['title']}, one row each, as "
                f"{len(cameras)} cameras saw them",
                f"The same {subject}s with their {annotation or 'annotation'}",
            ][: 2 if annotation else 1],
            "legend": legend,
        },
    )


def _test_images(dataset: Path, images: pd.DataFrame) -> pd.DataFrame:
    """The test images of real identities and known cameras; `row` is the row in images.parquet."""
    splits = read_parquet(dataset / "splits.parquet")
    numbers = np.sort(splits.loc[splits["role"] != "train", "image"].unique())
    tested = images.iloc[numbers].assign(row=numbers)
    tested = tested[(tested["identity"] > 0) & (tested["camera"] >= 0)]
    if tested.empty:
        raise UserError(f"{dataset}: no test image with an identity and a camera to show")
    return tested


def _choose_identities(tested: pd.DataFrame) -> tuple[list[int], str]:
    """Identities seen by the most cameras: two pairs of look-alikes where groups are known."""
    cameras = tested.groupby("identity")["camera"].nunique()
    best = cameras[cameras == cameras.max()].index.sort_values()
    if "group" in tested:
        group = tested.drop_duplicates("identity").set_index("identity")["group"][best]
        sizes = group.value_counts()
        pairs = [name for name in group.unique() if sizes[name] >= 2]
        if len(pairs) >= 2:
            chosen = [pairs[0], pairs[len(pairs) // 2]]
            found = [int(i) for name in chosen for i in group.index[group == name][:2]]
            return found, "two pairs of look-alikes: rows 1 and 2, rows 3 and 4"
    places = np.linspace(0, len(best) - 1, min(IDENTITIES, len(best))).round().astype(int)
    return [int(best[place]) for place in places], "spread evenly over the test identities"


def _rows(tested: pd.DataFrame, identities: list[int], cameras: list[int]) -> list[list[int]]:
    """The first image of each identity by each camera, -1 where there is none."""
    first = tested.groupby(["identity", "camera"])["row"].min()
    return [
        [int(first.get((identity, camera), -1)) for camera in cameras] for identity in identities
    ]


def _tile(store: ImageStore, row: int, grid: Grid) -> Image.Image:
    if row < 0:
        return Image.new("RGB", (grid.tile_width, grid.tile_height), (128, 128, 128))
    return fit(store[row], grid.tile_width, grid.tile_height)


def _annotate(
    dataset: Path, rows: list[list[int]], plain: list[Image.Image]
) -> tuple[str | None, list[Image.Image], list[dict[str, Any]]]:
    """What the annotation is, the annotated tiles, and the legend; (None, [], []) without."""
    file = dataset / "annotations.parquet"
    if not file.is_file():
        return None, [], []
    notes = read_parquet(file)
    shown = notes[notes["image"].isin([row for line in rows for row in line])]
    of_image = dict(list(shown.groupby("image")))
    pairs = list(zip(plain, (row for line in rows for row in line), strict=True))
    if "joint" in notes:
        tiles = [
            overlays.draw_joints(tile, of_image[row]) if row in of_image else tile
            for tile, row in pairs
        ]
        return "body joints", tiles, list(overlays.joint_legend())
    numbers = overlays.part_numbers(notes["label"])
    tiles = [
        overlays.draw_parts(tile, of_image[row], numbers) if row in of_image else tile
        for tile, row in pairs
    ]
    counts = notes["label"].value_counts()
    legend = [
        {
            "mark": str(number),
            "colour": overlays.part_colour(number),
            "label": label.replace("_", " "),
            "count": int(counts[label]),
        }
        for label, number in numbers.items()
    ]
    return "part boxes", tiles, legend
