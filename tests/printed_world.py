"""What the world of the report's tests has in print: a ledger and judged claims of every verdict.

Written to the file contracts of `reid-repro judge`; texts hold markup, which pages must escape.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from reid_repro.reporting.ledger_tables import COLUMNS

HOSTILE = "<script>alert(\"x\")</script> & 'co' $x_1$"
COMMAND = "snakemake --cores all results/tables/ground/{table}.csv --config ablations=all"
REAL = {"run": "ground/plain", "ranking": "none", "our_dataset": "real", "our_subset": "test"}
STAND_IN = REAL | {"our_dataset": "cars", "stand_in": True, "verdict": "scaled", "kind": "ranking"}
WORLD = {"table": "Table I", "metric": "mAP", "dataset": "Real-1", "split": "test", "level": "0.9"}


def _judged(row: str, printed: str, value: float, verdict: str, **more: Any) -> dict[str, Any]:
    return {
        **WORLD, **REAL, "row": row, "printed": printed, "role": "own_variant", "kind": "ranking",
        "value": value, "low": value - 0.4, "high": value + 0.6, "seeds": "0 1 2", "seed_sd": 0.25,
        "difference": round(value - float(printed), 6), "verdict": verdict, **more,
    }  # fmt: skip


def _stand_in(
    row: str, split: str, metric: str, printed: str, value: float | None
) -> dict[str, Any]:
    common = {"table": "Table II", "row": row, "dataset": "Wild-9", "split": split}
    if value is None:
        return {
            **common, **STAND_IN, "metric": metric, "printed": printed, "role": "own_variant",
            "verdict": "not_run", "reason": "an ablation", "command": COMMAND.format(table="two"),
        }  # fmt: skip
    return {
        **common, **STAND_IN, "metric": metric, "printed": printed, "role": "own", "seeds": "0",
        "value": value, "low": value - 3, "high": value + 3, "level": "0.9",
    }  # fmt: skip


def _time(row: str, metric: str, printed: str, value: float | None) -> dict[str, Any]:
    known = {"value": value, "verdict": "measured"}
    missing = {"verdict": "not_run", "reason": f"no GPU {HOSTILE}", "command": "snakemake"}
    return {
        "table": "Table III", "row": row, "dataset": "Real-1", "split": "test", "metric": metric,
        "printed": printed, "role": "rerun", "kind": "time", **(known if value else missing),
    }  # fmt: skip


ROWS: list[dict[str, Any]] = [
    {**WORLD, "row": f"Old {HOSTILE}", "printed": "61.3", "role": "quoted", "verdict": "quoted"},
    {**WORLD, "row": f"Old {HOSTILE}", "metric": "R1", "role": "quoted", "verdict": "blank",
     "printed_as": "N/A"},
    _judged("full", "79.67", 79.9, "reproduced", role="own"),
    _judged("up", "70.00", 75.25, "exceeds"),
    _judged("down", "70.00", 64.5, "below"),
    _judged("open", "70.00", 71.2, "inconclusive"),
    {**WORLD, "row": "absent", "printed": "66.0", "role": "own_variant", "kind": "ranking",
     "verdict": "not_run", "reason": "an ablation", "command": COMMAND.format(table="one")},
    *(
        _stand_in(row, split, metric, printed, value)
        for row, value in (("ours", 41.5), ("other", None))
        for split, printed in (("small", "82.5"), ("large", "77.1"))
        for metric in ("mAP", "R1")
    ),
    {"table": "Table III", "row": "slow", "dataset": "Real-1", "split": "test", "printed": "26",
     "metric": "dimension", "role": "config", "verdict": "parameter"},
    _time("slow", "time_s", "89.2", 44.6),
    _time("fast", "time_ms", "9.4", None),
]  # fmt: skip


def _item(label: str, kind: str, verdict: str, type_: str, **more: Any) -> dict[str, Any]:
    return {
        "paper": "ground", "id": label, "kind": kind, "type": type_, "section": "4.2",
        "title": f"Title of {label}", "statement": f"What {label} says {HOSTILE}",
        "predicate": "m('Table I','full','mAP') > 1 < 2", "datasets": ["Real-1"],
        "metrics": ["mAP"], "on_paper": "holds", "verdict": verdict, "scaled": True,
        "reason_code": "", "reason": "", "p_holds": None, "atoms": [], "runs": [], "notes": "",
        **more,
    }  # fmt: skip


ATOM = {
    "text": "full · mAP > up · mAP", "left": {"value": 79.9, "low": 79.5, "high": 80.5},
    "right": 75.25, "op": ">", "paper_left": 79.67, "paper_right": 70.0, "holds": True,
    "share": 0.97, "support": "supported", "p": 0.01, "p_holm": 0.0421, "effect": 0.5, "n": 384,
    "unknown": None,
}  # fmt: skip
UNKNOWN = ATOM | {
    "left": None, "holds": None, "share": None, "support": "unknown", "p": None, "p_holm": None,
    "effect": None, "n": None, "unknown": {"code": "not_run", "sentence": "an ablation"},
}  # fmt: skip
NOT_RUN = {"reason_code": "not_run", "reason": "an ablation", "atoms": [UNKNOWN]}
ITEMS = [
    _item("Table I", "table", "reproduced", "ablation-best", scaled=False, atoms=[ATOM],
          runs=["ground/plain/cars/seed0"]),
    _item("Table II", "table", "inconclusive", "ordering", reason="of 2 comparisons: 2 open"),
    _item("Table III", "table", "not_run", "cost", **NOT_RUN),
    _item("Table IV", "table", "not_run", "protocol", **NOT_RUN),  # prints no values
    _item("Fig. 2(a)", "figure", "partially", "sensitivity", on_paper="needs_evidence"),
    _item("4.2-A*", "claim", "reproduced", "delta", p_holds=0.97, atoms=[ATOM, UNKNOWN]),
    _item("4.2-no", "claim", "not_reproduced", "ordering", p_holds=0.02),
    _item("4.2-paper", "claim", "paper_inconsistent", "delta", on_paper="fails", p_holds=0.5),
    _item("4.2-open", "claim", "inconclusive", "trend", p_holds=0.61),
    _item("4.3-gpu", "claim", "not_run", "cost", reason_code="no_gpu", reason=f"no GPU {HOSTILE}"),
    _item("4.3-abl", "claim", "not_run", "delta", **NOT_RUN),
]  # fmt: skip
ERRATA = [
    {"paper": "ground", "id": "4.2-paper", "section": "4.2", "statement": f"Wrong {HOSTILE}",
     "evidence": "1.3 and 0.7 are swapped"},
    {"paper": "elsewhere", "id": "x", "section": "1", "statement": "Of no paper here",
     "evidence": "nothing"},
]  # fmt: skip


def ledger() -> pd.DataFrame:
    """The rows of the file, in printed order."""
    return pd.DataFrame(
        [{"scale": "demo", "stand_in": False, **row} for row in ROWS], columns=list(COLUMNS)
    )


def write_facts(workflow: Path) -> None:
    """What makes `ground` a paper with printed cells, and the contradictions."""
    values = workflow / "papers/values/ground.csv"
    values.parent.mkdir(parents=True)
    values.write_text("table,row,dataset,split,metric,value,role,experiment,printed_as,note\n")
    pd.DataFrame(ERRATA).to_csv(workflow / "papers/errata.csv", index=False)


def write_judged(results: Path, items: list[dict[str, Any]] = ITEMS) -> None:
    """The files of `reid-repro judge`."""
    (results / "ledger").mkdir(parents=True, exist_ok=True)
    ledger().to_csv(results / "ledger/ground.csv", index=False)
    content = {"settings_digest": "5e771265" * 8, "scale": "demo", "items": items}
    (results / "claims.json").write_text(json.dumps(content), "utf-8")
