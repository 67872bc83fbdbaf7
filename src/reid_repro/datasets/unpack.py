"""Archives unpacked wholly or not at all, and never outside their folder.

All is written to a temporary folder first and moved in place when the whole archive was read
without a complaint. Names that lead elsewhere are refused, sizes are counted while writing (what
headers say is not believed), and a small archive that swells beyond reason is stopped.

Archives in archives: those that lie at the top level of what was unpacked (after `strip`) are
unpacked too, where they lie, with the same password, and then removed. Deeper ones, and archives
in those, stay as they are.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from reid_repro.datasets.archives import Member, members, shown
from reid_repro.errors import UserError

__all__ = ["temporary_folder", "unpack"]

LIMIT_BYTES = 1 << 39  # half a terabyte: ten times the largest dataset
LIMIT_FILES = 5_000_000
# Images are compressed already and labels shrink to a tenth; a bomb reaches a thousand a layer.
LIMIT_RATIO = 100
RATIO_FROM = 1 << 28  # bytes that any archive may hold
NESTED = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")
DRIVE = re.compile("[A-Za-z]:/")


def _unseen(files: int) -> None:
    """Progress that nobody watches."""


def unpack(
    archive: Path,
    folder: Path,
    *,
    password: str = "",
    strip: int = 0,
    limit_bytes: int = LIMIT_BYTES,
    limit_files: int = LIMIT_FILES,
    advance: Callable[[int], None] = _unseen,
) -> int:
    """Unpack a zip or tar into `folder`, which may hold other things; the number of files.

    `strip` takes that many leading folders off every name; members that have no more are left
    out, as tar does. Files of the same name are replaced. `advance` is told the files written.
    One process alone may unpack an archive at a time; what an earlier one left behind is removed.

    Raises UserError, and leaves `folder` as it was: the archive is damaged or none, needs another
    password, holds anything but files and folders or names that lead elsewhere, or is too large.
    """
    temporary = temporary_folder(archive, folder)
    is_new = not folder.exists()
    if temporary.exists():
        shutil.rmtree(temporary)
    try:
        _make_folder(temporary, archive)
        work = _Work(archive, temporary, limit_bytes, limit_files, advance)
        work.write(archive, str(archive), password, strip)
        for inner in sorted(temporary.iterdir()):
            if inner.name.lower().endswith(NESTED) and inner.is_file():
                work.write(inner, f"{archive} (in it: {shown(inner.name)})", password, 0)
                inner.unlink()
                work.files -= 1
        if not work.files:
            why = f"nothing is left without {strip} leading folders" if strip else "it is empty"
            raise UserError(f"{archive}: {why}; is it the right archive?")
        for source, target in _moves(temporary, folder, archive):
            source.replace(target)
        return work.files
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if is_new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def temporary_folder(archive: Path, folder: Path) -> Path:
    """Where an archive is unpacked to at first: inside, since `folder` may be a disk of its own."""
    return folder / f".unpacking-{archive.name}"


class _Work:
    """Writes members below one folder and counts."""

    def __init__(
        self,
        archive: Path,
        folder: Path,
        limit_bytes: int,
        limit_files: int,
        advance: Callable[[int], None],
    ) -> None:
        self._archive, self._folder, self._advance = archive, folder, advance
        self._limit_files = limit_files
        packed = archive.stat().st_size if archive.exists() else 0
        by_ratio = max(RATIO_FROM, LIMIT_RATIO * packed)
        self._limit_bytes = min(limit_bytes, by_ratio)
        self._bytes = self._entries = self.files = 0
        self._made: set[Path] = set()

    def write(self, archive: Path, label: str, password: str, strip: int) -> None:
        """Write all members of an archive."""
        for member in members(archive, password, label):
            self._entries += 1
            if self._entries > self._limit_files:
                raise UserError(
                    f"{self._archive}: more than {self._limit_files:,} files and folders; nothing "
                    "was unpacked: is it the publisher's archive?"
                )
            place = _place(label, member.name, strip)
            try:
                self._write_member(member, place)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                raise UserError(
                    f"{label}: holds '{shown(member.name)}' twice; nothing was unpacked: is it the "
                    "publisher's archive?"
                ) from None
            except (OSError, UnicodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "no name for a file"
                raise UserError(
                    f"{label}: '{shown(member.name)}' cannot be written: {why}; nothing was "
                    "unpacked"
                ) from None

    def _write_member(self, member: Member, place: str) -> None:
        if not place or member.is_folder:
            for chunk in member.chunks:  # left out, but a bomb all the same
                self._count(chunk)
            if place:
                self._make(self._folder / place)
            return
        path = self._folder / place
        self._make(path.parent)
        with path.open("xb") as file:
            for chunk in member.chunks:
                self._count(chunk)
                file.write(chunk)
        self.files += 1
        self._advance(self.files)

    def _make(self, folder: Path) -> None:
        if folder not in self._made:
            folder.mkdir(parents=True, exist_ok=True)
            self._made.add(folder)

    def _count(self, chunk: bytes) -> None:
        self._bytes += len(chunk)
        if self._bytes > self._limit_bytes:
            raise UserError(
                f"{self._archive}: unpacks to more than {self._limit_bytes:,} bytes, too much for "
                "an archive of its size; nothing was unpacked: is it the publisher's archive?"
            )


def _place(label: str, name: str, strip: int) -> str:
    """The path that a member gets below the folder; empty where nothing is left of it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or DRIVE.match(name) or ".." in parts or "\0" in name:
        raise UserError(
            f"{label}: '{shown(name)}' leads out of the folder; nothing was unpacked: is it the "
            "publisher's archive?"
        )
    return "/".join(parts[strip:])


def _make_folder(temporary: Path, archive: Path) -> None:
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            f"{archive}: cannot be unpacked to {temporary.parent}: {error.strerror}"
        ) from None


def _moves(source: Path, target: Path, archive: Path) -> list[tuple[Path, Path]]:
    """What to rename to what, so that `target` holds all of `source` and keeps its other things."""
    moves = []
    for entry in source.iterdir():
        place = target / entry.name
        if entry.is_dir() and place.is_dir():
            moves += _moves(entry, place, archive)
        elif place.exists() and entry.is_dir() != place.is_dir():
            raise UserError(
                f"{archive}: holds '{entry.name}', but {place} is something else; move that away"
            )
        else:
            moves.append((entry, place))
    return moves
