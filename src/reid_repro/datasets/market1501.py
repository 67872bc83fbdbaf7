"""A folder in the Market-1501 layout (Zheng et al. 2015).

`bounding_box_train/`, `bounding_box_test/` and `query/`; the name of an image holds its person
and camera: `0002_c1s1_000451_03.jpg`. Person -1 is junk, 0 a distractor.
"""

from __future__ import annotations

import re
from pathlib import Path

from reid_repro.config import MarketDataset
from reid_repro.datasets.base import Dataset, images_frame, inspect, splits_of
from reid_repro.errors import UserError

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
NAME = re.compile(r"^(-?\d+)_c(\d+)s?.*\.(?:jpe?g|png|bmp)$", re.IGNORECASE)


def load(name: str, config: MarketDataset) -> Dataset:
    """Index the folder; UserError names a missing folder, a foreign name, an unreadable image."""
    root = config.root
    paths, identities, cameras, roles = [], [], [], []
    for role, folder in FOLDERS.items():
        for path in _images(name, root / folder, config.homepage):
            match = NAME.match(path.name)
            if match is None:
                raise UserError(
                    f"{path}: the name does not say identity and camera; "
                    "expected a form like 0002_c1s1_000451_03.jpg"
                )
            paths.append(f"{folder}/{path.name}")
            identities.append(int(match[1]))
            cameras.append(int(match[2]))
            roles.append(role)
    sizes, content_hash = inspect(root, paths)
    return Dataset(
        name=name,
        config=config,
        images=images_frame(paths, identities, cameras, sizes),
        splits=splits_of(roles),
        content_hash=content_hash,
        root=root,
    )


def _images(name: str, folder: Path, homepage: str) -> list[Path]:
    """The image files of a folder by name; the thumbnail files of some systems are passed over."""
    if not folder.is_dir():
        source = f"get it from {homepage} and put" if homepage else "put"
        raise UserError(
            f"dataset '{name}': folder {folder} not found; {source} the images there, "
            f"or set datasets.{name}.root"
        )
    suffixes = {".jpg", ".jpeg", ".png", ".bmp"}
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    if not found:
        raise UserError(f"dataset '{name}': folder {folder} holds no images")
    return found
