"""Keypoints found elsewhere, as the frame that `keypoints.parquet` holds.

The published points of Market-1501 are one MATLAB v7.3 (HDF5) file for each of its folders, with a
variable `pp` of 28 x N: 14 x, then 14 y, in pixels of the 64 x 128 images, in MPII order. The files
name no images. Assumed is that column i is image i of the folder in the order of file names, which
is the order in which MATLAB's `dir` lists them; only the count can be checked.

A CSV has the columns image (the path relative to the dataset's root), joint, x, y, confidence.

What either leaves out has confidence 0, as have joints outside the image.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.errors import UserError
from reid_repro.keypoints.joints import JOINTS

VARIABLE = "pp"
MARKET_SIZE = (64, 128)  # width, height
COLUMNS = ("image", "joint", "x", "y", "confidence")
# Single joints may lie outside the image; most of them do only where the unit is another one.
MOST_OUTSIDE = 0.5

Unit = Literal["shares", "pixels"]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def published_points(
    files: Mapping[str, Path], images: pd.DataFrame, *, size: tuple[int, int] = MARKET_SIZE
) -> pd.DataFrame:
    """The published points of a dataset, 14 joints for every image of `images`, in its order.

    `files` names the file of each folder as it stands in the images' paths, such as
    "bounding_box_train"; `size` is (width, height) in the files' pixels. A point that is NaN, or
    not above 0, is missing; all others have confidence 1. Raises UserError for a file that is
    missing or of another shape, and for a folder without file or with another number of images.
    """
    paths = images["image"].astype(str)
    folders = paths.map(lambda path: str(PurePosixPath(path).parent)).to_numpy()
    values = np.zeros((len(images), JOINTS, 3))
    without = sorted(set(folders) - set(files))
    if without:
        raise UserError(
            f"keypoints: no file of points for the {int((folders == without[0]).sum()):,} images "
            f"in '{without[0]}'; there are files for {', '.join(sorted(files)) or 'no folder'}"
        )
    for folder, file in files.items():
        rows = np.flatnonzero(folders == folder)
        rows = rows[np.argsort(paths.to_numpy()[rows], kind="stable")]
        points = _points(file)
        if len(points) != len(rows):
            raise UserError(
                f"{file}: points of {len(points):,} images, but the dataset has {len(rows):,} in "
                f"'{folder}'; is it the file of this folder?"
            )
        there: Bools = np.all(np.isfinite(points) & (points > 0), axis=2)
        shares = np.where(there[..., None], points, 0.0) / size
        _check_unit(str(file), shares[there], f"pixels of {size[0]} x {size[1]} images")
        values[rows] = np.concatenate([shares, there[..., None]], axis=2)
    return _frame(values)


def keypoints_csv(file: Path, images: pd.DataFrame, *, unit: Unit = "shares") -> pd.DataFrame:
    """The joints of a CSV, 14 for every image of `images`, in its order.

    With `unit` "pixels" they are divided by the image's own width and height. An empty x or y is a
    missing joint. Raises UserError with the line of an unknown image, a joint that is not 0..13, a
    joint that stands twice, and what is no number.
    """
    table = _read_csv(file)
    known = {path: row for row, path in enumerate(images["image"])}
    row = _looked_up(file, table["image"], known, "in the dataset; give paths relative to its root")
    order = {str(joint): joint for joint in range(JOINTS)}
    joint = _looked_up(file, table["joint"], order, f"from 0 to {JOINTS - 1}, in MPII order")
    empty = ((table["x"] == "") | (table["y"] == "")).to_numpy()
    x = _numbers(file, table, "x", empty=empty)
    y = _numbers(file, table, "y", empty=empty)
    confidence = _numbers(file, table, "confidence", empty=empty)
    for line in table.index[confidence < 0]:
        raise UserError(f"{file}, line {line}: a confidence below 0")
    for line in table.index[pd.DataFrame({"row": row, "joint": joint}).duplicated()]:
        image, number = table.loc[line, ["image", "joint"]]
        raise UserError(f"{file}, line {line}: joint {number} of '{image}' stands twice")
    if unit == "pixels":
        x = x / images["width"].to_numpy()[row]
        y = y / images["height"].to_numpy()[row]
    _check_unit(str(file), np.stack([x, y], axis=1)[~empty], unit)
    values = np.zeros((len(images), JOINTS, 3))
    values[row, joint] = np.stack([x, y, confidence], axis=1)
    return _frame(values)


def _points(file: Path) -> Floats:
    """(N, 14, 2) x and y in pixels."""
    if not file.is_file():
        raise UserError(f"{file}: no such file; it is a MATLAB v7.3 file of points")
    try:
        with h5py.File(file, "r") as opened:
            found = opened.get(VARIABLE)
            if not isinstance(found, h5py.Dataset):
                raise UserError(
                    f"{file}: no variable '{VARIABLE}'; found {', '.join(opened) or 'none'}"
                )
            # HDF5 keeps rows together, MATLAB columns: its 28 x N is (N, 28) here.
            if found.ndim != 2 or found.shape[1] != 2 * JOINTS or found.dtype.kind not in "fiu":
                shape = " x ".join(str(length) for length in found.shape[::-1])
                raise UserError(
                    f"{file}: '{VARIABLE}' is {shape} of {found.dtype} in MATLAB's order; "
                    f"expected {2 * JOINTS} x N numbers"
                )
            values = np.asarray(found[()], np.float64)
    except OSError:
        raise UserError(f"{file}: not a readable MATLAB v7.3 (HDF5) file") from None
    return values.reshape(-1, 2, JOINTS).transpose(0, 2, 1)


def _read_csv(file: Path) -> pd.DataFrame:
    """The five columns as text, by line as an editor counts: the header is line 1."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            found = pd.read_csv(
                file, dtype=str, keep_default_na=False, skip_blank_lines=False, index_col=False
            ).fillna("")  # a line with too few fields
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; expected a CSV of {','.join(COLUMNS)}") from None
    except pd.errors.ParserWarning:
        raise UserError(f"{file}: a line has more fields than the header names") from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"{file}: not a readable CSV ({reason})") from None
    found.columns = found.columns.str.strip()
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        raise UserError(
            f"{file}: column '{missing[0]}' is missing; found {', '.join(found)}; "
            f"expected {','.join(COLUMNS)}"
        )
    found.index += 2
    table = found[list(COLUMNS)].apply(lambda column: column.str.strip())
    return table[(table != "").any(axis=1)]


def _looked_up(
    file: Path, column: pd.Series, numbers: Mapping[str, int], where: str
) -> npt.NDArray[np.int64]:
    """The number of each text; UserError names the first line whose text is not there."""
    found = column.map(numbers)
    for line in column.index[found.isna()]:
        raise UserError(f"{file}, line {line}: no {column.name} '{column[line]}' {where}")
    values: npt.NDArray[np.int64] = found.to_numpy(np.int64)
    return values


def _numbers(file: Path, table: pd.DataFrame, column: str, *, empty: Bools) -> Floats:
    """A column as numbers, 0 where `empty`."""
    numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
    for line in table.index[~np.isfinite(numbers) & ~empty]:
        raise UserError(f"{file}, line {line}: {column} '{table[column][line]}' is no number")
    return np.where(empty, 0.0, numbers)


def _check_unit(where: str, shares: Floats, unit: str) -> None:
    """Most of the joints (n, 2) must lie in their images."""
    outside = ((shares < 0) | (shares > 1)).any(axis=1)
    if len(shares) and outside.mean() > MOST_OUTSIDE:
        raise UserError(
            f"{where}: {outside.sum():,} of {len(shares):,} joints lie outside their images; "
            f"are the coordinates {unit}?"
        )


def _frame(values: Floats) -> pd.DataFrame:
    """(n, 14, 3) x, y and confidence as rows; outside the image nothing is known."""
    inside = ((values[..., :2] >= 0) & (values[..., :2] <= 1)).all(axis=2)
    flat = np.where(inside, values[..., 2], 0.0).ravel().astype(np.float32)
    return pd.DataFrame(
        {
            "image": np.repeat(np.arange(len(values), dtype=np.int32), JOINTS),
            "joint": np.tile(np.arange(JOINTS, dtype=np.int16), len(values)),
            "x": values[..., 0].ravel().astype(np.float32),
            "y": values[..., 1].ravel().astype(np.float32),
            "confidence": flat,
        }
    )
