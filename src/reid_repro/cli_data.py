"""`reid-repro data`: what datasets there are, fetching, checking and indexing them."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from reid_repro.cli_options import DEFAULT_RESULTS, Log, Overrides, Results, Threads, plan_of
from reid_repro.console import job, logged

app = typer.Typer(
    no_args_is_help=True,
    help="List, fetch, check and index datasets (docs/datasets.md).",
)
Partial = Annotated[
    bool, typer.Option("--allow-partial", help="Go on with a copy that lacks images.")
]


@app.command("list")
def list_datasets(config: Overrides = "{}") -> None:
    """List all datasets: whether they are here, how large, and how to get what is not."""
    with logged(None):
        from reid_repro.phases import data_status as phase

        for line in phase.table(plan_of(config)):
            print(line)


@app.command()
def fetch(dataset: str, config: Overrides = "{}", log: Log = None) -> None:
    """Download and unpack a dataset, or say who gives it and where its files belong."""
    with logged(log):
        from reid_repro.phases import data_status as phase

        print(phase.fetch(plan_of(config), dataset))


@app.command()
def check(
    dataset: str,
    config: Overrides = "{}",
    threads: Threads = 0,
    partial: Partial = False,
    log: Log = None,
) -> None:
    """Read every list and open every image of a dataset; name what is missing, extra or damaged.

    Ends with 1 where something is wrong.
    """
    with logged(log):
        from reid_repro.phases import data_status as phase

        workers = threads or os.cpu_count() or 1
        for line in phase.check(plan_of(config), dataset, allow_partial=partial, workers=workers):
            print(line)


@app.command()
def index(
    dataset: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 1,
    partial: Partial = False,
    log: Log = None,
) -> None:
    """Index a dataset, or draw a rendered one, into results/data."""
    with job(log, "data", dataset, results.resolve()):
        from reid_repro.phases import data as phase

        workers = threads or os.cpu_count() or 1
        indexed = phase.run(
            plan_of(config), dataset, results, workers=workers, allow_partial=partial
        )
        for role, counts in indexed.counts().items():
            print(f"{dataset}: {role}: " + ", ".join(f"{n:,} {what}" for what, n in counts.items()))
        if indexed.left_out:
            print(f"note: left out: {len(indexed.left_out):,} images", file=sys.stderr)


@app.command()
def describe(
    dataset: str, config: Overrides = "{}", results: Results = DEFAULT_RESULTS, log: Log = None
) -> None:
    """Write a dataset's facts: title, licence, protocol, counts beside the official ones."""
    with logged(log):
        from reid_repro.phases import data as phase

        for line in phase.describe(plan_of(config), dataset, results):
            print(f"note: {line}", file=sys.stderr)
