"""What rankings scored, query by query, with joint resamples: the numbers behind own cells.

All rankings of one subset share one set of draws, so that whatever is compared on it stays paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.errors import UserError
from reid_repro.ledger.cells import CellSource
from reid_repro.ledger.statistics import (
    Array,
    Draws,
    identity_draws,
    samples_over_seeds,
    seed_sd,
)
from reid_repro.ledger.tables import Reader, hit_share
from reid_repro.ledger.value import Value
from reid_repro.plan import Plan, Run
from reid_repro.verdict_settings import Resampling


class Origin(NamedTuple):
    """What a number was read from; as a text it is the name that a Value carries."""

    kind: str  # ranking, measure, cost, time, complexity, printed
    run: str = ""  # PAPER/VARIANT
    ranking: str = ""
    dataset: str = ""
    subset: str = ""
    metric: str = ""

    def __str__(self) -> str:
        return "|".join(self)

    @classmethod
    def parse(cls, text: str) -> Origin:
        """The origin that a name stands for."""
        return cls(*text.split("|"))

    @property
    def is_scaled(self) -> bool:
        """Whether the number is another one at another scale: of data, or networks of that scale.

        Times at the printed sizes, the papers' own networks, tests and counts are not.
        """
        return self.kind in ("ranking", "measure", "cost")


@dataclass(frozen=True)
class Scored:
    """A metric of one ranking, in the printed unit.

    `per_query` is (n_query, n_seed), `identities` (n_query,), `value` the mean over both with its
    resamples. `runs` are the trainings behind it, of all its seeds.
    """

    value: Value
    per_query: Array
    identities: npt.NDArray[np.int64]
    runs: tuple[str, ...]
    seed_sd: float | None

    @property
    def seeds(self) -> int:
        """How many seeds there are."""
        return int(self.per_query.shape[1])

    @property
    def trainings(self) -> frozenset[str]:
        """The trainings without their seeds: PAPER/VARIANT/DATASET."""
        return frozenset(run.rpartition("/")[0] for run in self.runs)


class Rankings:
    """Reads per-query values and resamples them, each ranking and metric once."""

    def __init__(self, plan: Plan, results: Path, settings: Resampling) -> None:
        self._plan = plan
        self._read = Reader(results)
        self._settings = settings
        self._frames: dict[tuple[str, ...], tuple[list[pd.DataFrame], tuple[str, ...]]] = {}
        self._draws: dict[tuple[str, ...], tuple[npt.NDArray[np.int64], Draws]] = {}
        self._scored: dict[str, Scored] = {}

    def scored(self, paper: str, source: CellSource) -> Scored:
        """What a planned source of kind `ranking` scored; UserError names a missing file."""
        ranking = source.ranking
        shown = f"{paper}:{ranking}" if "." in ranking else ranking  # sweeps belong to a paper
        origin = Origin("ranking", source.run, shown, source.dataset, source.subset, source.metric)
        name = f"{origin}|{source.factor}"
        if name not in self._scored:
            self._scored[name] = self._score(paper, source, origin)
        return self._scored[name]

    def of(self, origin: str) -> Scored | None:
        """What was read under an origin's name, whatever its unit; None for another kind."""
        return next((s for n, s in self._scored.items() if n.rpartition("|")[0] == origin), None)

    def _score(self, paper: str, source: CellSource, origin: Origin) -> Scored:
        frames, runs = self._frames_of(paper, source)
        identities, draws = self._draws_of(source, frames[0])
        columns = [values_of(frame, source.metric) for frame in frames]
        per_query = np.stack(columns, axis=1) * source.factor
        samples = samples_over_seeds(
            draws, per_query, seed=self._settings.seed, name=f"{source.run}/{source.dataset}"
        )
        return Scored(
            value=Value(samples, (str(origin),)),
            per_query=per_query,
            identities=identities,
            runs=runs,
            seed_sd=seed_sd(per_query.mean(axis=0)),
        )

    def _frames_of(
        self, paper: str, source: CellSource
    ) -> tuple[list[pd.DataFrame], tuple[str, ...]]:
        key = (paper, source.run, source.ranking, source.dataset, source.subset)
        if key not in self._frames:
            other, variant = source.run.split("/")
            runs = [Run(other, variant, source.dataset, seed) for seed in self._plan.config.seeds]
            scores = [self._read.ranking(paper, run, source.subset, source.ranking) for run in runs]
            for one in scores:
                scale = one.facts.get("scale", self._plan.config.scale)
                if scale != self._plan.config.scale:
                    raise UserError(
                        f"{one.file}: made at scale '{scale}', and this is '"
                        f"{self._plan.config.scale}'; give the scale that the results have"
                    )
                if not one.per_query["query"].equals(scores[0].per_query["query"]):
                    raise UserError(
                        f"{one.file}: other queries than in {scores[0].file}; delete both and run "
                        "again"
                    )
            self._frames[key] = [one.per_query for one in scores], tuple(map(str, runs))
        return self._frames[key]

    def _draws_of(
        self, source: CellSource, frame: pd.DataFrame
    ) -> tuple[npt.NDArray[np.int64], Draws]:
        """The draws of a subset: those of the queries that its first ranking has."""
        key = (source.dataset, source.subset)
        identities = frame["identity"].to_numpy(np.int64)
        if key not in self._draws:
            name = "/".join(key)
            draws = identity_draws(
                identities,
                resamples=self._settings.resamples,
                seed=self._settings.seed,
                name=name,
            )
            self._draws[key] = identities, draws
        known, draws = self._draws[key]
        if not np.array_equal(known, identities):
            raise UserError(
                f"results/metrics: {source.run} on {source.dataset}, subset {source.subset}, has "
                "other queries than the other rankings there; delete both and run again"
            )
        return known, draws


def values_of(frame: pd.DataFrame, metric: str) -> Array:
    """Per-query values (n_query,) of mAP or R{rank}, as shares."""
    if metric == "mAP":
        return np.asarray(frame["AP"], dtype=np.float64)
    return np.asarray(hit_share(frame, int(metric.removeprefix("R")))[:, 0], dtype=np.float64)
