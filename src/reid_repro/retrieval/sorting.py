"""Sorting and searching of vectors inside compiled loops.

numpy's own sort, searchsorted and argmax work in compiled code as well, but each takes a second or
more to compile for every type that it meets; these loops take a fraction of it and run as fast.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.compiled import inner

Vector = npt.NDArray[Any]

RUN = 16  # entries that are sorted by insertion


@inner
def ascending(values: Vector) -> None:
    """Sort a contiguous vector in place: runs by insertion, merged two by two."""
    size = len(values)
    for first in range(0, size, RUN):
        for i in range(first + 1, min(first + RUN, size)):
            value, place = values[i], i
            while place > first and value < values[place - 1]:
                values[place] = values[place - 1]
                place -= 1
            values[place] = value
    if size <= RUN:
        return
    source, target = values, np.empty(size, values.dtype)
    width, passes = RUN, 0
    while width < size:
        for first in range(0, size, 2 * width):
            middle, last = min(first + width, size), min(first + 2 * width, size)
            left, right = first, middle
            for place in range(first, last):
                if right == last or (left < middle and not source[right] < source[left]):
                    target[place] = source[left]
                    left += 1
                else:
                    target[place] = source[right]
                    right += 1
        source, target = target, source
        width, passes = 2 * width, passes + 1
    if passes % 2 == 1:
        for i in range(size):
            values[i] = source[i]


@inner
def in_order(values: Vector) -> Vector:
    """A sorted copy."""
    copy = np.empty(len(values), values.dtype)
    for i in range(len(values)):
        copy[i] = values[i]
    ascending(copy)
    return copy


@inner
def count_below(ordered: Vector, value: Any) -> int:
    """How many entries of an ascending vector are less than `value`."""
    first, last = 0, len(ordered)
    while first < last:
        middle = (first + last) // 2
        if ordered[middle] < value:
            first = middle + 1
        else:
            last = middle
    return first


@inner
def count_up_to(ordered: Vector, value: Any) -> int:
    """How many entries of an ascending vector are at most `value`."""
    first, last = 0, len(ordered)
    while first < last:
        middle = (first + last) // 2
        if ordered[middle] <= value:
            first = middle + 1
        else:
            last = middle
    return first


@inner
def place_of_greatest(values: Vector) -> int:
    """Where the greatest entry is, the first of several."""
    place = 0
    for i in range(1, len(values)):
        if values[i] > values[place]:
            place = i
    return place
