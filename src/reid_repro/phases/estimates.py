"""What a plan's trainings cost: epochs, images, and an estimate of hours on one device.

The hours come from one of three places, and the listing says which: the throughput that the run
itself was measured with; that of other runs of the scale, carried over in proportion to the
networks' multiply-accumulates; or a sustained rate that the user states. A training step counts as
three passes of a network, forward and twice as much backward, and a multiply-accumulate as two
operations.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Literal

from reid_repro.config import RenderedDataset
from reid_repro.errors import UserError
from reid_repro.files import read_json
from reid_repro.plan import Plan, Run
from reid_repro.rows import rows_of, runs_of_row

PASSES = 3
OPERATIONS = 2  # of a multiply-accumulate
TFLOPS = 20.0  # sustained by a workstation's GPU in mixed precision, if nothing better is known
CLASSES = 2  # multiply-accumulates leave the classifier out: their number changes nothing

Basis = Literal["measured", "carried over", "stated", "unknown"]


@dataclass(frozen=True)
class Cost:
    """What one run's training takes; `images` are all that pass in it, None if not known."""

    run: Run
    epochs: int  # 0 where the length is in iterations
    iterations: int
    images: int | None
    hours: float | None
    basis: Basis


@dataclass(frozen=True)
class TableCost:
    """The trainings behind one table; `new` are those that no table before it has."""

    paper: str
    table: str
    runs: tuple[Run, ...]
    new: tuple[Run, ...]


class Estimates:
    """Costs of the runs of a plan, from what lies in `results` and a rate in TFLOP/s.

    With `tflops` no measured throughput is used.
    """

    def __init__(self, plan: Plan, results: Path, tflops: float | None = None) -> None:
        if tflops is not None and not tflops > 0:
            raise UserError(f"--tflops: {tflops:g}; it must be above 0")
        self.plan, self.results, self.tflops = plan, results, tflops
        self._macs: dict[str, int] = {}

    def cost(self, run: Run) -> Cost:
        """What one training takes. A run that takes its descriptors over costs nothing."""
        training = self.plan.resolve(run).training
        epochs, iterations = training.epochs or 0, training.iterations or 0
        if self.plan.features_of(run):
            return Cost(run, 0, 0, 0, 0.0, "measured")
        batch = training.identities_per_batch * training.images_per_identity
        count = self.train_images(run.dataset)
        images = iterations * batch if iterations else count and count * epochs
        if not images:
            return Cost(run, epochs, iterations, None, None, "unknown")
        per_second, basis = self._throughput(run)
        return Cost(run, epochs, iterations, images, images / per_second / 3600, basis)

    def _throughput(self, run: Run) -> tuple[float, Basis]:
        """Images a second of a run's training, and where the number is from."""
        if self.tflops is None and str(run) in self._measured:
            return self._measured[str(run)], "measured"
        if self._rate is not None:
            return self._rate / self.macs(run), "carried over"
        rate = (self.tflops or TFLOPS) * 1e12 / OPERATIONS / PASSES
        return rate / self.macs(run), "stated"

    @cached_property
    def _measured(self) -> Mapping[str, float]:
        """Images a second of every run that was trained with the settings of the plan."""
        found = {}
        for run in self.plan.trainings:
            folder = self.results / "models" / str(run)
            if (folder / "run.json").is_file() and (folder / "history.csv").is_file():
                facts = read_json(folder / "run.json")
                resolved = self.plan.resolve(run).model_dump(mode="json")
                if all(facts.get(key) == resolved[key] for key in ("scale", "model")):
                    found[str(run)] = _images_per_second(folder / "history.csv")
        return {run: rate for run, rate in found.items() if rate > 0}

    @cached_property
    def _rate(self) -> float | None:
        """Multiply-accumulates a second that the measured trainings sustain in one pass."""
        if self.tflops is not None or not self._measured:
            return None
        measured = self._measured.items()
        return median(rate * self.macs(Run.parse(name)) for name, rate in measured)

    def macs(self, run: Run) -> int:
        """Multiply-accumulates of one image's descriptor."""
        from reid_repro.models.complexity import complexity  # imports torch

        resolved = self.plan.resolve(run)
        size = resolved.training.height, resolved.training.width
        key = f"{resolved.model.model_dump_json()} {size}"
        if key not in self._macs:
            options = resolved.model.model_dump(exclude={"name"})
            cost = complexity(resolved.model.name, options, num_classes=CLASSES, size=size)
            self._macs[key] = cost.macs
        return self._macs[key]

    def train_images(self, dataset: str) -> int | None:
        """Images to train on: counted if the dataset is here, else as its settings say."""
        file = self.results / "data" / dataset / "dataset.json"
        if file.is_file():
            return int(read_json(file)["counts"].get("train", {}).get("images", 0)) or None
        settings = self.plan.dataset(dataset)
        if isinstance(settings, RenderedDataset):
            each = settings.cameras * settings.train_images_per_camera
            return settings.train_identities * each
        return settings.official.get("train", {}).get("images")


def _images_per_second(history: Path) -> float:
    """The median over the epochs of a training."""
    with history.open(encoding="utf-8", newline="") as stream:
        rates = [float(row["images_per_second"]) for row in csv.DictReader(stream)]
    return median(rates) if rates else 0.0


def table_costs(plan: Plan, only: str = "") -> list[TableCost]:
    """The trainings behind every table and figure, or those of PAPER/TABLE; UserError if unknown.

    What only points of figures need, and no table shows, comes last.
    """
    wanted = [only.split("/", 1)] if only else _all_tables(plan)
    known: Counter[Run] = Counter()
    found = []
    for paper, *rest in wanted:
        if not rest:
            raise UserError(f"--table {only}: expected PAPER/TABLE")
        runs = _runs_of_table(plan, paper, rest[0])
        found.append(TableCost(paper, rest[0], runs, tuple(r for r in runs if r not in known)))
        known.update(runs)
    lone = tuple(run for run in plan.trainings if run not in known)
    if lone and not only:
        found.append(TableCost("", "no table", lone, lone))
    return found


def _all_tables(plan: Plan) -> list[list[str]]:
    return [
        [paper, table]
        for paper in plan.config.papers
        for table in plan.tables_of(paper)
        if table not in plan.papers[paper].time_tables
    ]


def _runs_of_table(plan: Plan, paper: str, table: str) -> tuple[Run, ...]:
    """The trainings behind a table; a table of times has none."""
    if table in plan.paper(paper).time_tables:
        return ()
    runs = [
        run
        for row in rows_of(plan, paper, table)
        for run in runs_of_row(plan, paper, table, row)
        if not plan.features_of(run)
    ]
    return tuple(dict.fromkeys(runs))


def summed(costs: Iterable[Cost]) -> tuple[int, int, int, float, int]:
    """Epochs, iterations, images, hours, and how many of the costs know no hours."""
    costs = list(costs)
    return (
        sum(cost.epochs for cost in costs),
        sum(cost.iterations for cost in costs),
        sum(cost.images or 0 for cost in costs),
        sum(cost.hours or 0.0 for cost in costs),
        sum(cost.hours is None for cost in costs),
    )
