"""VERI-Wild (Lou, Bai, Liu, Wang & Duan, VERI-Wild: A Large Dataset, CVPR 2019).

`images/VVVVV/IIIIII.jpg`; `train_test_split/` holds lists with a line an image, `VVVVV/IIIIII`, and
`vehicle_info.txt`, after a header line `VVVVV/IIIIII;camera;time;model;type;colour`. Copies of the
lists are about which say `.jpg` or repeat vehicle and camera behind the name, or are called
`test_3000_id.txt`: they are read too.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reid_repro.dataset_config import VeriWildDataset
from reid_repro.datasets.base import Dataset
from reid_repro.datasets.folders import assemble, require, some
from reid_repro.datasets.vehicle_lists import ImageList, image_rows, parse, tables, unique
from reid_repro.errors import UserError

FOLDER = "images"
LISTS = "train_test_split"
INFO = f"{LISTS}/vehicle_info.txt"
SIZES = {"small": 3000, "medium": 5000, "large": 10000}
LINE = r"(?i)^(?P<image>(?P<vehicle>\d{1,9})/\d+)(?:\.jpg)?(?:\s+\d+\s+\d+)?$"
# Rows end early where something about the vehicle is not known.
INFO_LINE = (
    r"(?i)^(?P<image>\d{1,9}/\d+)(?:\.jpg)?;\s*(?P<camera>\d{1,4})\s*(?:;(?P<time>[^;]*))?"
    r"(?:;(?P<model>[^;]*))?(?:;(?P<type>[^;]*))?(?:;(?P<colour>[^;]*))?$"
)
ATTRIBUTES = ("time", "model", "type", "colour")


def load(name: str, config: VeriWildDataset) -> Dataset:
    """Index the lists; UserError names the file and line that is wrong, or what is missing."""
    require(name, config, FOLDER)
    file = require(name, config, INFO)
    info = parse(file, INFO_LINE, "00001/000001;camera;time;model;type;colour", header=True)
    unique(file, info["image"])
    info = info.set_index("image")
    lists = [_read(name, config, "train", "train", info)]
    for subset in config.subsets:
        lists += [_read(name, config, subset, role, info) for role in ("query", "gallery")]
    images, splits = tables(name, lists)
    names = images["image"].str.slice(len(FOLDER) + 1, -len(".jpg"))
    of_images = info.iloc[info.index.get_indexer(names)].reset_index(drop=True)
    for column in ATTRIBUTES:
        images[column] = of_images[column].str.strip()
    return assemble(
        name,
        config,
        images,
        splits,
        folders=[FOLDER],
        listed=[file, *(each.file for each in lists)],
    )


def _list(name: str, config: VeriWildDataset, subset: str, role: str) -> Path:
    if role == "train":
        return require(name, config, f"{LISTS}/train_list.txt")
    end = "_query" if role == "query" else ""
    names = [f"{LISTS}/test_{SIZES[subset]}{middle}{end}.txt" for middle in ("", "_id")]
    lying = [each for each in names if (config.root / each).exists()]
    return require(name, config, (lying or names)[0])


def _read(
    name: str, config: VeriWildDataset, subset: str, role: str, info: pd.DataFrame
) -> ImageList:
    file = _list(name, config, subset, role)
    lines = parse(file, LINE, "00001/000001")
    unique(file, lines["image"])
    cameras = info["camera"].reindex(lines["image"]).reset_index(drop=True)
    unknown = lines["image"][cameras.isna()]
    if len(unknown):
        raise UserError(
            f"dataset '{name}': {file} names {some(unknown.tolist())}, of which "
            f"{config.root / INFO} knows no camera; are both of the same dataset?"
        )
    paths = f"{FOLDER}/" + lines["image"] + ".jpg"
    return ImageList(subset, role, file, image_rows(paths, lines["vehicle"], cameras))
