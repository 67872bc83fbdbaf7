"""The judged items of the papers as pages show them: tables, figures and claims with evidence.

`results/claims.json` holds every item with its verdict and the elementary tests (atoms) behind it.
Items that a paper words as plain facts of a dataset or network are judged in the same form.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid_repro.errors import UserError
from reid_repro.files import read_json
from reid_repro.reporting import verdict_marks
from reid_repro.reporting.cell_formats import signed
from reid_repro.reporting.verdict_marks import Mark

FILE = "claims.json"
KINDS = {"table": "Tables", "figure": "Figures", "claim": "Claims"}
KEYS = ("paper", "id", "kind", "type", "title", "statement", "predicate", "verdict", "atoms")
NOT_OURS = ("not_run", "paper_inconsistent")  # verdicts to which no measured value leads
NBSP = "\N{NO-BREAK SPACE}"
# What the evidence says of an elementary test: the glyph and colour of a verdict, and a word.
OUTCOMES = {
    "supported": ("reproduced", "supported"),
    "in_part": ("partially", "in part"),
    "opposed": ("not_reproduced", "opposed"),
    "open": ("inconclusive", "open"),
    "unknown": ("not_run", "no evidence"),
}


@dataclass(frozen=True)
class Atom:
    """One elementary test: what it says, on the paper's numbers and on ours."""

    text: str
    paper: str
    ours: str
    outcome: str  # a key of OUTCOMES
    share: str
    p: str
    effect: str
    n: str
    unknown: str


@dataclass(frozen=True)
class Judged:
    """One table, figure or claim of a paper, with its verdict."""

    paper: str
    label: str  # as printed
    anchor: str  # id on the paper's page
    kind: str
    type: str
    section: str
    title: str
    statement: str
    predicate: str
    mark: Mark
    scaled: bool
    reason_code: str
    reason: str
    share: float | None  # of resamples in which the predicate holds
    p: float | None  # the largest p of its atoms, after Holm
    atoms: tuple[Atom, ...]
    runs: tuple[str, ...]
    notes: str
    on_paper: str

    @property
    def page(self) -> str:
        """The item from the front page."""
        return f"papers/{self.paper}.html#{self.anchor}"

    @property
    def name(self) -> str:
        """What to call it in a sentence: 'Table IV', 'Claim IV-C-1'."""
        return f"Claim {self.label}" if self.kind == "claim" else self.label

    @property
    def dashed(self) -> bool:
        """Whether reduced data or epochs of ours decided the verdict, which its mark then shows."""
        return self.scaled and self.mark.verdict not in NOT_OURS

    @property
    def spoken(self) -> str:
        """The mark in words."""
        return f"{self.name}: {self.mark.word}{', scaled' if self.dashed else ''}"

    @property
    def counted(self) -> tuple[tuple[str, int], ...]:
        """(word, how many) of the outcomes of the elementary tests."""
        counts = Counter(atom.outcome for atom in self.atoms)
        return tuple((word, counts[key]) for key, (_, word) in OUTCOMES.items() if counts[key])

    @property
    def shown_share(self) -> str:
        """The share of resamples in percent."""
        return percent(self.share)

    @property
    def shown_p(self) -> str:
        """The p value, or nothing where no test was made."""
        return p_value(self.p)


def read_claims(results: Path) -> dict[str, list[Judged]]:
    """Every judged item by paper, in the order of the file; UserError names what is wrong."""
    file = results / FILE
    content = read_json(file)
    items = content.get("items")
    if not isinstance(items, list):
        raise UserError(f"{file}: no list 'items'; delete it and run again")
    found: dict[str, list[Judged]] = {}
    for number, item in enumerate(items):
        missing = [key for key in KEYS if key not in item]
        if missing:
            raise UserError(f"{file}: item {number}: no key '{missing[0]}'; run judge again")
        if item["kind"] not in KINDS or item["verdict"] not in verdict_marks.OF_ITEMS:
            raise UserError(
                f"{file}: item {number}: unknown kind '{item['kind']}' or verdict "
                f"'{item['verdict']}'; run judge again"
            )
        found.setdefault(str(item["paper"]), []).append(_judged(item))
    for paper, judged in found.items():
        twice = [a for a, times in Counter(one.anchor for one in judged).items() if times > 1]
        if twice:
            raise UserError(f"{file}: two items of {paper} would be called '{twice[0]}'")
    return found


def anchor(paper: str, kind: str, label: str) -> str:
    """A stable id: ('chca', 'claim', 'IV-C-1') -> 'chca-claim-iv-c-1'."""
    words = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
    return f"{paper}-{words}" if kind != "claim" else f"{paper}-claim-{words}"


def percent(share: float | None) -> str:
    """0.873 -> '87 %'; what is not quite all or nothing says so."""
    if share is None or not math.isfinite(share):
        return ""
    if 0.995 <= share < 1:
        return f">{NBSP}99{NBSP}%"
    if 0 < share < 0.005:
        return f"<{NBSP}1{NBSP}%"
    return f"{100 * share:.0f}{NBSP}%"


def p_value(p: float | None) -> str:
    """'0.013', or '< 0.001'."""
    if p is None or not math.isfinite(p):
        return ""
    return f"<{NBSP}0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _judged(item: Mapping[str, Any]) -> Judged:
    atoms = item["atoms"] or []
    paper, kind, label = str(item["paper"]), str(item["kind"]), str(item["id"])
    return Judged(
        paper=paper,
        label=label,
        anchor=anchor(paper, kind, label),
        kind=kind,
        type=str(item["type"]),
        section=str(item.get("section") or ""),
        title=str(item["title"] or ""),
        statement=str(item["statement"]),
        predicate=" ".join(str(item["predicate"]).split()),
        mark=verdict_marks.mark(str(item["verdict"])),
        scaled=bool(item.get("scaled")),
        reason_code=str(item.get("reason_code") or ""),
        reason=str(item.get("reason") or ""),
        share=_number(item.get("p_holds")),
        p=max((p for atom in atoms if (p := _p(atom)) is not None), default=None),
        atoms=tuple(_atom(atom) for atom in atoms),
        runs=tuple(map(str, item.get("runs") or ())),
        notes=str(item.get("notes") or ""),
        on_paper=str(item.get("on_paper") or ""),
    )


def _p(atom: Mapping[str, Any]) -> float | None:
    corrected = _number(atom.get("p_holm"))
    return _number(atom.get("p")) if corrected is None else corrected


def _atom(atom: Mapping[str, Any]) -> Atom:
    operator = str(atom.get("op") or "")
    unknown, effect = atom.get("unknown") or "", _number(atom.get("effect"))
    if isinstance(unknown, Mapping):
        unknown = unknown.get("sentence") or verdict_marks.reason(str(unknown.get("code") or ""))
    return Atom(
        text=str(atom.get("text") or ""),
        paper=_sides(atom.get("paper_left"), operator, atom.get("paper_right")),
        ours=_sides(atom.get("left"), operator, atom.get("right")),
        outcome=_outcome(atom),
        share=percent(_number(atom.get("share"))),
        p=p_value(_p(atom)),
        effect="" if effect is None else signed(effect, 2),
        n="" if atom.get("n") is None else f"{int(atom['n']):,}",
        unknown=str(unknown),
    )


def _outcome(atom: Mapping[str, Any]) -> str:
    """The weighed evidence, or where there is none to weigh, whether the test holds."""
    support = str(atom.get("support") or "")
    if support in OUTCOMES:
        return support
    holds = atom.get("holds")
    return "unknown" if holds is None else "supported" if holds else "opposed"


def _sides(left: Any, operator: str, right: Any) -> str:
    """'79.67 > 78.20', or one side alone, or nothing."""
    sides = [text for text in (_value(left), _value(right)) if text]
    if len(sides) == 2 and operator:
        return f"{sides[0]} {_OPERATORS.get(operator, operator)} {sides[1]}"
    return ", ".join(sides)


_OPERATORS = {">=": "≥", "<=": "≤", "==": "=", "!=": "≠"}


def _value(side: Any) -> str:
    """A side of a test: a number, a number with its interval, a text, or nothing."""
    if isinstance(side, Mapping):
        value, low, high = (_number(side.get(key)) for key in ("value", "low", "high"))
        if value is None:
            return ""
        inside = f" ({_short(low)} to {_short(high)})" if low is not None and high != low else ""
        return _short(value) + inside
    if isinstance(side, bool | str):
        return str(side)
    return _short(_number(side))


def _number(value: Any) -> float | None:
    if value is None or isinstance(value, str | Mapping):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _short(value: float | None) -> str:
    """Four digits, never in powers of ten."""
    if value is None:
        return ""
    if value == 0 or (value.is_integer() and abs(value) < 1e15):
        return f"{value:,.0f}"
    places = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(places, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def of_kind(judged: Iterable[Judged], kind: str) -> list[Judged]:
    """The items of one kind, in order."""
    return [one for one in judged if one.kind == kind]


def by_reason(judged: Iterable[Judged]) -> list[tuple[str, list[tuple[str, list[Judged]]]]]:
    """What was not run: by code in words, within it by the reason itself, the most first."""
    codes: dict[str, dict[str, list[Judged]]] = {}
    for one in judged:
        if one.mark.verdict == "not_run":
            of_code = codes.setdefault(verdict_marks.reason(one.reason_code), {})
            of_code.setdefault(one.reason, []).append(one)
    found = [
        (code, sorted(groups.items(), key=lambda group: -len(group[1])))
        for code, groups in codes.items()
    ]
    return sorted(found, key=lambda group: -sum(len(items) for _, items in group[1]))
