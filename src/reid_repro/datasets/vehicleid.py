"""VehicleID (Liu, Tian, Wang, Pang & Huang, Deep Relative Distance Learning, CVPR 2016).

`image/NNNNNNN.jpg`, `train_test_split/*.txt` with a line an image: `name vehicle`, and optionally
`attribute/{color,model}_attr.txt` with `vehicle number`. Cameras are not known.

Protocol: of every vehicle of a test list one random image is the gallery, the others are queries.
All `draws` are written as trials of the splits, so that nobody draws again. `image/` also holds
what belongs to the lists of other sizes, so images in no list are no mistake here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from reid_repro.dataset_config import VehicleIdDataset
from reid_repro.datasets.base import Dataset
from reid_repro.datasets.folders import assemble, require, split_rows
from reid_repro.datasets.vehicle_lists import ImageList, image_rows, parse, tables, unique

FOLDER = "image"
TRAIN = "train_test_split/train_list.txt"
TESTS = {
    size: f"train_test_split/test_list_{n}.txt"
    for size, n in {"small": 800, "medium": 1600, "large": 2400}.items()
}
ATTRIBUTES = {"colour": "attribute/color_attr.txt", "model": "attribute/model_attr.txt"}
LINE = r"(?i)^(?P<image>\d{7})(?:\.jpg)?\s+(?P<vehicle>\d{1,9})$"
ATTRIBUTE = r"^(?P<vehicle>\d{1,9})\s+(?P<value>\d{1,9})$"


def load(name: str, config: VehicleIdDataset) -> Dataset:
    """Index the lists; UserError names the file and line that is wrong, or what is missing.

    With `allow_partial` the draws are those of the whole dataset, less the images that are missing.
    """
    require(name, config, FOLDER)
    train = _read("train", "train", require(name, config, TRAIN))
    tests = [_read(size, "test", require(name, config, TESTS[size])) for size in config.subsets]
    images, listed = tables(name, [train, *tests])
    splits = [listed[listed["role"] == "train"]]
    for number, subset in enumerate(config.subsets):
        rows = listed.loc[listed["subset"] == subset, "image"]
        tested = images.iloc[rows].sort_values("image")["identity"]
        for draw in range(config.draws):
            splits += _drawn(tested, subset, draw, seed=(config.seed, number, draw))
    files = [each.file for each in (train, *tests)]
    # The lists' own numbers: those of the tables may be one higher.
    vehicles = pd.concat([each.rows for each in (train, *tests)]).drop_duplicates("image")
    for column, path in ATTRIBUTES.items():
        if (config.root / path).exists():
            files.append(config.root / path)
            images[column] = _attribute(files[-1], vehicles["identity"])
    return assemble(
        name,
        config,
        images,
        pd.concat(splits, ignore_index=True),
        folders=[FOLDER],
        listed=files,
        extra=False,
    )


def _read(subset: str, role: str, file: Path) -> ImageList:
    lines = parse(file, LINE, "NNNNNNN vehicle")
    unique(file, lines["image"])
    return ImageList(
        subset, role, file, image_rows(f"{FOLDER}/" + lines["image"] + ".jpg", lines["vehicle"])
    )


def _drawn(
    tested: pd.Series, subset: str, draw: int, seed: tuple[int, int, int]
) -> list[pd.DataFrame]:
    """Query and gallery of one draw: of each vehicle the image with the lowest random number.

    `tested` has the vehicle by row of images, in the order of the images' names: so the order of
    the list is no matter.
    """
    numbers = pd.Series(np.random.default_rng(seed).random(len(tested)), index=tested.index)
    gallery = numbers.groupby(tested).idxmin().to_numpy()
    return [
        split_rows(subset, "query", np.setdiff1d(tested.index, gallery), trial=draw),
        split_rows(subset, "gallery", np.sort(gallery), trial=draw),
    ]


def _attribute(file: Path, vehicles: pd.Series) -> list[str]:
    """The number that an attribute file gives each image's vehicle; "" where it gives none."""
    lines = parse(file, ATTRIBUTE, "vehicle number")
    numbers = lines["vehicle"].astype("int32")
    unique(file, numbers)
    values = dict(zip(numbers, lines["value"], strict=True))
    return [values.get(vehicle, "") for vehicle in vehicles]
