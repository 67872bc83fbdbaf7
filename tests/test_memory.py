"""Freed memory stays with the process; a start does not look for garbage."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from reid_repro.memory import keep_memory, starting

# 16 MiB, taken, filled and freed twenty times over; prints the page faults of it.
PROGRAM = """
import resource, sys
import numpy as np
from reid_repro.memory import keep_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "keep":
    keep_memory()
np.ones(2**21)
before = faults()
for _ in range(20):
    np.ones(2**21)
print(faults() - before)
"""


def faults(way: str) -> int:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, way], capture_output=True, text=True, check=True
    )
    return int(answer.stdout)


@pytest.mark.skipif(not keep_memory(), reason="the C library has no such switch")
def test_memory_taken_again_is_not_fetched_again_from_the_system() -> None:
    assert faults("keep") < faults("leave") / 10


@pytest.fixture
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("thawed")
def test_what_a_start_makes_is_not_looked_through() -> None:
    before = gc.get_freeze_count()
    with starting():
        assert not gc.isenabled()
        made = [[number] for number in range(10_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(made)
    assert not any(kept is made for kept in gc.get_objects())


@pytest.mark.usefixtures("thawed")
def test_a_start_that_fails_looks_for_garbage_again() -> None:
    with pytest.raises(ImportError), starting():
        raise ImportError
    assert gc.isenabled()


# Whether anything is still frozen when the interpreter looks for garbage a last time.
ENDING = """
import atexit, gc, sys
atexit.register(lambda: print(gc.get_freeze_count() > 0))
from reid_repro.memory import starting

with starting():
    sys.modules[sys.argv[1]] = sys
"""


@pytest.mark.parametrize(("module", "frozen"), [("triton", "False"), ("another", "True")])
def test_what_a_start_made_is_freed_at_the_end_for_triton_alone(module: str, frozen: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", ENDING, module], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == frozen
