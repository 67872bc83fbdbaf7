"""How many printed cells of the papers' own are measured here, and why the others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reid_repro.ledger import printed
from reid_repro.ledger.cells import CellKey
from reid_repro.ledger.sources import sources
from reid_repro.plan import Plan
from reid_repro.references import labels


@dataclass(frozen=True)
class Coverage:
    """One printed table: its own cells, those that something here answers, and the rest.

    `planned` are measured under the plan at hand; `why` counts the reasons of the others. `gaps`
    are cells that nothing answers and no reason excuses.
    """

    paper: str
    table: str
    own: int
    mapped: int
    planned: int
    why: tuple[tuple[str, int], ...]
    gaps: tuple[CellKey, ...]


def coverage(plan: Plan, papers: Iterable[str] = ()) -> Iterator[Coverage]:
    """Every printed table with own cells, in the papers' order; all papers if none is named."""
    there = printed.papers(plan.workflow)
    for paper in papers or [name for name in plan.config.papers if name in there]:
        found = sources(plan, paper)
        for table in dict.fromkeys(key.table for key in found):
            of_table = {key: source for key, source in found.items() if key.table == table}
            why = Counter(s.reason for s in of_table.values() if not s.planned and s.reason)
            yield Coverage(
                paper,
                table,
                own=len(of_table),
                mapped=sum(source.kind != "none" for source in of_table.values()),
                planned=sum(source.planned for source in of_table.values()),
                why=tuple(why.items()),
                gaps=tuple(k for k, s in of_table.items() if s.kind == "none" and not s.reason),
            )


def dangling(plan: Plan, papers: Iterable[str] = ()) -> Iterator[str]:
    """Printed rows that a paper's file says it answers and that the paper does not print."""
    there = printed.papers(plan.workflow)
    for paper in papers or [name for name in plan.config.papers if name in there]:
        rows = {(key.table, key.row) for key in printed.read(paper, plan.workflow).cells}
        for _, place, table, label in labels(plan.paper(paper)):
            if (table, label) not in rows and not _is_figure(table):
                yield f"{paper}.yaml: {place}: {table} prints no row '{label}'"


def _is_figure(printed_name: str) -> bool:
    return printed_name.startswith("Fig")
