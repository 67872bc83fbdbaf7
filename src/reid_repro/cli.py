"""`reid-repro`: what the workflow's rules call, usable by hand too.

Imports of torch and its kind stay inside the commands, so that `--help` and the plan are quick.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
import yaml

from reid_repro import plan as planning
from reid_repro.errors import UserError
from reid_repro.locks import alone
from reid_repro.plan import Plan

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Reproduce re-identification papers, phase by phase. Run it at the repository's root.",
)

Overrides = Annotated[
    str,
    typer.Option(
        "--config",
        metavar="YAML",
        envvar="REID_REPRO_CONFIG",
        help="Overrides of workflow/config, as YAML.",
    ),
]
Log = Annotated[Path | None, typer.Option("--log", help="Write what is said here as well.")]
Results = Annotated[Path, typer.Option("--results", help="The folder of results.")]
Threads = Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0: all.")]

DEFAULT_RESULTS = Path("results")


@app.command()
def data(
    dataset: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 1,
    log: Log = None,
) -> None:
    """Index a dataset, or draw a rendered one, into results/data."""
    with _job(log, "data", dataset, results.resolve()):
        from reid_repro.phases import data as phase

        workers = threads or os.cpu_count() or 1
        indexed = phase.run(_plan(config), dataset, results, workers=workers)
        for role, counts in indexed.counts().items():
            print(f"{dataset}: {role}: " + ", ".join(f"{n:,} {what}" for what, n in counts.items()))


@app.command()
def describe(
    dataset: str, config: Overrides = "{}", results: Results = DEFAULT_RESULTS, log: Log = None
) -> None:
    """Write a dataset's facts: title, licence, protocol, counts beside the official ones."""
    with _logged(log):
        from reid_repro.phases import data as phase

        for line in phase.describe(_plan(config), dataset, results):
            print(f"note: {line}", file=sys.stderr)


@app.command()
def train(
    run: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 0,
    log: Log = None,
) -> None:
    """Train PAPER/VARIANT/DATASET/seedN; a killed training goes on where it was."""
    with _job(log, "train", run, results.resolve()):
        from reid_repro.phases import models as phase

        phase.run(_plan(config), run, results, threads=threads)


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
    with _job(log, "features", run, subset, results.resolve()):
        from reid_repro.phases import features as phase

        phase.run(_plan(config), run, subset, results, threads=threads)


@app.command()
def metrics(
    run: str,
    subset: str,
    reranker: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 0,
    log: Log = None,
) -> None:
    """Rank, re-rank and score one run's features."""
    with _job(log, "metrics", run, subset, reranker, results.resolve()):
        from reid_repro.phases import metrics as phase

        phase.run(_plan(config), run, subset, reranker, results, threads=threads)


@app.command()
def table(
    paper: str,
    name: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    log: Log = None,
) -> None:
    """Build one table of one paper from the metrics."""
    with _logged(log):
        from reid_repro.files import write_csv
        from reid_repro.ledger.tables import retrieval_table

        frame = retrieval_table(_plan(config), paper, name, results)
        write_csv(results / "tables" / paper / f"{name}.csv", frame)


@app.command()
def summary(config: Overrides = "{}", results: Results = DEFAULT_RESULTS, log: Log = None) -> None:
    """Gather the main metrics of every run into results/tables/summary.json."""
    with _logged(log):
        from reid_repro.files import write_json
        from reid_repro.ledger.summary import summary as gather

        write_json(results / "tables" / "summary.json", gather(_plan(config), results))


@app.command()
def figures(
    paper: str,
    variant: str,
    dataset: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    log: Log = None,
) -> None:
    """Draw the CMC and training curves and the ranked lists of one variant on one dataset."""
    with _logged(log):
        from reid_repro.phases import figures as phase

        phase.run(_plan(config), paper, variant, dataset, results)


@app.command()
def samples(dataset: str, results: Results = DEFAULT_RESULTS, log: Log = None) -> None:
    """Draw the sheet of sample images of one dataset."""
    with _logged(log):
        from reid_repro.reporting.figures import samples as draw

        draw(results / "data" / dataset, results / "figures" / "samples" / f"{dataset}.webp")


@app.command()
def report(
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    out: Annotated[Path, typer.Option("--out", help="The folder of the pages.")] = Path("report"),
    log: Log = None,
) -> None:
    """Render the HTML report from the tables and figures."""
    with _logged(log):
        from reid_repro.reporting.pages import build

        print(f"report: {build(_plan(config), results, out)[0]}")


@app.command()
def plan(config: Overrides = "{}") -> None:
    """List the runs that the configuration asks for."""
    with _logged(None):
        for run in _plan(config).runs:
            print(run)


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
    with _logged(None):
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
    with _logged(None):
        from reid_repro.schemas import write

        for file in write(out):
            print(file)


def _plan(config: str) -> Plan:
    try:
        overrides: Any = yaml.safe_load(config)
    except yaml.YAMLError:
        overrides = None
    if not isinstance(overrides, dict):
        raise UserError(f"--config: expected YAML like '{{scale: bench}}', found {config!r}")
    return planning.load(overrides)


@contextmanager
def _logged(log: Path | None) -> Iterator[None]:
    """Print a UserError as one line and end with status 1; copy everything said into `log`."""
    if log is None:
        with _one_line():
            yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        out, err = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = _Tee(out, file), _Tee(err, file)
        try:
            with _one_line():
                yield
        finally:
            sys.stdout, sys.stderr = out, err


@contextmanager
def _job(log: Path | None, *words: object) -> Iterator[None]:
    """A phase's work: said in `log` as well, and never done twice at once."""
    with _logged(log), alone(" ".join(str(word) for word in words)):
        yield


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except Exception:
        # Here rather than at the interpreter's exit, so that the log has it too.
        traceback.print_exc()
        raise typer.Exit(1) from None


class _Tee:
    """A text stream that writes to two; in all else it is the first one."""

    def __init__(self, first: TextIO, second: TextIO) -> None:
        self._first, self._second = first, second

    def write(self, text: str) -> int:
        """Write to both, whole lines at once on disk."""
        if not self._first.isatty() or "\x1b" not in text:  # progress bars stay out of the log
            self._second.write(text)
            self._second.flush()
        return self._first.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._first, name)


def main() -> None:
    """The entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
