"""Every claim of a paper judged: its predicate on the paper's cells and on ours, tests, verdict.

Paired tests are made once each, and corrected together for all claims of the paper (Holm).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reid_repro.ledger import comparisons as compare
from reid_repro.ledger import printed as printing
from reid_repro.ledger.claims import Item
from reid_repro.ledger.comparisons import Comparison
from reid_repro.ledger.evidence import OurEvidence
from reid_repro.ledger.evidence_rankings import Rankings
from reid_repro.ledger.paper_evidence import PaperEvidence
from reid_repro.ledger.predicate_syntax import parsed
from reid_repro.ledger.predicate_types import Atom, Outcome, Unknown
from reid_repro.ledger.predicates import evaluate
from reid_repro.ledger.statistics import interval
from reid_repro.ledger.tests_of_difference import Difference, holm
from reid_repro.ledger.value import Value
from reid_repro.ledger.verdicts import Finding, Judgement, claim_verdict, support
from reid_repro.ledger.weak_evidence import Pair, is_time
from reid_repro.plan import Plan
from reid_repro.verdict_settings import VerdictSettings

Tests = dict[Pair, tuple[Difference, float]]  # and the corrected p

# Claims of these types, or about these metrics, need no dataset.
WITHOUT_DATA = ("algebra", "cost", "dataset-stat", "diagram", "protocol")
EVIDENCE = re.compile(r"\b(m|col|others|f|test|stat)\(")  # what a predicate asks for any
COSTS = frozenset({"params", "flops", "time", "counts", "group_number"})


@dataclass(frozen=True)
class Examined:
    """One item with its predicate evaluated on the paper's cells and on our evidence."""

    item: Item
    on_paper: Outcome
    ours: Outcome
    comparisons: tuple[Comparison, ...]
    coverage: float  # share of the compared rows that are measured
    commands: tuple[str, ...] = ()  # what would make the evidence that is missing


@dataclass(frozen=True)
class Judged:
    """One item with its verdict and what it rests on."""

    examined: Examined
    comparisons: tuple[Comparison, ...]
    tests: tuple[tuple[Difference, float] | None, ...]  # and the corrected p, one a comparison
    judgement: Judgement
    share: float | None
    scaled: bool
    runs: tuple[str, ...]


def evidence_of(plan: Plan, results: Path, settings: VerdictSettings) -> dict[str, OurEvidence]:
    """The evidence of every paper of the plan that has printed cells."""
    rankings = Rankings(plan, results, settings.resampling)
    known = printing.papers(plan.workflow)
    return {
        name: OurEvidence(plan, printing.read(name, plan.workflow), results, settings, rankings)
        for name in plan.config.papers
        if name in known
    }


def judge(evidence: OurEvidence) -> list[Judged]:
    """The items of one paper in their order, judged."""
    examined = [examine(item, evidence) for item in evidence.printed.items]
    pairs = [c.pair for one in examined for c in one.comparisons if c.pair]
    differences = compare.paired_tests(pairs, evidence)
    corrected = holm([difference.p for difference in differences.values()])
    tests: Tests = {}
    for (pair, difference), p in zip(differences.items(), corrected, strict=True):
        tests[pair] = difference, p
        tests[pair[::-1]] = difference.reversed, p
    return [_judged(one, tests, evidence) for one in examined]


def examine(item: Item, evidence: OurEvidence) -> Examined:
    """Evaluate one item's predicate, and take its elementary tests apart."""
    on_paper = evaluate(item.predicate, PaperEvidence(evidence.printed))
    evidence.ask(item.datasets)
    ours = evaluate(item.predicate, evidence)
    measured, missing = len(evidence.compared), len(evidence.left_out)
    coverage = measured / (measured + missing) if missing else 1.0
    found = tuple(compare.comparison(atom, evidence) for atom in ours.atoms)
    if item.type == "dataset-stat":
        found = tuple(map(_counted, found))
    found = tuple(_measured(one, item) for one in found)
    return Examined(item, on_paper, ours, found, coverage, tuple(evidence.commands))


def _counted(one: Comparison) -> Comparison:
    """Printed counts that agree with each other do not show that the dataset does."""
    if one.finding.unknown or one.atom.left is None or one.atom.left.origins:
        return one
    missing = Unknown("no_data", "the printed counts agree with each other; none was counted here")
    return Comparison(one.atom, Finding(None, unknown=missing))


def _measured(one: Comparison, item: Item) -> Comparison:
    """What holds whatever is measured here is no evidence: sums of our own parts, arithmetic."""
    if one.finding.unknown or one.atom.left is None:
        return one
    if not EVIDENCE.search(item.predicate):
        said = "arithmetic of printed numbers: nothing is measured"
    elif item.type == "consistency" and one.origins and all(map(is_time, one.origins)):
        said = "sums and means of times are made of their parts here: they agree whatever they are"
    else:
        return one
    return Comparison(one.atom, Finding(None, unknown=Unknown("unspecified", said)))


def _judged(examined: Examined, tests: Tests, evidence: OurEvidence) -> Judged:
    found = [tests.get(one.pair) if one.pair else None for one in examined.comparisons]
    comparisons = [
        replace(one, finding=replace(one.finding, p=test[1], coverage=examined.coverage))
        if test
        else replace(one, finding=replace(one.finding, coverage=examined.coverage))
        for one, test in zip(examined.comparisons, found, strict=True)
    ]
    settings = evidence.settings.claims
    conjunction = is_conjunction(examined.item.predicate)
    judgement = claim_verdict(
        examined.on_paper.holds,
        [one.finding for one in _distinct(comparisons)],
        settings,
        None if conjunction else _whole(examined, comparisons),
    )
    share = compare.joint_share(comparisons) if conjunction else examined.ours.share
    origins = [origin for one in comparisons for origin in one.origins]
    scored = [evidence.scored(str(origin)) for origin in dict.fromkeys(origins)]
    runs = dict.fromkeys(run for one in scored if one is not None for run in one.runs)
    return Judged(
        examined=examined,
        comparisons=tuple(comparisons),
        tests=tuple(found),
        judgement=judgement,
        share=None if judgement.verdict == "not_run" else share,
        scaled=_is_scaled(examined.item, comparisons, evidence),
        runs=tuple(runs),
    )


def is_conjunction(predicate: str) -> bool:
    """Whether a claim is all of its elementary tests together: neither `or`, `not` nor `any`."""
    return not any(
        isinstance(node, ast.Or | ast.Not)
        or (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "any")
        for node in ast.walk(parsed(predicate))
    )


def _distinct(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Each comparison once: printed datasets with one stand-in read the same numbers."""
    return list({one.key: one for one in reversed(list(comparisons))}.values())[::-1]


def _whole(examined: Examined, comparisons: Sequence[Comparison]) -> Finding:
    """A claim that is no conjunction, as one test."""
    findings = [one.finding for one in comparisons]
    missing = [finding.unknown for finding in findings if finding.unknown is not None]
    ours = examined.ours
    if ours.holds is None or len(missing) == len(findings):
        reasons = [*missing, *ours.unknown]
        return Finding(None, unknown=reasons[0])
    return Finding(
        holds=ours.holds,
        share=ours.share,
        resamples=max((finding.resamples for finding in findings), default=0),
        overlap=any(finding.overlap for finding in findings),
        close=any(finding.close for finding in findings),
        coverage=examined.coverage,
    )


def _is_scaled(item: Item, comparisons: Sequence[Comparison], evidence: OurEvidence) -> bool:
    """Whether reduced data or epochs decide: what needs no dataset is the same at every scale."""
    if evidence.plan.config.scale == "paper":
        return False
    known = [one for one in comparisons if one.finding.unknown is None]
    if known:
        return any(origin.is_scaled for one in known for origin in one.origins)
    return bool(set(item.metrics) - COSTS) and item.type not in WITHOUT_DATA


def as_json(judged: Judged, evidence: OurEvidence) -> dict[str, Any]:
    """One item of `results/claims.json`."""
    item, judgement = judged.examined.item, judged.judgement
    return {
        "paper": evidence.paper,
        "id": item.id,
        "kind": item.kind,
        "type": item.type,
        "section": item.section,
        "title": item.title,
        "statement": item.statement,
        "predicate": " ".join(item.predicate.split()),
        "datasets": list(item.datasets),
        "metrics": list(item.metrics),
        "on_paper": item.on_paper,
        "verdict": judgement.verdict,
        "scaled": judged.scaled,
        "reason_code": judgement.code,
        "reason": judgement.reason,
        "commands": list(judged.examined.commands),
        "p_holds": _rounded(judged.share),
        "atoms": _atoms(judged, evidence),
        "runs": list(judged.runs),
        "notes": item.notes,
    }


def _atoms(judged: Judged, evidence: OurEvidence) -> list[dict[str, Any]]:
    on_paper = {atom.text: atom for atom in judged.examined.on_paper.atoms}
    settings = evidence.settings.claims
    rows = []
    for one, test in zip(judged.comparisons, judged.tests, strict=True):
        atom, finding = one.atom, one.finding
        paper = on_paper.get(atom.text)
        unknown = finding.unknown
        rows.append(
            {
                "text": atom.text,
                "left": _left(atom, evidence),
                "right": _side(atom.right, settings.level),
                "op": atom.op,
                "paper_left": _side(paper.left, settings.level) if paper else None,
                "paper_right": _side(paper.right, settings.level) if paper else None,
                "holds": finding.holds,
                "share": _rounded(finding.share),
                "support": support(finding, settings),
                "p": _rounded(test[0].p, 6) if test else None,
                "p_holm": _rounded(test[1], 6) if test else None,
                "effect": _rounded(test[0].effect) if test else None,
                "n": test[0].identities if test else None,
                "unknown": None
                if unknown is None
                else {"code": unknown.code, "sentence": unknown.sentence},
            }
        )
    return rows


def _left(atom: Atom, evidence: OurEvidence) -> dict[str, float] | float | str | None:
    """The left side: a number, what a property says, or what was found in a number's place."""
    if atom.op == "test":
        return evidence.properties.statement(atom.text)
    if atom.left is None:
        return atom.seen or None
    return _side(atom.left, evidence.settings.claims.level)


def _side(value: Value | None, level: float) -> dict[str, float] | float | None:
    """A number, with its interval where it has one."""
    if value is None:
        return None
    number = float(f"{value.measured:.6g}")
    ends = interval(value.samples, level)
    if ends is None:
        return number
    return {"value": number, "low": float(f"{ends[0]:.6g}"), "high": float(f"{ends[1]:.6g}")}


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)
