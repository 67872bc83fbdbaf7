"""The printed cells as evidence: what a paper's own numbers say about its claims."""

from __future__ import annotations

from reid_repro.ledger.predicate_types import Statistic, Unknown
from reid_repro.ledger.printed import Cell, PrintedPaper, label
from reid_repro.ledger.value import Value, exact


class PaperEvidence:
    """One paper's cells, exact as printed; figures, tests and counts are no cells."""

    def __init__(self, printed: PrintedPaper) -> None:
        self._printed = printed

    def m(self, table: str, row: str, metric: str, dataset: str | None, split: str | None) -> Value:
        """One cell; Unknown where it is printed empty."""
        cell = self._printed.cell(table, row, metric, dataset, split)
        if cell.number is None:
            raise Unknown("not_printed", f"{label(cell.key)} is printed as '{cell.printed_as}'.")
        return _value(cell)

    def col(
        self,
        table: str,
        metric: str,
        dataset: str | None,
        split: str | None,
        exclude: tuple[str, ...],
        only: tuple[str, ...] | None,
        roles: tuple[str, ...] | None,
    ) -> dict[str, Value]:
        """The cells of a column that print a number; LookupError for a row that there is not."""
        chosen = self._printed.chosen(table, metric, dataset, split, exclude, only, roles)
        return {row: _value(cell) for row, cell in chosen.items()}

    def others(
        self, table: str, row: str, metric: str, dataset: str | None, split: str | None
    ) -> dict[str, Value]:
        """The column without one row."""
        return self.col(table, metric, dataset, split, (row,), None, None)

    def f(self, figure: str, *key: str) -> Value:
        """Unknown: no point of a figure is printed as a number."""
        named = " · ".join((figure, *key))
        raise Unknown("not_printed", f"The paper prints no number for {named}.")

    def test(self, name: str) -> bool:
        """Unknown: a property is shown by a test, not by a cell."""
        raise Unknown("not_printed", f"'{name}' is a property of the method, no printed number.")

    def stat(self, name: str) -> Statistic:
        """Unknown: a count is the dataset's."""
        raise Unknown("not_printed", f"{name} is counted in the dataset, not in the paper.")


def _value(cell: Cell) -> Value:
    assert cell.number is not None
    return exact(cell.number, label(cell.key))
