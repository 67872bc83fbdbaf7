"""Snakemake's lock, given back by the next start when its owner was killed.

Snakemake locks the working directory and leaves the lock behind when it dies of SIGKILL or a
power cut; the next start then refuses to run. Who holds the lock is noted here (host, process,
start time), and a lock whose owner on this very host is gone is removed. A lock without a note,
or of another host, is left alone: Snakemake says then what to do.
"""

from __future__ import annotations

import json
import platform
from enum import Enum
from pathlib import Path

import psutil

from reid_repro.files import write_json

STATE = Path(".snakemake")


def remember_owner(mode: Enum, state: Path = STATE) -> None:
    """Note this process as the owner of the lock, if it is the main one and not a job's."""
    if _is_main(mode):
        own = psutil.Process()
        note = {"host": platform.node(), "pid": own.pid, "created": own.create_time()}
        write_json(state / "owner.json", note)


def release_stale_locks(mode: Enum, state: Path = STATE) -> list[Path]:
    """Remove the locks of a dead owner on this host; the files that were removed."""
    locks = sorted((state / "locks").glob("*.lock"))
    if not locks or not _is_main(mode) or not _owner_is_dead(state / "owner.json"):
        return []
    for lock in locks:
        lock.unlink(missing_ok=True)
    return locks


def _is_main(mode: Enum) -> bool:
    return mode.name == "DEFAULT"


def _owner_is_dead(note: Path) -> bool:
    try:
        owner = json.loads(note.read_text("utf-8"))
        if owner["host"] != platform.node():
            return False
        # A process number is used again some day; with the start time it is unique.
        return bool(psutil.Process(owner["pid"]).create_time() != owner["created"])
    except psutil.NoSuchProcess:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False
