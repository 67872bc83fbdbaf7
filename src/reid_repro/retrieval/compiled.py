"""Compiled loops: how the package uses numba, in one place.

A kernel is a plain Python function over numpy arrays, compiled at its first call and kept in the
package's `__pycache__`. Its loops over `prange` run on as many threads as torch uses; what it
computes must not depend on their number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import torch
from numba.extending import overload

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a loop whose `prange` runs on several threads; call `use_torch_threads` first."""
    return cast(F, numba.njit(parallel=True, cache=True, nogil=True, error_model="numpy")(function))


def inner(function: F) -> F:
    """Compile a function that kernels call, inlined into them by the compiler where it pays."""
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def reassociated(function: F) -> F:
    """`inner` for a sum whose order may be chosen by the compiler: vectorised, fixed per build."""
    options = {"reassoc", "contract"}
    compiled = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=options)(function)
    return cast(F, compiled)


def variants_of(name: Callable[..., Any]) -> Callable[[F], F]:
    """Compiled code that calls `name` gets what the function returns for the argument types."""
    return cast(Callable[[F], F], overload(name))


def use_torch_threads() -> int:
    """Set numba's thread count to torch's (as far as the machine goes) and return it."""
    threads = min(torch.get_num_threads(), int(numba.config.NUMBA_NUM_THREADS))
    numba.set_num_threads(threads)
    return threads
