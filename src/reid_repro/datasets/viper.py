"""VIPeR (Gray & Tao 2008, Viewpoint Invariant Pedestrian Recognition).

`cam_a/` and `cam_b/` hold one image a person, `000_45.bmp`: person and angle of view. Persons are
numbered from 0, identities here from 1. The dataset has no lists: its protocol are random halves,
316 persons to train on and 316 to test on, which are drawn here from the seed.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd

from reid_repro.dataset_config import ViperDataset
from reid_repro.datasets.base import Dataset
from reid_repro.datasets.folders import assemble, files_below, require, some, split_rows
from reid_repro.errors import UserError

FOLDERS = ("cam_a", "cam_b")  # camera 1 asks, camera 2 answers
NAME = re.compile(r"^(\d+)_[^/]*\.(?:bmp|png|jpe?g)$", re.IGNORECASE)
HALVES = 0  # the number of this draw among those of a dataset's seed


def load(name: str, config: ViperDataset) -> Dataset:
    """Index the two folders and draw the half; UserError for what is missing or misnamed."""
    for folder in FOLDERS:
        require(name, config, folder)
    paths = sorted(files_below(config.root, FOLDERS))
    images = _images(name, paths)
    lacking = _lacking(images)
    if lacking and not config.allow_partial:
        raise UserError(
            f"dataset '{name}': {len(lacking):,} persons have an image of one camera alone, not "
            f"found: {some(lacking)} under {config.root}; get the whole dataset, or go on without "
            f"them with `--allow-partial` (datasets.{name}.allow_partial: true)"
        )
    splits = _splits(images, config)
    dataset = assemble(name, config, images, splits, folders=FOLDERS)
    return replace(
        dataset, left_out=(*dataset.left_out, *(f"missing: {pattern}" for pattern in lacking))
    )


def _images(name: str, paths: list[str]) -> pd.DataFrame:
    """Rows by camera, then person; UserError for a foreign name or a person seen twice."""
    rows: dict[tuple[int, int], str] = {}
    for path in paths:
        folder, _, file = path.partition("/")
        match = NAME.match(file)
        if match is None:
            raise UserError(
                f"dataset '{name}': {path}: the name does not say the person; "
                "expected a form like cam_a/000_45.bmp"
            )
        key = FOLDERS.index(folder) + 1, int(match[1])
        if key in rows:
            raise UserError(
                f"dataset '{name}': {path} and {rows[key]} are of the same person and camera; "
                "VIPeR has one: remove the other"
            )
        rows[key] = path
    if not rows:
        raise UserError(f"dataset '{name}': {' and '.join(FOLDERS)} hold no images; fetch it anew")
    found = sorted(rows)
    return pd.DataFrame(
        {
            "image": [rows[key] for key in found],
            "identity": [person + 1 for _, person in found],
            "camera": [camera for camera, _ in found],
        }
    )


def _lacking(images: pd.DataFrame) -> list[str]:
    """A pattern for every image that the other camera's folder promises."""
    seen = [set(images.loc[images["camera"] == camera, "identity"]) for camera in (1, 2)]
    both = seen[0] | seen[1]
    return [
        f"{folder}/{identity - 1:03d}_*.bmp"
        for folder, there in zip(FOLDERS, seen, strict=True)
        for identity in sorted(both - there)
    ]


def _splits(images: pd.DataFrame, config: ViperDataset) -> pd.DataFrame:
    """The half `split`: camera 1 asks camera 2; of two directions the other is trial 1."""
    people = np.unique(images["identity"].to_numpy())
    order = np.random.default_rng([config.seed, HALVES, config.split]).permutation(people)
    train = images["identity"].isin(order[: len(people) // 2]).to_numpy()
    camera = images["camera"].to_numpy()
    parts = [split_rows("train", "train", np.flatnonzero(train))]
    for trial in range(config.directions):
        for role, wanted in (("query", 1 + trial), ("gallery", 2 - trial)):
            rows = np.flatnonzero(~train & (camera == wanted))
            parts.append(split_rows("test", role, rows, trial=trial))
    return pd.concat(parts, ignore_index=True)
