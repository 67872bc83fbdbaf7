"""What the modules of real datasets share: list files, folders of images, what is missing.

Images are indexed from the dataset's own lists and the names in its folders; none is opened. Their
sizes stay 0 until somebody asks for them (`ImageStore.sizes`), their content enters the dataset's
hash by name and length. `reid-repro data check` opens every one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from reid_repro.dataset_config import FolderDataset
from reid_repro.datasets.base import Dataset
from reid_repro.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
NAMED = 5  # how many of many a message names


def require(name: str, config: FolderDataset, path: str) -> Path:
    """A file or folder of the dataset; UserError says where it should be and how to get it."""
    found = config.root / path
    if found.exists():
        return found
    raise UserError(
        f"dataset '{name}': {found} not found; `reid-repro data fetch {name}` gets the dataset or "
        f"says where from, or set datasets.{name}.root to where it lies"
    )


def numbered_lines(path: Path, *, encoding: str = "utf-8") -> list[tuple[int, str]]:
    """Number (from 1) and text of a list's lines but the blank ones; UserError for no text."""
    try:
        text = path.read_bytes().decode(encoding)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: not {encoding} text; is it the right file?"
        ) from None
    lines = enumerate(text.splitlines(), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def read_lines(path: Path, *, encoding: str = "utf-8") -> list[str]:
    """The lines of a list file, blank ones left out; UserError for bytes that are no text."""
    return [line for _, line in numbered_lines(path, encoding=encoding)]


def no_duplicates(path: Path, names: Iterable[tuple[int, str]]) -> None:
    """UserError with both lines of a name that stands twice; `names` are line numbers and names."""
    seen: dict[str, int] = {}
    for line, name in names:
        if name in seen:
            raise UserError(f"{path}, line {line}: '{name}' stands in line {seen[name]} already")
        seen[name] = line


def files_below(root: Path, folders: Iterable[str]) -> dict[str, int]:
    """Path relative to `root` -> bytes, of every image file below the folders, in no order."""
    found: dict[str, int] = {}
    waiting = [folder.strip("/") for folder in folders]
    while waiting:
        folder = waiting.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}"
                if entry.is_dir():
                    waiting.append(path)
                elif entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith("."):
                    found[path] = entry.stat().st_size
    return found


def assemble(
    name: str,
    config: FolderDataset,
    images: pd.DataFrame,
    splits: pd.DataFrame,
    *,
    folders: Sequence[str],
    listed: Iterable[Path] = (),
    judgements: pd.DataFrame | None = None,
    extra: bool = True,
) -> Dataset:
    """The Dataset of `images` (image, identity, camera, attributes) that its lists promise.

    `splits` are as the contract has them; `folders`, below the root, hold the images; `listed` are
    the list files, whose bytes enter the hash. Raises UserError for images that are missing or
    empty (left out instead with `allow_partial`), and, with `extra`, for images in the folders that
    no list names, and for a name that is no valid text. File names that differ from the list in the
    case of their letters alone are taken as they lie.
    """
    lying = files_below(config.root, folders)
    _named(name, lying)
    images = images.reset_index(drop=True)
    paths, missing = _found(images["image"].tolist(), lying)
    images["image"] = pd.Series(paths, dtype="string")
    gone = [path for path, out in zip(paths, missing, strict=True) if out]
    if gone and not config.allow_partial:
        empty = [path for path in gone if path in lying]
        what = f"{len(gone):,} of {len(paths):,} images are missing or empty"
        raise UserError(
            f"dataset '{name}': {what}, {some(gone, set(empty))}; get the whole dataset, or go on "
            f"without them with `--allow-partial` (datasets.{name}.allow_partial: true)"
        )
    foreign = sorted(lying.keys() - set(paths)) if extra else []
    if foreign and not config.allow_partial:
        raise UserError(
            f"dataset '{name}': {len(foreign):,} images under {config.root} are in no list, "
            f"{some(foreign)}; move them away, or go on with `--allow-partial`"
        )
    if gone:
        images, splits, judgements = _without(images, splits, judgements, np.array(missing))
    return Dataset(
        name=name,
        config=config,
        images=_typed(images),
        splits=_typed_splits(splits),
        content_hash=_hash(images, splits, judgements, lying, listed),
        root=config.root,
        judgements=judgements,
        left_out=(*(f"missing: {path}" for path in gone), *(f"in no list: {p}" for p in foreign)),
    )


def some(names: Sequence[str], empty: frozenset[str] | set[str] = frozenset()) -> str:
    """The first few of many names, for a message."""
    shown = [f"{name} (empty)" if name in empty else name for name in names[:NAMED]]
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return "such as " * bool(more) + ", ".join(shown) + more


def split_rows(
    subset: str, role: str, rows: Sequence[int] | np.ndarray, *, trial: int = 0
) -> pd.DataFrame:
    """The lines of splits.parquet of one subset, trial and role."""
    return pd.DataFrame({"subset": subset, "trial": trial, "role": role, "image": np.asarray(rows)})


def _named(name: str, lying: Mapping[str, int]) -> None:
    for path in lying:
        try:
            path.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(path).decode("utf-8", "backslashreplace")
            raise UserError(
                f"dataset '{name}': file name {shown} is no UTF-8; rename the file"
            ) from None


def _found(wanted: Sequence[str], lying: Mapping[str, int]) -> tuple[list[str], list[bool]]:
    """Where each image lies, and whether it is missing or empty."""
    lower: dict[str, str] | None = None
    paths, missing = [], []
    for path in wanted:
        lies = path
        if path not in lying:
            if lower is None:  # as rare as it is dear
                lower = {each.lower(): each for each in lying}
            lies = lower.get(path.lower(), path)
        paths.append(lies)
        missing.append(not lying.get(lies))
    return paths, missing


def _without(
    images: pd.DataFrame,
    splits: pd.DataFrame,
    judgements: pd.DataFrame | None,
    missing: np.ndarray,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """All tables without the missing images, rows numbered anew."""
    number = np.cumsum(~missing) - 1
    kept = splits[~missing[splits["image"].to_numpy()]]
    splits = kept.assign(image=number[kept["image"].to_numpy()])
    if judgements is not None:
        both = ~missing[judgements["query"].to_numpy()] & ~missing[judgements["image"].to_numpy()]
        judgements = judgements[both].reset_index(drop=True)
        for column in ("query", "image"):
            judgements[column] = number[judgements[column].to_numpy()]
    return images[~missing].reset_index(drop=True), splits.reset_index(drop=True), judgements


def _typed(images: pd.DataFrame) -> pd.DataFrame:
    """The contract's columns first, in its types; sizes not known are 0."""
    first = {
        "image": images["image"].astype("string"),
        "identity": images["identity"].astype("int32"),
        "camera": images["camera"].astype("int16"),
        "width": images.get("width", pd.Series(0, index=images.index)).astype("int32"),
        "height": images.get("height", pd.Series(0, index=images.index)).astype("int32"),
    }
    others = {name: images[name] for name in images.columns if name not in first}
    return pd.DataFrame(first | others)


def _typed_splits(splits: pd.DataFrame) -> pd.DataFrame:
    return splits.reset_index(drop=True).astype(
        {"subset": "string", "trial": "int16", "role": "string", "image": "int64"}
    )


def _hash(
    images: pd.DataFrame,
    splits: pd.DataFrame,
    judgements: pd.DataFrame | None,
    lying: Mapping[str, int],
    listed: Iterable[Path],
) -> str:
    """One hash of what the dataset holds: lists, names, lengths, splits."""
    total = hashlib.sha256()
    for file in listed:
        total.update(PurePosixPath(file.name).as_posix().encode() + b"\0" + file.read_bytes())
    sizes = pd.Series([lying.get(path, 0) for path in images["image"]], dtype="int64")
    for table in (images.assign(bytes=sizes), splits, judgements):
        if table is not None:
            total.update(_digest(table))
    return total.hexdigest()


def _digest(table: pd.DataFrame) -> bytes:
    values: Any = pd.util.hash_pandas_object(table, index=False)
    return bytes(np.asarray(values, dtype=np.uint64).tobytes())
