"""Getting a dataset into its folder: downloaded where anybody may, asked for where not.

Every archive that was unpacked is noted in `.fetch` below the dataset's root, so that a fetch goes
on after the last one and a whole dataset is left alone. The archives stay where they are; whoever
needs the room may delete them afterwards. A folder that the user filled without this module, with
all the expected files, is as good.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from reid_repro.dataset_config import Archive, FolderDataset
from reid_repro.datasets.download import STATE, Advance, download, wrong_checksum
from reid_repro.datasets.unpack import temporary_folder, unpack
from reid_repro.errors import UserError
from reid_repro.files import read_json, sha256, write_json
from reid_repro.locks import alone
from reid_repro.progress import add_task, progress

__all__ = ["Status", "fetch", "how", "status"]

Status = Literal["present", "partial", "absent"]
MEGABYTE = 1_000_000
UNPACKING = {"unpacking": True}  # the note of an archive whose files may be in place in part


def status(config: FolderDataset) -> Status:
    """Whether what is expected below the root is there; nothing is opened.

    A dataset that a fetch has begun is partial until all of its archives are unpacked. Where
    nothing is expected, a root that holds anything is present.
    """
    done = [_is_done(config, archive) for archive in config.archives]
    broken_off = any(
        _read_note(config, archive) == UNPACKING
        or temporary_folder(_file(config, archive), config.root / archive.into).exists()
        for archive in config.archives
    )
    missing = _missing(config)
    if config.expected:
        has_all, has_some = not missing, len(missing) < len(config.expected)
    else:
        has_all = has_some = _holds_anything(config)
    if has_all and not broken_off and (all(done) or not any(done)):
        return "present"
    brought = any(
        (part := _file(config, archive)).exists() or part.with_name(f"{part.name}.part").exists()
        for archive in config.archives
    )
    return "partial" if has_some or broken_off or any(done) or brought else "absent"


def how(name: str, config: FolderDataset) -> str:
    """One line: how to get the dataset, or what is missing of it."""
    if config.access == "own":
        return f"put your images into {config.root}, or set datasets.{name}.root to where they lie"
    lacks = ""
    if status(config) == "partial" and (missing := _missing(config)):
        lacks = f"{', '.join(missing)} missing; "
    command = f"`reid-repro data fetch {name}`"
    wanted = [archive.file for archive in _by_hand(config, _pending(config))]
    if config.archives and not wanted:
        files = ", ".join(archive.file for archive in _pending(config))
        return f"{lacks}{command} gets and unpacks {files} into {config.root}"
    ask = _how_to_ask(config)
    if config.archives:
        return f"{lacks}{ask}, put {', '.join(wanted)} into {config.root}, then run {command}"
    files = ", ".join(config.expected)
    return (
        f"{lacks}{ask}, unpack it so that {config.root} holds {files or 'its files'}, or set "
        f"datasets.{name}.root to where they lie"
    )


def fetch(
    name: str,
    config: FolderDataset,
    *,
    attempts: int = 6,
    timeout: float = 60.0,
    wait: Callable[[float], None] = time.sleep,
    say: Callable[[str], None] = print,
) -> None:
    """Bring the dataset into its root: download, check and unpack what is not there yet.

    Archives without a url must lie in the root already: they are checked and unpacked. Goes on
    where an earlier fetch ended; does nothing where all is there. `attempts`, `timeout` and `wait`
    are those of `download`; `say` gets a line for every step.

    Raises UserError: what must be fetched by hand is not there (`how`), a download or an archive
    fails, or the archives do not hold what is expected.
    """
    with _of_dataset(name):
        if status(config) == "present":
            return
        absent = _by_hand(config, _pending(config))
        if not config.archives or (absent and len(absent) == len(_pending(config))):
            raise UserError(how(name, config))
        # The root and not the name: several datasets may be views of one folder.
        with alone("fetch into this folder", config.root / STATE):
            if status(config) == "present":  # another process was faster
                return
            pending = _pending(config)
            # What lies here first: who must fetch more by hand hears of it before a long download.
            here = [archive for archive in pending if _file(config, archive).exists()]
            for archive in here:
                _take(config, archive, attempts, timeout, wait, say)
            if _by_hand(config, pending):
                raise UserError(how(name, config))
            for archive in pending:
                if archive not in here:
                    _take(config, archive, attempts, timeout, wait, say)
            if missing := _missing(config):
                raise UserError(
                    f"all archives are unpacked in {config.root}, but they hold no "
                    f"{', '.join(missing)}: another release? Correct `archives` (into, strip) or "
                    f"`expected` of workflow/datasets/{name}.yaml"
                )


def _take(
    config: FolderDataset,
    archive: Archive,
    attempts: int,
    timeout: float,
    wait: Callable[[float], None],
    say: Callable[[str], None],
) -> None:
    """Download (where it has a url), check, unpack and note one archive."""
    file = _file(config, archive)
    sums = {"sha256": archive.sha256, "md5": archive.md5}
    if archive.url:
        if not file.exists():
            say(f"downloading {archive.url} to {file}")
        with _shown(archive.file) as advance:
            download(
                archive.url,
                file,
                **sums,
                attempts=attempts,
                timeout=timeout,
                wait=wait,
                advance=advance,
            )
    elif wrong := wrong_checksum(file, **sums):
        raise UserError(f"{wrong}; put another into {file.parent}: {_how_to_ask(config)}")
    if archive.unpack:
        say(f"unpacking {file}")
        folder = config.root / archive.into
        with progress() as display:
            task = display.add_task(f"{archive.file} files", total=None, note="")
            write_json(_note(config, archive), UNPACKING)
            try:
                files = unpack(
                    file,
                    folder,
                    password=archive.password,
                    strip=archive.strip,
                    advance=lambda count: display.update(task, completed=count),
                )
            except UserError:  # nothing was unpacked
                _note(config, archive).unlink()
                raise
        say(f"unpacked {files:,} files to {folder}")
    write_json(_note(config, archive), _facts(config, archive, archive.sha256 or sha256(file)))


@contextmanager
def _shown(file: str) -> Iterator[Advance]:
    """A progress bar in megabytes."""
    with progress() as display:
        task = add_task(display, f"{file} (MB)", 0)

        def advance(done: int, total: int | None) -> None:
            whole = None if total is None else -(-total // MEGABYTE)
            display.update(task, completed=-(-done // MEGABYTE), total=whole)

        yield advance


@contextmanager
def _of_dataset(name: str) -> Iterator[None]:
    """Errors say which dataset they are about."""
    try:
        yield
    except UserError as error:
        raise UserError(f"dataset '{name}': {error}") from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise UserError(f"dataset '{name}': {where}{error.strerror or error}") from None


def _how_to_ask(config: FolderDataset) -> str:
    place = config.homepage or "its owners"
    return f"fill in the form at {place}" if config.access == "form" else f"get it from {place}"


def _file(config: FolderDataset, archive: Archive) -> Path:
    return config.root / archive.file


def _note(config: FolderDataset, archive: Archive) -> Path:
    """Where it is noted that an archive was unpacked."""
    return config.root / STATE / f"{quote(archive.file, safe='')}.json"


def _read_note(config: FolderDataset, archive: Archive) -> dict[str, Any]:
    """What is noted of an archive; nothing where that is not readable."""
    try:
        noted = read_json(_note(config, archive))
    except (UserError, OSError):  # OSError: the root is no folder, or not ours to read
        return {}
    return noted if isinstance(noted, dict) else {}


def _facts(config: FolderDataset, archive: Archive, checksum: str) -> dict[str, Any]:
    """What the note says: the archive as it was, and where its members went."""
    facts = _file(config, archive).stat()
    return {
        "into": archive.into,
        "strip": archive.strip,
        "unpack": archive.unpack,
        "bytes": facts.st_size,
        "changed": facts.st_mtime_ns,
        "sha256": checksum,
    }


def _is_done(config: FolderDataset, archive: Archive) -> bool:
    """Whether the archive was unpacked as it is now, or as it was before it was deleted."""
    noted = _read_note(config, archive)
    if not noted or archive.sha256 not in ("", noted.get("sha256")):
        return False
    if not _file(config, archive).exists():
        asked = {"into": archive.into, "strip": archive.strip, "unpack": True}
        return archive.unpack and all(noted.get(key) == value for key, value in asked.items())
    return bool(noted == _facts(config, archive, str(noted.get("sha256"))))


def _pending(config: FolderDataset) -> list[Archive]:
    """The archives still to be unpacked; all, where what they held is gone."""
    pending = [archive for archive in config.archives if not _is_done(config, archive)]
    return pending or list(config.archives)


def _by_hand(config: FolderDataset, archives: list[Archive]) -> list[Archive]:
    """Those of the archives that somebody must put into the root."""
    return [
        archive for archive in archives if not archive.url and not _file(config, archive).exists()
    ]


def _missing(config: FolderDataset) -> list[str]:
    """The expected files and folders that are not there, or are folders with nothing in them."""
    return [path for path in config.expected if not _is_there(config.root / path)]


def _is_there(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _holds_anything(config: FolderDataset) -> bool:
    """Whether the root holds more than archives, pieces of them and notes."""
    if not config.root.is_dir():
        return False
    brought = {
        archive.file.split("/")[0] + suffix
        for archive in config.archives
        if archive.unpack
        for suffix in ("", ".part", ".part.json", ".bad")
    }
    return any(
        not entry.name.startswith(".") and entry.name not in brought
        for entry in config.root.iterdir()
    )
