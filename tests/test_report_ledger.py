"""Printed tables, claims and the front page's matrix: from the files of the judge to the pages."""

from __future__ import annotations

import html
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from printed_world import ITEMS, ROWS, ledger, write_judged

from reid_repro.errors import UserError
from reid_repro.ledger import printed as printing
from reid_repro.reporting import cell_formats, claims_view, looks_view, spending
from reid_repro.reporting.formats import sentence
from reid_repro.reporting.ledger_tables import PrintedTable, printed_tables, read_ledger
from reid_repro.reporting.pages import build
from reid_repro.reporting.paper_ledger import plain

from reporting_world import HOSTILE, SOURCES, World, printed_site

EN_DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
PAPERS = printing.papers()


@pytest.fixture(scope="module")
def tables() -> dict[str, PrintedTable]:
    world = printed_site()
    return printed_tables(read_ledger(world.results / "ledger/ground.csv"), {"cars": "Cars"})


@pytest.fixture
def copy(tmp_path: Path) -> World:
    """The same results, free to be changed."""
    world = printed_site()
    shutil.copytree(world.results, tmp_path / "results")
    return replace(world, results=tmp_path / "results", report=tmp_path / "report")


def page(world: World, name: str = "papers/ground.html") -> str:
    return (world.report / name).read_text("utf-8")


def figure(text: str, anchor: str) -> str:
    """The part of a page that shows one printed table."""
    start = text.index(f'id="{anchor}"')
    return text[start : text.index("</figure>", start)]


def words(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def cells(table: PrintedTable, row: str) -> list[Any]:
    found = next(one for one in table.rows if one.title == row)
    return [cell for group in found.cells for cell in group]


# --- tables


@pytest.mark.parametrize(
    ("row", "value", "interval", "difference", "word"),
    [
        ("full", "79.90", f"79.50{EN_DASH}80.50", "+0.23", "reproduced"),
        ("up", "75.25", f"74.85{EN_DASH}75.85", "+5.25", "exceeds"),
        ("down", "64.50", f"64.10{EN_DASH}65.10", f"{MINUS}5.50", "below"),
        ("open", "71.20", f"70.80{EN_DASH}71.80", "+1.20", "inconclusive"),
    ],
)
def test_a_judged_cell_has_ours_its_interval_difference_and_verdict(
    tables: dict[str, PrintedTable], row: str, value: str, interval: str, difference: str, word: str
) -> None:
    ours = cells(tables["Table I"], row)[0].ours
    assert (ours.value, ours.interval, ours.difference) == (value, interval, difference)
    assert ours.spread == "±0.25"
    assert ours.mark.word == word
    shown = figure(page(printed_site()), "ground-table-i")
    line = shown[shown.index(f'<th scope="row">{row}</th>') :]
    for text in (value, interval, difference, word):
        assert text in words(line[: line.index("</tr>")])


def test_a_stand_in_is_shown_once_a_metric_under_its_own_name(
    tables: dict[str, PrintedTable],
) -> None:
    table = tables["Table II"]
    assert [(h.title, h.below, h.ours) for h in table.heads] == [
        ("Wild-9", "small", False),
        ("Wild-9", "large", False),
        ("Cars", "ours, demo scale", True),
    ]
    ours = cells(table, "ours")
    assert [cell.printed for cell in ours] == ["82.5", "82.5", "77.1", "77.1", "", ""]
    assert [cell.ours.value if cell.ours else None for cell in ours] == [None] * 4 + ["41.5"] * 2
    assert all(cell.ours.difference == "" for cell in ours if cell.ours)
    assert [cell.missing for cell in cells(table, "other")] == [False] * 4 + [True] * 2


def test_what_was_not_run_is_named_with_reason_and_command(
    tables: dict[str, PrintedTable],
) -> None:
    (missing,) = tables["Table II"].missing
    assert (missing.what, missing.reason, missing.cells) == ("other", "an ablation", 4)
    shown = words(figure(page(printed_site()), "ground-table-ii"))
    assert "other : an ablation." in shown
    assert missing.command in shown


def test_quoted_and_blank_cells_stay_as_printed_and_have_no_verdict(
    tables: dict[str, PrintedTable],
) -> None:
    row = tables["Table I"].rows[0]
    assert row.quoted
    assert [cell.printed for group in row.cells for cell in group] == ["61.3", "N/A"]
    assert not any(cell.ours or cell.missing for group in row.cells for cell in group)
    assert sum(count.number for count in tables["Table I"].tally) == 5


def test_times_share_a_column_and_are_held_against_print_as_ratios(
    tables: dict[str, PrintedTable],
) -> None:
    table = tables["Table III"]
    assert [head.metrics for head in table.heads] == [("Dimension", "Time")]
    slow, fast = cells(table, "slow")[1], cells(table, "fast")[1]
    unit = "\N{NO-BREAK SPACE}"
    assert (slow.printed, fast.printed) == (f"89.2{unit}s", f"9.4{unit}ms")
    assert (slow.ours.value, slow.ours.difference) == (
        f"44.6{unit}s",
        f"{cell_formats.TIMES}{unit}0.50",
    )
    assert fast.missing
    assert float(slow.order) > float(fast.order)


@pytest.mark.parametrize("paper", PAPERS)
def test_every_printed_cell_of_the_papers_has_its_place(paper: str, tmp_path: Path) -> None:
    grid = printing.read(paper).grid
    verdicts = {"quoted": "quoted", "config": "parameter"}
    rows = [
        {
            **cell.key._asdict(), "printed": cell.value, "printed_as": cell.printed_as,
            "role": cell.role, "scale": "paper", "stand_in": False,
            "verdict": verdicts.get(cell.role, "not_run") if cell.value else "blank",
        }
        for cell in grid
    ]  # fmt: skip
    file = tmp_path / "ledger.csv"
    pd.DataFrame(rows, columns=list(ledger())).to_csv(file, index=False)
    made = printed_tables(read_ledger(file), {})
    shown = [
        cell.printed
        for table in made.values()
        for row in table.rows
        for group in row.cells
        for cell in group
        if cell.printed and not cell.blank
    ]
    assert len(shown) == sum(bool(cell.value) for cell in grid)
    plain = {cell.value for cell in grid if cell.unit == "percent" and cell.value}
    assert plain <= set(shown)
    assert list(made) == list(dict.fromkeys(cell.table for cell in grid))
    rowwise = {cell.key[:2] for cell in grid}
    assert sum(len(table.rows) for table in made.values()) == len(rowwise)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda f: f.drop(columns="verdict"), "no column 'verdict'"),
        (lambda f: f[:0], "no row"),
        (lambda f: f.assign(verdict="splendid"), "unknown verdict 'splendid'"),
    ],
)
def test_a_damaged_ledger_is_named(copy: World, change: Any, complaint: str) -> None:
    file = copy.results / "ledger/ground.csv"
    change(ledger()).to_csv(file, index=False)
    with pytest.raises(UserError, match=re.escape(f"{file}: {complaint}")):
        build(copy.plan, copy.results, copy.report, sources=SOURCES)
    assert not copy.report.exists()


@pytest.mark.parametrize("name", ["ledger/ground.csv", "claims.json"])
def test_a_missing_file_of_the_judge_is_named(copy: World, name: str) -> None:
    (copy.results / name).unlink()
    with pytest.raises(UserError, match=re.escape(f"{copy.results / name}: no such file")):
        build(copy.plan, copy.results, copy.report, sources=SOURCES)


@given(st.floats(-99.9, 99.9), st.integers(1, 2))
def test_differences_have_their_sign_and_zero_has_none(gap: float, places: int) -> None:
    text = cell_formats.signed(gap, places)
    value = float(text.replace(MINUS, "-"))
    assert abs(value - gap) <= 0.5 * 10**-places + 1e-9
    assert text.startswith("+" if value > 0 else MINUS if value < 0 else "0")


# --- claims


def judged(world: World) -> dict[str, claims_view.Judged]:
    return {one.label: one for one in claims_view.read_claims(world.results)["ground"]}


def test_evidence_shows_both_sides_share_and_corrected_p() -> None:
    one = judged(printed_site())["4.2-A*"]
    known, unknown = one.atoms
    assert known.paper == "79.67 > 70"
    assert known.ours == "79.9 (79.5 to 80.5) > 75.25"
    assert (known.share, known.p, known.outcome) == ("97\N{NO-BREAK SPACE}%", "0.042", "supported")
    assert (unknown.ours, unknown.unknown, unknown.outcome) == ("75.25", "an ablation", "unknown")
    assert one.p == 0.0421
    row = page(printed_site())
    row = row[row.index('id="ground-claim-4-2-a"') :]
    shown = words(row[: row.index("</tr>")])
    for text in ("reproduced, scaled", "m('Table I','full','mAP') > 1 < 2", "ours 79.9", "p 0.042"):
        assert text in shown.replace("\N{NO-BREAK SPACE}", " ")


def test_marks_tell_scaled_verdicts_apart() -> None:
    found = judged(printed_site())
    dashed = {label for label, one in found.items() if one.dashed}
    assert dashed == {"Table II", "Fig. 2(a)", "4.2-A*", "4.2-no", "4.2-open"}


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, ""),
        (1.0, "100 %"),
        (0.999, "> 99 %"),
        (0.001, "< 1 %"),
        (0.0, "0 %"),
        (0.614, "61 %"),
    ],
)
def test_shares_say_when_they_are_not_quite_all_or_nothing(share: float | None, text: str) -> None:
    assert claims_view.percent(share).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("kind", "label", "anchor"),
    [
        ("table", "Table IV", "chca-table-iv"),
        ("figure", "Fig. 6", "chca-fig-6"),
        ("figure", "Figure 3(a)", "chca-figure-3-a"),
        ("claim", "IV-C-1", "chca-claim-iv-c-1"),
    ],
)
def test_permalinks_are_made_of_what_is_printed(kind: str, label: str, anchor: str) -> None:
    assert claims_view.anchor("chca", kind, label) == anchor


@pytest.mark.parametrize("paper", PAPERS)
def test_permalinks_of_the_papers_are_unique(paper: str) -> None:
    items = printing.read(paper).items
    assert len({claims_view.anchor(paper, one.kind, one.id) for one in items}) == len(items)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"verdict": "splendid"}, "unknown kind 'claim' or verdict 'splendid'"),
        ({"kind": "rumour"}, "unknown kind 'rumour'"),
        ({"id": "4.2 no"}, "two items of ground would be called 'ground-claim-4-2-no'"),
    ],
)
def test_damaged_claims_are_named(copy: World, change: dict[str, str], complaint: str) -> None:
    write_judged(copy.results, [*ITEMS[:-1], ITEMS[-1] | change])
    with pytest.raises(UserError, match=re.escape(complaint)):
        claims_view.read_claims(copy.results)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("an ablation", "An ablation."),
        ("mAP falls", "mAP falls."),
        ("l = 2 is best", "l = 2 is best."),
        ("Why not?", "Why not?"),
        ("", ""),
    ],
)
def test_reasons_are_written_as_sentences(text: str, shown: str) -> None:
    assert sentence(text) == shown


# --- the front page


def test_the_matrix_counts_every_item_by_verdict() -> None:
    index = page(printed_site(), "index.html")
    matrix = index[index.index('class="matrix"') : index.index("</table>")]
    assert matrix.count('class="chip') == len(ITEMS)
    shown = words(matrix).replace("\N{NO-BREAK SPACE}", " ")
    # One of the two reproduced items is scaled: they are no sum.
    for text in ("1 reproduced , 1 reproduced (scaled)", "1 not reproduced (scaled)", "4 not run"):
        assert text in shown
    assert "2 reproduced" not in shown


def test_what_was_not_run_is_grouped_by_reason_with_the_command() -> None:
    index = page(printed_site(), "index.html")
    shown = words(index[index.index('id="not-run"') : index.index('id="compute"')])
    assert "Needs a GPU, and this machine has none (1 item)" in shown
    assert "An ablation. Ground" in shown
    # Two tables miss cells for one reason: the command makes both.
    assert "snakemake --cores all --config ablations=all" in shown
    assert "5 cells." in shown


def test_errata_of_these_papers_stand_there_and_lead_to_their_claim() -> None:
    index = page(printed_site(), "index.html")
    table = index[index.index('id="errata"') :]
    table = table[: table.index("</table>")]
    assert 'href="papers/ground.html#ground-claim-4-2-paper"' in table
    assert "1.3 and 0.7 are swapped" in table
    assert "Of no paper here" not in index


def test_hostile_words_of_the_ledger_are_text() -> None:
    for name in ("index.html", "papers/ground.html"):
        text = page(printed_site(), name)
        assert "<script>alert" not in text
        assert text.count("<script") == 1
    shown = html.unescape(page(printed_site()))
    assert f"Old {HOSTILE}" in shown
    assert f"What 4.2-A* says {HOSTILE}" in shown


def test_downloads_of_a_printed_table_hold_its_rows() -> None:
    folder = printed_site().report / "assets/ledger"
    rows = json.loads((folder / "ground-table-i.json").read_text("utf-8"))
    mine = [row for row in ROWS if row["table"] == "Table I"]
    assert [row["row"] for row in rows] == [row["row"] for row in mine]
    assert len(pd.read_csv(folder / "ground-table-i.csv")) == len(mine)
    assert len(pd.read_csv(folder / "ground-claims.csv")) == len(ITEMS)


def test_the_detectors_trainings_are_part_of_what_was_spent(tmp_path: Path) -> None:
    for kind, images in (("parts", 960), ("keypoints", 0)):
        file = tmp_path / f"detectors/{kind}/detector.json"
        file.parent.mkdir(parents=True)
        facts = {"images": images, "wall_seconds": 26.7, "parameters": 5, "peak_memory_mib": 9.0}
        file.write_text(json.dumps(facts))
    summary = SimpleNamespace(ranking=3.0, energy="not measured")
    found = spending.spent(tmp_path, [], ("keypoints", "parts"), summary)
    # One took its weights over: nothing was spent on it.
    assert [one.name for one in found.trainings] == ["detectors/parts"]
    assert found.training == 26.7


def test_a_changed_verdict_changes_both_pages(copy: World) -> None:
    changed = [dict(item) for item in ITEMS]
    changed[5] |= {"verdict": "not_reproduced", "scaled": False}
    write_judged(copy.results, changed)
    build(copy.plan, copy.results, copy.report, sources=SOURCES)
    assert 'aria-label="Claim 4.2-A*: not reproduced"' in page(copy, "index.html")
    row = page(copy)[page(copy).index('id="ground-claim-4-2-a"') :]
    assert words(row[: row.index("</td>")]).endswith("not reproduced")


# --- what answers a printed figure


@pytest.mark.parametrize("label", ["Figure 2(a)", "Fig. 2a", "figure 2 (a)"])
def test_a_figure_is_the_same_however_its_label_is_written(label: str) -> None:
    assert plain(label) == "fig2a"
    assert plain("Fig. 2b") != plain(label)


@pytest.fixture
def sheet(copy: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A picture sheet of `ground` on `cars` that answers Fig. 2(a); its JSON."""
    planned = {"cars": [SimpleNamespace(name="sheet")]}
    monkeypatch.setattr(looks_view, "looks_of", lambda plan, paper, name: planned.get(name, []))
    monkeypatch.setitem(looks_view.ANSWERS, ("ground", "sheet"), "Fig. 2a")
    file = copy.results / "looks/ground/cars/sheet.json"
    file.parent.mkdir(parents=True)
    Image.new("RGB", (40, 20)).save(file.with_suffix(".webp"))
    numbers = {"in parts": 0.625}
    facts = {
        "title": f"Sheet {HOSTILE}", "caption": "What it is.", "size": [40, 20],
        "alt": "A heat map on a car", "rows": [{"identity": 7, "camera": -1, "numbers": numbers}],
    }  # fmt: skip
    file.write_text(json.dumps(facts))
    return file


def test_a_picture_sheet_stands_with_the_figure_that_it_answers(copy: World, sheet: Path) -> None:
    build(copy.plan, copy.results, copy.report, sources=SOURCES)
    text = page(copy)
    figures = text[text.index('id="ground-fig-2-a"') : text.index('id="claims"')]
    assert 'width="40" height="20" loading="lazy"' in figures
    assert 'alt="A heat map on a car"' in figures
    shown = words(figures).replace("\N{NO-BREAK SPACE}", " ")
    assert "What it is. Demo scale, seed 0." in shown
    assert "Identity 7, camera unknown: in parts 62.5 %" in shown
    assert text.count('id="look-ground-cars-sheet"') == 1
    assert (copy.report / "assets/looks/ground/cars/sheet.webp").is_file()


def test_a_damaged_picture_sheet_is_named(copy: World, sheet: Path) -> None:
    sheet.write_text("{}")
    with pytest.raises(UserError, match=re.escape(f"{sheet}: no key 'title'")):
        build(copy.plan, copy.results, copy.report, sources=SOURCES)
    sheet.unlink()
    with pytest.raises(UserError, match=re.escape(f"{sheet}: no such file")):
        build(copy.plan, copy.results, copy.report, sources=SOURCES)
