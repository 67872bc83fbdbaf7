"""Evidence that is no ranking: measures of figures, times, sizes of networks, tests, counts.

What is not planned or needs another machine is Unknown, with a reason and the command that would
make it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet
from reid_repro.ledger.cells import CellSource
from reid_repro.ledger.evidence_rankings import Origin, Scored
from reid_repro.ledger.predicate_types import Statistic, Unknown
from reid_repro.ledger.statistics import identity_draws
from reid_repro.ledger.times import time_table
from reid_repro.ledger.value import Value, exact
from reid_repro.measures.recipes import RECIPES, first_run, measures_file, networks_file
from reid_repro.plan import Plan
from reid_repro.verdict_settings import Resampling

NO_ITEM = -1  # of a measure that is one number


class Measures:
    """Points of figures that are no metric of a ranking: `results/measures/{paper}`."""

    def __init__(self, plan: Plan, paper: str, results: Path, settings: Resampling) -> None:
        self._plan = plan
        self._paper = paper
        self._results = results
        self._settings = settings
        self._scored: dict[tuple[str, ...], Scored] = {}

    def point(self, key: tuple[str, ...], datasets: tuple[str, ...]) -> Scored:
        """f(figure, *key): the mean over its items, on the first of `datasets` that has it.

        Raises:
            Unknown: it is measured on none of them.
        """
        for dataset in datasets:
            if (dataset, *key) in self._scored:
                return self._scored[dataset, *key]
            found = self._points(dataset).get(key)
            if found is not None:
                self._scored[dataset, *key] = self._score(dataset, key, found)
                return self._scored[dataset, *key]
        raise self._why_not(key, datasets)

    def _why_not(self, key: tuple[str, ...], datasets: tuple[str, ...]) -> Unknown:
        """The reason that the measures themselves give for a figure, if they do."""
        for dataset in datasets:
            for entry in self._facts(dataset).get("left_out", ()):
                if entry["figure"] == key[0]:
                    return Unknown("not_run", f"{key[0]}: {entry['reason']}")
        where = " or ".join(datasets) or "any dataset of this scale"
        return Unknown("not_run", f"{', '.join(key)}: not measured on {where}")

    def of(self, origin: str) -> Scored | None:
        """What was read under an origin's name."""
        found = (s for s in self._scored.values() if origin in s.value.origins)
        return next(found, None)

    def _points(self, dataset: str) -> Mapping[tuple[str, ...], pd.DataFrame]:
        if dataset not in self._frames:
            file = measures_file(self._results, self._paper, dataset)
            self._frames[dataset] = _by_key(read_parquet(file)) if file.is_file() else {}
        return self._frames[dataset]

    @cached_property
    def _frames(self) -> dict[str, Mapping[tuple[str, ...], pd.DataFrame]]:
        return {}

    def _score(self, dataset: str, key: tuple[str, ...], rows: pd.DataFrame) -> Scored:
        values = rows["value"].to_numpy(np.float64)
        identities = rows["identity"].to_numpy(np.int64)
        if len(rows) == 1 and rows["item"].iloc[0] == NO_ITEM:
            kind = "time" if key[0] == "time" else "cost"  # at printed sizes, or of this scale
            cost = Origin(kind, self._paper, metric=json.dumps(key))
            value = exact(float(values[0]), str(cost))
        else:
            origin = Origin("measure", self._paper, "", dataset, "", json.dumps(key))
            # Items of one figure are the same for what it compares: equal draws keep them paired.
            name = f"{dataset}/{self._paper}/{key[0]}"
            draws = identity_draws(
                identities,
                resamples=self._settings.resamples,
                seed=self._settings.seed,
                name=name,
            )
            value = Value(draws.samples(values), (str(origin),))
        return Scored(value, values[:, None], identities, self._runs(dataset, key[0]), None)

    def _runs(self, dataset: str, figure: str) -> tuple[str, ...]:
        """The trainings, of the first seed, that a figure's measures were taken from."""
        recipes = [one for one in RECIPES.get(self._paper, ()) if one.figure == figure]
        names = dict.fromkeys(name for one in recipes for name in one.runs)
        return tuple(str(first_run(self._plan, name, dataset)) for name in names)

    def _facts(self, dataset: str) -> dict[str, Any]:
        file = measures_file(self._results, self._paper, dataset).with_suffix(".json")
        return dict(read_json(file)) if file.is_file() else {}


def _by_key(frame: pd.DataFrame) -> Mapping[tuple[str, ...], pd.DataFrame]:
    """Rows by (figure, *key)."""
    groups = frame.groupby(["figure", "key"], sort=False)
    return {(str(f), *map(str, json.loads(key))): rows for (f, key), rows in groups}


class Times:
    """Times at the printed sizes, and the numbers of groups they belong to."""

    def __init__(self, plan: Plan, paper: str, results: Path) -> None:
        self._plan = plan
        self._paper = paper
        self._results = results
        self._tables: dict[str, pd.DataFrame] = {}

    def value(self, source: CellSource) -> Value:
        """A planned source of kind `time` in its printed unit; UserError names a missing file.

        Raises:
            Unknown: it is timed on a GPU and there was none, or at other than the printed sizes.
        """
        table = self._table(source.time_table)
        shrink = self._plan.config.timings.shrink
        if shrink != 1:
            raise Unknown("other_scale", f"timed at 1/{shrink} of the printed sizes")
        rows = table[table["row"].str.startswith(f"{source.time_row}:")]
        counted = source.column == "groups"
        found = rows if counted else rows[rows["column"] == source.column]
        if found.empty:
            raise UserError(
                f"workflow/papers/{self._paper}.yaml: time_tables.{source.time_table}: row "
                f"{source.time_row} has no column '{source.column}'"
            )
        entry = found.iloc[0]
        measured = entry["groups"] if counted else entry["seconds"]
        if pd.isna(measured) and not counted:
            what = str(entry["row_title"])
            raise Unknown("no_gpu", f"{what}: to be timed on a GPU, and this machine has none")
        origin = Origin("time", self._paper, source.timing, "", str(entry["row"]), source.column)
        return exact(float(measured) * source.factor, str(origin))

    def _table(self, name: str) -> pd.DataFrame:
        if name not in self._tables:
            self._tables[name] = time_table(self._plan, self._paper, name, self._results)
        return self._tables[name]


class Networks:
    """Parameters, multiply-accumulates and time an image of the printed networks."""

    def __init__(self, plan: Plan, paper: str, results: Path) -> None:
        self._plan = plan
        self._paper = paper
        self._file = networks_file(results, paper)

    @cached_property
    def _networks(self) -> dict[str, Any] | None:
        return dict(read_json(self._file)["networks"]) if self._file.is_file() else None

    def value(self, source: CellSource) -> Value:
        """A planned source of kind `complexity`; Unknown where they were not measured."""
        if self._networks is None:
            raise Unknown("not_run", "the networks were not measured: reid-repro complexity does")
        if source.run not in self._networks:
            raise UserError(f"{self._file}: no network '{source.run}'; delete it and run again")
        origin = Origin("complexity", source.run, metric=source.metric)
        return exact(float(self._networks[source.run][source.metric]) * source.factor, str(origin))


class Properties:
    """What tests have shown: `results/properties.json`."""

    def __init__(self, results: Path) -> None:
        self._file = results / "properties.json"

    @cached_property
    def _shown(self) -> dict[str, Any] | None:
        if not self._file.is_file():
            return None
        return dict(read_json(self._file)["properties"])

    def passed(self, name: str) -> bool:
        """Whether a property's tests passed; Unknown where they were not run."""
        if self._shown is None:
            raise Unknown("not_run", "its tests were not run: reid-repro properties runs them")
        if name not in self._shown:
            raise Unknown("not_run", f"no test is named for the property '{name}'")
        return bool(self._shown[name]["passed"])

    def statement(self, name: str) -> str | None:
        """What a property says, in a sentence; None where its tests were not run."""
        facts = (self._shown or {}).get(name, {})
        said = facts.get("statement")
        return None if said is None else str(said)


class Counts:
    """Counts of the real datasets, from what was indexed; a stand-in's would say nothing."""

    def __init__(self, plan: Plan, results: Path) -> None:
        self._plan = plan
        self._data = results / "data"
        self._parts = results / "parts"

    def statistic(self, name: str) -> Statistic:
        """`DATASET.train`, `.query`, a split, `.all`, `.ids`, in the printed names.

        `train`, `test`, a split and `all` give (images, identities), `query` and `ids` one number.

        Raises:
            Unknown: the dataset is not here.
        """
        printed, _, what = name.rpartition(".")
        places = self._plan.benchmarks.of(printed).splits
        place = places.get(what) or next(iter(places.values()))
        folder = self._data / place.dataset
        if not (folder / "splits.parquet").is_file():
            raise Unknown(
                "no_data",
                f"{printed} is not here: reid-repro data fetch {place.dataset} says how to get it",
            )
        if what == "mean_confident_parts":
            return self._confident_parts(place.dataset)
        images = read_parquet(folder / "images.parquet")
        splits = read_parquet(folder / "splits.parquet")
        first = splits[splits["trial"] == splits.groupby("subset")["trial"].transform("min")]
        if what in ("all", "ids"):
            chosen = images
        elif what == "query":
            queries = first[(first["subset"] == place.subset) & (first["role"] == "query")]
            return int(queries["image"].nunique())
        else:
            subset = "train" if what == "train" else place.subset
            chosen = images.iloc[first.loc[first["subset"] == subset, "image"].unique()]
        identities = int(chosen.loc[chosen["identity"] > 0, "identity"].nunique())
        return identities if what == "ids" else (len(chosen), identities)

    def _confident_parts(self, dataset: str) -> float:
        """Mean number of part boxes an image that the detector is more sure of than not."""
        file = self._parts / dataset / "parts.parquet"
        if not file.is_file():
            raise Unknown("not_run", f"the parts of {dataset} are not detected yet")
        boxes = read_parquet(file)
        confident = boxes["score"].ge(CONFIDENT).groupby(boxes["image"]).sum()
        return float(confident.mean())


CONFIDENT = 0.5  # a score above which a box is more likely right than wrong
