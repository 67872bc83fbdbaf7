"""Forest plot of the effects behind a paper's claims: which way, how far, how sure.

Each paired comparison that a table, figure or claim rests on has an effect in units of the standard
deviation of its differences over identities (Cohen's d of paired samples), so that differences of
mAP and of Rank-k share an axis. The interval is the normal approximation to that of d with n
identities, d +- z sqrt(1/n + d^2 / 2n) (Hedges & Olkin 1985, chapter 5).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import pandas as pd

from reid_repro import verdict_settings
from reid_repro.files import read_json
from reid_repro.plan import Plan
from reid_repro.reporting import formats
from reid_repro.reporting.plots_axes import Axis, around
from reid_repro.reporting.plots_canvas import LINE, Canvas, Marker
from reid_repro.reporting.plots_common import Plot

FILE: Final = "claims.json"
MOST: Final = 36  # rows drawn; of more, those with the largest effects
LONGEST: Final = 22  # characters of a label
# support of an atom -> (legend, series, mark); in the order of the legend
GROUPS: Final[dict[str, tuple[str, int, Marker]]] = {
    "supported": ("supports the claim", 0, "dot"),
    "opposed": ("opposes it", 1, "square"),
    "open": ("open", 5, "diamond"),
}
SUPPORTS: Final = {"supported": "supported", "direction": "supported", "in_part": "supported",
                   "opposed": "opposed"}  # fmt: skip


@dataclass(frozen=True)
class Effect:
    """One paired comparison: positive agrees with what is claimed."""

    label: str
    text: str
    claims: tuple[str, ...]
    effect: float
    low: float
    high: float
    n: int
    p: float
    group: str


def plot(plan: Plan, paper: str, results: Path) -> Plot | None:
    """The effects of a paper's items; None where none was tested in pairs."""
    file = results / FILE
    if not file.is_file():
        return None
    level = verdict_settings.read().claims.level
    content = read_json(file)
    found = effects((one for one in content["items"] if one["paper"] == paper), level)
    if not found:
        return None
    drawn = sorted(found, key=lambda one: -abs(one.effect))[:MOST]
    drawn = [one for one in found if one in drawn]
    counts = {name: sum(one.group == name for one in found) for name in GROUPS}
    left = "" if len(drawn) == len(found) else f" The {MOST} largest of {len(found)} effects."
    return Plot(
        name="effects",
        title="Effects behind the claims",
        caption=(
            "Paired differences in units of their standard deviation over identities, positive "
            f"where they agree with the claim; {formats.level(level)} intervals. Open: noise, or "
            "too few trainings, leaves it undecided. Labels are those of this page's items, with "
            f"the metric; the CSV has them in words.{left} "
            f"{plan.config.scale.capitalize()} scale, {formats.seeds(plan.config.seeds)}."
        ),
        description=(
            f"{len(found)} paired comparisons: {counts['supported']} support what is claimed, "
            f"{counts['opposed']} oppose it, {counts['open']} are open. Effects from "
            f"{min(one.effect for one in found):+.2f} to {max(one.effect for one in found):+.2f}."
        ),
        panels=(_panel(drawn),),
        values=_values(found),
        sources=(file,),
    )


def effects(items: Iterable[Mapping[str, Any]], level: float) -> list[Effect]:
    """Each tested comparison once, in the order of the items, with all that rest on it."""
    width = NormalDist().inv_cdf((1 + level) / 2)
    found: dict[tuple[Any, ...], Effect] = {}
    for label, atom in _tested(items):
        flip = -1.0 if atom["op"] in ("<", "<=") else 1.0
        effect, n = flip * float(atom["effect"]), int(atom["n"])
        ends = width * math.sqrt(1 / n + effect**2 / (2 * n))
        group = SUPPORTS.get(str(atom.get("support") or "open"), "open")
        # Claims may word one comparison in several ways: its test and its numbers are the same.
        key = (round(effect, 4), n, atom["p"], _metric(str(atom["text"])), group)
        if key in found:
            known = found[key]
            claims = tuple(dict.fromkeys((*known.claims, label)))
            found[key] = replace(known, claims=claims)
            continue
        found[key] = Effect(
            label=_labelled(label, str(atom["text"])),
            text=str(atom["text"]),
            claims=(label,),
            effect=effect,
            low=effect - ends,
            high=effect + ends,
            n=n,
            p=float(atom["p"] if atom.get("p_holm") is None else atom["p_holm"]),
            group=group,
        )
    return _numbered(list(found.values()))


def _numbered(found: list[Effect]) -> list[Effect]:
    """Labels that stand for several comparisons get numbers: 'Table 2 mAP', 'Table 2 mAP (2)'."""
    seen: Counter[str] = Counter()
    named = []
    for one in found:
        seen[one.label] += 1
        number = seen[one.label]
        named.append(replace(one, label=f"{one.label} ({number})" if number > 1 else one.label))
    return named


def _tested(items: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for item in items:
        for atom in item["atoms"] or ():
            if atom.get("effect") is not None and atom.get("n"):
                yield str(item["id"]), atom


def _metric(text: str) -> str:
    """The metric that a comparison ends with: '... · mAP > ...' -> 'mAP'."""
    words = text.replace(")", " ").replace("(", " ").split()
    known = [w for w in words if w == "mAP" or (w[0] == "R" and w[1:].isdecimal())]
    return known[0] if known else ""


def _labelled(label: str, text: str) -> str:
    metric = _metric(text)
    room = LONGEST - len(metric) - 1
    short = label if len(label) <= room else f"{label[: room - 1]}…"
    return f"{short} {metric}".strip()


def _panel(found: list[Effect]) -> str:
    places = np.arange(len(found), 0, -1, dtype=np.float64)
    canvas = Canvas(
        Axis(*around([end for one in found for end in (one.low, one.high, 0.0)]), "Effect (d)"),
        Axis(
            0.3,
            len(found) + 0.7,
            ticks=tuple((float(y), one.label) for y, one in zip(places, found, strict=True)),
            grid=False,
        ),
        title="Claimed direction to the right",
        label="Forest plot of the effects behind the claims",
        width=480,
        height=84 + LINE * len(found),
        legend=[
            (words, marker, number, 0)
            for name, (words, number, marker) in GROUPS.items()
            if any(one.group == name for one in found)
        ],
    )
    canvas.upright(0)
    for name, (_, number, marker) in GROUPS.items():
        mine = [(y, one) for y, one in zip(places, found, strict=True) if one.group == name]
        if mine:
            ys = [float(y) for y, _ in mine]
            canvas.levels(ys, [one.low for _, one in mine], [one.high for _, one in mine], number)
            canvas.dots([one.effect for _, one in mine], ys, number, marker)
    return canvas.svg()


def _values(found: list[Effect]) -> pd.DataFrame:
    frame = pd.DataFrame([vars(one) for one in found]).drop(columns="label")
    frame["claims"] = frame["claims"].map("; ".join)
    return frame.round(6)
