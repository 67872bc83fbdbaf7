"""The report's pages in a browser, opened from disk: what a reader sees and a machine can check."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser

import browser as chromium
from reporting_world import World, printed_site

INDEX, PAPER = "index.html", "papers/ground.html"
PAGES = pytest.mark.parametrize("name", [INDEX, PAPER])
LIMIT = 3_000_000  # bytes of the index


@pytest.fixture(scope="module")
def world() -> World:
    return printed_site()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.launched() as running:
        yield running


class Outline(HTMLParser):
    """Ids, links, images and headings of a page, as written."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.headings: list[int] = []
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.ids.append(values["id"] or "")
        if tag == "a":
            self.links.append(values.get("href") or "")
        if tag == "img":
            self.images.append(values)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))


@PAGES
def test_ids_are_unique_and_every_reference_has_its_target(world: World, name: str) -> None:
    file = world.report / name
    outline = Outline(file)
    assert not [i for i, times in Counter(outline.ids).items() if times > 1]
    text = file.read_text("utf-8")
    named = re.findall(r'url\(#([^)]+)\)|(?:href|aria-labelledby)="#([^"]+)"', text)
    assert len(named) > 10
    assert {a or b for a, b in named} <= set(outline.ids)


@PAGES
def test_no_link_is_dead_and_none_leaves_the_folder(world: World, name: str) -> None:
    file = world.report / name
    links = Outline(file).links
    ids = {other: set(Outline(world.report / other).ids) for other in (INDEX, PAPER)}
    assert len(links) > 10
    for link in links:
        parts = urlsplit(link)
        assert not parts.scheme + parts.netloc, link
        target = (file.parent / unquote(parts.path) if parts.path else file).resolve()
        assert target.is_file(), link
        assert target.is_relative_to(world.report.resolve()), link
        if parts.fragment:
            page = target.relative_to(world.report.resolve()).as_posix()
            assert unquote(parts.fragment) in ids[page], link


@PAGES
def test_images_say_what_they_show_and_take_their_space(world: World, name: str) -> None:
    images = Outline(world.report / name).images
    assert images
    for image in images:
        assert len(image["alt"] or "") > 10
        assert int(image["width"] or 0) > 0
        assert int(image["height"] or 0) > 0
        assert image["loading"] == "lazy"


@PAGES
def test_headings_descend_one_level_at_a_time(world: World, name: str) -> None:
    levels = Outline(world.report / name).headings
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_index_stays_light(world: World) -> None:
    assert (world.report / INDEX).stat().st_size < LIMIT


@PAGES
@pytest.mark.parametrize("width", [1280, 390])
def test_opens_offline_without_errors_or_sideways_scrolling(
    browser: Browser, world: World, name: str, width: int
) -> None:
    with chromium.visit(browser, world.report / name, width=width) as seen:
        chromium.load_everything(seen.page)
        assert seen.console == []
        assert seen.failed == []
        assert {urlsplit(url).scheme for url in seen.requested} <= {"file", "data"}
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
        assert seen.page.evaluate("[...document.images].every((i) => i.naturalWidth > 0)")
        assert seen.page.evaluate("document.querySelectorAll('main script').length") == 0


@PAGES
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(
    browser: Browser, world: World, name: str, scheme: str
) -> None:
    with chromium.visit(browser, world.report / name, scheme=scheme) as seen:
        chromium.load_everything(seen.page)
        result = seen.page.evaluate(chromium.LOW_CONTRAST)
        assert result["checked"] > 100
        assert result["found"] == []
        ground = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, re.findall(r"\d+", ground)[:3]))
        assert brightness < 150 if scheme == "dark" else brightness > 600


@PAGES
def test_everything_is_there_without_javascript(browser: Browser, world: World, name: str) -> None:
    with chromium.visit(browser, world.report / name) as seen:
        with_scripts = seen.page.locator("main").text_content() or ""
        assert seen.page.locator("#theme").is_visible()
    with chromium.visit(browser, world.report / name, scripts=False) as seen:
        without = seen.page.locator("main").text_content() or ""
        assert seen.page.locator("#theme").is_hidden()
        assert seen.page.locator("main table tbody td").first.is_visible()
        assert seen.page.locator("main section").last.is_visible()
        drawer = seen.page.locator("details.run").first
        assert drawer.locator("dl").is_hidden()
        drawer.locator("summary").click()
        assert drawer.locator("dl").is_visible()
    copy_buttons = len(re.findall("Copy$", with_scripts)) + with_scripts.count("Copy\n")
    assert copy_buttons >= 1
    assert with_scripts.replace("Copy", "").split() == without.split()


def test_the_theme_button_overrides_the_system(browser: Browser, world: World) -> None:
    def ground() -> str:
        found: str = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return found

    with chromium.visit(browser, world.report / PAPER, scheme="light") as seen:
        button = seen.page.locator("#theme")
        light = ground()
        button.click()
        assert button.text_content() == "Theme: light"
        assert ground() == light
        button.click()
        assert button.text_content() == "Theme: dark"
        assert ground() != light
        curve = seen.page.locator("rect.point").first
        dark_blue = curve.evaluate("(e) => getComputedStyle(e).fill")
        button.click()
        assert button.text_content() == "Theme: auto"
        assert ground() == light
        assert curve.evaluate("(e) => getComputedStyle(e).fill") != dark_blue


def test_curves_follow_the_theme(browser: Browser, world: World) -> None:
    strokes = {}
    for scheme in ("light", "dark"):
        with chromium.visit(browser, world.report / PAPER, scheme=scheme) as seen:
            line = seen.page.locator(".plot path.s-series0").first
            strokes[scheme] = line.evaluate("(e) => getComputedStyle(e).stroke")
    assert strokes["light"] == "rgb(11, 98, 164)"
    assert strokes["dark"] == "rgb(98, 181, 236)"


def test_print_is_light_and_shows_folded_lists(browser: Browser, world: World) -> None:
    with chromium.visit(browser, world.report / PAPER, scheme="dark") as seen:
        folded = seen.page.locator("details.query:not([open]) .answers").first
        assert folded.evaluate("(e) => e.getBoundingClientRect().height") == 0
        seen.page.emulate_media(media="print", color_scheme="dark")
        ink = seen.page.evaluate("getComputedStyle(document.body).color")
        assert sum(map(int, re.findall(r"\d+", ink)[:3])) < 200
        assert seen.page.locator(".bar nav").is_hidden()
        assert seen.page.locator(".bar").evaluate("(e) => getComputedStyle(e).position") == "static"
        assert folded.evaluate("(e) => e.getBoundingClientRect().height") > 50


def test_prints_on_a_handful_of_pages(browser: Browser, world: World) -> None:
    with chromium.visit(browser, world.report / INDEX) as seen:
        printed = seen.page.pdf(format="A4")
        assert 3 < printed.count(b"/Type /Page\n") < 25


def test_a_link_into_a_closed_drawer_opens_it(browser: Browser, world: World) -> None:
    run = str(world.plan.runs[-1]).replace("/", "-")
    with chromium.visit(browser, world.report / INDEX, fragment=f"run-{run}") as seen:
        assert seen.page.locator(f"[id='run-{run}'] dl").is_visible()


def test_right_and_wrong_differ_by_more_than_colour(browser: Browser, world: World) -> None:
    with chromium.visit(browser, world.report / PAPER) as seen:
        for kind, glyph, border, word in (
            ("right", "✓", "solid", ", right:"),
            ("wrong", "✗", "dashed", ", wrong:"),
        ):
            answer = seen.page.locator(f"details[open] li.{kind}").first
            assert glyph in (answer.locator(".mark").text_content() or "")
            image = answer.locator("img")
            assert image.evaluate("(e) => getComputedStyle(e).borderTopStyle") == border
            assert word in (image.get_attribute("alt") or "")


def test_tables_name_their_rows_columns_and_scope(browser: Browser, world: World) -> None:
    for name in (INDEX, PAPER):
        with chromium.visit(browser, world.report / name) as seen:
            assert seen.page.evaluate(
                "[...document.querySelectorAll('table')].every((t) => t.caption && "
                "[...t.querySelectorAll('th')].every((h) => h.scope))"
            )
            assert "not comparable with printed values" in (
                seen.page.locator(".caution").text_content() or ""
            )
    with chromium.visit(browser, world.report / PAPER) as seen:
        table = seen.page.locator("table.results").first
        caption = table.locator("caption").text_content() or ""
        assert "Demo scale" in caption
        assert "95\N{NO-BREAK SPACE}%" in caption
        group = table.locator("tr.group").first.text_content() or ""
        assert "seeds 0, 1" in group
        assert "32 of 32 queries valid" in group
