"""The commands on what is planned and what it answers: `plan`, `ledger coverage`.

Rich is imported where a table is printed: every job of the workflow imports this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reid_repro.cli_options import DEFAULT_RESULTS, Overrides, Results, plan_of
from reid_repro.console import logged
from reid_repro.plan import Plan

app = typer.Typer()
ledger = typer.Typer(no_args_is_help=True, help="Printed cells and what answers them.")


@app.command()
def plan(
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    table: Annotated[str, typer.Option("--table", metavar="PAPER/TABLE")] = "",
    runs: Annotated[bool, typer.Option("--runs", help="The names of the runs alone.")] = False,
    tflops: Annotated[
        float | None, typer.Option("--tflops", help="Sustained rate of the device, for the hours.")
    ] = None,
) -> None:
    """What is trained for each table: runs, epochs, images, and an estimate of GPU hours."""
    with logged(None):
        from reid_repro.phases.estimates import table_costs

        planned = plan_of(config)
        if not runs:
            _show_costs(planned, results, table, tflops)
            return
        shown = planned.runs
        if table:
            shown = tuple(run for cost in table_costs(planned, table) for run in cost.runs)
        for run in shown:
            print(run)


def _show_costs(planned: Plan, results: Path, only: str, tflops: float | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from reid_repro.phases.estimates import TFLOPS, Estimates, summed, table_costs

    tables = table_costs(planned, only)
    estimates = Estimates(planned, results, tflops)
    runs = dict.fromkeys(run for table in tables for run in table.runs)
    costs = {run: estimates.cost(run) for run in runs}
    shown = Table(title=f"Trainings at {planned.config.scale} scale", title_justify="left")
    shown.add_column("Table", no_wrap=True)
    for head in ("Runs", "new", "Length", "Images", "Hours", "new"):
        shown.add_column(head, justify="right")
    for cost in filter(lambda cost: cost.runs, tables):
        every, new = (summed(costs[run] for run in some) for some in (cost.runs, cost.new))
        name = "/".join(filter(None, (cost.paper, cost.table)))
        shown.add_row(name, str(len(cost.runs)), str(len(cost.new)), *_cells(every), _hours(new))
    total = summed(costs.values())
    shown.add_section()
    shown.add_row("each run once", str(len(runs)), "", *_cells(total), "")
    console = Console()
    console.print(shown)
    bases = {cost.basis for cost in costs.values()}
    words = {
        "measured": "the throughput that runs of this plan were measured with",
        "carried over": "that throughput, in proportion to the multiply-accumulates of networks",
        "stated": f"multiply-accumulates, three passes, and {tflops or TFLOPS:g} TFLOP/s sustained "
        f"({'as given' if tflops else 'an assumption; --tflops states another'})",
        "unknown": "nothing: how many images there are to train on is not known yet",
    }
    said = [text for basis, text in words.items() if basis in bases]
    if not said:
        console.print("Nothing is trained for it: what it shows is measured without a training.")
        return
    console.print(f"Hours on one device, of trainings alone, from {'; '.join(said)}.")
    console.print(
        "An epoch counts every training image once; new: of runs that no table above has."
    )


def _cells(total: tuple[int, int, int, float, int]) -> tuple[str, str, str]:
    """Length, images, hours."""
    epochs, iterations, images, _, _ = total
    lengths = [f"{epochs:,} epochs"] if epochs else []
    lengths += [f"{iterations:,} iterations"] if iterations else []
    return ", ".join(lengths), f"{images / 1e6:,.2f} M", _hours(total)


def _hours(total: tuple[int, int, int, float, int]) -> str:
    *_, hours, unknown = total
    text = f"{hours:,.1f}" if hours >= 1 or not hours else f"{hours:.2g}"
    return f"{text} + {unknown} unknown" if unknown else text


@ledger.command()
def coverage(
    paper: Annotated[str, typer.Argument(help="One paper; all if not named.")] = "",
    config: Overrides = "{}",
    verbose: Annotated[bool, typer.Option("--verbose", help="Why cells are not planned.")] = False,
) -> None:
    """Count the papers' own printed cells that runs here answer; fail where one has no answer."""
    with logged(None):
        from rich.console import Console
        from rich.table import Table

        from reid_repro.ledger import coverage as ledgers

        planned = plan_of(config)
        papers = [paper] if paper else []
        tables = list(ledgers.coverage(planned, papers))
        shown = Table(title="Printed cells of the papers' own", title_justify="left")
        for head in ("Paper", "Table", "Cells", "Answered", f"at {planned.config.scale} scale"):
            shown.add_column(head, justify="left" if head in ("Paper", "Table") else "right")
        for one in tables:
            numbers = map(str, (one.own, one.mapped, one.planned))
            shown.add_row(one.paper, one.table, *numbers)
        own, mapped, here = (
            sum(getattr(one, name) for one in tables) for name in ("own", "mapped", "planned")
        )
        shown.add_section()
        shown.add_row("", "all", str(own), str(mapped), str(here))
        Console().print(shown)
        print(f"{mapped} of {own} cells are answered by something that is measured here.")
        for one in tables:
            for reason, count in one.why:
                if verbose or one.mapped < one.own:
                    print(f"{one.paper}, {one.table}: {count} cells: {reason}")
        wrong = [
            f"{one.paper}: nothing answers {' | '.join(k)}" for one in tables for k in one.gaps
        ]
        wrong += ledgers.dangling(planned, papers)
        for line in wrong:
            print(line)
        if wrong:
            raise typer.Exit(1)
