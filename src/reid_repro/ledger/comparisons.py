"""From the elementary tests of a predicate to findings: what is compared, and how sure one can be.

An atom is taken as it stands, but for what another scale or another machine cannot answer: sizes
of accuracies, and absolute times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from reid_repro.ledger.evidence import OurEvidence
from reid_repro.ledger.evidence_rankings import Origin, Scored
from reid_repro.ledger.predicate_conditions import TOLERANCE
from reid_repro.ledger.predicate_logic import Truth, compared, gain, near
from reid_repro.ledger.predicate_types import Atom, Unknown
from reid_repro.ledger.tests_of_difference import Difference, paired_difference
from reid_repro.ledger.value import Value, exact
from reid_repro.ledger.verdicts import Finding
from reid_repro.ledger.weak_evidence import (
    ORDERS,
    Pair,
    has_few_seeds,
    is_accuracy,
    is_close,
    is_single,
    is_time,
    names_a_size,
    origins_of,
    scored_as,
)

Flags = npt.NDArray[np.bool_]

SIZES = Unknown(
    "other_scale", "sizes of accuracies are judged at paper scale, on the real datasets"
)
CALIBRATED = Unknown(
    "unspecified",
    "thresholds are set here so that the printed numbers of groups come out: these show nothing",
)
ABSOLUTE = Unknown(
    "other_scale", "an absolute time of another machine: ratios and orders are judged"
)


@dataclass(frozen=True)
class Comparison:
    """An atom with what is known about it: `pair` is tested where both sides are one ranking.

    `truth` holds where it is true, resample by resample, and is None where that is unknown.
    """

    atom: Atom
    finding: Finding
    truth: Truth | None = None
    pair: Pair | None = None

    @property
    def origins(self) -> tuple[Origin, ...]:
        """What both sides were read from."""
        return origins_of(self.atom)

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for comparisons that read the same numbers and differ in words alone."""
        sides = [(v.origins, v.measured) if v else None for v in (self.atom.left, self.atom.right)]
        if self.finding.size == "unjudged" and self.atom.left:  # whatever size was printed
            sides[1] = None
        if self.finding.unknown or not self.origins:
            return (self.atom.text,)
        return (self.atom.op, *sides)


def comparison(atom: Atom, evidence: OurEvidence) -> Comparison:
    """What is known about one atom."""
    if atom.unknown is not None or atom.holds is None:
        missing = atom.unknown or Unknown("not_run", "a quantity of it is not known")
        return Comparison(atom, Finding(None, unknown=missing))
    reason = _out_of_reach(atom, evidence)
    if reason is not None:
        return Comparison(atom, Finding(None, unknown=reason))
    if atom.left is None or atom.right is None:
        return Comparison(atom, Finding(atom.holds))
    if atom.op == "near":
        truth, size, pair = _near(atom, evidence), None, None
    elif names_a_size(atom):
        truth, size, pair = _sized(atom, evidence)
    else:
        truth = Truth(*_flags(atom))
        size, pair = None, _paired(atom, atom.left, atom.right, evidence)
    finding = Finding(
        holds=truth.holds,
        share=truth.share,
        resamples=truth.true.size - 1,
        overlap=is_single(atom, pair, evidence),
        close=is_close(atom, evidence),
        size=size,
    )
    return Comparison(atom, finding, truth, pair)


def paired_tests(pairs: Iterable[Pair], evidence: OurEvidence) -> dict[Pair, Difference]:
    """The test of each pair; a pair and its reverse are one test."""
    found: dict[Pair, Difference] = {}
    for pair in dict.fromkeys((min(pair), max(pair)) for pair in pairs):
        found[pair] = paired_test(pair, evidence)
    return found


def paired_test(pair: Pair, evidence: OurEvidence) -> Difference:
    """The paired randomisation test of the per-query values behind two origins."""
    settings = evidence.settings.permutations
    first, second = (scored_as(name, evidence) for name in pair)
    return paired_difference(
        first.per_query.mean(axis=1),
        second.per_query.mean(axis=1),
        first.identities,
        resamples=settings.resamples,
        seed=settings.seed,
        name="|".join(pair),
    )


def joint_share(comparisons: Sequence[Comparison]) -> float | None:
    """The part of the resamples in which all of what is known holds; None without resamples."""
    truths = [one.truth.true for one in comparisons if one.truth is not None]
    size = max((flags.size for flags in truths), default=1)
    if size == 1:
        return None
    together = np.all([np.broadcast_to(flags, (size,)) for flags in truths], axis=0)
    return float(together[1:].mean())


def _is_scaled(evidence: OurEvidence) -> bool:
    return evidence.plan.config.scale != "paper"


def _out_of_reach(atom: Atom, evidence: OurEvidence) -> Unknown | None:
    """Why a size that is known is not held against the printed one."""
    if atom.left is None or atom.right is None:
        return None
    origins = origins_of(atom)
    if any(origin.metric == "groups" for origin in origins):
        return CALIBRATED
    if _is_scaled(evidence) and _bounds_a_size(atom):
        return SIZES
    if atom.op != "near" or (atom.left.origins and atom.right.origins):
        return None
    if _is_scaled(evidence) and any(origin.kind == "ranking" for origin in origins):
        return SIZES
    timed = [origin for origin in origins if is_time(origin)]
    return ABSOLUTE if timed and " / " not in atom.text else None


def _bounds_a_size(atom: Atom) -> bool:
    """Whether an atom says how close accuracies are: a tolerance, or a difference's upper bound."""
    assert atom.left is not None
    assert atom.right is not None
    if not is_accuracy(origins_of(atom)):
        return False
    if atom.op == "near":
        return atom.tolerance is not None
    if atom.op not in ORDERS:
        return False
    low, high = (atom.left, atom.right) if atom.op[0] == "<" else (atom.right, atom.left)
    return bool(low.origins) and not high.origins and high.measured > 0


def _flags(atom: Atom) -> tuple[Flags, Flags]:
    assert atom.left is not None
    assert atom.right is not None
    truth = compared(atom.op, atom.left, atom.right)
    return truth.true, truth.false


def _near(atom: Atom, evidence: OurEvidence) -> Truth:
    """Two accuracies that are the same in print are the same here within the noise of trainings."""
    assert atom.left is not None
    assert atom.right is not None
    tolerance = TOLERANCE if atom.tolerance is None else atom.tolerance
    return near(atom.left, atom.right, _widened(tolerance, atom, evidence))


def _widened(tolerance: float, atom: Atom, evidence: OurEvidence) -> float:
    """A tolerance of rounding alone becomes the band of the settings."""
    origins = origins_of(atom)
    if tolerance > TOLERANCE or not is_accuracy(origins):
        return tolerance
    band = evidence.settings.values.band
    return max(band.of(origin.metric) for origin in origins)


def _sized(
    atom: Atom, evidence: OurEvidence
) -> tuple[Truth, bool | Literal["unjudged"], Pair | None]:
    """Direction, size and pair of a difference that has a printed size."""
    left, right = atom.left, atom.right
    assert left is not None
    assert right is not None
    sign = 1.0 if right.measured > 0 else -1.0
    direction = compared(">", left * sign, exact(0.0))
    pair = None
    if len(left.origins) == 2:
        names = left.origins if sign > 0 else left.origins[::-1]
        pair = _of_difference(left * sign, names, evidence)
    if _is_scaled(evidence):
        return direction, "unjudged", pair
    if atom.op == "gain":
        tolerance = TOLERANCE if atom.tolerance is None else atom.tolerance
        fits = gain(left, right, _widened(tolerance, atom, evidence))
    else:
        fits = compared(atom.op, left, right)
    certainty = evidence.settings.claims.certainty
    settled = fits.share is None or fits.share >= certainty
    return direction, bool(fits.holds and settled and not has_few_seeds(atom, evidence)), pair


def _of_difference(value: Value, names: tuple[str, ...], evidence: OurEvidence) -> Pair | None:
    """The two rankings whose difference a value is; None where it is another function of them."""
    first, second = names
    for pair in ((first, second), (second, first)):
        found = [evidence.scored(name) for name in pair]
        if None in found or not _alike(*(one for one in found if one)):
            return None
        a, b = (one.value.measured for one in found if one)
        if math.isclose(a - b, value.measured, rel_tol=1e-9, abs_tol=1e-9):
            return pair
    return None


def _paired(atom: Atom, left: Value, right: Value, evidence: OurEvidence) -> Pair | None:
    """The rankings behind two sides that are each one of them, unchanged, on the same queries."""
    if len(left.origins) != 1 or len(right.origins) != 1 or left.origins == right.origins:
        return None
    tie = left.measured == right.measured
    if atom.op not in ORDERS or (tie and atom.op in ("<=", ">=")):  # no difference to be tested
        return None
    found = [evidence.scored(side.origins[0]) for side in (left, right)]
    first, second = found
    if first is None or second is None or not _alike(first, second):
        return None
    # An offset or factor is left to the resamples: the test is of no difference at all.
    same = (first.value.measured, second.value.measured) == (left.measured, right.measured)
    return (left.origins[0], right.origins[0]) if same else None


def _alike(first: Scored, second: Scored) -> bool:
    return (
        first.value.resamples > 0
        and second.value.resamples > 0
        and np.array_equal(first.identities, second.identities)
        and _place(first) == _place(second)
    )


def _place(scored: Scored) -> tuple[str, ...]:
    origin = Origin.parse(scored.value.origins[0])
    return origin.kind, origin.dataset, origin.subset
