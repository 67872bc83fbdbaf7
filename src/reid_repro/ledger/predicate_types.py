"""What a predicate asks and answers: the evidence behind it, its elementary tests, its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from reid_repro.errors import UserError
from reid_repro.ledger.value import Value

Reason = Literal[
    "not_run",
    "other_scale",
    "no_data",
    "no_weights",
    "no_gpu",
    "not_implemented",
    "unspecified",
    "not_printed",
]
Operator = Literal[
    "<", "<=", ">", ">=", "==", "!=", "in", "not in", "near", "gain", "test", "unknown"
]
Statistic = int | float | tuple[int, ...]


class PredicateError(UserError):
    """A predicate that cannot be evaluated: what is wrong, where in it, in which predicate."""


class Unknown(Exception):  # noqa: N818 -- no mistake: a fact that is not there
    """A quantity that there is no evidence for: a code of `Reason`, and a sentence for readers."""

    def __init__(self, code: Reason, sentence: str) -> None:
        super().__init__(code, sentence)
        self.code: Reason = code
        self.sentence = sentence

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unknown) and self.args == other.args

    def __hash__(self) -> int:
        return hash(self.args)

    def __str__(self) -> str:
        return self.sentence


class Evidence(Protocol):
    """Where the numbers of a predicate come from: printed cells, or measurements.

    Every method may raise Unknown. `others` and `col` map rows to values, and may hold an Unknown
    in a value's place, so that the other rows are not lost; rows that print nothing in the column
    are left out. Where `dataset` or `split` is None the table has one alone.
    """

    def m(self, table: str, row: str, metric: str, dataset: str | None, split: str | None) -> Value:
        """One cell of a table."""
        ...

    def col(
        self,
        table: str,
        metric: str,
        dataset: str | None,
        split: str | None,
        exclude: tuple[str, ...],
        only: tuple[str, ...] | None,
        roles: tuple[str, ...] | None,
    ) -> Mapping[str, Value | Unknown]:
        """A column by row, without the rows in `exclude`; only some rows, or roles, if given."""
        ...

    def others(
        self, table: str, row: str, metric: str, dataset: str | None, split: str | None
    ) -> Mapping[str, Value | Unknown]:
        """The column without one row."""
        ...

    def f(self, figure: str, *key: str) -> Value:
        """A point of a figure."""
        ...

    def test(self, name: str) -> bool:
        """Whether a property of workflow/properties.yaml was shown by its tests."""
        ...

    def stat(self, name: str) -> Statistic:
        """A count of a dataset (`VeRi-776.train`): images and identities, or one number."""
        ...


@dataclass(frozen=True)
class Atom:
    """One elementary test of a predicate.

    `left` and `right` are None where a side is no number; `seen` is then the left side as found.
    `share` is the part of the resamples in which it holds, None without resamples. `tolerance`
    belongs to `near` and `gain`. `holds` is None where `unknown` says why.
    """

    text: str
    op: Operator
    left: Value | None = None
    right: Value | None = None
    holds: bool | None = None
    share: float | None = None
    unknown: Unknown | None = None
    tolerance: float | None = None
    seen: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a predicate comes to.

    `holds` is None where unknown quantities decide it. `share` is the part of the resamples in
    which what is known makes it hold: None without resamples, or where `holds` is None. `unknown`
    are the reasons of everything missing, each once, decisive or not.
    """

    holds: bool | None
    share: float | None
    atoms: tuple[Atom, ...]
    unknown: tuple[Unknown, ...]
