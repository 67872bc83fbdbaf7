"""What became of the verdicts on claims, and on printed cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reid_repro.comparing.changes import Change, Outcome
from reid_repro.comparing.rankings import parse, parse_csv
from reid_repro.comparing.sides import Side
from reid_repro.errors import UserError

CLAIMS: Final = "claims.json"
# How far a verdict speaks for the paper; what is not there says nothing.
OF_CLAIMS: Final = {"not_reproduced": 0, "inconclusive": 1, "partially": 2, "reproduced": 3}
OF_CELLS: Final = {"below": 0, "inconclusive": 1, "reproduced": 2, "exceeds": 2}
PRINTED: Final = ("table", "row", "dataset", "split", "metric")


def claim_changes(before: Side, after: Side) -> list[Change]:
    """One change a table, figure or claim; empty where neither side was judged."""
    first, second = (_claims(side) for side in (before, after))
    before_items, after_items = (side.get("items", {}) for side in (first, second))
    settings = ""
    if first and second and first["settings"] != second["settings"]:
        settings = "other thresholds of verdicts"
    found = []
    for name in dict.fromkeys([*before_items, *after_items]):
        a, b = before_items.get(name), after_items.get(name)
        reason = settings or _why_not(a, b)
        found.append(_verdict(name, "verdict", a, b, OF_CLAIMS, reason))
    return found


def cell_changes(before: Side, after: Side) -> list[Change]:
    """One change a printed cell that a side could judge."""
    first, second = (_cells(side) for side in (before, after))
    found = []
    for name in dict.fromkeys([*first, *second]):
        a, b = first.get(name), second.get(name)
        reason = "" if a and b else "missing after" if a else "missing before"
        if a and b and a["scale"] != b["scale"]:
            reason = f"other scale: {a['scale']} and {b['scale']}"
        found.append(_verdict(name, "verdict", a, b, OF_CELLS, reason))
    return found


def _claims(side: Side) -> dict[str, Any]:
    if CLAIMS not in side.known:
        return {}
    content = parse(side, CLAIMS)
    try:
        items = {
            f"{item['paper']} {item['kind']} {item['id']}": {
                "verdict": item["verdict"],
                "predicate": " ".join(str(item["predicate"]).split()),
                "scale": content.get("scale", "") if item.get("scaled") else "",
            }
            for item in content["items"]
        }
    except (KeyError, TypeError):
        raise UserError(f"{side.name}: {CLAIMS}: not the form that 'judge' writes") from None
    return {"settings": content.get("settings_digest"), "items": items}


def _cells(side: Side) -> dict[str, dict[str, str]]:
    """The printed cells with a verdict by interval."""
    found: dict[str, dict[str, str]] = {}
    for path in side.paths:
        if path.startswith("ledger/") and path.endswith(".csv"):
            paper = path.rpartition("/")[2][: -len(".csv")]
            frame = parse_csv(side, path)
            if not {*PRINTED, "verdict", "scale"} <= set(frame):
                raise UserError(f"{side.name}: {path}: not the form that 'judge' writes")
            for row in frame[frame["verdict"].isin(list(OF_CELLS))].to_dict("records"):
                name = ", ".join(row[key] for key in PRINTED if row[key])
                found[f"{paper}: {name}"] = row
    return found


def _why_not(first: Mapping[str, str] | None, second: Mapping[str, str] | None) -> str:
    if first is None or second is None:
        return "missing after" if first else "missing before"
    if first["predicate"] != second["predicate"]:
        return "other predicate"
    if first["scale"] != second["scale"] and "not_run" not in (first["verdict"], second["verdict"]):
        return f"other scale: {first['scale'] or 'any'} and {second['scale'] or 'any'}"
    return ""


def _verdict(
    name: str,
    metric: str,
    first: Mapping[str, str] | None,
    second: Mapping[str, str] | None,
    order: Mapping[str, int],
    reason: str,
) -> Change:
    a, b = (side["verdict"] if side else None for side in (first, second))
    outcome: Outcome = "same"
    if reason:
        outcome = "not comparable"
    elif a != b:
        ranks = [order.get(str(verdict)) for verdict in (a, b)]
        if ranks[0] is None or ranks[1] is None:
            outcome, reason = "not comparable", f"{_word(a)} before, {_word(b)} after"
        elif ranks[0] != ranks[1]:
            outcome = "improved" if ranks[1] > ranks[0] else "worse"
    return Change(name, metric, _word(a), _word(b), outcome, basis="verdict", reason=reason)


def _word(verdict: str | None) -> str | None:
    return verdict.replace("_", " ") if verdict else None
