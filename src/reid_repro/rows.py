"""From the rows that a paper's tables name to the rankings that have to be scored.

A row is a ranking of one variant's features. The ranking is a re-ranker of the scale's
configuration, scored by itself with its first ranks kept, or a point of a sweep, scored together
with the other points. Neither torch nor snakemake is imported here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reid_repro.checking import checked, merge
from reid_repro.errors import UserError
from reid_repro.methods import Ranking, ReRankerFile, written
from reid_repro.paper import ReRankingTiming, RowConfig, SweepConfig

if TYPE_CHECKING:
    from reid_repro.plan import Plan, Run


@dataclass(frozen=True)
class Row:
    """A ranking (RERANKER or SWEEP.POINT) of the runs of one variant, and how a table calls it."""

    paper: str
    variant: str
    variant_title: str
    ranking: str
    title: str
    own: bool  # whether the variant is one of the table's own paper

    @property
    def name(self) -> str:
        """The variant as tables name it: with its paper where that is another one."""
        return self.variant if self.own else f"{self.paper}/{self.variant}"


def rows_of(plan: Plan, paper: str, table: str) -> tuple[Row, ...]:
    """The planned rows of a table or figure of `workflow/papers/{paper}.yaml`, in its order."""
    settings = plan.paper(paper)
    if table in settings.figures:
        figure = settings.figures[table]
        if not is_planned(plan, paper, table, figure.run):
            return ()
        return tuple(
            row for name in figure.sweeps for row in _expanded(plan, paper, figure.run, name, "")
        )
    if table not in settings.tables:
        known = ", ".join([*settings.tables, *settings.figures, *settings.time_tables])
        raise UserError(f"paper '{paper}' has no table '{table}'; known: {known}")
    return tuple(_rows_of_table(plan, paper, table))


def _rows_of_table(plan: Plan, paper: str, name: str) -> Iterator[Row]:
    settings = plan.papers[paper]
    table = settings.tables[name]
    if not table.rows:
        datasets = plan.datasets_of_table(paper, name)
        for variant in settings.variants:
            if not plan.runs_of_variant(paper, variant, datasets):
                continue
            for reranker in settings.rerankers:
                yield from _expanded(plan, paper, f"{paper}/{variant}", reranker, "")
    for row in table.rows:
        run = row.run or table.run or ""
        if is_planned(plan, paper, name, run):
            title = row.title or (_variant_title(plan, run) if row.run and _bare(row) else "")
            yield from _expanded(plan, paper, run, row.ranking, title)


def left_out(plan: Plan, paper: str, table: str) -> dict[str, list[str]]:
    """Why rows of a table are not planned on any dataset of it: reason -> their titles."""
    settings = plan.papers[paper].tables[table]
    found: dict[str, list[str]] = {}
    for row in settings.rows:
        run = row.run or settings.run or ""
        if not is_planned(plan, paper, table, run):
            other, variant = run.split("/")
            datasets = plan.datasets_of_table(paper, table)
            reasons = [plan.left_out(other, variant, name) for name in datasets]
            title = row.title or _variant_title(plan, run)
            found.setdefault(reasons[0] if reasons else "no dataset at this scale", []).append(
                title
            )
    return found


def is_planned(plan: Plan, paper: str, table: str, run: str) -> bool:
    """Whether PAPER/VARIANT is planned on any dataset that a table or figure shows."""
    other, variant = run.split("/")
    return bool(plan.runs_of_variant(other, variant, plan.datasets_of_table(paper, table)))


def runs_of_row(plan: Plan, paper: str, table: str, row: Row) -> list[Run]:
    """The planned runs that a row of a table or figure shows: one a dataset and seed."""
    return plan.runs_of_variant(row.paper, row.variant, plan.datasets_of_table(paper, table))


def _bare(row: RowConfig) -> bool:
    """Whether a row shows a network without re-ranking: then it is called by the network."""
    return row.ranking == "none"


def _variant_title(plan: Plan, run: str) -> str:
    paper, variant = run.split("/")
    return plan.papers[paper].variants[variant].title


def _expanded(plan: Plan, paper: str, run: str, ranking: str, title: str) -> Iterator[Row]:
    """The row of one ranking; all points where `ranking` names a sweep."""
    other, variant = run.split("/")
    variant_title = _variant_title(plan, run)
    sweep, _, point = ranking.partition(".")
    if sweep in plan.papers[paper].sweeps:
        points = points_of(plan, paper, sweep)
        for name in [point] if point else points:
            shown = title if point and title else points[name].title
            yield Row(other, variant, variant_title, f"{sweep}.{name}", shown, other == paper)
    else:
        shown = title or plan.config.rerankers[ranking].title
        yield Row(other, variant, variant_title, ranking, shown, other == paper)


def reranker_on(plan: Plan, name: str, dataset: str) -> Ranking:
    """A re-ranker of the scale with what `rerankers_on` lays over it on a dataset.

    UserError names an option that the method has not.
    """
    settings: Ranking = plan.config.rerankers[name]
    over = plan.config.rerankers_on.get(dataset, {}).get(name)
    if not over:
        return settings
    values = merge(settings.model_dump(exclude_unset=True), {"options": dict(over)})
    where = f"config: rerankers_on.{dataset}.{name}"
    return checked(ReRankerFile, {"reranker": values}, where).reranker


def points_of(plan: Plan, paper: str, sweep: str, dataset: str = "") -> dict[str, Ranking]:
    """The points of a sweep at this scale, each checked; UserError names file and key.

    With a `dataset`, as they are there.
    """
    settings = plan.paper(paper).sweeps.get(sweep)
    if settings is None:
        known = ", ".join(plan.papers[paper].sweeps) or "none"
        raise UserError(f"paper '{paper}' has no sweep '{sweep}'; known: {known}")
    where = f"workflow/papers/{paper}.yaml: sweeps.{sweep}"
    if settings.base not in plan.config.rerankers:
        known = ", ".join(plan.config.rerankers)
        raise UserError(f"{where}.base: unknown re-ranker '{settings.base}'; known: {known}")
    base = reranker_on(plan, settings.base, dataset)
    common = {
        "method": base.method,
        "options": merge(dict(written(base)), dict(settings.options)),
    }
    points: dict[str, Ranking] = {}
    for name, place, values in _points(plan, settings, where):
        point = checked(ReRankerFile, {"reranker": merge(common, values)}, f"{where}.{place}")
        points[name] = point.reranker
    return points


def _points(
    plan: Plan, settings: SweepConfig, where: str
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, place in the file, and what differs from the base, of every point at this scale."""
    scale = plan.config.scale
    for name, point in settings.points.items():
        options = merge(dict(point.options), dict(point.scales.get(scale, {})))
        yield name, f"points.{name}", {"title": point.title, "options": options}
    for option, values in settings.vary.items():
        if not values.get(scale):
            raise UserError(f"{where}.vary.{option}: no values for scale '{scale}'")
        for value in values[scale]:
            title = f"{option} = {value}"
            yield (
                f"{option}_{value}",
                f"vary.{option}",
                {"title": title, "options": {option: value}},
            )


def methods_of(plan: Plan, paper: str, timing: str, size: str) -> dict[str, Ranking]:
    """The methods of a timing with what its `settings` lay over them at a size, each checked."""
    settings = plan.papers[paper].timings[timing]
    if not isinstance(settings, ReRankingTiming):
        return {}
    over = {str(key): value for key, value in settings.settings.items()}.get(size, {})
    where = f"workflow/papers/{paper}.yaml: timings.{timing}.settings.{size}"
    methods: dict[str, Ranking] = {}
    for name, method in settings.methods.items():
        if size not in settings.only.get(name, (size,)):
            continue
        values = merge(method.model_dump(exclude_unset=True), {"options": dict(over.get(name, {}))})
        chosen = checked(ReRankerFile, {"reranker": values}, f"{where}.{name}")
        methods[name] = chosen.reranker
    return methods


def single_rankings(plan: Plan, paper: str) -> list[tuple[Run, str]]:
    """(run, re-ranker) of every ranking that a paper shows and that is scored by itself."""
    settings = plan.papers[paper]
    pairs = [
        (run, reranker)
        for run in plan.runs_of(paper)
        if run.paper == paper
        for reranker in settings.rerankers
    ]
    for table, row in _all_rows(plan, paper):
        if "." not in row.ranking:
            pairs += [(run, row.ranking) for run in runs_of_row(plan, paper, table, row)]
    return list(dict.fromkeys(pairs))


def _all_rows(plan: Plan, paper: str) -> Iterator[tuple[str, Row]]:
    """(table, row) of every planned row of a paper's tables and figures."""
    for table in plan.papers[paper].of_rankings:
        for row in rows_of(plan, paper, table):
            yield table, row


def every_single(plan: Plan) -> list[tuple[Run, str]]:
    """(run, re-ranker) of all papers together, each once."""
    own = [(run, name) for run in plan.runs for name in plan.rerankers_of(run.paper)]
    shown = [pair for paper in plan.config.papers for pair in single_rankings(plan, paper)]
    return list(dict.fromkeys([*own, *shown]))


def swept_runs(plan: Plan, paper: str) -> list[tuple[str, Run]]:
    """(sweep, run) of every sweep that a paper's tables and figures show."""
    pairs = [
        (row.ranking.partition(".")[0], run)
        for table, row in _all_rows(plan, paper)
        if "." in row.ranking
        for run in runs_of_row(plan, paper, table, row)
    ]
    return list(dict.fromkeys(pairs))
