"""The rankings of one side: each of a variant's features on a dataset's subset, over its seeds."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.comparing.sides import Side
from reid_repro.errors import UserError
from reid_repro.ledger.tables import hit_share


class Key(NamedTuple):
    """A ranking (RERANKER or SWEEP.POINT) of PAPER/VARIANT on a dataset's subset."""

    variant: str
    dataset: str
    subset: str
    ranking: str

    def __str__(self) -> str:
        return f"{self.variant}/{self.dataset}/{self.subset}/{self.ranking}"


@dataclass(frozen=True)
class Scored:
    """One seed's metrics file, what its run.json says (empty if not at hand), its queries."""

    facts: Mapping[str, Any]
    run: Mapping[str, Any]
    load: Callable[[], pd.DataFrame | None]

    @cached_property
    def per_query(self) -> pd.DataFrame | None:
        """Query, identity, AP, first_hit a row; None where the file is not at hand."""
        return self.load()

    def value(self, metric: str) -> float | None:
        """mAP or R{k} as a share; None where the file does not reach so far."""
        if metric == "mAP":
            return float(self.facts["mAP"])
        rank, cmc = int(metric[1:]), self.facts["cmc"]
        return float(cmc[rank - 1]) if rank <= len(cmc) else None


@dataclass(frozen=True)
class Rankings:
    """Everything that one side ranked, and the intervals that its tables print."""

    side: Side
    found: Mapping[Key, Mapping[int, Scored]]
    intervals: Mapping[tuple[Key, str], tuple[float, float]] = field(default_factory=dict)


def read_rankings(side: Side) -> Rankings:
    """All rankings of a side; UserError names a damaged file."""
    found: dict[Key, dict[int, Scored]] = {}
    for path in side.paths:
        top = path.partition("/")[0]
        if path.endswith(".json") and top in ("metrics", "sweeps"):
            for key, seed, scored in (_single if top == "metrics" else _swept)(side, path):
                found.setdefault(key, {})[seed] = scored
    return Rankings(side, found, _intervals(side))


def values(frame: pd.DataFrame, metric: str) -> npt.NDArray[np.float64]:
    """A metric's value a query, (n_query,)."""
    if metric == "mAP":
        return np.asarray(frame["AP"], dtype=np.float64)
    return hit_share(frame, int(metric[1:]))[:, 0]


def parse(side: Side, path: str) -> Any:
    """The content of a JSON file; UserError names a broken one."""
    try:
        return json.loads(side.read(path).decode("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise UserError(f"{side.name}: {path}: not valid JSON") from None


def parse_csv(side: Side, path: str) -> pd.DataFrame:
    """A CSV as text; UserError names a broken one."""
    try:
        return pd.read_csv(io.BytesIO(side.read(path)), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise UserError(f"{side.name}: {path}: not a readable CSV") from None


def _single(side: Side, path: str) -> Iterator[tuple[Key, int, Scored]]:
    """metrics/{paper}/{variant}/{dataset}/seed{n}/{subset}/{reranker}.json"""
    parts = path.split("/")
    facts = _facts(side, path)
    if len(parts) < 7 or facts is None:
        return
    run, subset, name = "/".join(parts[1:5]), "/".join(parts[5:-1]), parts[-1][: -len(".json")]
    queries = f"{path[: -len('.json')]}.per_query.parquet"
    scored = Scored(facts, _run(side, run), lambda: _frame(side, queries))
    yield Key("/".join(parts[1:3]), parts[3], subset, name), _seed(side, path, parts[4]), scored


def _swept(side: Side, path: str) -> Iterator[tuple[Key, int, Scored]]:
    """sweeps/{paper}/{sweep}/{run}/{subset}.json: a ranking a point."""
    parts = path[: -len(".json")].split("/")
    facts = _facts(side, path, needed=("points",))
    if len(parts) < 8 or facts is None:
        return
    run, subset = "/".join(parts[3:7]), "/".join(parts[7:])
    queries = f"{path[: -len('.json')]}.per_query.parquet"
    common = {key: value for key, value in facts.items() if key != "points"}
    for point, own in facts["points"].items():

        def load(point: str = point) -> pd.DataFrame | None:
            frame = _frame(side, queries)
            return None if frame is None else frame[frame["point"] == point]

        key = Key("/".join(parts[3:5]), parts[5], subset, f"{parts[2]}.{point}")
        yield key, _seed(side, path, parts[6]), Scored(common | own, _run(side, run), load)


def _facts(
    side: Side, path: str, needed: tuple[str, ...] = ("mAP", "cmc")
) -> dict[str, Any] | None:
    """A metrics file; None for a file of another kind."""
    content = parse(side, path)
    if not isinstance(content, dict) or any(key not in content for key in needed):
        return None
    return content


def _seed(side: Side, path: str, folder: str) -> int:
    if not folder.removeprefix("seed").isdecimal():
        raise UserError(f"{side.name}: {path}: '{folder}' is no seed folder such as 'seed0'")
    return int(folder.removeprefix("seed"))


def _run(side: Side, run: str) -> Mapping[str, Any]:
    path = f"models/{run}/run.json"
    return parse(side, path) if path in side.known else {}


def _frame(side: Side, path: str) -> pd.DataFrame | None:
    if path not in side.known:
        return None
    try:
        return pd.read_parquet(io.BytesIO(side.read(path)))
    except (OSError, ValueError):
        raise UserError(f"{side.name}: {path}: not a readable parquet file") from None


def _intervals(side: Side) -> dict[tuple[Key, str], tuple[float, float]]:
    """The intervals of the tables, by ranking and metric."""
    found: dict[tuple[Key, str], tuple[float, float]] = {}
    for path in side.paths:
        parts = path.split("/")
        if parts[0] != "tables" or len(parts) != 3 or not path.endswith(".csv"):
            continue
        frame = parse_csv(side, path)
        if not {"variant", "reranker", "subset", "metric", "low", "high"} <= set(frame):
            continue
        for row in frame.to_dict("records"):
            variant = row["variant"] if "/" in row["variant"] else f"{parts[1]}/{row['variant']}"
            key = Key(variant, row["dataset"], row["subset"], row["reranker"])
            if row["low"] and row["high"]:
                found[key, row["metric"]] = (float(row["low"]), float(row["high"]))
    return found
