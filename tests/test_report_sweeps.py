"""A paper without networks of its own in the report: pointed rows, a figure over a sweep, times."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pandas as pd
import pytest

from reid_repro.errors import UserError
from reid_repro.files import read_json, write_json
from reid_repro.ledger.tables import retrieval_table
from reid_repro.ledger.times import time_table
from reid_repro.paths import sweep_file, timing_file
from reid_repro.plan import Run
from reid_repro.reporting import formats, times
from reid_repro.reporting.assets import Assets
from reid_repro.reporting.figures import sweep_figure
from reid_repro.reporting.pages import build
from reid_repro.reporting.tables import read_long

from reporting_world import World, make_world

NBSP = "\N{NO-BREAK SPACE}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"), swept=True)


def table(world: World, name: str) -> pd.DataFrame:
    return pd.read_csv(world.results / "tables/swept" / f"{name}.csv")


def test_pointed_rows_hold_the_scores_of_the_runs_they_point_at(world: World) -> None:
    frame = read_long(world.results / "tables/swept/rows.csv")
    cars = frame[(frame["dataset"] == "cars") & (frame["metric"] == "mAP")].set_index("reranker")
    assert list(cars.index) == ["aqe", "layers.l1", "layers.l2"]
    assert set(cars["variant"]) == {"ground/plain"}
    assert list(cars["reranker_title"]) == ["Expanded", "1 layer <i>", "2 layers"]
    grid = read_long(world.results / "tables/ground/retrieval.csv")
    of_run = grid[(grid["variant"] == "plain") & (grid["dataset"] == "cars")]
    single = of_run[of_run["metric"] == "mAP"].set_index("reranker")
    columns = ["value", "low", "high", "seed_sd"]
    pd.testing.assert_series_equal(
        cars.loc["aqe", columns], single.loc["aqe", columns], check_names=False
    )
    assert cars.loc["layers.l1", "value"] == pytest.approx(single.loc["none", "value"], abs=2e-6)
    ratio = cars.loc["layers.l2", "value"] / cars.loc["layers.l1", "value"]
    assert ratio == pytest.approx(1.1, abs=1e-4)
    assert cars.loc["layers.l2", "low"] < cars.loc["layers.l2", "value"]


def test_a_sweep_without_a_point_is_named(world: World, tmp_path: Path) -> None:
    small = make_world(tmp_path, figures=False, swept=True)
    file = sweep_file(small.results, "swept", "layers", Run("ground", "plain", "cars", 0), "test")
    facts = read_json(file)
    del facts["points"]["l2"]
    write_json(file, facts)
    with pytest.raises(UserError, match=r"test\.json: no point 'l2'; delete it"):
        retrieval_table(small.plan, "swept", "rows", small.results)
    with pytest.raises(UserError, match="no table 'row'; known: rows, curve, phases, query, sizes"):
        retrieval_table(small.plan, "swept", "row", small.results)


def test_the_figure_draws_every_point_of_its_sweep(world: World) -> None:
    file = world.results / "figures/swept/curve.svg"
    text = file.read_text("utf-8")
    root = ET.fromstring(text)
    description = root.findtext("{http://www.w3.org/2000/svg}desc")
    frame = table(world, "curve")
    people = frame[frame["dataset"] == "people"]
    best = people.loc[people["value"].idxmax()]
    assert best["reranker"] == "k1.k1_16"
    assert f"to {formats.percent(best['value'])} % at 16" in str(description)
    assert "k1, with k2 = 3" in text
    assert "mAP (%)" in text
    with pytest.raises(UserError, match="no figure 'curves'; known: curve"):
        sweep_figure(world.plan, "swept", "curves", world.results)


def test_times_stand_beside_what_is_printed(world: World) -> None:
    frame = table(world, "sizes")
    slow = frame[frame["row_title"] == "Slow"].set_index("column")
    assert list(slow["seconds"]) == [2.0, 2.0]
    assert slow.loc["market", "printed_seconds"] == 89.2
    fast = frame[frame["row_title"] == "Fast"]
    assert list(fast["platform"]) == ["GPU", "GPU"]
    assert fast["seconds"].isna().all()
    phases = table(world, "phases").set_index("column")["seconds"]
    assert phases.to_dict() == {"phase 1": 1.5, "phase 2": 0.5, "total": 2.0}
    query = table(world, "query")
    assert list(query["column"]) == ["single", "batch"] * 2
    assert query["groups"].to_list() == [3000] * 2 + [51] * 2


def test_a_missing_time_is_named(tmp_path: Path) -> None:
    small = make_world(tmp_path, figures=False, swept=True)
    file = timing_file(small.results, "swept", "clock")
    facts = read_json(file)
    facts["entries"] = [entry for entry in facts["entries"] if entry["of"] != "slow"]
    write_json(file, facts)
    with pytest.raises(UserError, match=r"clock\.json: no 'slow' at small"):
        time_table(small.plan, "swept", "sizes", small.results)


def test_a_table_of_times_as_shown(world: World) -> None:
    shown = times.time_table(world.plan, "swept", "sizes", world.results, Assets())
    assert [head for head, _ in shown.columns] == ["Small", "Market-1501"]
    slow, fast = shown.rows
    assert [(cell.value, cell.printed) for cell in slow.cells] == [
        (f"2.00{NBSP}s", ""),
        (f"2.00{NBSP}s", f"89.2{NBSP}s"),
    ]
    assert [cell.value for cell in fast.cells] == ["\N{EN DASH}"] * 2
    assert shown.without_gpu
    assert "2 threads, load 0.2 when" in shown.machine
    query = times.time_table(world.plan, "swept", "query", world.results, Assets())
    assert not query.without_gpu
    assert query.rows[1].facts == ("51", "16")
    assert query.rows[0].cells[0].printed == f"368{NBSP}ms"
    file = world.results / "tables/swept/sizes.csv"
    kept = file.read_text()
    try:
        file.write_text("row\n1\n")
        with pytest.raises(UserError, match=r"sizes\.csv: no column 'row_title'"):
            times.time_table(world.plan, "swept", "sizes", world.results, Assets())
    finally:
        file.write_text(kept)


def test_the_page_has_tables_figure_and_times(world: World) -> None:
    pages = build(world.plan, world.results, world.report)
    page = (world.report / "papers/swept.html").read_text("utf-8")
    index = pages[0].read_text("utf-8")
    assert "Swept &amp; &lt;b&gt;timed&lt;/b&gt;" in page
    for anchor in ("table-swept-rows", "figure-swept-curve", "table-swept-sizes", "times"):
        assert f'id="{anchor}"' in page
        assert page.count(f'id="{anchor}"') == 1
    assert f"89.2{NBSP}s" in page
    assert "an old machine" in page
    assert "simulated features of the printed size" in page
    assert "A dash: this machine has no GPU." in page
    assert "1 layer &lt;i&gt;" in page
    assert "papers/swept.html" in index
    assert "all tables, figures and times" in index
    # The runs that its rows point at, each once, on both pages.
    other = (world.report / "papers/ground.html").read_text("utf-8")
    for run in ("ground/plain/cars/seed0", "ground/plain/people/seed1"):
        assert run in page
        assert run in other
    for name in ("rows.csv", "curve.csv", "sizes.csv", "sizes.json"):
        assert (world.report / "assets/tables/swept" / name).is_file()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0034, "3.40 ms"), (0.00001, "0.01 ms"), (0.412, "412 ms"), (0.9996, "1.00 s"),
     (8.349, "8.35 s"), (59.94, "59.9 s"), (135.9, "136 s"), (1234.5, "1,234 s")],
)  # fmt: skip
def test_short_times_keep_two_or_three_digits(seconds: float, text: str) -> None:
    assert formats.short_time(seconds) == text.replace(" ", NBSP)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0034, "3.4 ms"), (0.368, "368 ms"), (1.2, "1.2 s"), (89.2, "89.2 s"), (135.9, "135.9 s")],
)
def test_printed_times_keep_their_digits(seconds: float, text: str) -> None:
    assert formats.printed_time(seconds) == text.replace(" ", NBSP)
