"""Sample images of a dataset: identities x cameras, plain and with boxes or joints.

Where no camera is known, a row holds several images of its identity instead.

The sheet holds the plain grid above and, where the dataset is annotated, the same grid with its
annotation below: a page shows either half of one file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from reid_repro.datasets.base import UNKNOWN_CAMERA
from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet, write_json
from reid_repro.reporting import formats, overlays
from reid_repro.reporting.sprites import Grid, fit, sheet, write_webp

IDENTITIES, CAMERAS = 4, 6
TILE = {"vehicle": (160, 160), "pedestrian": (96, 192)}


def samples(dataset: Path, out: Path) -> None:
    """Draw `out` (.webp) and describe it in `out.with_suffix(".json")`.

    `dataset` is a folder `results/data/{dataset}`. The JSON holds the size of the sheet and of a
    tile, the grid of image rows (-1 where there is none), its cameras ([-1] where they are
    unknown), the rule by which identities were chosen, captions, and the legend of the annotation
    (`annotation` is null without one). UserError where no test image has an identity.
    """
    facts = read_json(dataset / "dataset.json")
    store = ImageStore.open(dataset)
    tested = _test_images(dataset, store.images)
    identities, rule = _choose_identities(tested, rendered=facts["source"] == "rendered")
    cameras = sorted(tested["camera"].unique())
    rows = _rows(tested, identities)
    width, height = TILE.get(facts["subject"], TILE["pedestrian"])
    grid = Grid(width, height, columns=len(rows[0]))
    plain = [_tile(store, row, grid) for line in rows for row in line]
    annotation, annotated, legend = _annotate(dataset, rows, plain)
    write_webp(sheet(plain + annotated, grid), out)
    sheet_width, sheet_height = grid.size(len(plain) + len(annotated))
    subjects = formats.plural(len(identities), facts["subject"])
    seen = (
        "camera unknown"
        if cameras == [UNKNOWN_CAMERA]
        else f"as {formats.plural(len(cameras), 'camera')} saw them"
    )
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
                f"{subjects} of {facts['title'] or facts['name']}, one row each, {seen}",
                f"The same images with their {annotation or 'annotation'}",
            ][: 2 if annotation else 1],
            "legend": legend,
        },
    )


def _test_images(dataset: Path, images: pd.DataFrame) -> pd.DataFrame:
    """The test images that the sheet chooses from; `row` is the row in images.parquet.

    `place` is the column of the sheet: the place of the camera, or, where no camera is known, the
    number of the image among those of its identity.
    """
    splits = read_parquet(dataset / "splits.parquet")
    numbers = np.sort(splits.loc[splits["role"] != "train", "image"].unique())
    tested = images.iloc[numbers].assign(row=numbers)
    tested = tested[tested["identity"] > 0]
    if tested.empty:
        raise UserError(f"{dataset}: no test image with an identity to show")
    known = tested[tested["camera"] != UNKNOWN_CAMERA]
    if known.empty:
        tested = tested.assign(place=tested.groupby("identity").cumcount())
    else:
        tested = known.assign(place=known["camera"].rank(method="dense").astype(int) - 1)
    return tested[tested["place"] < CAMERAS]


def _choose_identities(tested: pd.DataFrame, *, rendered: bool) -> tuple[list[int], str]:
    """Identities that fill the most columns: two pairs of look-alikes where the data is rendered.

    Other data may have a column `group` too, of whatever meaning.
    """
    places = tested.groupby("identity")["place"].nunique()
    best = places[places >= places.nlargest(IDENTITIES).min()].index.sort_values()
    if rendered and "group" in tested:
        group = tested.drop_duplicates("identity").set_index("identity")["group"][best]
        sizes = group.value_counts()
        pairs = [name for name in group.unique() if sizes[name] >= 2]
        if len(pairs) >= 2:
            chosen = [pairs[0], pairs[len(pairs) // 2]]
            found = [int(i) for name in chosen for i in group.index[group == name][:2]]
            return found, "two pairs of look-alikes: rows 1 and 2, rows 3 and 4"
    spread = np.linspace(0, len(best) - 1, min(IDENTITIES, len(best))).round().astype(int)
    return [int(best[number]) for number in spread], "spread evenly over the test identities"


def _rows(tested: pd.DataFrame, identities: list[int]) -> list[list[int]]:
    """The first image of each identity in each column that any has; -1 where there is none."""
    first = tested.groupby(["identity", "place"])["row"].min()
    columns = int(tested["place"].max()) + 1
    return [
        [int(first.get((identity, place), -1)) for place in range(columns)]
        for identity in identities
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
