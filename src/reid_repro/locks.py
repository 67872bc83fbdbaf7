"""Locks that outlive nobody: Snakemake's own, and one for each job.

Snakemake locks the working directory and leaves the lock behind when it dies of SIGKILL or a
power cut; the next start then refuses to run. So every start notes itself (host, process, start
time) before it locks, and a start that finds locks while every noted process is dead, all of
them on this host, removes them. While one lives, or for a host that cannot be asked, they stay:
Snakemake says then what to do.

A job can outlive a killed Snakemake, too. `alone` makes the next one wait for it, so that two
processes never write the same files.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from reid_repro.files import write_json

STATE = Path(".snakemake")
JOBS = Path("logs/running")


def enter(mode: Enum, state: Path = STATE) -> list[Path]:
    """Remove locks whose owners are dead, note this process; the locks that were removed.

    Does nothing for the processes that Snakemake starts for single jobs.
    """
    if mode.name != "DEFAULT":
        return []
    owners = state / "owners"
    noted = sorted(owners.glob("*.json"))
    living = [note for note in noted if not _is_dead(note)]
    removed: list[Path] = []
    if noted and not living:
        removed = sorted((state / "locks").glob("*.lock"))
    for file in [*removed, *(note for note in noted if note not in living)]:
        file.unlink(missing_ok=True)
    own = psutil.Process()
    note = owners / f"{own.pid}.json"
    write_json(note, {"host": platform.node(), "pid": own.pid, "created": own.create_time()})
    atexit.register(note.unlink, missing_ok=True)
    return removed


def _is_dead(note: Path) -> bool:
    """Whether the noted process is surely gone: on this host, and its number free or reused."""
    try:
        owner = json.loads(note.read_text("utf-8"))
        if owner["host"] != platform.node():
            return False
        return bool(psutil.Process(owner["pid"]).create_time() != owner["created"])
    except psutil.NoSuchProcess:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False


@contextmanager
def alone(job: str, folder: Path = JOBS) -> Iterator[None]:
    """Run only while no other process of this machine does the same `job`; wait for it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{hashlib.sha256(job.encode()).hexdigest()[:16]}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another process that does the same: {job}", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
