"""The commands of `reid-repro` about what figures show, and about the size of the networks."""

from __future__ import annotations

import typer

from reid_repro.cli_options import DEFAULT_RESULTS, Log, Overrides, Results, Threads, plan_of
from reid_repro.console import job
from reid_repro.memory import starting

app = typer.Typer()


@app.command()
def measures(
    paper: str,
    dataset: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 0,
    log: Log = None,
) -> None:
    """Measure what a paper's figures show on a dataset, and draw its picture sheets."""
    with job(log, "measures", paper, dataset, results.resolve()):
        with starting():
            from reid_repro.phases import measures as phase

        phase.run(plan_of(config), paper, dataset, results, threads=threads)


@app.command()
def complexity(
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 0,
    log: Log = None,
) -> None:
    """Parameters, multiply-accumulates and seconds an image of the papers' own networks."""
    with job(log, "complexity", results.resolve()):
        with starting():
            from reid_repro.phases import complexity as phase

        phase.run(plan_of(config), results, threads=threads)
