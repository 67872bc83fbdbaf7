"""The command that makes the pages, the summary beside them, and one file to mail."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reid_repro.cli_options import DEFAULT_RESULTS, Log, Overrides, Results, plan_of
from reid_repro.console import logged
from reid_repro.errors import UserError

app = typer.Typer()


@app.command()
def report(
    file: Annotated[
        Path | None,
        typer.Argument(help="With --single-file: the file; reid-repro-report.html by the pages."),
    ] = None,
    single_file: Annotated[
        bool,
        typer.Option("--single-file", help="Join the built pages into one HTML file to mail."),
    ] = False,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    out: Annotated[Path, typer.Option("--out", help="The folder of the pages.")] = Path("report"),
    log: Log = None,
) -> None:
    """Render the HTML report from the tables and figures, and summary.md beside it."""
    with logged(log):
        if single_file:
            from reid_repro.reporting import single_file as one

            made = one.single_file(out, file or out / one.NAME)
            size = made.stat().st_size
            print(f"report: {made} ({size / 1e6:.1f} MB)")
            if size > one.MAILABLE:
                print(
                    "This is large for a mail: pages built with fewer `papers` make a smaller one."
                )
            return
        if file is not None:
            raise UserError(f"report: '{file}' is for --single-file; pages go to --out FOLDER")
        from reid_repro.reporting.markdown import write_summary
        from reid_repro.reporting.pages import build

        plan = plan_of(config)
        index = build(plan, results, out)[0]
        titles = {name: paper.title.partition(":")[0] for name, paper in plan.papers.items()}
        write_summary(results, out, titles)
        print(f"report: {index}")
