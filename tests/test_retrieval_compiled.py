"""Compiled loops: sorting and searching inside them, and ranges shared out to threads."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import prange

import reid_repro
from reid_repro.retrieval import sorting
from reid_repro.retrieval.compiled import alone, between_products, kernel

TYPES = (np.float32, np.int64, np.uint64)
SIZES = (0, 1, 2, 15, 16, 17, 32, 33, 64, 65, 500)


@pytest.fixture(autouse=True, scope="module")
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@alone
def _sorted(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return sorting.in_order(values)


@alone
def _counts(ordered: npt.NDArray[Any], value: float) -> tuple[int, int]:
    return sorting.count_below(ordered, value), sorting.count_up_to(ordered, value)


@alone
def _greatest(values: npt.NDArray[Any]) -> int:
    return sorting.place_of_greatest(values)


@kernel(over="values")
def _visit(
    begin: int, end: int, values: npt.NDArray[np.int64], visits: npt.NDArray[np.int64]
) -> None:
    for i in range(begin, end):
        visits[i] += values[i]


@kernel(over="items")
def _count(begin: int, end: int, visits: npt.NDArray[np.int64], items: int) -> None:
    for i in range(begin, end):
        visits[i] += 1


@between_products
def _visit_between(values: npt.NDArray[np.int64], visits: npt.NDArray[np.int64]) -> None:
    for i in prange(len(values)):
        visits[i] += values[i]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", SIZES)
def test_sort_is_numpys(dtype: Any, size: int) -> None:
    values = np.random.default_rng(size).integers(0, 40, size).astype(dtype)
    before = values.copy()
    np.testing.assert_array_equal(_sorted(values), np.sort(values))
    np.testing.assert_array_equal(values, before)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=70), st.integers(-1, 21))
def test_searches_are_numpys(entries: list[int], value: int) -> None:
    ordered = np.sort(np.array(entries, dtype=np.float32))
    below, up_to = _counts(ordered, float(value))
    assert below == np.searchsorted(ordered, value)
    assert up_to == np.searchsorted(ordered, value, side="right")
    if entries:
        assert _greatest(np.array(entries, dtype=np.float32)) == np.argmax(entries)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1001])
def test_every_item_is_visited_once(size: int) -> None:
    values, visits = np.arange(size), np.zeros(size, dtype=np.int64)
    _visit(values, visits)
    np.testing.assert_array_equal(visits, values)
    _count(visits, size)
    np.testing.assert_array_equal(visits, values + 1)


@pytest.mark.parametrize("threads_of_torch", [1, 2])
@pytest.mark.parametrize("size", [0, 1, 1001])
def test_a_loop_between_products_runs_on_torchs_number_of_threads(
    size: int, threads_of_torch: int
) -> None:
    torch.set_num_threads(threads_of_torch)
    try:
        values, visits = np.arange(size), np.zeros(size, dtype=np.int64)
        _visit_between(values, visits)
        assert numba.get_num_threads() == threads_of_torch
    finally:
        torch.set_num_threads(2)
    np.testing.assert_array_equal(visits, values)


COMPILED = {"kernel", "between_products", "alone", "inner", "reassociated", "variants_of"}
INSIDE = {"inner", "reassociated"}
SOURCES = Path(reid_repro.__file__).parent


def decorators(function: ast.FunctionDef) -> set[str]:
    called = [one.func if isinstance(one, ast.Call) else one for one in function.decorator_list]
    return {one.id for one in called if isinstance(one, ast.Name)}


def calls(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Names called, and the function of the module where: not in compiled code."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef) and decorators(node) & COMPILED:
            continue
        for part in ast.walk(node):
            if isinstance(part, ast.Call) and isinstance(part.func, ast.Name | ast.Attribute):
                name = part.func.id if isinstance(part.func, ast.Name) else part.func.attr
                yield name, getattr(node, "name", "module")


def test_python_calls_no_function_that_only_kernels_may_call() -> None:
    trees = {
        file: ast.parse(text)
        for file in SOURCES.rglob("*.py")
        if "retrieval.compiled" in (text := file.read_text())
    }
    kinds = {
        (file, node.name): decorators(node)
        for file, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }
    inside = {name for (_, name), of in kinds.items() if of & INSIDE}
    assert len(inside) > 20
    found = [
        f"{file.name}: {where} calls {name}"
        for file, tree in trees.items()
        for name, where in calls(tree)
        if name in inside and kinds.get((file, name), INSIDE) & INSIDE
    ]
    assert found == []
