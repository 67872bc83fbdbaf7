"""Whether a dataset in a folder is whole: every list read, every image opened.

What is wrong is collected, not stopped at: a researcher wants the whole list at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from reid_repro.datasets.base import Dataset
from reid_repro.datasets.folders import some

CHUNK = 256  # images that a worker opens in one go


def problems(
    dataset: Dataset, *, workers: int = 1, advance: Callable[[int], None] = lambda _: None
) -> list[str]:
    """Every way in which `dataset` (loaded with allow_partial) is not what it should be.

    Sentences about: images that are missing, in no list or damaged; identities in training and
    test; queries without a match; counts that are not the official ones.
    """
    found = []
    for what in ("missing", "in no list"):
        names = [name.split(": ", 1)[1] for name in dataset.left_out if name.startswith(what)]
        if names:
            kind = "missing or empty" if what == "missing" else what
            found.append(f"{len(names):,} images {kind}: {some(names)}")
    assert dataset.root is not None
    paths = list(dict.fromkeys(dataset.images["image"]))
    bad = list(damaged(dataset.root, paths, workers=workers, advance=advance))
    if bad:
        found.append(f"{len(bad):,} images cannot be read: {some(bad)}")
    return [*found, *shared_identities(dataset), *lonely_queries(dataset), *dataset.check()]


def damaged(
    root: Path,
    paths: Sequence[str],
    *,
    workers: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> Iterator[str]:
    """Those of `paths` that no image can be read from, in order."""

    def unreadable(chunk: Sequence[str]) -> list[str]:
        return [path for path in chunk if not _readable(root / path)]

    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    with ThreadPoolExecutor(workers) as pool:
        for chunk, bad in zip(chunks, pool.map(unreadable, chunks), strict=True):
            advance(len(chunk))
            yield from bad


def _readable(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            image.draft("RGB", (1, 1))  # a JPEG is decoded at an eighth: cuts show, cheaply
            image.load()
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError):
        return False
    return True


def shared_identities(dataset: Dataset) -> list[str]:
    """The identities that are trained on and tested."""
    identity = dataset.images["identity"].to_numpy()
    rows = dataset.splits["image"].to_numpy()
    trained = (dataset.splits["role"] == "train").to_numpy()
    both = np.intersect1d(identity[rows[trained]], identity[rows[~trained]])
    both = both[both > 0]
    if not len(both):
        return []
    return [f"{len(both):,} identities are in training and test: {some([str(i) for i in both])}"]


def lonely_queries(dataset: Dataset) -> list[str]:
    """Test subsets of which some query's identity is not in the gallery at all."""
    if dataset.judgements is not None:
        return []
    found = []
    identity = dataset.images["identity"].to_numpy()
    for (subset, trial), part in dataset.splits.groupby(["subset", "trial"]):
        if subset == "train":
            continue
        asked, answers = (
            part.loc[part["role"] == role, "image"].to_numpy() for role in ("query", "gallery")
        )
        lonely = asked[~np.isin(identity[asked], identity[answers])]
        if len(lonely):
            names = dataset.images["image"].iloc[lonely].tolist()
            found.append(
                f"{subset}, trial {trial}: {len(lonely):,} queries whose identity is not in the "
                f"gallery: {some(names)}"
            )
    return found
