"""Images of one's own: a CSV with the columns `path,identity,camera,role`.

`path` is relative to the dataset's root. `identity` may be any text: identities are numbered in
order of first appearance, from 1; `-1` stays junk and `0` a distractor. `camera` is a number or
text too; an empty one is unknown, and an unknown camera is never taken for the query's own.
`role` is train, query or gallery. Further columns are kept as attributes, except those whose
names the images table has itself.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

from reid_repro.config import CsvDataset
from reid_repro.datasets.base import (
    ROLES,
    UNKNOWN_CAMERA,
    Dataset,
    images_frame,
    inspect,
    splits_of,
)
from reid_repro.errors import UserError

COLUMNS = ("path", "identity", "camera", "role")


def load(name: str, config: CsvDataset) -> Dataset:
    """Read and check the list; UserError names the file and the column, line or image at fault."""
    rows = _read(config.list)
    identities = _numbered(rows["identity"], keep={"-1": -1, "0": 0}, first=1, most=2**31 - 1)
    cameras = _numbered(
        rows["camera"], keep={"": UNKNOWN_CAMERA, "-1": UNKNOWN_CAMERA}, first=0, most=2**15 - 1
    )
    sizes, content_hash = inspect(config.root, list(rows["path"]))
    images = images_frame(list(rows["path"]), identities, cameras, sizes)
    images["identity_name"] = rows["identity"].astype("string")
    taken = {*images.columns, *COLUMNS}
    extra = {column: rows[column] for column in rows.columns if column not in taken}
    images = images.assign(**extra)
    return Dataset(
        name=name,
        config=config,
        images=images,
        splits=splits_of(list(rows["role"])),
        content_hash=content_hash,
        root=config.root,
    )


def _read(file: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            _check_columns(file, pd.read_csv(file, nrows=0).columns.str.strip())
            rows = pd.read_csv(file, dtype=str, keep_default_na=False, index_col=False)
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; expected a CSV of {','.join(COLUMNS)}") from None
    except IsADirectoryError:
        raise UserError(f"{file}: a folder; expected a CSV of {','.join(COLUMNS)}") from None
    except pd.errors.ParserWarning:
        raise UserError(f"{file}: a line has more fields than the header names") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"{file}: not a readable CSV ({reason})") from None
    rows.columns = rows.columns.str.strip()
    rows = rows.apply(lambda column: column.str.strip())
    _check_rows(file, rows)
    return rows


def _check_columns(file: Path, found: pd.Index) -> None:
    missing = [column for column in COLUMNS if column not in found]
    if missing:
        raise UserError(
            f"{file}: column '{missing[0]}' is missing; found {', '.join(found)}; "
            f"expected {','.join(COLUMNS)}"
        )


def _check_rows(file: Path, rows: pd.DataFrame) -> None:
    """The first bad line is named as an editor counts: the header is line 1."""
    for column in ("path", "identity"):
        empty = rows.index[rows[column] == ""]
        if len(empty):
            raise UserError(f"{file}, line {empty[0] + 2}: column '{column}' is empty")
    foreign = rows.index[~rows["role"].isin(ROLES)]
    if len(foreign):
        line, role = foreign[0] + 2, rows["role"][foreign[0]]
        raise UserError(f"{file}, line {line}: role '{role}'; expected {', '.join(ROLES)}")
    twice = rows.index[rows.duplicated(["path", "role"])]
    if len(twice):
        raise UserError(f"{file}, line {twice[0] + 2}: '{rows['path'][twice[0]]}' stands twice")
    for role in ROLES:
        if not (rows["role"] == role).any():
            raise UserError(f"{file}: no image has role '{role}'")


def _numbered(values: pd.Series, *, keep: dict[str, int], first: int, most: int) -> list[int]:
    """Names to numbers. Numbers stay as they are if all are plain; else in order of appearance."""
    others = [value for value in dict.fromkeys(values) if value not in keep]
    # "007" beside "7", or a number too large for the table, is a name and no number.
    if all(value.isdecimal() and value == str(int(value)) for value in others) and all(
        int(value) <= most for value in others
    ):
        table = {value: int(value) for value in others}
    else:
        table = {value: first + number for number, value in enumerate(others)}
    table |= keep
    return [table[value] for value in values]
