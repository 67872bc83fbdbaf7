"""The front page: the verdict of every item at a glance, what was not run, what papers contradict.

The matrix has a row a paper and a column each for its tables, figures and claims; every item is a
mark that leads to its place on the paper's page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reid_repro.ledger import printed
from reid_repro.plan import Plan
from reid_repro.reporting import claims_view, verdict_marks
from reid_repro.reporting.claims_view import KINDS, Judged
from reid_repro.reporting.ledger_tables import Missing, PrintedTable
from reid_repro.reporting.verdict_marks import Count

# In this order on the front page; of what it is shown first, what needed no data comes last.
TELLING = ("reproduced", "partially", "not_reproduced", "inconclusive")
PLAIN = ("algebra", "consistency", "dataset-stat", "diagram", "protocol")
FINDINGS = 4  # a paper on the front page


@dataclass(frozen=True)
class MatrixCell:
    """The items of one kind of one paper."""

    kind: str
    items: tuple[Judged, ...]
    tally: tuple[Count, ...]


@dataclass(frozen=True)
class MatrixRow:
    """One paper."""

    paper: str
    title: str
    short: str
    cells: tuple[MatrixCell, ...]

    @property
    def findings(self) -> tuple[Judged, ...]:
        """Items that say most, of each verdict: tables and figures first, plain facts last."""
        items = [item for cell in self.cells for item in cell.items]
        known = [item for name in TELLING for item in items if item.mark.verdict == name]
        known.sort(key=lambda item: item.type in PLAIN)
        return tuple(_spread(known, FINDINGS))


@dataclass(frozen=True)
class Matrix:
    """The verdicts of all papers."""

    kinds: tuple[str, ...]
    rows: tuple[MatrixRow, ...]
    tally: tuple[Count, ...]

    @property
    def total(self) -> int:
        """The number of items."""
        return sum(count.number for count in self.tally)

    @property
    def titles(self) -> dict[str, str]:
        """The papers' short titles by name."""
        return {row.paper: row.short for row in self.rows}

    @property
    def scaled(self) -> bool:
        """Whether any verdict comes from reduced data or epochs."""
        return any(item.dashed for row in self.rows for cell in row.cells for item in cell.items)


@dataclass(frozen=True)
class Reason:
    """Items that share the very reason, and the command that takes it away, if one does."""

    reason: str
    items: tuple[Judged, ...]
    command: str


@dataclass(frozen=True)
class Unrun:
    """Items that share a kind of reason; `others` have one of their own each."""

    code: str
    reasons: tuple[Reason, ...]
    others: tuple[Judged, ...]

    @property
    def total(self) -> int:
        """The number of items."""
        return sum(len(one.items) for one in self.reasons) + len(self.others)


@dataclass(frozen=True)
class UnrunCells:
    """Printed cells that share a reason, and the command that makes them all."""

    reason: str
    command: str
    cells: int
    tables: tuple[tuple[str, str, str], ...]  # paper's short title, table, link


@dataclass(frozen=True)
class Erratum:
    """A place where a paper contradicts itself, the data or another paper."""

    names: tuple[str, ...]
    papers: str
    where: str
    statement: str
    evidence: str
    link: str  # to the claim it concerns, if there is one


def short_title(title: str) -> str:
    """'CHCA: cascaded context attention' -> 'CHCA'."""
    return title.partition(":")[0]


def matrix(plan: Plan, judged: Mapping[str, Sequence[Judged]]) -> Matrix:
    """The verdicts of the plan's papers, in its order."""
    rows = []
    for paper in plan.config.papers:
        items = judged.get(paper)
        if not items:
            continue
        cells = [
            MatrixCell(kind, tuple(found), _counted(found))
            for kind in KINDS
            for found in [claims_view.of_kind(items, kind)]
        ]
        title = plan.papers[paper].title
        rows.append(MatrixRow(paper, title, short_title(title), tuple(cells)))
    return Matrix(
        tuple(KINDS.values()),
        tuple(rows),
        _counted(i for r in rows for cell in r.cells for i in cell.items),
    )


def _counted(items: Iterable[Judged]) -> tuple[Count, ...]:
    return verdict_marks.counted((item.mark.verdict, item.dashed) for item in items)


def unrun_items(found: Matrix, cells: Sequence[UnrunCells]) -> list[Unrun]:
    """Items without a verdict, by reason; the command is that of cells with the same reason."""
    commands = {group.reason: group.command for group in cells}
    items = [item for row in found.rows for cell in row.cells for item in cell.items]
    return [
        Unrun(
            code=code,
            reasons=tuple(
                Reason(reason, tuple(group), commands.get(reason, ""))
                for reason, group in groups
                if len(group) > 1 or len(groups) == 1
            ),
            others=tuple(group[0] for _, group in groups if len(group) == 1 and len(groups) > 1),
        )
        for code, groups in claims_view.by_reason(items)
    ]


def unrun_cells(plan: Plan, tables: Mapping[str, Mapping[str, PrintedTable]]) -> list[UnrunCells]:
    """Printed cells without a value of ours, by reason, the most first."""
    groups: dict[str, list[tuple[str, str, Missing]]] = {}
    for paper, of_paper in tables.items():
        for label, table in of_paper.items():
            for missing in table.missing:
                groups.setdefault(missing.reason, []).append((paper, label, missing))
    found = [
        UnrunCells(
            reason=reason,
            command=_common(missing.command for _, _, missing in places),
            cells=sum(missing.cells for _, _, missing in places),
            tables=tuple(
                dict.fromkeys(
                    (
                        short_title(plan.papers[paper].title),
                        label,
                        f"papers/{paper}.html#{claims_view.anchor(paper, 'table', label)}",
                    )
                    for paper, label, _ in places
                )
            ),
        )
        for reason, places in groups.items()
    ]
    return sorted(found, key=lambda group: -group.cells)


def _common(commands: Iterable[str]) -> str:
    """One command for all: where they differ in the file to be made alone, without it."""
    distinct = list(dict.fromkeys(filter(None, commands)))
    if len(distinct) < 2:
        return "".join(distinct)
    bare = {
        " ".join(word for word in command.split(" ") if not word.startswith("results/"))
        for command in distinct
    }
    return bare.pop() if len(bare) == 1 else ""


def errata(plan: Plan, judged: Mapping[str, Sequence[Judged]]) -> list[Erratum]:
    """The contradictions that concern the judged papers, each with the claim it is about."""
    found = []
    for one in printed.read_errata(plan.workflow):
        names = [name for name in one.papers if name in judged and name in plan.papers]
        if not names:
            continue
        titles = (short_title(plan.papers[name].title) for name in names)
        items = [item for name in names for item in judged[name]]
        found.append(
            Erratum(
                names=tuple(names),
                papers=" / ".join(titles),
                where=one.section,
                statement=one.statement,
                evidence=one.evidence,
                link=next((item.page for item in items if item.label == one.id), ""),
            )
        )
    return found


def _spread(items: Sequence[Judged], number: int) -> Iterable[Judged]:
    """The first of each verdict in turn, so that what failed stands beside what held."""
    by_verdict: dict[str, list[Judged]] = {}
    for item in items:
        by_verdict.setdefault(item.mark.verdict, []).append(item)
    chosen: list[Judged] = []
    while len(chosen) < number and any(by_verdict.values()):
        for queue in by_verdict.values():
            if queue and len(chosen) < number:
                chosen.append(queue.pop(0))
    return chosen
