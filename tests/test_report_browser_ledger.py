"""Printed tables, claims and the matrix in a browser: toggles, sorting, filters, the address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page
from printed_world import ITEMS

import browser as chromium
from reporting_world import World, printed_site

INDEX, PAPER = "index.html", "papers/ground.html"
CLAIMS = [item for item in ITEMS if item["kind"] == "claim"]


@pytest.fixture(scope="module")
def world() -> World:
    return printed_site()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.launched() as running:
        yield running


def state(page: Page) -> dict[str, str]:
    """What stands in the address."""
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def labels(page: Page) -> list[str]:
    """The claims that are shown, in order."""
    return page.locator("table.claims tbody tr:visible .label").all_text_contents()


def test_the_toggle_shows_print_ours_or_both_and_keeps_it_in_the_address(
    browser: Browser, world: World
) -> None:
    with chromium.visit(browser, world.report / PAPER) as seen:
        page, table = seen.page, seen.page.locator("#ground-table-i")
        row = table.locator("tbody tr", has_text="up")
        printed, ours = row.locator("td .printed"), row.locator("td .ours")
        assert (printed.is_visible(), ours.is_visible()) == (True, True)
        page.get_by_role("button", name="Paper", exact=True).click()
        assert (printed.is_visible(), ours.is_visible()) == (True, False)
        assert page.locator("#ground-table-ii td.ours").first.is_hidden()
        assert state(page) == {"view": "paper"}
        page.get_by_role("button", name="Ours", exact=True).click()
        assert (printed.is_visible(), ours.is_visible()) == (False, True)
        assert table.locator("tr.quoted").is_hidden()
        pressed = page.locator("button[data-view][aria-pressed=true]")
        assert pressed.all_text_contents() == ["Ours"]
        shared = page.url
        page.get_by_role("button", name="Both", exact=True).click()
        assert state(page) == {}
        page.goto(shared)
        assert page.locator("#ground-table-i tr.quoted").is_hidden()


def test_claims_are_filtered_by_verdict_and_kind(browser: Browser, world: World) -> None:
    with chromium.visit(browser, world.report / PAPER) as seen:
        page = seen.page
        assert labels(page) == [item["id"] for item in CLAIMS]
        page.locator("select[name=verdict]").select_option("not_run")
        assert labels(page) == ["4.3-gpu", "4.3-abl"]
        assert page.locator(".filters output").text_content() == f"2 of {len(CLAIMS)}"
        page.locator("select[name=kind]").select_option("delta")
        assert labels(page) == ["4.3-abl"]
        assert state(page) == {"verdict": "not_run", "kind": "delta"}
        page.reload()
        assert labels(page) == ["4.3-abl"]
        # A link to a claim that the filter hides must still lead there.
        page.evaluate("location.hash = '#ground-claim-4-2-no'")
        page.wait_for_function("!document.getElementById('ground-claim-4-2-no').hidden")
        assert page.locator("#ground-claim-4-2-no").is_visible()
        assert state(page) == {}


def test_claims_are_sorted_by_keyboard_with_the_unknown_last(
    browser: Browser, world: World
) -> None:
    known = sorted((item for item in CLAIMS if item["p_holds"]), key=lambda i: i["p_holds"])
    unknown = [item["id"] for item in CLAIMS if item["p_holds"] is None]
    rising = [item["id"] for item in known]
    with chromium.visit(browser, world.report / PAPER) as seen:
        page = seen.page
        head = page.locator("table.claims th", has_text="Share")
        head.get_by_role("button").focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "descending"
        assert labels(page) == [*rising[::-1], *unknown]
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "ascending"
        assert labels(page) == [*rising, *unknown]
        assert state(page) == {"sort": "3-ascending"}
        page.reload()
        assert labels(page) == [*rising, *unknown]
        page.locator("table.claims th", has_text="Share").get_by_role("button").click()
        assert labels(page) == [item["id"] for item in CLAIMS]
        assert state(page) == {}


def test_printed_columns_are_sorted_as_numbers(browser: Browser, world: World) -> None:
    with chromium.visit(browser, world.report / PAPER) as seen:
        table = seen.page.locator("#ground-table-i table")
        table.locator("th", has_text="mAP").get_by_role("button").click()
        rows = table.locator("tbody tr th").all_text_contents()
        assert rows[0] == "full"
        assert rows[-1].startswith("Old")
        times = seen.page.locator("#ground-table-iii table")
        times.locator("th", has_text="Time").get_by_role("button").click()
        # 89.2 s are more than 9.4 ms.
        assert times.locator("tbody tr th").all_text_contents() == ["slow", "fast"]


def test_the_legend_picks_out_a_verdict(browser: Browser, world: World) -> None:
    with chromium.visit(browser, world.report / INDEX) as seen:
        page = seen.page
        marks = page.locator(".matrix a.chip")
        assert marks.count() == len(ITEMS)
        page.get_by_role("button", name="Not run", exact=True).click()
        faded = page.locator(".matrix a.chip.faded").count()
        assert faded == sum(item["verdict"] != "not_run" for item in ITEMS)
        assert state(page) == {"verdict": "not_run"}
        page.reload()
        assert page.locator(".matrix a.chip.faded").count() == faded


def test_a_mark_leads_to_its_item_and_says_what_it_is(browser: Browser, world: World) -> None:
    with chromium.visit(browser, world.report / INDEX) as seen:
        page = seen.page
        one = page.get_by_role("link", name="Claim 4.2-no: not reproduced, scaled")
        style = "(e) => [getComputedStyle(e).borderTopStyle, e.querySelector('use').href.baseVal]"
        assert one.evaluate(style) == ["dashed", "#g-not_reproduced"]
        full = page.get_by_role("link", name="Table I: reproduced", exact=True)
        assert full.evaluate(style) == ["solid", "#g-reproduced"]
        box = one.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 24  # WCAG 2.2, target size
        one.click()
        assert page.url.endswith("papers/ground.html#ground-claim-4-2-no")
        assert page.locator("#ground-claim-4-2-no").is_visible()


def test_without_javascript_all_is_shown_and_no_control_stands_idle(
    browser: Browser, world: World
) -> None:
    with chromium.visit(browser, world.report / PAPER, scripts=False) as seen:
        page = seen.page
        assert page.locator(".choice").is_hidden()
        assert page.locator("form.filters").is_hidden()
        assert page.locator("table.claims tbody tr:visible").count() == len(CLAIMS)
        row = page.locator("#ground-table-i tbody tr", has_text="up")
        assert row.locator("td .printed").is_visible()
        assert row.locator("td .ours").is_visible()
        evidence = page.locator("#ground-claim-4-2-a details")
        assert evidence.locator("code").first.is_hidden()
        evidence.locator("summary").click()
        assert evidence.locator("code").first.is_visible()
    with chromium.visit(browser, world.report / INDEX, scripts=False) as seen:
        assert seen.page.locator(".matrix a.chip").count() == len(ITEMS)


def test_on_a_phone_the_matrix_and_the_claims_need_no_sideways_scrolling(
    browser: Browser, world: World
) -> None:
    for name, selector in ((INDEX, ".matrix"), (PAPER, "table.claims")):
        with chromium.visit(browser, world.report / name, width=390) as seen:
            region = seen.page.locator(f".scroll:has({selector})").first
            assert region.evaluate("(e) => e.scrollWidth <= e.clientWidth")
            roles = seen.page.locator(selector).evaluate(
                "(e) => [...e.querySelectorAll('tbody tr > *')].every((c) => c.role)"
            )
            assert roles  # `display: block` takes away what a table is


def test_verdict_colours_are_never_alone(browser: Browser, world: World) -> None:
    with chromium.visit(browser, world.report / INDEX) as seen:
        for mark in seen.page.locator(".matrix a.chip").all():
            label = mark.get_attribute("aria-label") or ""
            glyph = mark.locator("use").get_attribute("href") or ""
            verdict = glyph.removeprefix("#g-")
            assert re.sub(r"[_-]", " ", verdict) in label.replace("-", " ")
            assert seen.page.locator(f"symbol#g-{verdict} path").count() >= 1
