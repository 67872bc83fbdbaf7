"""`reid-repro properties`: the tests behind what the papers say of their methods."""

from __future__ import annotations

import typer

from reid_repro.cli_options import DEFAULT_RESULTS, Log, Results
from reid_repro.console import job

app = typer.Typer()


@app.command()
def properties(results: Results = DEFAULT_RESULTS, log: Log = None) -> None:
    """Run the tests of workflow/properties.yaml and write which properties hold."""
    with job(log, "properties", results.resolve()):
        from reid_repro.phases import properties as phase

        held = phase.run(results)
        print(f"properties: {sum(held.values())} of {len(held)} hold")
        for name in (name for name, holds in held.items() if not holds):
            print(f"  {name} does not")
