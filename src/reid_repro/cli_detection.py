"""The commands of `reid-repro` about part boxes and joints."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

from reid_repro.cli_options import DEFAULT_RESULTS, Log, Overrides, Results, Threads, plan_of
from reid_repro.console import job, logged
from reid_repro.detectors import Kind
from reid_repro.memory import starting

app = typer.Typer()


class KindArgument(StrEnum):
    """What a detector finds."""

    parts = "parts"
    keypoints = "keypoints"

    @property
    def kind(self) -> Kind:
        """The same as the plan names it."""
        return "parts" if self is KindArgument.parts else "keypoints"


@app.command()
def detector(
    kind: KindArgument,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 0,
    log: Log = None,
) -> None:
    """Train a detector, or take over its weights; a killed training goes on where it was."""
    with job(log, "detector", kind.kind, results.resolve()):
        with starting():
            from reid_repro.phases import detectors as phase

        phase.run(plan_of(config), kind.kind, results, threads=threads)


@app.command()
def parts(
    dataset: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 0,
    log: Log = None,
) -> None:
    """Detect the part boxes of a vehicle set, or import them."""
    _detect("parts", dataset, config, results, threads, log)


@app.command()
def keypoints(
    dataset: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 0,
    log: Log = None,
) -> None:
    """Detect the joints of a pedestrian set, or import them."""
    _detect("keypoints", dataset, config, results, threads, log)


def _detect(
    kind: Kind, dataset: str, config: str, results: Path, threads: int, log: Path | None
) -> None:
    with job(log, kind, dataset, results.resolve()):
        with starting():
            from reid_repro.phases import detection as phase

        print(f"{dataset}: {phase.run(plan_of(config), kind, dataset, results, threads=threads)}")


@app.command()
def true_places(
    kind: KindArgument,
    dataset: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    log: Log = None,
) -> None:
    """Write the part boxes or joints that a rendered set knows of its images."""
    with logged(log):
        from reid_repro.phases import places as phase

        phase.run(plan_of(config), kind.kind, dataset, results)


@app.command()
def score_places(
    kind: KindArgument,
    dataset: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    log: Log = None,
) -> None:
    """Score detected part boxes or joints on a rendered set's test images."""
    with logged(log):
        with starting():
            from reid_repro.phases import detection_scores as phase

        print(f"{dataset}: {phase.run(plan_of(config), kind.kind, dataset, results)}")


@app.command()
def places_sheet(
    kind: KindArgument,
    dataset: str,
    config: Overrides = "{}",
    results: Results = DEFAULT_RESULTS,
    log: Log = None,
) -> None:
    """Draw sample images with the part boxes or joints found, and those that failed."""
    with logged(log):
        from reid_repro.reporting import stage_sheets

        plan_of(config).dataset(dataset)
        draw = {"parts": stage_sheets.parts_sheet, "keypoints": stage_sheets.keypoints_sheet}
        out = results / "figures" / kind.kind / f"{dataset}.webp"
        draw[kind.kind](results, dataset, out)
