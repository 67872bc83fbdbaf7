"""Whether a claim holds: its predicate, evaluated over evidence by a small walker of syntax trees.

A predicate is an expression over the cells of tables, points of figures, tests and counts of
datasets (docs/papers_as_data.md). The same one is evaluated on what a paper prints and on what is
measured here. Nothing is short-circuited: every elementary test of an `all(...)` or `and` is
evaluated and kept, and one that is unknown does not hide the others.
"""

from __future__ import annotations

from reid_repro.ledger.predicate_conditions import TOLERANCE, Conditions
from reid_repro.ledger.predicate_syntax import parsed
from reid_repro.ledger.predicate_types import (
    Atom,
    Evidence,
    Outcome,
    PredicateError,
    Statistic,
    Unknown,
)

__all__ = [
    "TOLERANCE",
    "Atom",
    "Evidence",
    "Outcome",
    "PredicateError",
    "Statistic",
    "Unknown",
    "check",
    "evaluate",
]


def evaluate(predicate: str, evidence: Evidence) -> Outcome:
    """What a predicate comes to on the evidence.

    PredicateError names the predicate, the place and the mistake: what is not of the language, a
    cell or column that there is not, numbers where texts belong, more work than a claim can be.
    """
    return Conditions(predicate, evidence).outcome()


def check(predicate: str) -> None:
    """PredicateError where a predicate is not of the language; nothing is evaluated."""
    parsed(predicate)
