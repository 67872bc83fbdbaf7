"""Axes of the directly drawn plots: ranges, and the round numbers that stand at them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """Range and numbers of an axis; with `ticks` (value, text) given, these alone."""

    low: float
    high: float
    label: str = ""
    log: bool = False
    ticks: tuple[tuple[float, str], ...] | None = None
    grid: bool = True

    def place(self, value: float) -> float:
        """Where a value lies: 0 at `low`, 1 at `high`."""
        if self.log:
            low, high, value = (math.log10(max(v, 1e-300)) for v in (self.low, self.high, value))
            return (value - low) / (high - low)
        return (value - self.low) / (self.high - self.low)

    @property
    def numbers(self) -> tuple[tuple[float, str], ...]:
        """The values with a grid line, and how they are written."""
        if self.ticks is not None:
            return self.ticks
        found = _decades(self.low, self.high) if self.log else ()
        return found if len(found) > 2 else _even(self.low, self.high, 4 if self.log else 7)


def _even(low: float, high: float, most: int) -> tuple[tuple[float, str], ...]:
    """Multiples of 1, 2 or 5 times a power of ten within the range, `most` or fewer."""
    span = high - low
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(s * power for s in (1, 2, 5, 10, 20) if span / (s * power) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    values = [n * step + 0.0 for n in range(first, last + 1)]  # + 0.0: no minus before a zero
    return tuple((v, f"{v:.{digits}f}".replace("-", "\N{MINUS SIGN}")) for v in values)


def _decades(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Powers of ten within the range; 2 and 5 between them where it is short."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first <= 3 else (1,)
    values = [f * 10.0**power for power in range(first, last + 1) for f in factors]
    return tuple((v, f"{v:g}") for v in values if low * 0.999 <= v <= high * 1.001)


def around(values: Iterable[float], *, part: float = 0.06) -> tuple[float, float]:
    """A range that holds all finite values with some room at both ends."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    room = part * (high - low) or max(abs(high), 1.0) * part
    return low - room, high + room
