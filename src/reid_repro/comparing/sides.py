"""The two sides of a comparison: a results folder, or the results that a git revision holds."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from reid_repro.errors import UserError

# What is compared, below the results folder. Large files lie elsewhere.
FOLDERS: Final = ("metrics", "sweeps", "tables", "ledger", "models")
FILES: Final = ("claims.json",)
SUFFIXES: Final = (".json", ".csv", ".parquet")
RESULTS: Final = "results"


@dataclass(frozen=True)
class Side:
    """Named files: their paths below the results folder, and a way to read one."""

    name: str
    paths: tuple[str, ...]
    read: Callable[[str], bytes]

    @cached_property
    def known(self) -> frozenset[str]:
        """The paths, to ask of one."""
        return frozenset(self.paths)


def open_side(spec: str, repository: Path = Path()) -> Side:
    """A results folder, a folder that holds one, or else a revision of `repository`.

    Raises UserError where `spec` is none of these, or holds no results.
    """
    folder = Path(spec)
    if folder.is_dir():
        inner = folder / RESULTS
        return _folder(spec, inner if inner.is_dir() else folder)
    return _revision(spec, repository)


def _folder(name: str, folder: Path) -> Side:
    found = sorted(
        path.relative_to(folder).as_posix()
        for part in FOLDERS
        for path in (folder / part).rglob("*")
        if path.is_file() and _is_compared(path.relative_to(folder).as_posix())
    )
    found += [name for name in FILES if (folder / name).is_file()]
    _check(name, found)
    return Side(name, tuple(found), lambda path: (folder / path).read_bytes())


def _revision(name: str, repository: Path) -> Side:
    described = _git(repository, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if described is None:
        raise UserError(
            f"'{name}': neither a folder nor a git revision; give a results folder such as "
            "'results', or a revision such as 'HEAD~1'"
        )
    commit = described.decode().strip()
    listed = _git(repository, "ls-tree", "-r", "-z", "--name-only", commit, f"{RESULTS}/") or b""
    inside = [path.removeprefix(f"{RESULTS}/") for path in listed.decode().split("\0")]
    found = sorted(path for path in inside if path in FILES or _is_compared(path))
    _check(f"{name} ({commit[:10]})", found)
    # Whole folders, since the paths of many runs may be too long for one command.
    tops = sorted({path.split("/", 1)[0] for path in found})
    packed = _git(
        repository, "archive", "--format=tar", commit, *(f"{RESULTS}/{top}" for top in tops)
    )
    if packed is None:
        raise UserError(f"'{name}': git could not read its results; try `git fsck`")
    contents = _unpacked(packed)
    return Side(f"{name} ({commit[:10]})", tuple(found), contents.__getitem__)


def _unpacked(packed: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        files = ((one.name, archive.extractfile(one)) for one in archive if one.isfile())
        return {
            name.removeprefix(f"{RESULTS}/"): file.read()
            for name, file in files
            if file is not None
        }


def _is_compared(path: str) -> bool:
    """Whether a path below the results folder is one of what is compared."""
    top, _, rest = path.partition("/")
    if top == "models":
        return rest.endswith("/run.json")
    name = rest.rpartition("/")[2]
    return top in FOLDERS and path.endswith(SUFFIXES) and not name.startswith(".")


def _check(name: str, found: list[str]) -> None:
    if not any(path.startswith(("metrics/", "sweeps/")) or path in FILES for path in found):
        raise UserError(
            f"'{name}': no metrics and no claims.json in it; `make report` makes results, "
            "`dvc checkout` brings back those of a commit"
        )


def _git(repository: Path, *arguments: str) -> bytes | None:
    """What git says; None where it fails."""
    try:
        done = subprocess.run(["git", *arguments], cwd=repository, capture_output=True, check=False)
    except FileNotFoundError:
        raise UserError("git is not installed; compare two folders instead") from None
    return done.stdout if done.returncode == 0 else None
