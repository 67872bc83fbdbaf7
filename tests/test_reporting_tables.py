"""Result tables of the report, and how its numbers are written."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid_repro.config import TableConfig
from reid_repro.errors import UserError
from reid_repro.plan import Plan
from reid_repro.reporting import formats
from reid_repro.reporting.provenance import Item
from reid_repro.reporting.tables import ResultTable, read_long, result_table

from reporting_world import World, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"), figures=False)


def long_table(values: list[tuple[str, float, float, float]], sd: float = math.nan) -> pd.DataFrame:
    common = {
        "variant": "v", "variant_title": "V", "dataset": "cars", "subset": "test", "metric": "mAP",
        "level": 0.95, "seeds": "0", "seed_sd": sd, "n_query": 9, "n_valid": 8, "scale": "demo",
    }  # fmt: skip
    return pd.DataFrame(
        [
            common | {"reranker": n, "reranker_title": n, "value": v, "low": low, "high": high}
            for n, v, low, high in values
        ]
    )


def viewed(frame: pd.DataFrame, plan: Plan) -> ResultTable:
    config = TableConfig(title="T")
    return result_table(frame, config, plan, name="t", item=Item((), (), ""))


def test_bars_of_a_column_share_one_axis(world: World) -> None:
    frame = long_table([("a", 0.60, 0.56, 0.63), ("b", 0.70, 0.66, 0.72)])
    first, second = viewed(frame, world.plan).groups[0].rows
    # The axis runs from 55 to 75.
    assert first.cells[0].bar == pytest.approx((5, 25, 40))
    assert second.cells[0].bar == pytest.approx((55, 75, 85))
    assert (first.cells[0].best, second.cells[0].best) == (False, True)
    assert first.cells[0].sd is None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a", 0.6, 0.5, 0.7), ("b", 0.65, 0.55, 0.75)], "+5.0 points over a; their intervals ov"),
        ([("a", 0.6, 0.59, 0.61), ("b", 0.8, 0.79, 0.81)], "their intervals do not overlap"),
        ([("a", 0.6, 0.5, 0.7), ("b", 0.5, 0.4, 0.6)], "a: highest mAP, 60.0"),
        ([("a", 0.6, 0.5, 0.7)], "a: mAP, 60.0"),
    ],
)  # fmt: skip
def test_the_finding_says_what_the_rows_say(
    world: World, rows: list[tuple[str, float, float, float]], said: str
) -> None:
    assert said in viewed(long_table(rows), world.plan).groups[0].finding


def test_a_value_that_is_not_there_is_a_dash(world: World) -> None:
    frame = long_table([("a", math.nan, math.nan, math.nan), ("b", 0.5, 0.4, 0.6)])
    first, second = viewed(frame, world.plan).groups[0].rows
    assert (first.cells[0].value, first.cells[0].bar) == ("\N{EN DASH}", None)
    assert second.cells[0].best


def test_an_empty_table_is_named(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    long_table([]).to_csv(file, index=False)
    file.write_text("variant\n")
    with pytest.raises(UserError, match=r"t\.csv"):
        read_long(file)


@given(st.floats(0, 1e6))
def test_durations_keep_their_value(seconds: float) -> None:
    units = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
    text = formats.duration(seconds).replace("\N{NO-BREAK SPACE}", " ").split()
    value = sum(float(n) * units[u] for n, u in zip(text[::2], text[1::2], strict=True))
    # Half of the last place that is shown.
    half = {"ms": 0.0005, "s": 0.5 if "min" in text else 0.05, "min": 30.0}[text[-1]]
    assert abs(value - seconds) <= half * 1.001


@given(st.floats(0, 1))
def test_percents_keep_one_decimal(share: float) -> None:
    assert abs(float(formats.percent(share)) - 100 * share) <= 0.05 + 1e-9


def test_formats_of_what_is_unknown() -> None:
    dash = "\N{EN DASH}"
    assert formats.percent(None) == formats.percent(math.nan) == dash
    assert formats.duration(None) == formats.memory(math.inf) == formats.millions(None) == dash
    assert formats.day("2031-05-01T12:00:00+02:00") == "2031-05-01 10:00 UTC"
    assert formats.day("some day") == "some day"
    assert formats.commit(None, None) == "not in a git checkout"
    assert formats.commit("0123456789abcdef", True) == "0123456789 + uncommitted changes"
    assert formats.plural(2, "identity", "identities") == "2 identities"
