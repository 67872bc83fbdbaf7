"""The summary for comments: counts, choice and order of findings, and text that stays text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid_repro.errors import UserError
from reid_repro.files import write_json
from reid_repro.reporting.markdown import LISTED, NAME, escape, summary, write_summary
from reid_repro.reporting.plots_ledger import NEEDED

HOSTILE = "<img src=x onerror=alert(1)> | `code` [a](b) @someone *x* http://e.org $y$ #"
TITLES = {"chca": "CHCA", "gnn": "GNN | <b>"}


def item(number: int, verdict: str, **changes: Any) -> dict[str, Any]:
    common = {
        "paper": "chca",
        "id": f"IV-{number}",
        "kind": "claim",
        "type": "ablation",
        "section": "IV",
        "title": "",
        "statement": f"Statement {number}.",
        "predicate": "m() > 1",
        "verdict": verdict,
        "scaled": True,
        "reason_code": "other_scale" if verdict == "not_run" else "",
        "reason": "",
        "p_holds": 0.9,
        "on_paper": "holds",
        "atoms": [],
    }
    return common | changes


def results(folder: Path, items: list[dict[str, Any]]) -> Path:
    write_json(folder / "claims.json", {"scale": "demo", "settings_digest": "ab", "items": items})
    return folder


def columns(text: str) -> list[list[str]]:
    """The cells of every row of the tables, split where a renderer splits them."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_verdicts_are_counted_a_paper_and_kind(tmp_path: Path) -> None:
    items = [
        item(1, "reproduced"),
        item(2, "reproduced", scaled=False),
        item(3, "not_run"),
        item(4, "inconclusive", kind="table", id="Table IV"),
        item(5, "not_reproduced", paper="gnn", kind="figure", id="Fig. 2"),
    ]
    text = summary(results(tmp_path, items), TITLES)
    rows = {(row[0], row[1]): row[2:] for row in columns(text)}
    head = next(iter(rows.values()))
    found = {
        key: {name.split(" ", 1)[1]: n for name, n in zip(head, row, strict=True) if n}
        for key, row in rows.items()
        if key[0].startswith("[")
    }
    assert found == {
        ("[CHCA](papers/chca.html)", "Tables"): {"inconclusive": "△1"},
        ("[CHCA](papers/chca.html)", "Claims"): {"reproduced": "1 + △1", "not run": "1"},
        (r"[GNN \| &lt;b&gt;](papers/gnn.html)", "Figures"): {"not reproduced": "△1"},
    }
    counts = "**1** reproduced, **1** reproduced (scaled)"
    assert f"5 tables, figures and claims: {counts}" in text
    assert "- Needs the paper scale: the real benchmark or the full training: 1" in text
    assert "reduced data" in text
    whole = [item(1, "reproduced", scaled=False)]
    assert "reduced data" not in summary(results(tmp_path, whole), TITLES)


def test_what_failed_comes_first_and_the_strongest_evidence_leads(tmp_path: Path) -> None:
    atom = {"text": "a > b", "op": ">"}
    items = [
        item(1, "reproduced", p_holds=None),
        item(2, "reproduced", atoms=[atom | {"p_holm": 0.04}]),
        item(3, "reproduced", atoms=[atom | {"p_holm": 0.001}]),
        item(4, "reproduced", kind="table", atoms=[atom | {"p_holm": 0.0001}]),
        item(5, "not_reproduced"),
        *(item(n, "not_reproduced", p_holds=0.5) for n in range(10, 10 + LISTED["not_reproduced"])),
    ]
    text = summary(results(tmp_path, items), TITLES)
    assert text.index("### ✗ Not reproduced") < text.index("### ✓ Reproduced")
    reproduced = text[text.index("### ✓") :]
    order = re.findall(r"papers/chca\.html#chca-[a-z-]*(\d+)\)", reproduced)
    assert order == ["3", "2", "1", "4"]
    failed = text[text.index("### ✗") : text.index("### ✓")]
    assert failed.count("\n- [") == LISTED["not_reproduced"]
    assert "chca-claim-iv-5" in failed.splitlines()[2]
    assert "- and 1 more" in failed


def test_printed_cells_are_counted_from_the_ledgers(tmp_path: Path) -> None:
    folder = results(tmp_path, [item(1, "reproduced")])
    verdicts = ["reproduced", "below", "below", "quoted", "blank", "not_run"]
    frame = pd.DataFrame({name: [""] * len(verdicts) for name in NEEDED}).assign(verdict=verdicts)
    (folder / "ledger").mkdir()
    frame.to_csv(folder / "ledger" / "chca.csv", index=False)
    rows = columns(summary(folder, TITLES))
    assert ["CHCA", "4", "1", "", "2", "", "", "", "1"] in rows


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    items = [item(1, "reproduced", statement=HOSTILE + "\n\n# Head\n- x", id=f"A {HOSTILE}")]
    text = summary(results(tmp_path, items), {"chca": HOSTILE})
    assert "<" not in text
    assert "@someone" not in text
    assert "http://" not in text
    assert "\n# Head" not in text
    assert {len(row) for row in columns(text)} == {8}
    links = re.findall(r"(?<!\\)\]\(([^)]*)\)", text)
    assert links
    assert all(re.fullmatch(r"papers/chca\.html(#[a-z0-9-]+)?", link) for link in links)


@given(st.text(max_size=60))
def test_escaped_text_has_no_markup_left(text: str) -> None:
    found = escape(text)
    assert "\n" not in found
    assert "<" not in found
    assert ">" not in found
    bare = re.sub(r"\\.", "", found)
    assert not re.search(r"[`*_{}\[\]|~$]", bare)
    assert not re.match(r"(#+|[-+]|\d+[.)])\s", found)
    assert not re.search(r"&(?!amp;|lt;|gt;|#8203;)", found)


def test_without_verdicts_there_is_no_summary_and_an_old_one_goes(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("old")
    assert write_summary(tmp_path, tmp_path, {}) is None
    assert not (tmp_path / NAME).exists()
    results(tmp_path, [item(1, "reproduced")])
    made = write_summary(tmp_path, tmp_path, TITLES)
    assert made is not None
    first = made.read_bytes()
    write_summary(tmp_path, tmp_path, TITLES)
    assert made.read_bytes() == first


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    results(tmp_path, [{"paper": "chca"}])
    with pytest.raises(UserError, match=r"claims\.json: item 0: no key"):
        summary(tmp_path, {})
