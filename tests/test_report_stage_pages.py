"""The detectors' pages as a reader and a browser see them: sound, offline, legible."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest
from playwright.sync_api import Browser

from reid_repro.keypoints.joints import NAMES
from reid_repro.reporting import stages
from reid_repro.reporting.pages import build
from reid_repro.reporting.stage_costs import detection_cost

import browser as chromium
from reporting_world import HOSTILE, World
from stages_world import PRIOR, RECALL, make_stages

SOURCES = Path(__file__).parents[1] / "report"
PAGES = ("stages/parts.html", "stages/keypoints.html")
BOTH = pytest.mark.parametrize("name", PAGES)
SPACE = "\N{NO-BREAK SPACE}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_stages(tmp_path_factory.mktemp("world"))
    # One page with a table of costs, one with what is not planned.
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setitem(stages.PAIRS, "keypoints", ("ground/wide", "ground/plain"))
    build(made.plan, made.results, made.report, sources=SOURCES)
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.launched() as running:
        yield running


def test_the_front_page_shows_both_with_their_figures(world: World) -> None:
    index = html.unescape((world.report / "index.html").read_text("utf-8"))
    for kind, figures in (
        ("parts", (f"52.3{SPACE}%", f"15.2{SPACE}%", "57 of 64", "765 images/s")),
        ("keypoints", (f"67.9{SPACE}%", f"13.6{SPACE}%", "37 of 64", "211 images/s")),
    ):
        card = index[index.index(f'id="stage-{kind}"') :]
        card = card[: card.index("</article>")]
        assert f'href="stages/{kind}.html"' in card
        assert all(f"<dd>{figure}</dd>" in card for figure in figures)
        assert card.count("<img") > 3


def test_downloads_hold_the_numbers_of_the_tables(world: World) -> None:
    assets = world.report / "assets"
    frame = pd.read_csv(assets / "tables/parts-cars-recall.csv").set_index("boxes")
    assert frame["recall"].to_dict() == {int(d): value for d, value in RECALL.items()}
    assert frame["prior_recall"].to_dict() == {int(d): value for d, value in PRIOR.items()}
    joints = pd.read_csv(assets / "tables/keypoints-people-pck.csv").set_index("joint")
    assert joints.loc[NAMES[4]].to_dict() == {
        "lacking": 12,
        "pck": 0.6,
        "pck_visible": 0.7,
        "n": 59,
    }
    source = world.results / "parts/cars/evaluation.json"
    assert (assets / "data/parts-cars-evaluation.json").read_bytes() == source.read_bytes()


def test_costs_are_a_table_or_the_command_that_makes_it(world: World) -> None:
    page = (world.report / PAGES[0]).read_text("utf-8")
    section = page[page.index('<section id="costs"') : page.index('<section id="provenance"')]
    assert "Not run: the configuration knows no pgan/pgan." in section
    assert "<code>snakemake --cores all --config ablations=all</code>" in section
    page = (world.report / PAGES[1]).read_text("utf-8")
    section = page[page.index('<section id="costs"') : page.index('<section id="provenance"')]
    cost = detection_cost(world.plan, world.results, "ground/wide", "ground/plain")
    expected = [cell.value for _, rows in cost.groups for row in rows for cell in row.cells]
    assert len(expected) == 12
    assert re.findall(r'class="value">([^<]*)<', section) == expected
    assert "ablations=all" not in section


def test_equal_results_give_equal_bytes(world: World) -> None:
    twin = replace(world, report=world.report.parent / "twin")
    build(twin.plan, twin.results, twin.report, sources=SOURCES)
    files = [path for path in sorted(world.report.rglob("*.*")) if path.is_file()]
    assert len(files) > 20
    for file in files:
        assert (twin.report / file.relative_to(world.report)).read_bytes() == file.read_bytes()


@BOTH
def test_markup_is_sound(world: World, name: str) -> None:
    file = world.report / name
    text = file.read_text("utf-8")
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert not [i for i, times in Counter(ids).items() if times > 1]
    for link in re.findall(r'<a [^>]*href="([^"]+)"', text):
        parts = urlsplit(html.unescape(link))
        assert not parts.scheme + parts.netloc
        target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        assert target.is_file(), link
        if parts.fragment:
            assert unquote(parts.fragment) in ids or parts.path
    images = re.findall(r"<img [^>]*>", text)
    assert len(images) > 15
    for image in images:
        assert 'loading="lazy"' in image
        assert len(re.search(r'alt="([^"]*)"', image)[1]) > 25
    levels = [int(level) for level in re.findall(r"<h([1-6])\b", text)]
    assert levels.count(1) == 1 == levels[0]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert text.count("<script") == 1
    shown = html.unescape(re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.S))
    assert f"Chip {HOSTILE}" in shown
    assert "<script>alert" not in text


@BOTH
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_pages_fit_and_can_be_read(
    browser: Browser, world: World, name: str, width: int, scheme: str
) -> None:
    with chromium.visit(browser, world.report / name, width=width, scheme=scheme) as seen:
        chromium.load_everything(seen.page)
        assert (seen.console, seen.failed) == ([], [])
        assert {urlsplit(url).scheme for url in seen.requested} <= {"file", "data"}
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
        assert seen.page.evaluate("[...document.images].every((i) => i.naturalWidth > 0)")
        contrast: dict[str, Any] = seen.page.evaluate(chromium.LOW_CONTRAST)
        assert contrast["checked"] > 100
        assert contrast["found"] == []


@BOTH
def test_nothing_needs_scripts_and_print_is_light(
    browser: Browser, world: World, name: str
) -> None:
    with chromium.visit(browser, world.report / name, scripts=False, scheme="dark") as seen:
        assert seen.page.locator("table.scores td .value").first.is_visible()
        assert seen.page.locator(".sighting img").last.is_visible()
        drawer = seen.page.locator("details.run").last
        drawer.locator("summary").click()
        assert drawer.locator("dl").is_visible()
        seen.page.emulate_media(media="print", color_scheme="dark")
        ink = seen.page.locator("main h1").evaluate("(e) => getComputedStyle(e).color")
        assert sum(map(int, re.findall(r"\d+", ink)[:3])) < 200
