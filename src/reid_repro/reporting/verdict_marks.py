"""The verdicts as marks: a glyph, a word, a colour role and what it means, for pages and text.

The glyph alone tells the verdicts apart; colour is only added. A verdict on reduced data or
epochs has a dashed outline where a full-protocol one is filled, so that the two never mix.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """One verdict: its glyph as text and as an SVG path in a square of 16, word and meaning."""

    verdict: str
    word: str
    glyph: str
    path: str
    says: str
    solid: str = ""  # what of the glyph is filled


_MARKS = (
    Mark("reproduced", "reproduced", "✓", "M3.5 8.5l3 3 6-7",
         "Holds here, by more than the noise: the interval and the paired test agree."),
    Mark("partially", "partially", "◐", "M8 3a5 5 0 1 0 .01 0z",
         "Holds on some of the datasets or metrics, or its direction holds and its size does not.",
         "M8 3a5 5 0 0 0 0 10z"),
    Mark("not_reproduced", "not reproduced", "✗", "M4.2 4.2l7.6 7.6M11.8 4.2l-7.6 7.6",
         "The opposite was measured, by more than the noise."),
    Mark("inconclusive", "inconclusive", "≈", "M3 6.6q2.5-2.6 5 0t5 0M3 10.8q2.5-2.6 5 0t5 0",
         "Single seed, overlapping intervals or too few queries: the evidence does not decide."),
    Mark("paper_inconsistent", "paper-inconsistent", "≠", "M3 6h10M3 10h10M10.4 3l-4.8 10",
         "Fails on the paper's own printed cells; ours are shown, but judge nothing."),
    Mark("not_run", "not run", "\N{EN DASH}", "M4.5 8h7",
         "No evidence at this scale; the reason and the command stand beside it."),
    Mark("exceeds", "exceeds", "↑", "M8 13V3.5M4 7.2l4-4 4 4",
         "The whole interval of the difference lies above the tolerance band."),
    Mark("below", "below", "↓", "M8 3v9.5M4 8.8l4 4 4-4",
         "The whole interval of the difference lies below the tolerance band."),
    Mark("scaled", "scaled", "△", "M8 3.2l5.2 9.3H2.8z",
         "Measured on a stand-in: not held against the printed value."),
    Mark("measured", "measured", "◷", "M8 2.8a5.2 5.2 0 1 0 .01 0zM8 5v3.2l2.2 1.5",
         "A time or a count measured here, on another machine: shown, not judged cell by cell."),
)  # fmt: skip
MARKS = {mark.verdict: mark for mark in _MARKS}
# In the order of legends and counts.
OF_ITEMS = (
    "reproduced", "partially", "not_reproduced", "inconclusive", "paper_inconsistent", "not_run",
)  # fmt: skip
OF_CELLS = (
    "reproduced", "exceeds", "below", "inconclusive", "scaled", "measured", "not_run",
)  # fmt: skip
# Cells that were never to be judged have no mark.
UNMARKED = frozenset({"quoted", "parameter", "blank"})
# Why an item could not be judged, in words.
REASONS = {
    "not_run": "Planned at another setting: run it to get a verdict",
    "other_scale": "Needs the paper scale: the real benchmark or the full training",
    "no_data": "Needs a dataset that is not here, or has no stand-in",
    "no_weights": "Needs weights that are not here",
    "no_gpu": "Needs a GPU, and this machine has none",
    "not_implemented": "Compares with a method that is not implemented here",
    "unspecified": "The paper does not say enough to measure it",
    "not_printed": "The paper does not print the values",
}


def mark(verdict: str) -> Mark:
    """The mark of a verdict; ValueError lists the known ones."""
    try:
        return MARKS[verdict]
    except KeyError:
        raise ValueError(f"unknown verdict '{verdict}'; known: {', '.join(MARKS)}") from None


@dataclass(frozen=True)
class Count:
    """How often a verdict was given, on full and on reduced data apart."""

    mark: Mark
    scaled: bool
    number: int


def counted(verdicts: Iterable[tuple[str, bool]]) -> tuple[Count, ...]:
    """How often each (verdict, scaled) stands there, in the order of the legends."""
    counts = Counter(verdicts)
    return tuple(
        Count(mark, scaled, counts[mark.verdict, scaled])
        for mark in _MARKS
        for scaled in (False, True)
        if counts[mark.verdict, scaled]
    )


def reason(code: str) -> str:
    """A reason code as a sentence; one that is not known is shown as it is."""
    return REASONS.get(code, code.replace("_", " "))


def symbols() -> Iterator[tuple[str, Mark]]:
    """(id, mark) of every glyph, to be drawn once a page and used by reference."""
    for one in _MARKS:
        yield f"g-{one.verdict}", one
