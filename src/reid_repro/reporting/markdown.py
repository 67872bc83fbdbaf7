"""The verdicts as Markdown, for comments of continuous integration: `report/summary.md`.

Made from `results/claims.json` and the ledgers alone, the same files that the pages show. Links
lead to the items' places on the pages beside it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from reid_repro.files import read_json, whole
from reid_repro.reporting import verdict_marks
from reid_repro.reporting.claims_view import FILE, KINDS, Judged, of_kind, read_claims
from reid_repro.reporting.plots_ledger import read_ledger
from reid_repro.reporting.verdict_marks import MARKS, OF_CELLS, OF_ITEMS

NAME: Final = "summary.md"
# verdict -> how many items are listed; what failed comes first
LISTED: Final = {"not_reproduced": 12, "partially": 8, "reproduced": 12}
LONGEST: Final = 160  # characters of a statement

# What would be markup anywhere, at the beginning of a line, or a link without brackets.
_MARKUP: Final = re.compile(r"[\\`*_{}\[\]|~$]")
_FIRST: Final = re.compile(r"^(?:([-+]|#+)(?=\s)|(\d+)([.)])(?=\s))")
_LINK: Final = re.compile(r":(?=//|[\w+-]+:)|(?<=www)\.", re.IGNORECASE)
SCALED: Final = MARKS["scaled"].glyph
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "@&#8203;"}


def write_summary(results: Path, report: Path, titles: Mapping[str, str]) -> Path | None:
    """Write `summary.md` beside the pages; None, and nothing, where no verdicts were made.

    `titles` maps papers to what they are called. Raises UserError for a damaged file.
    """
    if not (results / FILE).is_file():
        (report / NAME).unlink(missing_ok=True)
        return None
    file = report / NAME
    text = summary(results, titles)
    with whole(file) as beside:
        beside.write_text(text, "utf-8")
    return file


def summary(results: Path, titles: Mapping[str, str]) -> str:
    """The verdicts of all papers as Markdown."""
    judged = read_claims(results)
    scale = str(read_json(results / FILE).get("scale", ""))
    items = [item for found in judged.values() for item in found]
    parts = [
        f"## reid-repro: verdicts at {escape(scale)} scale",
        _opening(items),
        _items(judged, titles),
        _cells(results, judged, titles),
        *(_findings(items, verdict, titles) for verdict in LISTED),
        _not_run(items),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Text that stays text in Markdown: on one line, no markup, no HTML, no link, no mention."""
    plain = " ".join(text.split())
    for character, entity in _ENTITIES.items():
        plain = plain.replace(character, entity)
    plain = _MARKUP.sub(r"\\\g<0>", plain)
    plain = _LINK.sub(r"\\\g<0>", plain)
    return _FIRST.sub(lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", plain)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """A table whose first `texts` columns are text and the others numbers; cells are Markdown."""
    rule = [":---"] * texts + ["---:"] * (len(head) - texts)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def _opening(items: Sequence[Judged]) -> str:
    counted = verdict_marks.counted((item.mark.verdict, item.dashed) for item in items)
    counts = ", ".join(
        f"**{count.number}** {escape(count.mark.word)}{' (scaled)' if count.scaled else ''}"
        for count in counted
    )
    note = (
        f" Scaled ({SCALED} in the table): on reduced data and epochs, of directions, orders and "
        "ratios; no full reproduction."
        if any(count.scaled for count in counted)
        else ""
    )
    return f"{len(items)} tables, figures and claims: {counts}.{note}"


def _items(judged: Mapping[str, Sequence[Judged]], titles: Mapping[str, str]) -> str:
    """A row a paper and kind, a column a verdict."""
    marks = [MARKS[verdict] for verdict in OF_ITEMS]
    rows = []
    for paper, items in judged.items():
        for kind, word in KINDS.items():
            found = [(item.mark.verdict, item.dashed) for item in of_kind(items, kind)]
            if found:
                name = _link(titles.get(paper, paper), f"papers/{paper}.html")
                rows.append([name, word, *(_apart(found, mark.verdict) for mark in marks)])
    return table(["Paper", "", *(f"{m.glyph} {escape(m.word)}" for m in marks)], rows, texts=2)


def _apart(found: Sequence[tuple[str, bool]], verdict: str) -> str:
    """How often a verdict was given: on full data, and marked as such on reduced data."""
    full, scaled = found.count((verdict, False)), found.count((verdict, True))
    shown = [str(full)] if full else []
    return " + ".join(shown + ([f"{SCALED}{scaled}"] if scaled else []))


def _cells(results: Path, judged: Mapping[str, Sequence[Judged]], titles: Mapping[str, str]) -> str:
    """The printed cells that were to be measured, by verdict."""
    rows = []
    for paper in judged:
        ledger = read_ledger(results, paper)
        if ledger is not None:
            counts = ledger["verdict"].value_counts()
            numbers = [int(counts.get(verdict, 0)) for verdict in OF_CELLS]
            name = escape(titles.get(paper, paper))
            rows.append([name, str(sum(numbers)), *(str(n or "") for n in numbers)])
    if not rows:
        return ""
    heads = [f"{MARKS[v].glyph} {escape(MARKS[v].word)}" for v in OF_CELLS]
    return "### Printed cells\n\n" + table(["Paper", "own cells", *heads], rows)


def _findings(items: Sequence[Judged], verdict: str, titles: Mapping[str, str]) -> str:
    """The items of one verdict, claims with the strongest evidence first."""
    found = sorted((i for i in items if i.mark.verdict == verdict), key=_weight)
    if not found:
        return ""
    mark, most = MARKS[verdict], LISTED[verdict]
    lines = []
    for item in found[:most]:
        paper = titles.get(item.paper, item.paper)
        sure = f" ({escape(item.shown_share)} of resamples)" if item.shown_share else ""
        lines.append(f"- {_link(f'{paper}, {item.name}', item.page)}: {_said(item)}{sure}")
    if len(found) > most:
        lines.append(f"- and {len(found) - most} more")
    return f"### {mark.glyph} {escape(mark.word.capitalize())}\n\n" + "\n".join(lines)


def _weight(item: Judged) -> tuple[bool, float, float]:
    """Claims before tables and figures; small p first, then a share far from one half."""
    certain = abs((0.5 if item.share is None else item.share) - 0.5)
    return item.kind != "claim", 1.0 if item.p is None else item.p, -certain


def _said(item: Judged) -> str:
    text = " ".join((item.statement or item.title).split())
    short = text if len(text) <= LONGEST else text[: LONGEST - 1].rsplit(" ", 1)[0] + " …"
    return escape(short)


def _not_run(items: Sequence[Judged]) -> str:
    codes = Counter(item.reason_code for item in items if item.mark.verdict == "not_run")
    if not codes:
        return ""
    lines = [
        f"- {escape(verdict_marks.reason(code))}: {number}" for code, number in codes.most_common()
    ]
    return "### Not run\n\n" + "\n".join(lines)


def _link(text: str, target: str) -> str:
    """A link whose target holds nothing that would end it."""
    return f"[{escape(text)}]({quote(target, safe='/#')})"
