"""How this process asks the system for memory, and how often it looks for what to give up."""

from __future__ import annotations

import atexit
import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of glibc's mallopt(3).
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
NEVER = 2**31 - 1
LARGEST = 2**25  # what glibc takes at most


def keep_memory() -> bool:
    """Let freed memory stay with this process; False where the C library has no such switch.

    What a step of a training frees, the next one takes. Giving it back to the system in between,
    as glibc does with large blocks, costs a page fault for every 4 KiB of it, each step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # not glibc
        return False
    return bool(mallopt(TRIM_THRESHOLD, NEVER) and mallopt(MMAP_THRESHOLD, LARGEST))


@contextmanager
def starting() -> Iterator[None]:
    """Import what a job needs without looking for garbage meanwhile.

    Importing torch makes a million objects, and Python looks through them for cycles that nobody
    holds again and again: a tenth of the time of a start. All of them stay, and are not looked at
    later either: the system takes their memory back when the process ends, and Python's own search
    through them, then, would take half a second with torch.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        atexit.register(_thaw)
        gc.enable()


def _thaw() -> None:
    """Triton's bindings, which come with torch's compiler, complain of what is not freed."""
    if "triton" in sys.modules:
        gc.unfreeze()
