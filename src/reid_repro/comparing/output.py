"""A comparison as text, Markdown or JSON.

A difference that may be noise has a `~` before its ratio, as asv writes it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from reid_repro.comparing.changes import OUTCOMES, Change, Outcome
from reid_repro.reporting.markdown import escape, table

FORMATS: Final = ("text", "markdown", "json")
TITLES: Final = {
    "improved": "Improved",
    "worse": "Worse",
    "not comparable": "Not comparable",
    "same": "Same",
}
NUMBERS: Final = ("Before", "After", "Change", "Ratio", "p", "By")
VERDICTS: Final = ("Before", "After")
NOTHING: Final = "\N{EN DASH}"


@dataclass(frozen=True)
class Comparison:
    """All changes between two sides."""

    before: str
    after: str
    rankings: tuple[Change, ...]
    claims: tuple[Change, ...]
    cells: tuple[Change, ...]

    @property
    def sections(self) -> tuple[tuple[str, tuple[Change, ...]], ...]:
        """(what, changes), in the order shown."""
        return (
            ("Rankings", self.rankings),
            ("Tables, figures and claims", self.claims),
            ("Printed cells", self.cells),
        )

    @property
    def worse(self) -> bool:
        """Whether anything got worse."""
        return any(change.outcome == "worse" for _, part in self.sections for change in part)


def written(comparison: Comparison, form: str, *, everything: bool = False) -> str:
    """The comparison in one of `FORMATS`; `everything` lists what is the same as well."""
    if form == "json":
        return as_json(comparison)
    shown = [one for one in OUTCOMES if everything or one != "same"]
    lines = _markdown(comparison, shown) if form == "markdown" else _text(comparison, shown)
    return "\n".join(lines) + "\n"


def as_json(comparison: Comparison) -> str:
    """Every change, what is the same included."""
    content: dict[str, Any] = {"before": comparison.before, "after": comparison.after}
    content["counts"] = {name.lower(): _counts(part) for name, part in comparison.sections}
    for key in ("rankings", "claims", "cells"):
        content[key] = [_record(change) for change in getattr(comparison, key)]
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _record(change: Change) -> dict[str, Any]:
    return {
        "item": change.item,
        "metric": change.metric,
        "before": change.before,
        "after": change.after,
        "difference": change.difference,
        "ratio": change.ratio,
        "p": change.p,
        "outcome": change.outcome,
        "basis": change.basis,
        "reason": change.reason,
    }


def _counts(changes: Sequence[Change]) -> dict[str, int]:
    counted = Counter(change.outcome for change in changes)
    return {outcome: counted[outcome] for outcome in OUTCOMES}


def _text(comparison: Comparison, shown: Sequence[Outcome]) -> list[str]:
    lines = [f"before  {comparison.before}", f"after   {comparison.after}"]
    for title, changes in comparison.sections:
        if not changes:
            continue
        lines += ["", f"{title}: {_summary(changes)}"]
        for outcome in shown:
            found = [change for change in changes if change.outcome == outcome]
            if found:
                lines += ["", f"  {TITLES[outcome]}"]
                lines += _aligned(_heads(found), [_row(change) for change in found])
    return lines


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return [
        "    "
        + "  ".join(
            cell.ljust(width) if place in (0, len(heads) - 1) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [heads, *rows]
    ]


def _markdown(comparison: Comparison, shown: Sequence[Outcome]) -> list[str]:
    lines = [
        f"## {escape(comparison.before)} \N{RIGHTWARDS ARROW} {escape(comparison.after)}",
    ]
    for title, changes in comparison.sections:
        if not changes:
            continue
        lines += ["", f"### {title}: {escape(_summary(changes))}"]
        for outcome in shown:
            found = [change for change in changes if change.outcome == outcome]
            if found:
                heads = _heads(found)
                rows = [[escape(cell) for cell in _row(change)] for change in found]
                lines += ["", f"**{TITLES[outcome]}**", "", table(heads, rows)]
    return lines


def _summary(changes: Sequence[Change]) -> str:
    return ", ".join(f"{number} {outcome}" for outcome, number in _counts(changes).items())


def _heads(changes: Sequence[Change]) -> list[str]:
    numbers = NUMBERS if changes[0].basis != "verdict" else VERDICTS
    return ["", *numbers, "Note"]


def _row(change: Change) -> list[str]:
    if change.basis == "verdict":
        return [change.item, str(change.before or NOTHING), str(change.after or NOTHING),
                change.reason]  # fmt: skip
    name = f"{change.item} {change.metric}"
    sides = [_percent(change.before), _percent(change.after)]
    moved = "" if change.difference is None else f"{100 * change.difference:+.1f}"
    return [name, *sides, moved, _ratio(change), _p(change.p), change.basis, change.reason]


def _percent(value: float | str | None) -> str:
    return f"{100 * value:.1f}" if isinstance(value, float) else NOTHING


def _ratio(change: Change) -> str:
    """'1.05', or '~1.05' where the difference may be noise."""
    if change.ratio is None:
        return ""
    doubtful = not change.significant and change.basis != "equal"
    return f"{'~' if doubtful else ''}{change.ratio:.3f}"


def _p(p: float | None) -> str:
    return "" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"
