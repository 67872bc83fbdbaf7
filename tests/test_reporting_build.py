"""Building the report: every number from a results file, equal bytes, clear refusals."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reid_repro.errors import UserError
from reid_repro.reporting.figures import ranked_lists, samples
from reid_repro.reporting.pages import build
from reid_repro.reporting.provenance import command, ranking_seconds

from reporting_world import HOSTILE, World, make_world

SOURCES = Path(__file__).parents[1] / "report"
CELL = re.compile(
    r'<span class="value">([\d.]+)</span>(?:<span class="sd"> ±([\d.]+)</span>)?\s*'
    '<span class="interval">([\\d.]+)\N{EN DASH}([\\d.]+)</span>'
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = make_world(tmp_path_factory.mktemp("world"), printed=True)
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
    assert CELL.findall((world.report / "papers/ground.html").read_text("utf-8")) == expected


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
PRINTED = {"paper": "GNN", "what": "queries", "printed": 12, "counted": 55, "note": "a <slip>"}
CHANGES: list[tuple[Callable[[Path], None], str]] = [
    (lambda r: set_column(r / "tables/ground/retrieval.csv", "value", 0.98765), '"value">98.8<'),
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
    (lambda r: set_key(r / "data/people/dataset.json", "citation", "A. Nother"), "A. Nother"),
    (
        lambda r: set_key(r / "data/people/dataset.json", "printed", [PRINTED]),
        "12 in GNN, 55 counted",
    ),
    (lambda r: set_key(r / "data/people/dataset.json", "printed", [PRINTED]), "(a &lt;slip&gt;)"),
    (
        lambda r: [
            set_key(r / "data/people/dataset.json", "n_left_out", 4321),
            set_key(r / "data/people/dataset.json", "left_out", ["missing: a.jpg"]),
        ],
        "4,321 images are missing or in no list, such as a.jpg: numbers",
    ),
    (
        lambda r: set_key(r / "data/people/dataset.json", "counts", {"train": {"images": 98765}}),
        "98,765",
    ),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_a_change_of_a_file_is_a_change_of_the_page(world: World, copy: World, number: int) -> None:
    change, shown = CHANGES[number]
    pages = ("index.html", "papers/ground.html")
    assert not any(shown in (world.report / name).read_text("utf-8") for name in pages)
    change(copy.results)
    assert any(shown in page for page in rebuilt(copy))


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


def at_scale(world: World, scale: str) -> World:
    config = world.plan.config.model_copy(update={"scale": scale})
    papers = {
        name: paper.model_copy(update={"datasets": {scale: ("cars", "people")}})
        for name, paper in world.plan.papers.items()
    }
    return replace(world, plan=replace(world.plan, config=config, papers=papers))


def caution(page: str) -> str:
    found = re.search(r'<p class="caution" role="note">(.*?)</p>', page, re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", found[1])).split()) if found else ""


@pytest.mark.parametrize(
    ("scale", "sources", "said", "unsaid"),
    [
        ("demo", ("rendered", "rendered"), "drawn by this repository and a small network,", "own"),
        ("bench", ("rendered", "rendered"), "images drawn by this repository, stand", "small"),
        ("paper", ("rendered", "rendered"), "Paper scale. These numbers come from images d", "own"),
        ("demo", ("csv", "market1501"), "small network and short training recipe of the", "drawn"),
        ("bench", ("csv", "csv"), "training recipe of the bench scale on your own data", "drawn"),
        ("demo", ("csv", "rendered"), f"benchmarks: People. Your own data: {HOSTILE}, with", "?"),
        ("paper", ("csv", "rendered"), "Numbers on the drawn images show", "settings"),
    ],
)  # fmt: skip
def test_the_caution_follows_data_and_scale(
    copy: World, scale: str, sources: tuple[str, str], said: str, unsaid: str
) -> None:
    for name, source in zip(("cars", "people"), sources, strict=True):
        set_key(copy.results / "data" / name / "dataset.json", "source", source)
    for page in rebuilt(at_scale(copy, scale)):
        text = caution(page)
        assert said in text
        assert unsaid not in text
        assert text.endswith("not comparable with printed values.")


def test_the_real_benchmarks_at_paper_scale_need_no_caution(copy: World) -> None:
    for name in ("cars", "people"):
        set_key(copy.results / "data" / name / "dataset.json", "source", "market1501")
    assert [caution(page) for page in rebuilt(at_scale(copy, "paper"))] == ["", ""]


def test_a_resumed_run_says_so_beside_its_time(copy: World) -> None:
    assert "resumed" not in rebuilt(copy)[0]
    set_key(copy.results / RUN, "resumed", 2)
    index, paper = rebuilt(copy)
    words = "1\N{NO-BREAK SPACE}min 15\N{NO-BREAK SPACE}s (resumed 2 times)"
    assert index.count(words) == 2  # the table of all runs, and the run's own box
    assert paper.count(f"<dt>Wall time</dt><dd>{words}</dd>") == 1


def test_energy_that_was_not_measured_is_no_number(copy: World) -> None:
    set_key(copy.results / RUN, "energy", {"method": "none", "watt_hours": None})
    index = rebuilt(copy)[0]
    assert "<dt>Energy</dt><dd>not measured</dd>" in index
    assert "energy not measured" in index


def test_the_time_of_ranking_leaves_the_recording_out(copy: World) -> None:
    seconds = {"graph": 5.5, "scoring": 2.0, "total": 7.5, "recording": 66.0}
    set_key(copy.results / METRICS, "seconds", seconds)
    page = rebuilt(copy)[1]
    table = page[page.index('id="timing-ground-plain-cars"') :]
    table = table[: table.index("</table>")]
    assert "Wall time of ranking and scoring 32 queries" in table
    assert re.findall(r'class="number">([^<]+)<', table) == [
        "Graph", "Scoring", "Distances", "Total", "Peak memory"
    ]  # fmt: skip
    assert "<td>7.5\N{NO-BREAK SPACE}s</td>" in table
    assert "1\N{NO-BREAK SPACE}min 06" not in table
    assert ranking_seconds({"seconds": {"graph": 5.5, "scoring": 2.0, "recording": 66.0}}) == 7.5


def test_unknown_cameras_are_called_so(copy: World) -> None:
    data = copy.results / "data/cars"
    images = pd.read_parquet(data / "images.parquet")
    images.assign(camera=np.int16(-1)).to_parquet(data / "images.parquet")
    for ranking in copy.rankings("cars"):  # a gallery of three images
        frame = pd.read_parquet(ranking)
        frame[frame["rank"] <= 3].to_parquet(ranking)
    samples(data, copy.results / "figures/samples/cars.webp")
    ranked = copy.results / "figures/ground/plain/cars/ranked.webp"
    ranked_lists(data, copy.metrics("cars", seed=0), copy.rankings("cars"), ranked)
    index, paper = rebuilt(copy)
    assert "grid of 4 identities (rows), up to 6 images of each, camera unknown" in index
    lists = paper[paper.index('id="ranked-ground-plain-cars"') :]
    lists = lists[: lists.index("</section>")]
    assert "The first 3 answers to queries" in lists
    assert "the cameras being unknown, no image is left out" in lists
    assert re.search(r"<summary>Identity \d+, camera unknown:", lists)
    assert re.search(r'alt="Rank 1, \w+: identity \d+, camera unknown"', lists)
    assert '<span class="note">camera unknown<br>' in lists
    assert not re.search(r"cam(era)?(&nbsp;| )-?\d", lists)
    assert not re.search(r"cam(era)?(&nbsp;| )-1", index)


def test_the_ranked_lists_follow_the_protocol(copy: World) -> None:
    for file in copy.metrics("cars"):
        set_key(file, "protocol", {"same_camera": "keep"})
    assert "images by the query's own camera stay in" in html.unescape(rebuilt(copy)[1])


def test_commands_carry_the_overrides(world: World) -> None:
    plan = replace(world.plan, overrides={"scale": "demo", "seeds": [0, 1], "note": "a b"})
    assert command(plan, "results/x.csv") == (
        "snakemake --cores all results/x.csv --config scale=demo 'seeds=[0, 1]' 'note=a b'"
    )
    assert command(world.plan) == "snakemake --cores all"
