"""Reading of what the ledger says of a paper, for plots: `results/ledger/{paper}.csv`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from reid_repro.errors import UserError

NEEDED: Final = (
    *("table", "row", "dataset", "split", "metric", "printed", "kind", "ranking"),
    *("value", "low", "high", "level", "difference", "verdict", "scale"),
)
NUMBERS: Final = ("printed", "value", "low", "high", "level", "difference")


def ledger_file(results: Path, paper: str) -> Path:
    """Where a paper's ledger lies."""
    return results / "ledger" / f"{paper}.csv"


def read_ledger(results: Path, paper: str) -> pd.DataFrame | None:
    """The printed cells beside ours; None where there is no ledger.

    Raises UserError for a file that is unreadable or lacks a column.
    """
    file = ledger_file(results, paper)
    if not file.is_file():
        return None
    try:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise UserError(f"{file}: not a readable CSV; delete it and run again") from None
    missing = [name for name in NEEDED if name not in frame]
    if missing:
        raise UserError(f"{file}: no column '{missing[0]}'; delete it and run again")
    for name in NUMBERS:
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    return frame
