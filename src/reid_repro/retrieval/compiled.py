"""Compiled loops: how the package uses numba, in one place.

A kernel is a plain Python function over numpy arrays, compiled at its first call and kept in the
package's `__pycache__`, in a folder named by a digest of the package's sources: numba itself looks
at a kernel's own file alone, and would keep it when a function that it calls has changed. Its
loops over `prange` run on as many threads as torch uses; what it computes must not depend on their
number.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import torch
from numba.extending import overload

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a loop whose `prange` runs on several threads; call `use_torch_threads` first."""
    return _compiled(function, parallel=True)


def inner(function: F) -> F:
    """Compile a function that kernels call, inlined into them by the compiler where it pays."""
    return _compiled(function)


def reassociated(function: F) -> F:
    """`inner` for a sum whose order may be chosen by the compiler: vectorised, fixed per build."""
    return _compiled(function, fastmath={"reassoc", "contract"})


def _compiled(function: F, **options: Any) -> F:
    chosen = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = chosen or _cache_folder()
    try:
        jit = numba.njit(cache=True, nogil=True, error_model="numpy", **options)
        return cast(F, jit(function))
    finally:
        numba.config.CACHE_DIR = chosen


@functools.cache
def _cache_folder() -> str:
    """Where compiled code of just these sources is kept."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted(here.rglob("*.py")):
        digest.update(source.read_bytes())
    return str(here / "__pycache__" / f"compiled-{digest.hexdigest()[:16]}")


def variants_of(name: Callable[..., Any]) -> Callable[[F], F]:
    """Compiled code that calls `name` gets what the function returns for the argument types."""
    return cast(Callable[[F], F], overload(name))


def use_torch_threads() -> int:
    """Set numba's thread count to torch's (as far as the machine goes) and return it."""
    threads = min(torch.get_num_threads(), int(numba.config.NUMBA_NUM_THREADS))
    numba.set_num_threads(threads)
    return threads
