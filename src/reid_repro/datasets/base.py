"""What every dataset gives, whatever its source: images, splits, protocol, a check."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image, UnidentifiedImageError

from reid_repro.dataset_config import DatasetBase, Protocol
from reid_repro.errors import UserError

ROLES = ("train", "query", "gallery")
UNKNOWN_CAMERA = -1
Counts = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Dataset:
    """One dataset, indexed.

    `images`: image (path relative to `root`), identity (int32; -1 junk, 0 distractor), camera
    (int16; -1 unknown), width, height, then attribute columns. `splits`: subset, trial, role,
    image (row number in `images`). `root` is None for a rendered set, whose pixels are packed.
    `judgements` are, where not identities but people say what is right, the rows `query`, `image`
    (row numbers) and `judgement` (good, ok, junk). `left_out` names what a partial copy lacks.
    """

    name: str
    config: DatasetBase
    images: pd.DataFrame
    splits: pd.DataFrame
    content_hash: str
    root: Path | None = None
    judgements: pd.DataFrame | None = None
    left_out: tuple[str, ...] = ()

    @property
    def protocol(self) -> Protocol:
        """How rankings on this dataset are scored."""
        return self.config.protocol

    def counts(self) -> dict[str, dict[str, int]]:
        """Images, identities (junk and distractors aside) and cameras by role.

        Roles of test subsets other than `test` are `small/query` and the like. Of several trials
        the first is counted.
        """
        first = self.splits.groupby("subset")["trial"].transform("min") == self.splits["trial"]
        found = {role: _counts(self.images.iloc[:0]) for role in ROLES}
        if not (self.splits["subset"] == "test").any():
            del found["query"], found["gallery"]
        for (subset, role), part in self.splits[first].groupby(["subset", "role"], sort=False):
            key = str(role) if subset in ("train", "test") else f"{subset}/{role}"
            found[key] = _counts(self.images.iloc[part["image"].to_numpy()])
        return found

    def check(self) -> list[str]:
        """Every way in which the counts differ from the dataset's official ones, as sentences."""
        return differences(self.name, self.counts(), self.config.official)


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {
        "images": len(rows),
        "identities": int(rows.loc[rows["identity"] > 0, "identity"].nunique()),
        "cameras": int(rows.loc[rows["camera"] >= 0, "camera"].nunique()),
    }


def differences(name: str, counts: Counts, official: Counts) -> list[str]:
    """Where `counts` (role -> what -> number) are not the official ones."""
    return [
        f"{name}: {role}: {counts.get(role, {}).get(what, 0):,} {what}, officially {expected:,}"
        for role, expectations in official.items()
        for what, expected in expectations.items()
        if counts.get(role, {}).get(what, 0) != expected
    ]


def splits_of(roles: Sequence[str]) -> pd.DataFrame:
    """The splits of a dataset with one fixed train/query/gallery division."""
    role = pd.Series(list(roles), dtype="string")
    return pd.DataFrame(
        {
            "subset": role.map(lambda value: "train" if value == "train" else "test"),
            "trial": pd.Series(0, index=role.index, dtype="int16"),
            "role": role,
            "image": pd.RangeIndex(len(role)),
        }
    )


def inspect(root: Path, paths: Sequence[str]) -> tuple[list[tuple[int, int]], str]:
    """(width, height) of every image and one hash over all their bytes.

    Raises UserError naming the first image that cannot be read.
    """

    def one(path: str) -> tuple[tuple[int, int], bytes]:
        try:
            content = (root / path).read_bytes()
            with Image.open(io.BytesIO(content)) as image:
                size = image.size
                image.draft("RGB", (1, 1))  # a JPEG is decoded at an eighth: cuts show, cheaply
                image.load()
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            raise unreadable(root / path, error) from None
        return size, hashlib.sha256(content).digest()

    total = hashlib.sha256()
    sizes = []
    with ThreadPoolExecutor() as pool:
        for path, (size, digest) in zip(paths, pool.map(one, paths), strict=True):
            sizes.append(size)
            total.update(path.encode() + b"\0" + digest)
    return sizes, total.hexdigest()


def unreadable(path: Path, error: Exception) -> UserError:
    """The one line for an image that cannot be read."""
    reason = "no such file" if isinstance(error, FileNotFoundError) else "not a readable image"
    return UserError(f"{path}: {reason}; replace it or take it out of the dataset")


def images_frame(
    paths: Sequence[str],
    identities: Sequence[int],
    cameras: Sequence[int],
    sizes: Sequence[tuple[int, int]],
    **attributes: Sequence[Any],
) -> pd.DataFrame:
    """The `images` table with the contract's types."""
    frame = pd.DataFrame(
        {
            "image": pd.Series(list(paths), dtype="string"),
            "identity": pd.Series(list(identities), dtype="int32"),
            "camera": pd.Series(list(cameras), dtype="int16"),
            "width": pd.Series([size[0] for size in sizes], dtype="int32"),
            "height": pd.Series([size[1] for size in sizes], dtype="int32"),
        }
    )
    return frame.assign(**attributes)
