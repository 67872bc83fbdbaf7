"""Truth of an elementary test, sample by sample, where something may be unknown.

Three values after Kleene: a conjunction is false where one part is false, whatever the unknown
ones are, and unknown where the known ones are all true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from reid_repro.ledger.predicate_types import Unknown
from reid_repro.ledger.value import Number, Samples, aligned

Flags = npt.NDArray[np.bool_]

# Printed numbers are decimal fractions; their differences miss the printed difference by this.
ROUNDING = 1e-9

COMPARISONS: dict[str, Callable[[Samples, Samples], Flags]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


@dataclass(frozen=True)
class Missing:
    """A quantity that is not known, and every reason why."""

    reasons: tuple[Unknown, ...]


@dataclass(frozen=True, eq=False)
class Truth:
    """Where it is known to be true, and where known to be false; both of (1 + B,)."""

    true: Flags
    false: Flags
    reasons: tuple[Unknown, ...] = ()

    @property
    def holds(self) -> bool | None:
        """Of the measured values; None where that is unknown."""
        return True if self.true[0] else False if self.false[0] else None

    @property
    def known(self) -> bool:
        """Whether every sample is known."""
        return bool((self.true | self.false).all())

    @property
    def share(self) -> float | None:
        """The part of the resamples in which it is known to be true; None without any."""
        if self.holds is None or self.true.size == 1:
            return None
        return float(self.true[1:].mean())

    def __invert__(self) -> Truth:
        return Truth(self.false, self.true, self.reasons)


def certain(flag: bool) -> Truth:
    """What is true or false without resamples."""
    flags = np.array([flag])
    return Truth(flags, ~flags)


def unknown(reasons: Sequence[Unknown]) -> Truth:
    """What is neither known to be true nor to be false."""
    flags = np.array([False])
    return Truth(flags, flags, tuple(reasons))


def both(parts: Sequence[Truth]) -> Truth:
    """The conjunction; of nothing it is true."""
    return reduce(_and, parts, certain(True))


def either(parts: Sequence[Truth]) -> Truth:
    """The disjunction; of nothing it is false."""
    return ~both([~part for part in parts])


def _and(left: Truth, right: Truth) -> Truth:
    reasons = tuple(dict.fromkeys((*left.reasons, *right.reasons)))
    return Truth(left.true & right.true, left.false | right.false, reasons)


def compared(operator: str, left: Number, right: Number) -> Truth:
    """An order or equality, sample by sample."""
    a, b = aligned([left, right])
    flags = COMPARISONS[operator](a, b)
    return Truth(flags, ~flags)


def near(left: Number, right: Number, tolerance: float) -> Truth:
    """Whether two numbers differ by the tolerance at most."""
    a, b = aligned([left, right])
    flags = np.abs(a - b) <= tolerance + ROUNDING
    return Truth(flags, ~flags)


def gain(difference: Number, stated: Number, tolerance: float) -> Truth:
    """Whether a difference is the stated one: of its sign, and off by the tolerance at most."""
    a, b = aligned([difference, stated])
    flags = (np.sign(a) == np.sign(b)) & (np.abs(a - b) <= tolerance + ROUNDING)
    return Truth(flags, ~flags)


def reasons_of(parts: Iterable[object]) -> tuple[Unknown, ...]:
    """Every reason of what is missing or not wholly known among `parts`, each once."""
    unknown = (p for p in parts if isinstance(p, Missing) or (isinstance(p, Truth) and not p.known))
    return tuple(dict.fromkeys(reason for part in unknown for reason in part.reasons))
