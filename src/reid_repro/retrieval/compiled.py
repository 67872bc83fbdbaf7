"""Compiled loops: how the package uses numba, in one place.

A kernel is a plain Python function over numpy arrays, compiled at its first call and kept in the
package's `__pycache__`, in a folder named by a digest of the package's sources: numba itself looks
at a kernel's own file alone, and would keep it when a function that it calls has changed.

A kernel works on a part of its range and holds no lock of Python: parts run side by side on as many
threads as torch uses, and what is computed must not depend on their number. numba would do so by
itself (`parallel=True`), but compiles each loop several times over for it, which takes more than
twice as long: only loops that take turns with matrix products are worth it (`between_products`).
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import torch
from numba.core.cpu_options import ParallelOptions
from numba.extending import overload

F = TypeVar("F", bound=Callable[..., Any])

# Of what numba can make parallel, loops that ask for it: the rest is looked for in vain.
# An object of numba's own, since each compilation empties a dictionary that it is given.
ONLY_LOOPS = ParallelOptions(
    {
        "prange": True,
        "comprehension": False,
        "reduction": False,
        "inplace_binop": False,
        "setitem": False,
        "numpy": False,
        "stencil": False,
        "fusion": False,
    }
)


def kernel(*, over: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Compile a loop over begin:end, its first two parameters, and share its range out to threads.

    The kernel is called without them: begin:end are parts of a range as long as the argument
    `over`, or as that argument counts. Arguments are given by position; results go into arrays.
    """

    def shared(function: Callable[..., None]) -> Callable[..., None]:
        compiled = _compiled(function)
        place = list(inspect.signature(function).parameters).index(over) - 2

        @functools.wraps(function)
        def call(*arguments: Any) -> None:
            items = arguments[place]
            count = items if isinstance(items, int) else len(items)
            parts = min(thread_count(), count)
            if parts <= 1:
                compiled(0, count, *arguments)
                return
            ends = [count * part // parts for part in range(parts + 1)]
            others = [
                _pool().submit(compiled, begin, end, *arguments)
                for begin, end in itertools.pairwise(ends[1:])
            ]
            compiled(0, ends[1], *arguments)
            for other in others:
                other.result()

        return call

    return shared


def between_products(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a loop over `prange` that runs on the very threads of torch's products (OpenMP's).

    They spin for some milliseconds after a product. A kernel's own threads would wait for the cores
    meanwhile: on two cores a search took an eighth longer.
    """
    compiled = _compiled(function, parallel=ONLY_LOOPS)

    @functools.wraps(function)
    def call(*arguments: Any) -> None:
        numba.set_num_threads(thread_count())
        compiled(*arguments)

    return call


def alone(function: F) -> F:
    """Compile a function that kernels call and Python as well, on one thread."""
    return _compiled(function)


def inner(function: F) -> F:
    """Compile a function that only kernels call, inlined by the compiler where it pays.

    It is part of their compiled code: it is not kept by itself, and a call from Python would crash
    (a test reads the sources for such calls).
    """
    return _compiled(function, cache=False, no_cpython_wrapper=True)


def reassociated(function: F) -> F:
    """`inner` for a sum whose order may be chosen by the compiler: vectorised, fixed per build."""
    fastmath = {"reassoc", "contract"}
    return _compiled(function, cache=False, no_cpython_wrapper=True, fastmath=fastmath)


def _compiled(function: F, *, cache: bool = True, **options: Any) -> F:
    chosen = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = chosen or _cache_folder()
    try:
        jit = numba.njit(
            cache=cache, nogil=True, error_model="numpy", no_cfunc_wrapper=True, **options
        )
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


def thread_count() -> int:
    """Threads that a kernel runs on: as many as torch uses, as far as the machine goes."""
    return min(torch.get_num_threads(), int(numba.config.NUMBA_NUM_THREADS))


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """The threads beside the caller's; a forked process starts its own."""
    return ThreadPoolExecutor(max(1, int(numba.config.NUMBA_NUM_THREADS) - 1), "kernel")


os.register_at_fork(after_in_child=_pool.cache_clear)
