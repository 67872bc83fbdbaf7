"""University-1652 (Zheng et al. 2020): drone pictures of buildings ask, satellite pictures answer.

`train/{drone,satellite,street}/0839/*` by view and building; of the test folders `query_drone` and
`gallery_satellite`. Buildings are numbered from 0, identities here from 1; the camera is the view
(1 drone, 2 satellite, 3 street). The dataset has no lists: what lies in the folders is the dataset.
`train/google` is the owners' extra set from the web, no part of their 50,218 training images: it is
passed over, as are the test folders of the other directions.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from reid_repro.dataset_config import University1652Dataset
from reid_repro.datasets.base import Dataset
from reid_repro.datasets.folders import assemble, files_below, require, some, split_rows
from reid_repro.errors import UserError

VIEWS = {"drone": 1, "satellite": 2, "street": 3}
# Role and camera of each folder, in the order of the images table.
FOLDERS = {
    **{f"train/{view}": ("train", camera) for view, camera in VIEWS.items()},
    "test/query_drone": ("query", VIEWS["drone"]),
    "test/gallery_satellite": ("gallery", VIEWS["satellite"]),
}
BUILDING = re.compile(r"^(\d{1,8})/[^/]+$")


def load(name: str, config: University1652Dataset) -> Dataset:
    """Index the five folders; UserError for a missing one, a foreign place, a shared building."""
    parts = []
    for folder, (role, camera) in FOLDERS.items():
        require(name, config, folder)
        parts.append(_images(name, config, folder).assign(camera=camera, role=role))
    images = pd.concat(parts, ignore_index=True)
    roles = images.pop("role")
    _apart(name, images[roles == "train"], images[roles != "train"])
    splits = pd.concat(
        split_rows("train" if role == "train" else "test", role, np.flatnonzero(roles == role))
        for role in ("train", "query", "gallery")
    )
    return assemble(name, config, images, splits, folders=list(FOLDERS))


def _images(name: str, config: University1652Dataset, folder: str) -> pd.DataFrame:
    """Path and identity of a folder's images, by path."""
    paths = sorted(files_below(config.root, (folder,)))
    if not paths:
        raise UserError(
            f"dataset '{name}': no images below {config.root / folder}; `reid-repro data fetch "
            f"{name}` gets them or says where from"
        )
    identities = []
    for path in paths:
        match = BUILDING.match(path.removeprefix(f"{folder}/"))
        if match is None:
            raise UserError(
                f"dataset '{name}': {path} lies in no building's folder; expected a form like "
                f"{folder}/0839/image.jpg"
            )
        identities.append(int(match[1]) + 1)
    return pd.DataFrame({"image": paths, "identity": identities})


def _apart(name: str, train: pd.DataFrame, test: pd.DataFrame) -> None:
    """UserError where a building is trained on and tested on."""
    shared = test[test["identity"].isin(train["identity"])]
    if len(shared):
        buildings = [f"{identity - 1:04d}" for identity in sorted(set(shared["identity"]))]
        raise UserError(
            f"dataset '{name}': buildings of test/ are in train/ too: {some(buildings)} "
            f"({shared['image'].iloc[0]}); unpack the dataset anew"
        )
