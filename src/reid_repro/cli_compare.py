"""The command that says what changed between two results."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from reid_repro.cli_options import Log
from reid_repro.console import logged
from reid_repro.errors import UserError
from reid_repro.paper import METRIC

app = typer.Typer()
FORMATS = ("text", "markdown", "json")
WORSE = 3  # the exit status where something got worse: neither a mistake nor a usage error


@app.command()
def compare(
    before: Annotated[str, typer.Argument(help="A results folder, or a git revision.")],
    after: Annotated[str, typer.Argument(help="Another one.")],
    form: Annotated[str, typer.Option("--format", help="text, markdown or json.")] = "text",
    metrics: Annotated[str, typer.Option("--metrics", help="With commas between.")] = "mAP,R1",
    everything: Annotated[bool, typer.Option("--all", help="List what is the same, too.")] = False,
    across_settings: Annotated[
        bool,
        typer.Option(
            "--across-settings", help="Compare networks and re-rankers of other settings, too."
        ),
    ] = False,
    fail_on_worse: Annotated[
        bool, typer.Option("--fail-on-worse", help=f"End with status {WORSE} if anything is worse.")
    ] = False,
    log: Log = None,
) -> None:
    """Say what got better, worse, stayed the same or cannot be compared, ranking by ranking."""
    with logged(log):
        from reid_repro.comparing.compare import compare as run
        from reid_repro.comparing.output import written

        if form not in FORMATS:
            raise UserError(f"--format: unknown '{form}'; known: {', '.join(FORMATS)}")
        names = tuple(filter(None, (name.strip() for name in metrics.split(","))))
        wrong = [name for name in names if not re.fullmatch(METRIC, name)]
        if wrong or not names:
            raise UserError(f"--metrics: '{metrics}'; expected such as mAP,R1,R5")
        comparison = run(before, after, names, across_settings=across_settings)
        text = written(comparison, form, everything=everything)
        print(text, end="")
    if fail_on_worse and comparison.worse:
        raise typer.Exit(WORSE)
