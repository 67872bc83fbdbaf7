"""Files that appear whole or not at all, and readers that name the file which is wrong."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from reid_repro.errors import UserError

UMASK = os.umask(0o022)  # it can only be read by setting it
os.umask(UMASK)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes `path`'s place when all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.stem)}.*.part{path.suffix}"):
        _remove_if_orphan(left)
    # The process number keeps two writers apart; the suffix stays, since writers choose by it.
    beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield beside
        beside.chmod(0o666 & ~UMASK)  # some writers keep their files to themselves
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _remove_if_orphan(part: Path) -> None:
    """Remove what a killed writer of this machine left half written."""
    writer = part.name.removesuffix(f".part{part.suffix}").rsplit(".", 1)[-1]
    if writer.isdecimal() and not psutil.pid_exists(int(writer)):
        part.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """`content` as indented JSON, in the order of its keys."""
    with whole(path) as beside:
        beside.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def read_json(path: Path) -> Any:
    """The content of a JSON file; UserError names a missing or broken one."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; the phase before writes it") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise UserError(f"{path}: not valid JSON; delete it and run again") from None


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """`frame` as a zstd parquet file without its index."""
    with whole(path) as beside:
        frame.to_parquet(beside, index=False, compression="zstd")


def read_parquet(path: Path) -> pd.DataFrame:
    """A parquet file; UserError names a missing or broken one."""
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; the phase before writes it") from None
    except (OSError, ValueError):  # pyarrow raises both for a damaged file
        raise UserError(f"{path}: not a readable parquet file; delete it and run again") from None


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """`frame` as CSV without its index; floats with the digits that give them back."""
    with whole(path) as beside:
        frame.to_csv(beside, index=False, lineterminator="\n")


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
