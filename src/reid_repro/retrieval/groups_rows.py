"""Compiled loops over single rows of groups: their rounding for products, and Eq. 6 of GLAD."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.compiled import inner, kernel, reassociated

Reals = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint16]

CHUNKS = 16  # column ranges of a dissimilarity: they, not the groups, are shared out to threads


@inner
def widened(bits: Any) -> np.float32:
    """The float32 of which a bfloat16 holds the upper half."""
    value: np.float32 = np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)
    return value


def deviations(features: Singles, order: Integers, starts: Integers, stops: Integers) -> Reals:
    """Sum of squared deviations from the mean, by group and range of columns, (groups, CHUNKS)."""
    out = np.zeros((len(starts), CHUNKS))
    _deviations(CHUNKS, features, order, starts, stops, out)
    return out


@kernel(over="chunks")
def _deviations(
    begin: int,
    end: int,
    chunks: int,
    features: Singles,
    order: Integers,
    starts: Integers,
    stops: Integers,
    out: Reals,
) -> None:
    """Fill `out`, zeros (groups, chunks), with sums of squared deviations from the mean.

    Deviations are taken from a group's first member p, so that exact copies give exactly zero and
    little cancels: sum |g - p|^2 - |sum (g - p)|^2 / N, all in float64.
    """
    n, dim = len(starts), features.shape[1]
    width = (dim + chunks - 1) // chunks
    for chunk in range(begin, end):
        first, last = min(chunk * width, dim), min((chunk + 1) * width, dim)
        total, square = np.empty(last - first), np.empty(last - first)
        for g in range(n):
            for k in range(len(total)):
                total[k] = square[k] = 0.0
            origin = features[order[starts[g]], first:last]
            for a in range(starts[g] + 1, stops[g]):
                row = features[order[a], first:last]
                for k in range(len(row)):
                    gap = np.float64(row[k]) - np.float64(origin[k])
                    total[k] += gap
                    square[k] += gap * gap
            for k in range(len(total)):
                out[g, chunk] += square[k] - total[k] * total[k] / (stops[g] - starts[g])


@reassociated
def _round_row(row: Singles, centre: Reals, factor: float, out: Bits) -> tuple[float, float]:
    """Round (row - centre) * factor to bfloat16; squared norms of it and of what was lost."""
    square = lost = 0.0
    for k in range(len(row)):
        value = (np.float64(row[k]) - centre[k]) * factor
        bits = np.uint32(np.float32(value).view(np.uint32))
        odd = (bits >> np.uint32(16)) & np.uint32(1)
        out[k] = np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))
        gap = value - np.float64(widened(out[k]))
        square += value * value
        lost += gap * gap
    return square, lost


def round_rows(
    features: Singles, members: Integers, centre: Reals, factor: float, out: Bits
) -> tuple[Reals, Reals]:
    """Fill `out` with the shifted and scaled rows in bfloat16; their norms, and what was lost."""
    norm, residue = np.empty(len(members)), np.empty(len(members))
    _round_rows(features, members, centre, factor, out, norm, residue)
    return norm, residue


@kernel(over="members")
def _round_rows(
    begin: int,
    end: int,
    features: Singles,
    members: Integers,
    centre: Reals,
    factor: float,
    out: Bits,
    norm: Reals,
    residue: Reals,
) -> None:
    for i in range(begin, end):
        square, lost = _round_row(features[members[i]], centre, factor, out[i])
        norm[i], residue[i] = np.sqrt(square), np.sqrt(lost)


@reassociated
def _scale_row(row: Singles, centre: Reals, factor: float, out: Singles) -> tuple[float, float]:
    """`_round_row` to float32."""
    square = lost = 0.0
    for k in range(len(row)):
        value = (np.float64(row[k]) - centre[k]) * factor
        out[k] = np.float32(value)
        gap = value - np.float64(out[k])
        square += value * value
        lost += gap * gap
    return square, lost


def scale_rows(
    features: Singles, members: Integers, centre: Reals, factor: float, out: Singles
) -> tuple[Reals, Reals]:
    """`round_rows` to float32."""
    norm, residue = np.empty(len(members)), np.empty(len(members))
    _scale_rows(features, members, centre, factor, out, norm, residue)
    return norm, residue


@kernel(over="members")
def _scale_rows(
    begin: int,
    end: int,
    features: Singles,
    members: Integers,
    centre: Reals,
    factor: float,
    out: Singles,
    norm: Reals,
    residue: Reals,
) -> None:
    for i in range(begin, end):
        square, lost = _scale_row(features[members[i]], centre, factor, out[i])
        norm[i], residue[i] = np.sqrt(square), np.sqrt(lost)
