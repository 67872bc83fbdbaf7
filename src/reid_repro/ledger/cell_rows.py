"""The ledger of one paper: every printed cell in the paper's order, beside what stands here.

Own accuracies are judged cell by cell at paper scale alone. Times, parameters and the like are
measured and shown; quoted literature and settings are never judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from reid_repro.ledger.cells import CellSource
from reid_repro.ledger.evidence import OurEvidence
from reid_repro.ledger.evidence_rankings import Scored
from reid_repro.ledger.predicate_types import Unknown
from reid_repro.ledger.printed import Cell
from reid_repro.ledger.statistics import interval
from reid_repro.ledger.verdicts import band_of, value_verdict

COLUMNS = [
    *("table", "row", "dataset", "split", "metric", "printed", "printed_as", "role", "note"),
    *("kind", "our_table", "run", "ranking", "our_dataset", "our_subset"),
    *("value", "low", "high", "level", "seeds", "seed_sd", "difference"),
    *("verdict", "reason", "command", "scale", "stand_in"),
]
UNJUDGED = {"quoted": "quoted", "config": "parameter"}


def ledger(evidence: OurEvidence) -> pd.DataFrame:
    """All printed cells of a paper with COLUMNS; values are in the printed unit."""
    return pd.DataFrame(_rows(evidence), columns=COLUMNS)


def _rows(evidence: OurEvidence) -> Iterator[dict[str, Any]]:
    for cell in evidence.printed.grid:
        row: dict[str, Any] = {
            "table": cell.table,
            "row": cell.row,
            "dataset": cell.dataset,
            "split": cell.split,
            "metric": cell.metric,
            "printed": cell.value,
            "printed_as": cell.printed_as,
            "role": cell.role,
            "note": cell.note,
            "scale": evidence.plan.config.scale,
            "stand_in": False,
        }
        if cell.own:
            yield row | _own(cell, evidence)
        else:
            verdict = UNJUDGED.get(cell.role, "blank") if cell.value else "blank"
            yield row | {"kind": "none", "verdict": verdict}


def _own(cell: Cell, evidence: OurEvidence) -> dict[str, Any]:
    source = evidence.sources[cell.key]
    row: dict[str, Any] = {
        "kind": source.kind,
        "our_table": source.table,
        "run": source.run,
        "ranking": source.ranking,
        "our_dataset": source.dataset,
        "our_subset": source.subset,
        "stand_in": source.stand_in,
        "command": source.command or _command(source, evidence),
    }
    try:
        value = evidence.measured(source)
    except Unknown as unknown:
        return row | {"verdict": "not_run", "reason": unknown.sentence}
    if source.kind != "ranking":
        return row | {"value": float(f"{value.measured:.6g}"), "verdict": "measured"}
    return row | _accuracy(cell, source, evidence)


def _command(source: CellSource, evidence: OurEvidence) -> str:
    """What makes a planned source, by the table that shows it."""
    if not source.planned:
        return ""
    if source.kind == "complexity":
        return evidence.plan.command(f"results/measures/{evidence.paper}/networks.json")
    target = f"results/tables/{evidence.paper}/{source.table}.csv" if source.table else ""
    return evidence.plan.command(target)


def _accuracy(cell: Cell, source: CellSource, evidence: OurEvidence) -> dict[str, Any]:
    """Value, interval and verdict of a planned ranking."""
    scored = evidence.rankings.scored(evidence.paper, source)
    settings = evidence.settings.values
    ends = interval(scored.value.samples, settings.level)
    row = {
        "value": round(scored.value.measured, 4),
        "low": round(ends[0], 4) if ends else None,
        "high": round(ends[1], 4) if ends else None,
        "level": settings.level if ends else None,
        "seeds": " ".join(str(seed) for seed in evidence.plan.config.seeds),
        "seed_sd": None if scored.seed_sd is None else round(scored.seed_sd, 4),
    }
    if evidence.plan.config.scale != "paper":
        return row | {"verdict": "scaled"}
    return row | _judged(cell, scored, evidence)


def _judged(cell: Cell, scored: Scored, evidence: OurEvidence) -> dict[str, Any]:
    assert cell.number is not None
    settings = evidence.settings.values
    difference = scored.value - cell.number
    verdict, reason = value_verdict(
        difference.samples,
        band=band_of(cell.metric, scored.seed_sd, settings),
        seeds=scored.seeds,
        settings=settings,
    )
    return {"difference": round(difference.measured, 4), "verdict": verdict, "reason": reason}
