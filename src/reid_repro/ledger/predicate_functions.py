"""The plain functions of the predicates: max, min, mean, sum, len, sorted, abs, floor, zip.

They take Values, numbers or what is missing; a result of anything missing is missing itself. What
holds no Value stays a plain number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from reid_repro.ledger.predicate_logic import Missing, Truth, reasons_of
from reid_repro.ledger.value import (
    Number,
    Value,
    aligned,
    largest,
    mean,
    origins_of,
    smallest,
    total,
)


def items_of(what: object) -> list[Any]:
    """The items of a list, tuple or dictionary; TypeError for anything else."""
    if isinstance(what, Missing):
        return [what]
    if isinstance(what, Mapping):
        return list(what)
    if isinstance(what, (list, tuple)):
        return list(what)
    raise TypeError(f"expected several values, found {kind(what)}")


def kind(what: object) -> str:
    """What something is, for a message."""
    if isinstance(what, bool | Truth):
        return "a condition"
    if isinstance(what, int | float | Value):
        return "a number"
    return {str: "a text", Missing: "an unknown value"}.get(type(what), type(what).__name__)


def number(what: object) -> Number:
    """`what` as a number, a condition as 0 or 1 in each sample; TypeError for anything else."""
    if isinstance(what, Truth):
        return Value(what.true.astype(float))
    if isinstance(what, bool):
        return int(what)
    if isinstance(what, (Value, int, float)):
        return what
    raise TypeError(f"expected a number, found {kind(what)}")


def _several(arguments: tuple[Any, ...]) -> list[Any]:
    return items_of(arguments[0]) if len(arguments) == 1 else list(arguments)


def _over_values(
    of_values: Callable[[Sequence[Number]], Value], of_plain: Callable[[Any], Any]
) -> Callable[..., Any]:
    """A function of several numbers that stays plain where all of them are."""

    def function(*arguments: Any) -> Any:
        items = _several(arguments)
        if reasons := reasons_of(items):
            return Missing(reasons)
        numbers = [number(one) for one in items]
        plain = not any(isinstance(one, Value) for one in numbers)
        return of_plain(numbers) if plain else of_values(numbers)

    return function


def _plain_mean(numbers: Sequence[float]) -> float:
    if not numbers:
        raise ValueError("mean() of no values")
    return sum(numbers) / len(numbers)


def _ordered(what: object) -> Any:
    items = items_of(what)
    if any(isinstance(one, Missing) for one in items):
        return Missing(reasons_of(items))
    if all(isinstance(one, str) for one in items):
        return sorted(items)
    numbers = [number(one) for one in items]
    if not any(isinstance(one, Value) for one in numbers):
        return sorted(numbers)
    rows = np.sort(np.stack(aligned(numbers)), axis=0)
    return [Value(row, origins_of(numbers)) for row in rows]


def _one_number(of_value: Callable[[Value], Value], of_plain: Callable[[Any], Any]) -> Any:
    def function(what: object) -> Any:
        if isinstance(what, Missing):
            return what
        found = number(what)
        return of_value(found) if isinstance(found, Value) else of_plain(found)

    return function


def _zip(*arguments: object) -> Any:
    if any(isinstance(one, Missing) for one in arguments):
        return Missing(reasons_of(arguments))
    return list(zip(*(items_of(one) for one in arguments), strict=False))


def _length(what: object) -> Any:
    return what if isinstance(what, Missing) else len(items_of(what))


def values(what: object) -> Any:
    """`.values()` of a dictionary."""
    return what if isinstance(what, Missing) else list(_mapping(what).values())


def pairs(what: object) -> Any:
    """`.items()` of a dictionary."""
    return what if isinstance(what, Missing) else list(_mapping(what).items())


def _mapping(what: object) -> Mapping[Any, Any]:
    if not isinstance(what, Mapping):
        raise TypeError(f"expected a column (row -> value), found {kind(what)}")
    return what


METHODS: dict[str, Callable[[object], Any]] = {"values": values, "items": pairs}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "max": _over_values(largest, max),
    "min": _over_values(smallest, min),
    "sum": _over_values(total, sum),
    "mean": _over_values(mean, _plain_mean),
    "len": _length,
    "sorted": _ordered,
    "abs": _one_number(abs, abs),
    "floor": _one_number(lambda v: Value(np.floor(v.samples), v.origins), math.floor),
    "zip": _zip,
}
