"""Asking the evidence: arguments checked, the unknown kept as such, values named for readers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reid_repro.ledger.predicate_functions import kind
from reid_repro.ledger.predicate_logic import Missing
from reid_repro.ledger.predicate_text import cell_label
from reid_repro.ledger.predicate_types import Evidence, Statistic, Unknown
from reid_repro.ledger.value import Value, exact

Found = Value | Missing
Column = tuple[str, str, str | None, str | None]  # table, metric, dataset, split


class Asked:
    """The evidence as the predicates call it.

    `labels` names what was given out, by its id; it is all kept alive for that.
    TypeError where an argument is no text.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._kept: list[Found] = []
        self.labels: dict[int, str] = {}

    def m(
        self,
        table: str,
        row: str,
        metric: str,
        dataset: str | None = None,
        split: str | None = None,
    ) -> Found:
        """One cell."""
        place = (_text(table), _text(row), _text(metric), _maybe(dataset), _maybe(split))
        return self._kept_as(cell_label(*place), _known(lambda: self._evidence.m(*place)))

    def others(
        self,
        table: str,
        row: str,
        metric: str,
        dataset: str | None = None,
        split: str | None = None,
    ) -> list[Found] | Missing:
        """The values of the column's other rows."""
        place = (_text(table), _text(row), _text(metric), _maybe(dataset), _maybe(split))
        found = _known(lambda: self._evidence.others(*place))
        column = (place[0], *place[2:])
        if isinstance(found, Missing):
            return self._none(column, "other rows", found)
        return list(self._rows(column, found).values())

    def col(
        self,
        table: str,
        metric: str,
        dataset: str | None = None,
        split: str | None = None,
        exclude: tuple[str, ...] = (),
        only: tuple[str, ...] | None = None,
        roles: tuple[str, ...] | None = None,
    ) -> dict[str, Found] | Missing:
        """A column, row -> value."""
        column = (_text(table), _text(metric), _maybe(dataset), _maybe(split))
        rows = (_texts(exclude), None if only is None else _texts(only))
        of = None if roles is None else _texts(roles)
        found = _known(lambda: self._evidence.col(*column, *rows, of))
        if isinstance(found, Missing):
            return self._none(column, "all rows", found)
        return self._rows(column, found)

    def f(self, figure: str, *key: str | int | float) -> Found:
        """A point of a figure; the parts of its key may be numbers."""
        parts = [str(one) if isinstance(one, int | float) else _text(one) for one in key]
        label = " · ".join([_text(figure), *parts])
        return self._kept_as(label, _known(lambda: self._evidence.f(figure, *parts)))

    def test(self, name: str) -> bool | Missing:
        """Whether a property was shown."""
        found: bool | Missing = _known(lambda: self._evidence.test(_text(name)))
        return found

    def stat(self, name: str) -> Value | tuple[int, ...] | Missing:
        """A count, or several that belong together."""
        found: Statistic | Missing = _known(lambda: self._evidence.stat(_text(name)))
        if isinstance(found, Missing | tuple):
            return found
        value = exact(found, name)
        self._kept_as(name, value)
        return value

    def _none(self, column: Column, rows: str, found: Missing) -> Missing:
        table, metric, dataset, split = column
        self._kept_as(cell_label(table, rows, metric, dataset, split), found)
        return found

    def _rows(
        self,
        column: Column,
        found: Mapping[str, Value | Unknown],
    ) -> dict[str, Found]:
        table, metric, dataset, split = column
        return {
            row: self._kept_as(cell_label(table, row, metric, dataset, split), _found(value))
            for row, value in found.items()
        }

    def _kept_as(self, label: str, value: Found) -> Found:
        self._kept.append(value)
        self.labels[id(value)] = label
        return value


def _known(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Unknown as reason:
        return Missing((reason,))


def _found(value: Value | Unknown) -> Found:
    return Missing((value,)) if isinstance(value, Unknown) else value


def _text(what: object) -> str:
    if not isinstance(what, str):
        raise TypeError(f"expected a text, found {kind(what)}")
    return what


def _maybe(what: object) -> str | None:
    return None if what is None else _text(what)


def _texts(what: object) -> tuple[str, ...]:
    if not isinstance(what, (tuple, list)):
        raise TypeError(f"expected texts in (...), found {kind(what)}")
    return tuple(_text(one) for one in what)
