"""What the four vehicle datasets share: lists with one image a line become tables.

VeRi-776, VehicleID, VRIC and VERI-Wild all say in text files which images train, ask and answer.
The lists go through vectorised expressions: VERI-Wild's have 416,314 lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reid_repro.datasets.base import UNKNOWN_CAMERA
from reid_repro.datasets.folders import read_lines, split_rows
from reid_repro.errors import UserError

SHOWN = 60  # characters of a bad line that a message shows


@dataclass(frozen=True)
class ImageList:
    """The images of one list file: `rows` has image (path below the root), identity, camera."""

    subset: str
    role: str
    file: Path
    rows: pd.DataFrame


def parse(path: Path, pattern: str, form: str, *, header: bool = False) -> pd.DataFrame:
    """The named groups of `pattern` (RE2) in every line, as strings; optional groups may be "".

    The index counts the lines that are not blank from 0. With `header` a first line that does not
    match is passed over. Raises UserError for an empty file and for the first line that is not of
    the `form`, by number.
    """
    lines = read_lines(path)
    found = pc.extract_regex(pa.array(lines, pa.string()), pattern)
    bad = pc.indices_nonzero(pc.is_null(found)).to_pylist()
    first = int(header and bool(bad) and bad[0] == 0)
    if bad[first:]:
        text = lines[bad[first]]
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
        raise UserError(
            f"{path}, line {_line_number(path, bad[first])}: '{shown}' is not of the form "
            f"'{form}'; is it the right file?"
        )
    found = found.slice(first)
    if not len(found):
        raise UserError(f"{path}: the list is empty; is it the right file?")
    return pd.DataFrame(
        {field.name: pc.struct_field(found, [field.name]).to_pylist() for field in found.type},
        index=pd.RangeIndex(first, len(lines)),
    )


def unique(path: Path, column: pd.Series) -> None:
    """UserError with the line of the first value of a parsed column that stands twice."""
    twice = column[column.duplicated()]
    if len(twice):
        before, again = column.index[column == twice.iloc[0]][:2]
        raise UserError(
            f"{path}, line {_line_number(path, again)}: '{twice.iloc[0]}' stands in line "
            f"{_line_number(path, before)} already"
        )


def _line_number(path: Path, place: int) -> int:
    """The number, from 1, of a line that is the `place`-th (from 0) of those not blank."""
    lines = path.read_text("utf-8").splitlines()
    return [number for number, line in enumerate(lines, start=1) if line.strip()][place]


def tables(name: str, lists: Sequence[ImageList]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`images` and `splits` of all lists; an image that several name is one row.

    Where the numbering of the vehicles starts at 0, which stands for distractors here, every number
    is one higher. Raises UserError for lists that do not go together: two vehicles for one image, a
    vehicle that is both trained on and tested, a query whose vehicle is not in the gallery.
    """
    _one_vehicle_an_image(name, lists)
    _train_and_test_apart(name, lists)
    _queries_in_gallery(name, lists)
    images = pd.concat([each.rows for each in lists], ignore_index=True)
    images = images.drop_duplicates("image", ignore_index=True)
    if (images["identity"] == 0).any():
        images["identity"] += 1
    rows = pd.Index(images["image"])
    splits = [split_rows(e.subset, e.role, rows.get_indexer(e.rows["image"])) for e in lists]
    return images, pd.concat(splits, ignore_index=True)


def image_rows(
    images: pd.Series, identities: pd.Series, cameras: pd.Series | int = UNKNOWN_CAMERA
) -> pd.DataFrame:
    """The rows of an ImageList from strings; cameras may be one number for all."""
    return pd.DataFrame(
        {
            "image": images,
            "identity": identities.astype("int32"),
            "camera": cameras if isinstance(cameras, int) else cameras.astype("int16"),
        }
    )


def _one_vehicle_an_image(name: str, lists: Sequence[ImageList]) -> None:
    stated = pd.concat(
        [each.rows[["image", "identity"]].assign(file=str(each.file)) for each in lists],
        ignore_index=True,
    ).drop_duplicates(["image", "identity"])
    torn = stated[stated.duplicated("image", keep=False)].sort_values("image", kind="stable")
    if len(torn):
        one, other = torn.iloc[0], torn.iloc[1]
        raise UserError(
            f"dataset '{name}': {one['image']} shows vehicle {one['identity']} in {one['file']} "
            f"but {other['identity']} in {other['file']}; get the lists anew"
        )


def _train_and_test_apart(name: str, lists: Sequence[ImageList]) -> None:
    trained = {
        identity: each.file
        for each in lists
        if each.role == "train"
        for identity in each.rows["identity"].unique()
    }
    for each in lists:
        if each.role != "train":
            for identity in each.rows["identity"].unique():
                if identity in trained:
                    raise UserError(
                        f"dataset '{name}': vehicle {identity} is in {trained[identity]} and in "
                        f"{each.file}, yet none is trained on and tested; "
                        "is one of them the wrong file?"
                    )


def _queries_in_gallery(name: str, lists: Sequence[ImageList]) -> None:
    for query in (each for each in lists if each.role == "query"):
        galleries = [e for e in lists if e.role == "gallery" and e.subset == query.subset]
        for gallery in galleries:
            alone = ~query.rows["identity"].isin(gallery.rows["identity"])
            if alone.any():
                raise UserError(
                    f"dataset '{name}': vehicle {query.rows['identity'][alone].iloc[0]} is in "
                    f"{query.file} but not in {gallery.file}; is one of them the wrong file?"
                )
