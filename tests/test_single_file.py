"""The report as one file: every link and image within it, in a browser with and without script."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser
from typer.testing import CliRunner

from reid_repro.cli import app
from reid_repro.errors import UserError
from reid_repro.reporting.pages import build
from reid_repro.reporting.single_file import INDEX, MAILABLE, NAME, read_pages, single_file

import browser as chromium
from reporting_world import World, make_world

SOURCES = Path(__file__).parents[1] / "report"

FRAME = """<!doctype html><html><head>
<meta http-equiv="Content-Security-Policy" content="img-src 'self'">
<title>{title}: all</title><style>p {{ color: red }}</style><script>let a = "<b>";</script></head>
<body><a class="skip" href="#content">Skip</a><header><nav aria-label="Contents">
<ul><li><a href="#top">Top</a></li></ul></nav></header>
<main id="content" class="wide">{main}</main><footer>The end</footer></body></html>"""


class Outline(HTMLParser):
    """Ids, links and image sources, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag in ("a", "use") and values.get("href"):
            self.links.append(str(values["href"]))
        if tag == "img":
            self.images.append(values)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = make_world(tmp_path_factory.mktemp("world"))
    build(made.plan, made.results, made.report, sources=SOURCES)
    single_file(made.report, made.report / NAME)
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.launched() as running:
        yield running


def write(folder: Path, name: str, main: str, title: str = "T") -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(FRAME.format(title=title, main=main), "utf-8")


def test_every_link_has_its_target_in_the_file_and_ids_are_unique(world: World) -> None:
    text = (world.report / NAME).read_text("utf-8")
    outline = Outline(text)
    assert not [name for name, times in Counter(outline.ids).items() if times > 1]
    within = [unquote(link[1:]) for link in outline.links if link.startswith("#")]
    assert len(within) > 50
    assert set(within) <= set(outline.ids)
    others = [link for link in outline.links if not link.startswith("#")]
    assert others
    assert all(link.startswith("data:") for link in others)
    named = re.findall(r'(?:aria-labelledby|aria-controls|for)="([^"]+)"|url\(#([^)]+)\)', text)
    assert {name for pair in named for one in pair for name in one.split()} <= set(outline.ids)


def test_all_pages_are_in_it_and_nothing_lies_outside(world: World) -> None:
    file = world.report / NAME
    text = file.read_text("utf-8")
    pages = read_pages(world.report)
    built = {p.relative_to(world.report).as_posix() for p in world.report.rglob("*.html")}
    assert {page.path for page in pages} == {
        path for path in built if path != NAME and not path.startswith("templates/")
    }
    ids = set(Outline(text).ids)
    for page in pages:
        own = Outline((world.report / page.path).read_text("utf-8")).ids
        main = {name for name in own if f'id="{name}"' in page.main}
        assert {page.prefix + name for name in main} <= ids
    assert "assets/" not in re.sub(r"<code>.*?</code>", "", text)
    assert file.stat().st_size < MAILABLE
    assert text.count("<style>") == text.count("</main>") == 1


def test_a_sheet_that_many_crops_show_is_held_once(world: World) -> None:
    text = (world.report / NAME).read_text("utf-8")
    images = Outline(text).images
    crops = [one for one in images if "background-position" in (one.get("style") or "")]
    assert len(crops) > 20
    assert all("held" in (one["class"] or "").split() for one in crops)
    assert all((one["src"] or "").startswith("data:image/") for one in images)
    sheets = re.findall(r"background-image:url\(data:image/webp;base64,([^)]+)\)", text)
    assert len(sheets) == len(set(sheets)) >= 2
    sources = {one["src"] for one in images}
    assert not any(f"data:image/webp;base64,{sheet}" in sources for sheet in sheets)


def test_equal_pages_give_equal_bytes(world: World, tmp_path: Path) -> None:
    again = single_file(world.report, tmp_path / "again.html")
    assert again.read_bytes() == (world.report / NAME).read_bytes()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_browser_opens_it_offline_without_a_word_of_complaint(
    browser: Browser, world: World, scripts: bool
) -> None:
    file = world.report / NAME
    with chromium.visit(browser, file, width=390, scripts=scripts) as seen:
        if scripts:
            chromium.load_everything(seen.page)
            wide = seen.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 390
            shown = seen.page.evaluate(
                "[...document.querySelectorAll('.held')].every((one) =>"
                " getComputedStyle(one).backgroundImage.startsWith('url(\"data:image/webp'))"
            )
            assert shown
            assert seen.page.locator("#theme").is_visible()
        assert seen.page.get_by_text("Re-identification, reproduced").is_visible()
        assert seen.console == []
        assert [url for url in seen.requested if not url.startswith("data:")] == [file.as_uri()]


def test_a_link_between_pages_leads_to_the_other_pages_place(tmp_path: Path) -> None:
    write(tmp_path, INDEX, '<h1 id="top">A</h1><a href="papers/b%20c.html#x%201">b</a>', "All")
    write(
        tmp_path,
        "papers/b c.html",
        '<b id="top">B</b><i id="x 1"></i><a href="../index.html#top">up</a>'
        '<a href=\'../index.html\'>all</a><a href="#top">own</a><p aria-labelledby="top"></p>'
        '<form data-for="top"></form><a href="https://example.org/?a=1&amp;b">out</a>',
        "B c",
    )
    text = single_file(tmp_path, tmp_path / "one.html").read_text("utf-8")
    assert '<a href="#papers-b-c--x%201">' in text
    assert '<b id="papers-b-c--top">' in text
    assert '<a href="#top">up</a>' in text
    assert '<a href="#page-index">all</a>' in text
    assert '<a href="#papers-b-c--top">own</a>' in text
    assert 'data-for="papers-b-c--top"' in text
    assert "https://example.org/?a=1&amp;b" in text
    assert text.count("The end") == 1


def test_downloads_become_data_and_the_policy_names_the_script(tmp_path: Path) -> None:
    write(tmp_path, INDEX, '<i id="top"></i><a href="assets/a.csv" download>CSV</a>')
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets/a.csv").write_text("x\n1\n")
    text = single_file(tmp_path, tmp_path / "one.html").read_text("utf-8")
    assert 'href="data:text/csv;base64,eAoxCg==" download' in text
    assert re.search(r"img-src data:; .*script-src 'sha256-[^']+'; base-uri 'none'", text)


@pytest.mark.parametrize(
    ("main", "words"),
    [
        ('<a href="#nowhere">x</a>', "a link leads to '#nowhere'"),
        ('<a href="assets/gone.csv">x</a>', r"gone\.csv: no such file"),
        ('<a href="assets/b.exe">x</a>', r"b\.exe: a kind of file that the one file cannot hold"),
        ('<a href="papers/gone.html">x</a>', r"gone\.html: no such page"),
        ('<b id="top"></b>', "two elements with the id 'top'"),
    ],
)
def test_what_would_be_broken_is_named(tmp_path: Path, main: str, words: str) -> None:
    write(tmp_path, INDEX, f'<i id="top"></i>{main}')
    with pytest.raises(UserError, match=words):
        single_file(tmp_path, tmp_path / "one.html")
    assert not (tmp_path / "one.html").exists()


def test_the_command_joins_built_pages_and_asks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = CliRunner().invoke(app, ["report", "--single-file", "--out", str(tmp_path)])
    assert missing.exit_code == 1
    assert "index.html: no such page; `make report` builds the pages" in missing.output
    write(tmp_path, INDEX, '<i id="top"></i>')
    chosen = tmp_path / "sub" / "mine.html"
    for arguments, made in (([str(chosen)], chosen), ([], tmp_path / NAME)):
        done = CliRunner().invoke(
            app, ["report", *arguments, "--single-file", "--out", str(tmp_path)]
        )
        assert done.exit_code == 0, done.output
        assert made.is_file()
        assert "large" not in done.output
    monkeypatch.setattr("reid_repro.reporting.single_file.MAILABLE", 100)
    large = CliRunner().invoke(app, ["report", "--single-file", "--out", str(tmp_path)])
    assert "This is large for a mail" in large.output
    wrong = CliRunner().invoke(app, ["report", str(chosen), "--out", str(tmp_path)])
    assert "is for --single-file" in wrong.output
