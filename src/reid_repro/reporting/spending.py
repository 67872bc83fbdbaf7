"""What all of it cost: the trainings of re-identification networks and detectors, and rankings.

Detectors are trained once for all papers that need them, so they stand apart from the runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reid_repro.files import read_json
from reid_repro.reporting import formats
from reid_repro.reporting.provenance import RunView, Summary


@dataclass(frozen=True)
class Training:
    """One training: a run, or a detector."""

    name: str
    link: str
    parameters: int
    wall: str
    peak_memory: float
    energy: str
    seconds: float


@dataclass(frozen=True)
class Spent:
    """All trainings, and the totals."""

    runs: tuple[Training, ...]
    detectors: tuple[Training, ...]
    ranking: float  # seconds
    energy: str  # of the runs

    @property
    def trainings(self) -> tuple[Training, ...]:
        """Detectors first, as they are trained first."""
        return (*self.detectors, *self.runs)

    @property
    def training(self) -> float:
        """Seconds of all trainings."""
        return sum(one.seconds for one in self.trainings)

    @property
    def peak_memory(self) -> float:
        """MiB of the hungriest training."""
        return max((one.peak_memory for one in self.trainings), default=0.0)


def spent(
    results: Path, runs: Sequence[RunView], detectors: Sequence[str], summary: Summary
) -> Spent:
    """What runs, the detectors of these kinds and rankings took; UserError: a missing file."""
    trained = (_detector(results, kind) for kind in detectors)
    return Spent(
        runs=tuple(_run(run) for run in runs),
        detectors=tuple(one for one in trained if one is not None),
        ranking=summary.ranking,
        energy=summary.energy,
    )


def _run(run: RunView) -> Training:
    facts = run.facts
    return Training(
        name=run.name,
        link=f"#run-{run.name.replace('/', '-')}",
        parameters=int(facts["parameters"]),
        wall=run.wall,
        peak_memory=float(facts["peak_memory_mib"] or 0),
        energy=run.energy,
        seconds=float(facts["wall_seconds"] or 0),
    )


def _detector(results: Path, kind: str) -> Training | None:
    """The training of a detector; none where its weights came from elsewhere."""
    facts = read_json(results / "detectors" / kind / "detector.json")
    seconds = float(facts.get("wall_seconds") or 0)
    if not int(facts.get("images") or 0):
        return None
    return Training(
        name=f"detectors/{kind}",
        link=f"stages/{kind}.html#detector-{kind}",
        parameters=int(facts["parameters"]),
        wall=formats.duration(seconds),
        peak_memory=float(facts.get("peak_memory_mib") or 0),
        energy="not measured",
        seconds=seconds,
    )
