"""CUHK03 (Li et al. 2014): two views of 1,467 persons, by hand-drawn or by detected boxes.

Two divisions are in use. `classic`: one of the file's twenty test sets of 100 persons, all others
are trained on; images of the first view ask, of the second view one a person answers, drawn anew in
every repeat. `new` (Zhong et al. 2017): 767 persons to train on and 700 to test on, with query and
gallery images named by a file of its own, scored like Market-1501.

Identities count the persons of all camera pairs in the file's order, from 1; the camera is the view
of the pair, since nobody is in two pairs; the attribute `pair` tells them apart.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pandas as pd

from reid_repro.dataset_config import Cuhk03Dataset
from reid_repro.datasets.base import Dataset
from reid_repro.datasets.cuhk03_file import (
    CROP,
    FILE,
    KEY,
    ROLES,
    Crops,
    Division,
    crops,
    folder_of,
    list_of,
    new_division,
)
from reid_repro.datasets.folders import assemble, some, split_rows
from reid_repro.errors import UserError


def load(name: str, config: Cuhk03Dataset) -> Dataset:
    """Extract the crops where needed, index and divide them; UserError for unsound files."""
    found = crops(name, config)
    listed = [list_of(config)]
    if config.division == "classic":
        images = _images(name, config, found.images, found)
        splits = _classic(name, config, images, found)
    else:
        division = new_division(name, config)
        listed.append(config.root / f"cuhk03_new_protocol_config_{KEY[config.crops]}.mat")
        unknown = sorted(set(division.names) - set(found.images))
        if unknown:
            raise UserError(
                f"dataset '{name}': {listed[-1]} names {len(unknown):,} images that are no "
                f"{config.crops} crops of {FILE}, {some(unknown)}; is it the file of other crops?"
            )
        images = _images(name, config, division.names, found)
        splits = _new(name, division, images)
    folders = (folder_of(config),)
    return assemble(name, config, images, splits, folders=folders, listed=listed, extra=False)


def _images(name: str, config: Cuhk03Dataset, names: list[str], found: Crops) -> pd.DataFrame:
    """One row a crop: what its name says."""
    before = [0, *accumulate(found.people)]
    rows = []
    for image in names:
        match = CROP.match(image)
        if match is None:
            raise UserError(
                f"dataset '{name}': '{image}' is no name of a crop, of a form like 1_001_1_01.png"
            )
        pair, person, view, _ = map(int, match.groups())
        rows.append((f"{folder_of(config)}/{image}", before[pair - 1] + person, view, pair))
    return pd.DataFrame(rows, columns=["image", "identity", "camera", "pair"])


def _classic(name: str, config: Cuhk03Dataset, images: pd.DataFrame, found: Crops) -> pd.DataFrame:
    """Test set `split`: the first view asks, the second answers."""
    if config.split >= len(found.testsets):
        raise UserError(
            f"dataset '{name}': {FILE} has {len(found.testsets)} 'testsets'; split {config.split} "
            "(from 0) is not among them"
        )
    before = [0, *accumulate(found.people)]
    chosen = [before[pair - 1] + person for pair, person in found.testsets[config.split]]
    test = images["identity"].isin(chosen).to_numpy()
    view = images["camera"].to_numpy()
    return pd.concat(
        [
            split_rows("train", "train", np.flatnonzero(~test)),
            split_rows("test", "query", np.flatnonzero(test & (view == 1))),
            split_rows("test", "gallery", np.flatnonzero(test & (view == 2))),
        ]
    )


def _new(name: str, division: Division, images: pd.DataFrame) -> pd.DataFrame:
    """The division's own lists; UserError where they contradict the names or each other."""
    identity = images["identity"].to_numpy()
    people = pd.DataFrame({"label": division.labels, "identity": identity}).drop_duplicates()
    if people["label"].duplicated().any() or people["identity"].duplicated().any():
        raise UserError(
            f"dataset '{name}': 'labels' of the new division contradict the persons in 'filelist'; "
            "fetch its file anew"
        )
    trained = set(identity[division.roles["train"]])
    for role in ("query", "gallery"):
        shared = sorted(trained & set(identity[division.roles[role]]))
        if shared:
            raise UserError(
                f"dataset '{name}': {len(shared):,} persons of the new division's {role}_idx are "
                f"in train_idx too, {some([str(person) for person in shared])}; fetch its file anew"
            )
    return pd.concat(
        split_rows("train" if role == "train" else "test", role, division.roles[role])
        for role in ROLES
    )
