"""Phase `judge`: every printed cell beside ours, every claim with its verdict.

Reads what earlier phases measured and writes `results/ledger/{paper}.csv`, `results/claims.json`
and `results/claims.csv`. The same results give the same bytes: nothing here knows the time.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from reid_repro import verdict_settings
from reid_repro.errors import UserError
from reid_repro.files import write_csv, write_json
from reid_repro.ledger.cell_rows import ledger
from reid_repro.ledger.judging import as_json, evidence_of, judge
from reid_repro.plan import Plan

FLAT = [
    *("paper", "id", "kind", "type", "section", "title", "statement", "datasets", "metrics"),
    *("on_paper", "verdict", "scaled", "reason_code", "reason", "p_holds", "p_holm", "comparisons"),
    *("supported", "runs"),
]


def run(plan: Plan, results: Path) -> str:
    """Judge everything; the verdicts counted, as a sentence.

    Raises UserError where workflow/verdicts.yaml is wrong, where no paper has printed cells, or
    where a planned file is missing.
    """
    file = plan.workflow / verdict_settings.FILE.name
    settings = verdict_settings.read(file)
    evidence = evidence_of(plan, results, settings)
    if not evidence:
        raise UserError(f"{plan.workflow}/papers/values: no paper of this plan has printed cells")
    ledgers = {paper: ledger(ours) for paper, ours in evidence.items()}
    items = [as_json(judged, ours) for ours in evidence.values() for judged in judge(ours)]
    for paper, frame in ledgers.items():
        write_csv(results / "ledger" / f"{paper}.csv", frame)
    content = {
        "settings_digest": verdict_settings.digest(file),
        "config_digest": plan.digest,
        "scale": plan.config.scale,
        "command": plan.command("results/claims.json"),
        "items": items,
    }
    write_json(results / "claims.json", content)
    write_csv(results / "claims.csv", pd.DataFrame(map(_flat, items), columns=FLAT))
    counts = Counter(item["verdict"] for item in items)
    said = ", ".join(f"{number} {verdict.replace('_', ' ')}" for verdict, number in counts.items())
    return f"{len(items)} items: {said}"


def _flat(item: dict[str, Any]) -> dict[str, Any]:
    """One item as a row: lists joined, its comparisons counted."""
    atoms = item["atoms"]
    corrected = [atom["p_holm"] for atom in atoms if atom["p_holm"] is not None]
    return {
        **{key: item[key] for key in FLAT if key in item},
        "datasets": " ".join(item["datasets"]),
        "metrics": " ".join(item["metrics"]),
        "runs": " ".join(item["runs"]),
        "p_holm": max(corrected, default=None),
        "comparisons": len(atoms),
        "supported": sum(atom["support"] == "supported" for atom in atoms),
    }
