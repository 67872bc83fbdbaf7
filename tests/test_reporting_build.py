"""Building the report: every number from a results file, equal bytes, clear refusals."""

from __future__ import annotations

import html
import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid_repro.config import TableConfig
from reid_repro.errors import UserError
from reid_repro.plan import Plan
from reid_repro.reporting import formats
from reid_repro.reporting.figures import samples
from reid_repro.reporting.pages import build
from reid_repro.reporting.provenance import Item, command
from reid_repro.reporting.tables import ResultTable, read_long, result_table

from reporting_world import HOSTILE, World, make_world

SOURCES = Path(__file__).parents[1] / "report"
CELL = re.compile(
    r'<span class="value">([\d.]+)</span>(?:<span class="sd"> ±([\d.]+)</span>)?\s*'
    '<span class="interval">([\\d.]+)\N{EN DASH}([\\d.]+)</span>'
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = make_world(tmp_path_factory.mktemp("world"))
    build(made.plan, made.results, made.report, sources=SOURCES)
    return made


@pytest.fixture
def copy(world: World, tmp_path: Path) -> World:
    """The same results, free to be changed."""
    shutil.copytree(world.results, tmp_path / "results")
    return replace(world, results=tmp_path / "results", report=tmp_path / "report")


def rebuilt(world: World) -> tuple[str, str]:
    index, paper = build(world.plan, world.results, world.report, sources=SOURCES)
    return index.read_text("utf-8"), paper.read_text("utf-8")


def test_equal_results_give_equal_bytes(world: World, copy: World) -> None:
    rebuilt(copy)
    files = sorted(path.relative_to(world.report) for path in world.report.rglob("*.*"))
    assert sorted(path.relative_to(copy.report) for path in copy.report.rglob("*.*")) == files
    assert len(files) > 15
    for file in files:
        assert (copy.report / file).read_bytes() == (world.report / file).read_bytes(), file


def test_the_table_shows_the_numbers_of_its_file(world: World) -> None:
    frame = pd.read_csv(world.results / "tables/ground/retrieval.csv")
    expected = [
        tuple(f"{100 * row[key]:.1f}" for key in ("value", "seed_sd", "low", "high"))
        for _, row in frame.iterrows()
    ]
    for name in ("index.html", "papers/ground.html"):
        assert CELL.findall((world.report / name).read_text("utf-8")) == expected


def set_column(file: Path, column: str, value: float) -> None:
    frame = pd.read_csv(file)
    frame.loc[0, column] = value
    frame.to_csv(file, index=False)


def set_key(file: Path, key: str, value: object) -> None:
    content = json.loads(file.read_text())
    content[key] = value
    file.write_text(json.dumps(content))


RUN = "models/ground/plain/cars/seed0/run.json"
METRICS = "metrics/ground/plain/cars/seed0/test/aqe.json"
CHANGES: list[tuple[Callable[[Path], None], str]] = [
    (lambda r: set_column(r / "tables/ground/retrieval.csv", "value", 0.98765), "98.8"),
    (lambda r: set_column(r / "tables/ground/retrieval.csv", "low", 0.01234), "1.2\N{EN DASH}"),
    (lambda r: set_column(r / "tables/ground/retrieval.csv", "seed_sd", 0.4321), "±43.2"),
    (lambda r: set_key(r / RUN, "wall_seconds", 86400), "24\N{NO-BREAK SPACE}h 00"),
    (lambda r: set_key(r / RUN, "parameters", 77_700_000), "77.70\N{NO-BREAK SPACE}M"),
    (lambda r: set_key(r / RUN, "commit", "feedfacefeedface"), "feedfacefe"),
    (
        lambda r: set_key(r / RUN, "energy", {"method": "rapl", "watt_hours": 4.56}),
        "4.56\N{NO-BREAK SPACE}Wh",
    ),
    (lambda r: set_key(r / METRICS, "commit", "beefbeefbeefbeef"), "beefbeefbe"),
    (lambda r: set_key(r / "data/people/dataset.json", "content_hash", "77" * 32), "77" * 6),
    (
        lambda r: set_key(r / "data/people/dataset.json", "counts", {"train": {"images": 98765}}),
        "98,765",
    ),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_a_change_of_a_file_is_a_change_of_the_page(world: World, copy: World, number: int) -> None:
    change, shown = CHANGES[number]
    before = (world.report / "index.html").read_text("utf-8")
    assert shown not in before
    change(copy.results)
    assert shown in rebuilt(copy)[0]


def test_times_of_ranking_come_from_the_metrics(copy: World) -> None:
    set_key(copy.results / METRICS, "seconds", {"search": 7.0, "graph": 5.5, "total": 13.5})
    page = rebuilt(copy)[1]
    for time in ("7.0", "5.5", "13.5"):
        assert f"<td>{time}\N{NO-BREAK SPACE}s</td>" in page


MISSING = [
    RUN,
    METRICS,
    "tables/ground/retrieval.csv",
    "figures/ground/wide/people/cmc.svg",
    "figures/ground/wide/people/training.svg",
    "figures/ground/wide/people/ranked.webp",
    "figures/ground/wide/people/ranked.json",
    "figures/samples/cars.webp",
    "figures/samples/cars.json",
    "data/cars/dataset.json",
    "models/ground/plain/cars/seed1/history.csv",
    "metrics/ground/plain/cars/seed0/test/aqe.per_query.parquet",
]


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_file_is_named_and_nothing_written(copy: World, name: str) -> None:
    (copy.results / name).unlink()
    with pytest.raises(UserError) as caught:
        rebuilt(copy)
    assert f"{copy.results / name}: no such file" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not copy.report.exists()


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        (RUN, "{", "not valid JSON"),
        (RUN, "{}", "no key 'parameters'"),
        ("tables/ground/retrieval.csv", "a,b\n1,2\n", "no column 'variant'"),
        ("tables/ground/retrieval.csv", "", "not a readable CSV"),
        ("figures/ground/plain/cars/cmc.svg", "<svg", "not a readable SVG"),
        ("figures/ground/plain/cars/cmc.svg", "<svg/>", "holds no panel"),
    ],
)
def test_a_damaged_file_is_named(copy: World, name: str, content: str, complaint: str) -> None:
    (copy.results / name).write_text(content)
    with pytest.raises(UserError, match=re.escape(f"{copy.results / name}: {complaint}")):
        rebuilt(copy)


def test_hostile_names_are_text(world: World) -> None:
    for name in ("index.html", "papers/ground.html"):
        page = (world.report / name).read_text("utf-8")
        assert "<script>alert" not in page
        assert page.count("<script") == 1
        shown = html.unescape(re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.S))
        assert HOSTILE in shown
        assert f"Some processor {HOSTILE}" in shown


def test_downloads_are_the_files_themselves(world: World) -> None:
    assets = world.report / "assets"
    table = world.results / "tables/ground/retrieval.csv"
    assert (assets / "tables/ground/retrieval.csv").read_bytes() == table.read_bytes()
    rows = json.loads((assets / "tables/ground/retrieval.json").read_text("utf-8"))
    frame = pd.read_csv(table)
    assert [row["value"] for row in rows] == pytest.approx(frame["value"].tolist())
    for figure in ("ground/plain/cars/cmc.svg", "ground/plain/cars/ranked.webp"):
        source = world.results / "figures" / figure
        assert (assets / "figures" / figure).read_bytes() == source.read_bytes()


def test_leftovers_of_an_earlier_report_go(copy: World) -> None:
    rebuilt(copy)
    stale = [copy.report / "papers/gone.html", copy.report / "assets/figures/gone.svg"]
    kept = copy.report / "templates/base.html"
    for path in (*stale, kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old")
    rebuilt(copy)
    assert not any(path.exists() for path in stale)
    assert kept.exists()


def test_a_dataset_without_annotations_shows_one_sheet(copy: World) -> None:
    data = copy.results / "data/cars"
    (data / "annotations.parquet").unlink()
    samples(data, copy.results / "figures/samples/cars.webp")
    index = rebuilt(copy)[0]
    card = index[index.index('id="dataset-cars"') : index.index('id="dataset-people"')]
    assert card.count("<img") == 1
    assert "Legend" not in card


def test_only_stand_ins_are_called_not_comparable(copy: World) -> None:
    words = "not comparable with printed values"
    assert words in rebuilt(copy)[0]
    config = copy.plan.config.model_copy(update={"scale": "paper"})
    papers = {
        name: paper.model_copy(update={"datasets": {"paper": ("cars", "people")}})
        for name, paper in copy.plan.papers.items()
    }
    real = replace(copy, plan=replace(copy.plan, config=config, papers=papers))
    assert words not in rebuilt(real)[0]


def test_commands_carry_the_overrides(world: World) -> None:
    plan = replace(world.plan, overrides={"scale": "demo", "seeds": [0, 1], "note": "a b"})
    assert command(plan, "results/x.csv") == (
        "snakemake --cores all results/x.csv --config scale=demo 'seeds=[0, 1]' 'note=a b'"
    )
    assert command(world.plan) == "snakemake --cores all"


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
