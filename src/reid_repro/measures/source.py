"""What the measures of one paper on one dataset share: images, queries, runs, and their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.datasets.images import ImageStore
from reid_repro.files import read_json, read_parquet
from reid_repro.measures.recipes import first_run
from reid_repro.plan import Plan, Run

QUERIES = 128  # of which attention and the like are measured, where the networks run anew
SHOWN = 5  # queries of a picture sheet
SEED = 0
COLUMNS = ["figure", "key", "item", "identity", "value", "what"]
NO_ITEM = -1  # of a cost, which is one number

Values = npt.ArrayLike
Rows = npt.NDArray[np.int64]


class LeftOutError(Exception):
    """What cannot be measured on this dataset, with the reason."""


class Measure(NamedTuple):
    """The values behind one f(figure, *key): one an item, whose mean the figure shows.

    `items` are rows of images.parquet, or -1 for a single number; `what` says in a sentence what
    was measured.
    """

    figure: str
    key: tuple[str, ...]
    items: Rows
    identities: Rows
    values: npt.NDArray[np.float64]
    what: str


def single(figure: str, key: Sequence[str], value: float, what: str) -> Measure:
    """A measure of one number."""
    none = np.array([NO_ITEM], np.int64)
    return Measure(figure, tuple(key), none, none, np.array([value], np.float64), what)


@dataclass
class Source:
    """The files of one paper on one dataset, each read once.

    The first subset and the first seed stand for all. `cache` is the measures' own: what several
    of them, and the picture sheets, ask of one network.
    """

    plan: Plan
    paper: str
    dataset: str
    results: Path
    cache: dict[Any, Any] = field(default_factory=dict)

    @property
    def subset(self) -> str:
        """The subset of queries and gallery."""
        return self.plan.subsets(self.dataset)[0]

    @property
    def data(self) -> Path:
        """The folder of the dataset."""
        return self.results / "data" / self.dataset

    @cached_property
    def store(self) -> ImageStore:
        """The images."""
        return ImageStore.open(self.data)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Protocol, subject and counts of the dataset."""
        found: dict[str, Any] = read_json(self.data / "dataset.json")
        return found

    @cached_property
    def splits(self) -> pd.DataFrame:
        """Who is trained on, asks and answers."""
        return read_parquet(self.data / "splits.parquet")

    @cached_property
    def annotations(self) -> pd.DataFrame | None:
        """The true part boxes or joints; None where they are not known."""
        file = self.data / "annotations.parquet"
        return read_parquet(file) if file.is_file() else None

    def rows(self, role: str) -> Rows:
        """Rows of images.parquet in a role of the first trial, in order."""
        subset = self.splits[self.splits["subset"] == self.subset]
        chosen = subset[(subset["role"] == role) & (subset["trial"] == subset["trial"].min())]
        found: Rows = chosen["image"].to_numpy(np.int64)
        return found

    @cached_property
    def queries(self) -> Rows:
        """The queries that networks look at anew: `QUERIES` drawn with a fixed seed, in order."""
        rows = self.rows("query")
        drawn = np.random.default_rng(SEED).choice(rows, min(QUERIES, len(rows)), replace=False)
        return np.sort(drawn)

    @cached_property
    def shown(self) -> Rows:
        """The queries of the picture sheets, of different identities: drawn by the same rule."""
        order = np.random.default_rng(SEED + 1).permutation(self.queries)
        _, first = np.unique(self.identity(order), return_index=True)
        return np.sort(order[np.sort(first)[:SHOWN]])

    def identity(self, rows: Rows) -> Rows:
        """The identities of images."""
        found: Rows = self.store.images["identity"].to_numpy(np.int64)[rows]
        return found

    def run(self, name: str) -> Run:
        """The run behind PAPER/VARIANT."""
        return first_run(self.plan, name, self.dataset)

    def title(self, name: str) -> str:
        """How tables call PAPER/VARIANT."""
        paper, variant = name.split("/")
        return self.plan.papers[paper].variants[variant].title

    def first_ranks(self, name: str) -> pd.DataFrame:
        """The first answers to each query: query, rank, image, distance, match."""
        file = self.results / "rankings" / str(self.run(name)) / self.subset / "none.parquet"
        return read_parquet(file)

    def of(
        self, figure: str, key: Sequence[str], items: Rows, values: Values, what: str
    ) -> Measure:
        """A measure with one value an image; what has no value (NaN) is left out."""
        found = np.asarray(values, np.float64)
        known = np.isfinite(found)
        rows = np.asarray(items, np.int64)[known]
        return Measure(figure, tuple(key), rows, self.identity(rows), found[known], what)
