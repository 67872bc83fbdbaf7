"""A number with its uncertainty: the measured value, and what it is in each joint resample.

Resampling the same queries for every quantity keeps what is read from one ranking together, so
that a difference, a ratio or a maximum of several values has the right interval. Arithmetic works
sample by sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Union

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]
Number = Union["Value", int, float]


@dataclass(frozen=True, eq=False)
class Value:
    """A number and its resamples.

    `samples` is (1 + B,): the measured value, then B joint resamples; B is 0 for what is exact or
    printed, and such a value joins with one of any B. `origins` names what it was read from.
    ValueError where two values have different numbers of resamples.
    """

    samples: Samples
    origins: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        samples = np.atleast_1d(np.asarray(self.samples, dtype=np.float64))
        if samples.ndim != 1 or samples.size == 0:
            raise ValueError(f"samples of a value: expected (1 + B,), found {samples.shape}")
        object.__setattr__(self, "samples", samples)

    @property
    def measured(self) -> float:
        """The value itself, without its resamples."""
        return float(self.samples[0])

    @property
    def resamples(self) -> int:
        """B: how many resamples there are."""
        return self.samples.size - 1

    def __add__(self, other: Number) -> Value:
        return joined(np.add, self, other)

    def __radd__(self, other: Number) -> Value:
        return joined(np.add, other, self)

    def __sub__(self, other: Number) -> Value:
        return joined(np.subtract, self, other)

    def __rsub__(self, other: Number) -> Value:
        return joined(np.subtract, other, self)

    def __mul__(self, other: Number) -> Value:
        return joined(np.multiply, self, other)

    def __rmul__(self, other: Number) -> Value:
        return joined(np.multiply, other, self)

    def __truediv__(self, other: Number) -> Value:
        return joined(np.divide, self, other)

    def __rtruediv__(self, other: Number) -> Value:
        return joined(np.divide, other, self)

    def __neg__(self) -> Value:
        return Value(-self.samples, self.origins)

    def __abs__(self) -> Value:
        return Value(np.abs(self.samples), self.origins)


def exact(number: float, *origins: str) -> Value:
    """A value without resamples."""
    return Value(np.array([number], dtype=np.float64), origins)


def samples_of(number: Number) -> Samples:
    """The samples of a value, or a plain number as one sample."""
    return number.samples if isinstance(number, Value) else np.array([number], dtype=np.float64)


def origins_of(numbers: Iterable[Number]) -> tuple[str, ...]:
    """Every origin of the numbers, each once, in order."""
    found = (name for one in numbers if isinstance(one, Value) for name in one.origins)
    return tuple(dict.fromkeys(found))


def joined(operation: Callable[[Samples, Samples], Samples], left: Number, right: Number) -> Value:
    """`operation` on two numbers sample by sample; a division by zero gives inf or nan."""
    a, b = aligned([left, right])
    with np.errstate(all="ignore"):
        return Value(operation(a, b), origins_of([left, right]))


def aligned(numbers: Sequence[Number]) -> list[Samples]:
    """The samples of the numbers at one common length; ValueError where they do not fit."""
    samples = [samples_of(number) for number in numbers]
    sizes = {one.size for one in samples} - {1}
    if len(sizes) > 1:
        raise ValueError(f"values of {sorted(size - 1 for size in sizes)} resamples do not join")
    size = max(sizes, default=1)
    return [np.broadcast_to(one, (size,)) for one in samples]


def mean(numbers: Sequence[Number]) -> Value:
    """The mean, sample by sample."""
    return Value(np.stack(_some(numbers, "mean")).mean(axis=0), origins_of(numbers))


def total(numbers: Sequence[Number]) -> Value:
    """The sum, sample by sample; of no numbers it is 0."""
    if not numbers:
        return exact(0)
    return Value(np.stack(aligned(numbers)).sum(axis=0), origins_of(numbers))


def largest(numbers: Sequence[Number]) -> Value:
    """The maximum, sample by sample; its origin is that of the largest measured value."""
    samples = np.stack(_some(numbers, "max"))
    return Value(samples.max(axis=0), origins_of([numbers[int(samples[:, 0].argmax())]]))


def smallest(numbers: Sequence[Number]) -> Value:
    """The minimum, sample by sample; its origin is that of the smallest measured value."""
    samples = np.stack(_some(numbers, "min"))
    return Value(samples.min(axis=0), origins_of([numbers[int(samples[:, 0].argmin())]]))


def _some(numbers: Sequence[Number], what: str) -> list[Samples]:
    if not numbers:
        raise ValueError(f"{what}() of no values")
    return aligned(numbers)
