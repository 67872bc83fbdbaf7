"""Parts that were found elsewhere: the masks that PGAN's authors published, or a CSV of boxes.

Both give the table of parts.parquet: the same number of boxes for every image, the most confident
first, images with fewer filled up with boxes of the whole image, of score 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.datasets.places import BOX, FILLED
from reid_repro.errors import UserError
from reid_repro.parts.classes import VEHICLE_TYPES
from reid_repro.progress import add_task, progress

CELLS = 14  # of the masks, in each direction
UNNAMED = "part"  # the masks do not say what they show
COLUMNS = ["image", "label", "score", *BOX]


def masks(images: Sequence[str], folder: Path) -> pd.DataFrame:
    """The boxes of `images` (paths relative to the dataset's root) from a `.npy` an image.

    For `a/b.jpg` that is the first of a/b.jpg.npy, a/b.npy, b.jpg.npy and b.npy in `folder`: a
    D x 14 x 14 array of 0 and 1 (Eq. 1 of PGAN), least confident first. A box is what bounds a
    mask's cells, an empty mask is none. Confidences are not published: of the k boxes of an image
    the one of rank r gets the score (k - r) / k, which keeps their order and says no more.
    Raises UserError for a missing file, another shape, or values beside 0 and 1.
    """
    found: list[npt.NDArray[np.float64]] = []
    rows: list[npt.NDArray[np.int64]] = []
    boxes: int | None = None
    with progress() as display:
        task = add_task(display, "masks", len(images))
        for row, name in enumerate(images):
            file = _mask_file(folder, name)
            own = _mask(file)
            boxes = boxes or len(own)
            if len(own) != boxes:
                raise UserError(f"{file}: {len(own)} masks, but {boxes} in the files before it")
            bounds = bounding_boxes(own[::-1])
            found.append(bounds)
            rows.append(np.full(len(bounds), row))
            display.advance(task)
    if boxes is None:
        raise UserError(f"{folder}: no image to import masks for")
    image = np.concatenate(rows)
    number = pd.Series(image).groupby(image)
    rank, total = number.cumcount().to_numpy(), number.transform("size").to_numpy()
    table = pd.DataFrame({"image": image, "label": UNNAMED, "score": (total - rank) / total})
    table[BOX] = np.concatenate(found)
    return ranked(table, len(images), boxes)


def bounding_boxes(own: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """(k, 4) boxes in 0..1 around the true cells of (D, h, w) masks; empty masks have none."""
    own = own[own.any(axis=(1, 2))]
    height, width = own.shape[1:]
    across: npt.NDArray[np.bool_] = np.any(own, axis=1)
    down: npt.NDArray[np.bool_] = np.any(own, axis=2)
    sides = [
        across.argmax(axis=1) / width,
        down.argmax(axis=1) / height,
        1 - across[:, ::-1].argmax(axis=1) / width,
        1 - down[:, ::-1].argmax(axis=1) / height,
    ]
    return np.stack(sides, axis=1)


def csv(images: Sequence[str], file: Path, boxes: int) -> pd.DataFrame:
    """The `boxes` surest boxes of `images` from a CSV `image,label,score,x0,y0,x1,y1`.

    `image` is a path relative to the dataset's root; scores and coordinates are in 0..1. Kinds of
    vehicle are dropped. Suppression is the writer's affair. Raises UserError naming the line.
    """
    try:
        table = pd.read_csv(
            file, dtype={"image": str, "label": str}, keep_default_na=False, skip_blank_lines=False
        )
    except FileNotFoundError:
        raise UserError(f"{file}: no such file of boxes") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:  # pandas' own are ValueErrors
        reason = " ".join(str(error).split())
        raise UserError(f"{file}: not a readable CSV file ({reason})") from None
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise UserError(f"{file}: no column '{missing[0]}'; expected {','.join(COLUMNS)}")
    numbers = table[["score", *BOX]].apply(pd.to_numeric, errors="coerce")
    low, high = numbers[BOX[:2]].to_numpy(), numbers[BOX[2:]].to_numpy()
    row = table["image"].map({name: row for row, name in enumerate(images)})
    _refuse(file, table, row.isna().to_numpy(), "'{image}' is no image of the dataset")
    inside = numbers.ge(0) & numbers.le(1)  # False for what is no number
    _refuse(file, table, ~inside.all(axis=1).to_numpy(), "score and coordinates must be in 0..1")
    _refuse(file, table, (low >= high).any(axis=1), "the box is empty: x0 < x1 and y0 < y1 wanted")
    table[["score", *BOX]] = numbers
    table["image"] = row.astype(np.int64)
    return ranked(table[~table["label"].isin(VEHICLE_TYPES)], len(images), boxes)


def ranked(table: pd.DataFrame, images: int, boxes: int) -> pd.DataFrame:
    """The `boxes` surest rows of each of `images` images, filled up: the table of parts.parquet.

    Of equal scores the earlier row comes first.
    """
    table = table.sort_values(["image", "score"], ascending=[True, False], kind="stable")
    table = table.assign(rank=table.groupby("image").cumcount())
    whole = pd.MultiIndex.from_product([range(images), range(boxes)], names=["image", "rank"])
    filled = table.set_index(["image", "rank"]).reindex(whole).reset_index()
    empty = filled["score"].isna()
    filled.loc[empty, BOX] = [0.0, 0.0, 1.0, 1.0]
    return pd.DataFrame(
        {
            "image": filled["image"].astype("int32"),
            "rank": filled["rank"].astype("int16"),
            "label": filled["label"].astype(object).where(~empty, FILLED),
            "score": filled["score"].fillna(0.0).astype("float32"),
            **{name: filled[name].astype("float32") for name in BOX},
        }
    )


def _mask_file(folder: Path, name: str) -> Path:
    image = Path(name)
    tried = [
        folder / f"{image}.npy",
        folder / image.with_suffix(".npy"),
        folder / f"{image.name}.npy",
        folder / f"{image.stem}.npy",
    ]
    for file in tried:
        if file.is_file():
            return file
    raise UserError(f"{tried[0]}: no such mask, nor {tried[3]}; is this the dataset's folder?")


def _mask(file: Path) -> npt.NDArray[np.bool_]:
    try:
        own = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file}: not a readable .npy file ({reason})") from None
    if not isinstance(own, np.ndarray) or own.ndim != 3 or own.shape[1:] != (CELLS, CELLS):
        shape = getattr(own, "shape", type(own).__name__)
        raise UserError(f"{file}: shape {shape}, expected D x {CELLS} x {CELLS}")
    if len(own) == 0 or not np.isin(own, (0, 1)).all():
        raise UserError(f"{file}: expected masks of 0 and 1, found other values or none")
    return own.astype(bool)


def _refuse(file: Path, table: pd.DataFrame, wrong: npt.NDArray[np.bool_], why: str) -> None:
    """UserError for the first wrong row, by its line in the file."""
    if wrong.any():
        row = int(wrong.argmax())
        name = table["image"].iloc[row]
        raise UserError(f"{file}, line {row + 2}: {why.format(image=name)}")
