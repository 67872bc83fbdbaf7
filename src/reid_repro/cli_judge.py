"""The command of `reid-repro` that judges what was measured."""

from __future__ import annotations

import typer

from reid_repro.cli_options import DEFAULT_RESULTS, Log, Overrides, Results, plan_of
from reid_repro.console import logged

app = typer.Typer()


@app.command()
def judge(config: Overrides = "{}", results: Results = DEFAULT_RESULTS, log: Log = None) -> None:
    """Hold every printed cell and claim against what was measured."""
    with logged(log):
        from reid_repro.phases import judging as phase

        print(phase.run(plan_of(config), results))
