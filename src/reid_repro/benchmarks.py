"""The datasets as the papers print them, and what they are here: `workflow/benchmarks.yaml`.

A printed cell names a dataset and a split of it ("VehicleID", "800"). At paper scale that is a
subset of one of the datasets in workflow/datasets; at the other scales a rendered one stands in.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from reid_repro.checking import Scale, Strict, checked, read_yaml
from reid_repro.errors import UserError
from reid_repro.paper import SimulatedSize

FILE = "benchmarks.yaml"


class Place(NamedTuple):
    """A dataset of this project and a subset of it."""

    dataset: str
    subset: str
    stand_in: bool


class SplitConfig(Strict):
    """What a printed split is at paper scale."""

    dataset: str
    subset: str = "test"


class BenchmarkConfig(Strict):
    """A printed dataset.

    `stand_in` names the dataset that is measured in its place, `simulated` the features of its size
    on which times are taken.
    """

    splits: dict[str, SplitConfig] = Field(min_length=1)
    stand_in: dict[Scale, str] = Field(default_factory=dict)
    simulated: SimulatedSize | None = None


class BenchmarksFile(Strict):
    """The whole file, to be checked under its own key."""

    benchmark: dict[str, BenchmarkConfig]


class Benchmarks:
    """The printed datasets, by their printed names."""

    def __init__(self, settings: Mapping[str, BenchmarkConfig], file: Path) -> None:
        self.settings = settings
        self.file = file

    @classmethod
    def read(cls, workflow: Path) -> Benchmarks:
        """The file below `workflow`; empty where there is none. UserError names what is wrong."""
        file = workflow / FILE
        if not file.is_file():
            return cls({}, file)
        found = checked(BenchmarksFile, {"benchmark": read_yaml(file)}, str(file))
        return cls(found.benchmark, file)

    def of(self, dataset: str) -> BenchmarkConfig:
        """The settings of a printed dataset; UserError lists the known ones."""
        if dataset not in self.settings:
            known = ", ".join(self.settings) or "none"
            raise UserError(f"{self.file}: no dataset '{dataset}'; known: {known}")
        return self.settings[dataset]

    def place(self, dataset: str, split: str, scale: Scale) -> Place | None:
        """Where a printed split is measured at a scale; None where it is not.

        Raises:
            UserError: a dataset or split that the file does not name.
        """
        settings = self.of(dataset)
        if split not in settings.splits:
            known = ", ".join(settings.splits)
            raise UserError(f"{self.file}: {dataset}: no split '{split}'; known: {known}")
        if scale == "paper":
            found = settings.splits[split]
            return Place(found.dataset, found.subset, stand_in=False)
        if scale not in settings.stand_in:
            return None
        return Place(settings.stand_in[scale], "test", stand_in=True)
