"""Evidence that is weaker than its resamples say: single seeds, and times within noise.

A resample knows other queries, and other seeds where there are several. With one seed nothing tells
how far two trainings with the same settings lie apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from reid_repro.ledger.evidence import OurEvidence
from reid_repro.ledger.evidence_rankings import Origin, Scored
from reid_repro.ledger.predicate_types import Atom
from reid_repro.ledger.statistics import interval

ORDERS = ("<", "<=", ">", ">=")
Pair = tuple[str, str]  # the origins of two rankings


def origins_of(atom: Atom) -> tuple[Origin, ...]:
    """What both sides were read from, each once."""
    names = (name for side in (atom.left, atom.right) if side for name in side.origins)
    return tuple(map(Origin.parse, dict.fromkeys(names)))


def is_accuracy(origins: Sequence[Origin]) -> bool:
    """Whether everything is an accuracy, measured or quoted."""
    return bool(origins) and all(origin.kind in ("ranking", "printed") for origin in origins)


def is_time(origin: Origin) -> bool:
    """Whether a number is a time."""
    if origin.kind == "time":
        return origin.metric != "groups"
    return origin.kind == "cost" or origin.metric == "infer_s_per_img"


def scored_as(name: str, evidence: OurEvidence) -> Scored:
    """The values behind an origin that is known to have some."""
    found = evidence.scored(name)
    assert found is not None, name
    return found


def is_single(atom: Atom, pair: Pair | None, evidence: OurEvidence) -> bool:
    """Whether single seeds are compared whose difference may be one of seeds.

    Two trainings are not told apart where their intervals overlap, a training and a printed number
    where their difference reaches into the band; more of them, or a single one's value, not at all.
    Rankings of the same networks share whatever their seed brought.
    """
    scored = _trained(atom, evidence)
    if not scored or min(one.seeds for one in scored) > 1:
        return False
    if len(_trainings(scored)) > 1:
        return _overlap(scored, pair, evidence)
    origins = origins_of(atom)
    if not any(origin.kind == "ranking" for origin in origins):
        return False
    if atom.op == "near" and len(origins) == 1:
        return True
    return any(origin.kind == "printed" for origin in origins) and _in_band(atom, evidence)


def has_few_seeds(atom: Atom, evidence: OurEvidence) -> bool:
    """Whether there are too few seeds to settle the size of a difference of trainings."""
    scored = _trained(atom, evidence)
    several = len(_trainings(scored)) > 1 or any(o.kind == "printed" for o in origins_of(atom))
    return several and min(one.seeds for one in scored) < evidence.settings.values.seeds


def _trained(atom: Atom, evidence: OurEvidence) -> list[Scored]:
    """The values behind an atom that come from trainings."""
    found = (evidence.scored(str(origin)) for origin in origins_of(atom) if origin.is_scaled)
    return [one for one in found if one is not None and one.runs]


def _trainings(scored: Sequence[Scored]) -> frozenset[str]:
    return frozenset[str]().union(*(one.trainings for one in scored))


def _overlap(scored: Sequence[Scored], pair: Pair | None, evidence: OurEvidence) -> bool:
    sides = scored if pair is None else [scored_as(name, evidence) for name in pair]
    ends = [interval(one.value.samples, evidence.settings.claims.level) for one in sides]
    if len(ends) != 2 or None in ends:
        return True
    (a_low, a_high), (b_low, b_high) = (end for end in ends if end is not None)
    return a_low <= b_high and b_low <= a_high


def names_a_size(atom: Atom) -> bool:
    """Whether an atom says by how much an accuracy is better: a gain, or a difference's bound."""
    if atom.op == "gain":
        return True
    assert atom.left is not None
    assert atom.right is not None
    return (
        atom.op in (">", ">=")
        and len(atom.left.origins) >= 2
        and not atom.right.origins
        and atom.right.measured > 0
        and is_accuracy(origins_of(atom))
    )


def _in_band(atom: Atom, evidence: OurEvidence) -> bool:
    """Whether the interval of a difference reaches into the band of two equal trainings.

    The difference is that of both sides, or the left one, where the right says how large it is.
    """
    if atom.left is None or atom.right is None:
        return True
    difference = (atom.left if names_a_size(atom) else atom.left - atom.right).samples
    ends = interval(difference, evidence.settings.claims.level)
    band = max(evidence.settings.values.band.of(origin.metric) for origin in origins_of(atom))
    return ends is None or (ends[0] <= band and ends[1] >= -band)


def is_close(atom: Atom, evidence: OurEvidence) -> bool:
    """Whether an order of times lies within the noise of timing."""
    if atom.op not in ORDERS or atom.left is None or atom.right is None:
        return False
    if not any(map(is_time, origins_of(atom))):
        return False
    left, right = atom.left.measured, atom.right.measured
    if left <= 0 or right <= 0:
        return False
    return abs(math.log(left / right)) < math.log1p(evidence.settings.claims.time_noise)
