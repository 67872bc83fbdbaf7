"""`reid-repro`: what the workflow's rules call, usable by hand too.

Imports of torch and its kind stay inside the commands, so that `--help` and the plan are quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reid_repro.memory import keep_memory, starting

with starting():  # pandas and pydantic come with these, for every job
    from reid_repro import (
        cli_compare,
        cli_data,
        cli_detection,
        cli_judge,
        cli_measures,
        cli_plan,
        cli_properties,
        cli_report,
    )
    from reid_repro.cli_options import DEFAULT_RESULTS, Log, Overrides, Results, Threads, plan_of
    from reid_repro.console import job, logged

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Reproduce re-identification papers, phase by phase. Run it at the repository's root.",
)
app.add_typer(cli_detection.app)
app.add_typer(cli_measures.app)
app.add_typer(cli_properties.app)
app.add_typer(cli_judge.app)
app.add_typer(cli_report.app)
app.add_typer(cli_compare.app)
app.add_typer(cli_data.app, name="data")
app.add_typer(cli_plan.app)
app.add_typer(cli_plan.ledger, name="ledger")


@app.command()
def train(
    run: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 0,
    log: Log = None,
) -> None:
    """Train PAPER/VARIANT/DATASET/seedN; a killed training goes on where it was."""
    with job(log, "train", run, results.resolve()):
        with starting():
            from reid_repro.phases import models as phase

        phase.run(plan_of(config), run, results, threads=threads)


@app.command()
def features(
    run: str,
    subset: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 0,
    log: Log = None,
) -> None:
    """Extract the descriptors of a subset's queries and gallery."""
    with job(log, "features", run, subset, results.resolve()):
        with starting():
            from reid_repro.phases import features as phase

        phase.run(plan_of(config), run, subset, results, threads=threads)


@app.command()
def metrics(
    run: str,
    subset: str,
    rerankers: list[str],
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 0,
    log: Log = None,
) -> None:
    """Rank one run's features by each of the re-rankers, and score the rankings."""
    with job(log, "metrics", run, subset, *rerankers, results.resolve()):
        with starting():
            from reid_repro.phases import metrics as phase

        phase.run(plan_of(config), run, subset, rerankers, results, threads=threads)


@app.command()
def sweep(
    paper: str,
    run: str,
    subset: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 0,
    log: Log = None,
) -> None:
    """Re-rank and score one run's features at every point of a paper's sweeps."""
    with job(log, "sweep", paper, run, subset, results.resolve()):
        with starting():
            from reid_repro.phases import sweeps as phase

        phase.run(plan_of(config), paper, run, subset, results, threads=threads)


@app.command()
def times(
    paper: str,
    name: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 0,
    log: Log = None,
) -> None:
    """Measure a paper's methods on simulated features of the printed sizes."""
    with job(log, "times", paper, name, results.resolve()):
        with starting():
            from reid_repro.phases import timings as phase

        phase.run(plan_of(config), paper, name, results, threads=threads)


@app.command()
def table(
    paper: str,
    name: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    log: Log = None,
) -> None:
    """Build one table of one paper from the metrics, or from the times."""
    with logged(log):
        from reid_repro.files import write_csv
        from reid_repro.ledger.tables import retrieval_table
        from reid_repro.ledger.times import time_table

        plan = plan_of(config)
        of_times = name in plan.paper(paper).time_tables
        build = time_table if of_times else retrieval_table
        write_csv(results / "tables" / paper / f"{name}.csv", build(plan, paper, name, results))


@app.command()
def summary(config: Overrides = "{}", results: Results = DEFAULT_RESULTS, log: Log = None) -> None:
    """Gather the main metrics of every run into results/tables/summary.json."""
    with logged(log):
        from reid_repro.files import write_json
        from reid_repro.ledger.summary import summary as gather

        write_json(results / "tables" / "summary.json", gather(plan_of(config), results))


@app.command()
def figures(
    paper: str,
    dataset: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    log: Log = None,
) -> None:
    """Draw the CMC and training curves and the ranked lists of a paper's variants on a dataset."""
    with logged(log):
        from reid_repro.phases import figures as phase

        phase.run(plan_of(config), paper, dataset, results)


@app.command()
def sweep_figure(
    paper: str,
    name: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    log: Log = None,
) -> None:
    """Draw a paper's figure of a metric over the options that its sweeps vary."""
    with logged(log):
        from reid_repro.reporting.figures import sweep_figure as draw

        draw(plan_of(config), paper, name, results)


@app.command()
def samples(dataset: str, results: Results = DEFAULT_RESULTS, log: Log = None) -> None:
    """Draw the sheet of sample images of one dataset."""
    with logged(log):
        from reid_repro.reporting.figures import samples as draw

        draw(results / "data" / dataset, results / "figures" / "samples" / f"{dataset}.webp")


@app.command()
def models(
    config: Overrides = "{}",
    csv: Annotated[bool, typer.Option("--csv", help="Plain numbers, for a machine.")] = False,
) -> None:
    """List every network: parameters, multiply-accumulates, descriptor size, where it is from."""
    with logged(None):
        from reid_repro.phases import catalogue as phase

        phase.show(plan_of(config), csv=csv)


@app.command()
def render(
    out: Annotated[Path, typer.Option("--out", help="A folder that does not exist yet.")],
    ids: Annotated[int, typer.Option("--ids", min=2, help="Identities, half of them to test.")],
    kind: Annotated[str, typer.Option("--kind", help="vehicle, pedestrian; '': layout's")] = "",
    cameras: Annotated[int, typer.Option("--cameras", min=2)] = 6,
    images_per_camera: Annotated[int, typer.Option("--images-per-camera", min=2)] = 3,
    layout: Annotated[str, typer.Option("--layout", help="market1501 or veri776")] = "market1501",
    height: Annotated[int, typer.Option("--height")] = 0,
    width: Annotated[int, typer.Option("--width")] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    threads: Threads = 1,
) -> None:
    """Write a rendered set in the folder layout of Market-1501 or VeRi-776."""
    with logged(None):
        from reid_repro.phases.render import run

        summary = run(
            kind,
            out,
            ids=ids,
            cameras=cameras,
            images_per_camera=images_per_camera,
            layout=layout,
            size=(height, width),
            seed=seed,
            workers=threads,
        )
        print(summary)


@app.command()
def schemas(
    out: Annotated[Path, typer.Option("--out")] = Path("workflow/schemas"),
) -> None:
    """Write the JSON schemas of the files in workflow/."""
    with logged(None):
        from reid_repro.schemas import write

        for file in write(out):
            print(file)


def main() -> None:
    """The entry point of the console script."""
    keep_memory()
    app()


if __name__ == "__main__":
    main()
