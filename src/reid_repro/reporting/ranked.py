"""Ranked lists: for chosen queries, the first answers of every re-ranker, with thumbnails.

The queries are chosen by rule, never by hand: some at random with a fixed seed, those that are
answered worst, and those that change most, from the variant that a paper starts from to the one
that it proposes, or from no re-ranking to the best of it. The thumbnails go into one sprite; the
JSON beside it says which image stands where and what each answer was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet, write_json
from reid_repro.ledger.tables import per_query_file
from reid_repro.reporting.sprites import Grid, fit, sheet, write_webp

EACH = 4  # queries by each rule
SEED = 0
COLUMNS = 16
PEER = "peer"  # how the JSON names the ranking of the other variant
TILE = {"vehicle": (80, 80), "pedestrian": (56, 112)}
RULES = {
    "random": f"drawn at random (seed {SEED})",
    "worst": "lowest AP of {first}",
    "change": "largest change of AP from {first} to {second}",
}


@dataclass(frozen=True)
class Peer:
    """The same ranking of another variant, to be shown first and compared with; and both titles."""

    metrics: Path
    ranking: Path
    title: str
    own_title: str


@dataclass(frozen=True)
class _System:
    """One re-ranker's answers: AP by query, and its first ranks."""

    name: str
    title: str
    ap: pd.Series  # index: query (row in images.parquet)
    ranking: pd.DataFrame


def ranked_lists(
    dataset: Path,
    metrics: Sequence[Path],
    rankings: Sequence[Path],
    out: Path,
    *,
    peer: Peer | None = None,
) -> None:
    """Write the sprite `out` (.webp) and `out.with_suffix(".json")`.

    Args:
        dataset: folder `results/data/{dataset}`.
        metrics: metrics JSON files of one run, one a re-ranker, in the order to be shown; the
            first is the baseline unless one is called `none`.
        rankings: ranking files of the same re-rankers, in any order.
        out: the sprite.
        peer: what the run's baseline is held against, where it is not its own re-rankers.

    Raises:
        UserError: no metrics, or a re-ranker without a ranking file.
    """
    systems = _systems(metrics, rankings, out)
    first, second = _compared(systems, peer)
    if peer is not None:
        systems = [first, *(second if one.name == second.name else one for one in systems)]
    chosen = _choose(first.ap, second.ap)
    facts = read_json(dataset / "dataset.json")
    store = ImageStore.open(dataset)
    queries = [_query(number, rule, systems, store.images) for number, rule in chosen]
    needed = sorted(
        {query["image"] for query in queries}
        | {answer["image"] for q in queries for row in q["rows"].values() for answer in row}
    )
    width, height = TILE.get(facts["subject"], TILE["pedestrian"])
    grid = Grid(width, height, columns=min(COLUMNS, len(needed)), gap=0)
    write_webp(sheet([fit(store[row], width, height) for row in needed], grid), out)
    size = grid.size(len(needed))
    write_json(
        out.with_suffix(".json"),
        {
            "dataset": facts["name"],
            "baseline": first.name,
            "best": second.name,
            "titles": {system.name: system.title for system in systems},
            "rules": {
                rule: text.format(first=first.title, second=second.title)
                for rule, text in RULES.items()
                if any(rule == r for _, r in chosen)
            },
            "sprite": {
                "size": list(size),
                "tile": [width, height],
                "origin": {str(row): list(grid.origin(n)) for n, row in enumerate(needed)},
            },
            "queries": queries,
        },
    )


def _compared(systems: list[_System], peer: Peer | None) -> tuple[_System, _System]:
    """What the rules start from, and what they compare it with."""
    baseline = next((system for system in systems if system.name == "none"), systems[0])
    if peer is None:
        others = [system for system in systems if system is not baseline] or [baseline]
        return baseline, max(others, key=lambda system: float(system.ap.mean()))
    per_query = read_parquet(per_query_file(peer.metrics)).set_index("query")["AP"]
    ranking = read_parquet(peer.ranking).sort_values(["query", "rank"], kind="stable")
    other = _System(PEER, peer.title, per_query.sort_index(), ranking)
    return other, replace(baseline, title=peer.own_title)


def _systems(metrics: Sequence[Path], rankings: Sequence[Path], out: Path) -> list[_System]:
    if not metrics:
        raise UserError(f"{out}: no metrics files given; at least one is needed")
    found = {path.stem: path for path in rankings}
    systems = []
    for path in metrics:
        content = read_json(path)
        name = content["reranker"]
        if name not in found:
            raise UserError(f"{out}: no ranking file '{name}.parquet' beside {path}")
        per_query = read_parquet(per_query_file(path)).set_index("query")["AP"]
        ranking = read_parquet(found[name]).sort_values(["query", "rank"], kind="stable")
        systems.append(_System(name, content["title"], per_query.sort_index(), ranking))
    return systems


def _choose(baseline: pd.Series, other: pd.Series) -> list[tuple[int, str]]:
    """(query, rule), no query twice: random ones first, then the worst, then the most changed."""
    queries = baseline.index.to_numpy()
    drawn = np.random.default_rng(SEED).choice(queries, min(EACH, len(queries)), replace=False)
    worst = baseline.sort_values(kind="stable").index
    change = (other - baseline).dropna()
    most = change[change != 0].abs().sort_values(ascending=False, kind="stable").index
    chosen: dict[int, str] = {}
    for rule, order in (("random", np.sort(drawn)), ("worst", worst), ("change", most)):
        fresh = [int(query) for query in order if int(query) not in chosen]
        chosen |= dict.fromkeys(fresh[:EACH], rule)
    return list(chosen.items())


def _query(number: int, rule: str, systems: list[_System], images: pd.DataFrame) -> dict[str, Any]:
    return {
        "image": number,
        "identity": int(images["identity"].iloc[number]),
        "camera": int(images["camera"].iloc[number]),
        "rule": rule,
        "AP": {
            system.name: round(float(system.ap[number]), 4) if number in system.ap.index else None
            for system in systems
        },
        "rows": {system.name: _answers(system.ranking, number, images) for system in systems},
    }


def _answers(ranking: pd.DataFrame, query: int, images: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "image": int(row.image),
            "identity": int(images["identity"].iloc[row.image]),
            "camera": int(images["camera"].iloc[row.image]),
            "rank": int(row.rank),
            "distance": round(float(row.distance), 4),
            "match": bool(row.match),
        }
        for row in ranking[ranking["query"] == query].itertuples()
    ]
