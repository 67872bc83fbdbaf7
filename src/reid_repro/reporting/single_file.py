"""The whole report as one HTML file to mail: pages, images and downloads in a single document.

Made from the built pages, not from results. Every page becomes a section; ids get the page's name
in front, links between pages become links within the file, files become data URIs. An image that
many crops show is held once, as the background of a class. Style and script stand once. Nothing
outside the file is needed, and equal pages give equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from reid_repro.errors import UserError
from reid_repro.files import whole

INDEX: Final = "index.html"
NAME: Final = "reid-repro-report.html"
MAILABLE: Final = 15_000_000  # bytes; attachments grow by a third, and many servers stop at 20 MB
TYPES: Final = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".md": "text/markdown",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".webp": "image/webp",
    ".png": "image/png",
    ".jpg": "image/jpeg",
}
# Attributes that name an id, and those that name several, apart by spaces.
ONE_ID: Final = ("id", "for", "list", "form", "data-for", "aria-details")
IDS: Final = ("headers", "aria-labelledby", "aria-describedby", "aria-controls", "aria-owns")
NOTHING: Final = (  # one transparent pixel, over the background that shows the image
    "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
)
STYLE: Final = """
.contents ul { display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; list-style: none; margin: 1rem 0 0; padding: 0; font-size: 0.9rem; }
.page + .page { border-top: 3px double var(--line); margin-top: 2.5rem; }
.page > section + section { border-top: 1px solid var(--line); }
.page > section { padding-block: 2rem; }
.held { background-repeat: no-repeat; background-clip: padding-box; print-color-adjust: exact; }
"""  # noqa: E501

_TAG = re.compile(r"""<[A-Za-z][^\s/>]*(?:\s+[^\s=/>]+(?:\s*=\s*(?:"[^"]*"|'[^']*'))?)*\s*/?>""")
_ATTRIBUTE = re.compile(r"""(\s)([^\s=/>]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_LINK = re.compile(r'<a\s[^>]*?href="([^"#]+?\.html)(?:#[^"]*)?"')
_CLASS = re.compile(r'\sclass="([^"]*)"')


@dataclass(frozen=True)
class Page:
    """The parts of a built page, as written."""

    path: str  # below the report folder, as index.html links it
    title: str
    style: str
    script: str
    nav: str
    main: str
    text: str

    @property
    def prefix(self) -> str:
        """What its ids get in front; those of the index stay as they are."""
        return "" if self.path == INDEX else f"{self._slug}--"

    @property
    def id(self) -> str:
        """The id of its section."""
        return f"page-{self._slug}"

    @property
    def _slug(self) -> str:
        return re.sub(r"[^A-Za-z0-9_.-]", "-", self.path.removesuffix(".html"))


def single_file(report: Path, out: Path) -> Path:
    """Write the report in the folder `report` as one file; returns `out`.

    Raises UserError where pages are not built, or a link leads nowhere.
    """
    pages = read_pages(report)
    text = joined(report, pages)
    with whole(out) as beside:
        beside.write_text(text, "utf-8")
    return out


def read_pages(report: Path) -> list[Page]:
    """The index and every page that it leads to, in the order of the links."""
    found: dict[str, Page] = {}
    waiting = [INDEX]
    for path in waiting:  # grows while it is read
        if path not in found:
            found[path] = _page(report, path)
            folder = PurePosixPath(path).parent
            links = [html.unescape(link) for link in _LINK.findall(found[path].text)]
            waiting += [_normal(folder / unquote(one)) for one in links if not urlsplit(one).scheme]
    return list(found.values())


def joined(report: Path, pages: list[Page]) -> str:
    """The one document."""
    held = _Held(report, _often(pages))
    sections = [
        f'<section class="page" id="{page.id}" aria-label="{html.escape(page.title)}">\n'
        f"{_contents(page, _rewriter(page, pages, held))}{_rewriter(page, pages, held)(page.main)}"
        "</section>\n"
        for page in pages
    ]
    index = pages[0]
    styles = "\n".join(dict.fromkeys(page.style for page in pages))
    scripts = list(dict.fromkeys(page.script for page in pages if page.script))
    head, _, rest = index.text.partition("<body>")
    _, _, after = rest.partition("</main>")
    before, _, _ = rest.partition(index.main)
    head = re.sub(r"<style>.*?</style>", lambda _: f"<style>{styles}{STYLE}{held.css()}</style>",
                  head, count=1, flags=re.DOTALL)  # fmt: skip
    head = re.sub(r"<script>.*?</script>",
                  lambda _: "".join(f"<script>{one}</script>" for one in scripts),
                  head, count=1, flags=re.DOTALL)  # fmt: skip
    head = re.sub(r'(http-equiv="Content-Security-Policy" content=")[^"]*',
                  lambda match: match[1] + _policy(scripts), head, count=1)  # fmt: skip
    names = ["Overview", *(_short(page.title) for page in pages[1:])]
    links = "".join(
        f'<li><a href="#{page.id}">{name}</a></li>\n'
        for page, name in zip(pages, names, strict=True)
    )
    before = before.replace(index.nav, links, 1)
    frame = _rewriter(index, pages, held)
    text = f"{head}<body>{frame(before)}{''.join(sections)}</main>{frame(after)}"
    _check(text)
    return text


@dataclass
class _Held:
    """Images that many places show: one class each, in the order of their first use."""

    report: Path
    often: frozenset[str]
    names: dict[str, str] = field(default_factory=dict)

    def name(self, path: str) -> str:
        """The class of an image."""
        return self.names.setdefault(path, f"held{len(self.names)}")

    def css(self) -> str:
        """The rules that hold the images."""
        return "".join(
            f".{name}{{background-image:url({_data(self.report / path)})}}\n"
            for path, name in self.names.items()
        )


def _page(report: Path, path: str) -> Page:
    file = report / path
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        raise UserError(f"{file}: no such page; `make report` builds the pages") from None
    parts = {
        name: re.search(pattern, text, re.DOTALL)
        for name, pattern in {
            "title": r"<title>(.*?)</title>",
            "style": r"<style>(.*?)</style>",
            "nav": r'<nav aria-label="Contents">\s*<ul>(.*?)</ul>',
            "main": r'<main id="content"[^>]*>(.*)</main>',
        }.items()
    }
    missing = [name for name, found in parts.items() if found is None]
    if missing:
        raise UserError(f"{file}: no {missing[0]} in it; build the pages anew with `make report`")
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    found = {name: match[1] for name, match in parts.items() if match}
    return Page(
        path=path,
        title=html.unescape(found["title"]),
        style=found["style"],
        script=script[1] if script else "",
        nav=found["nav"],
        main=found["main"],
        text=text,
    )


def _often(pages: Iterable[Page]) -> frozenset[str]:
    """Images that several crops show."""
    used = Counter(
        _normal(PurePosixPath(page.path).parent / unquote(html.unescape(source)))
        for page in pages
        for source in re.findall(r'<img\s[^>]*?src="([^"]+)"[^>]*object-position', page.main)
    )
    return frozenset(path for path, times in used.items() if times > 1)


def _contents(page: Page, rewrite: Callable[[str], str]) -> str:
    """The links to a page's parts, as they stand in its own bar."""
    label = html.escape(f"Contents of {page.title}")
    return f'<nav class="contents" aria-label="{label}"><ul>{rewrite(page.nav)}</ul></nav>\n'


def _rewriter(page: Page, pages: list[Page], held: _Held) -> Callable[[str], str]:
    """A function that makes a fragment of `page` fit into the one document."""
    by_path = {other.path: other for other in pages}
    folder = PurePosixPath(page.path).parent

    def link(value: str) -> str:
        parts = urlsplit(html.unescape(value))
        if parts.scheme or parts.netloc:
            return value
        if not parts.path:
            return f"#{page.prefix}{value.removeprefix('#')}" if value != "#" else value
        path = _normal(folder / unquote(parts.path))
        if path in by_path:
            other = by_path[path]
            return f"#{other.prefix}{parts.fragment}" if parts.fragment else f"#{other.id}"
        return _data(held.report / path)

    def attribute(match: re.Match[str]) -> str:
        space, name = match[1], match[2]
        value = match[3] if match[3] is not None else match[4]
        if name in ONE_ID:
            value = page.prefix + value
        elif name in IDS:
            value = " ".join(page.prefix + one for one in value.split())
        elif name in ("href", "src"):
            value = link(value)
        elif "url(#" in value:
            value = value.replace("url(#", f"url(#{page.prefix}")
        else:
            return match[0]
        quote = "'" if '"' in value else '"'
        return f"{space}{name}={quote}{value}{quote}"

    def tag(match: re.Match[str]) -> str:
        text = match[0]
        if text.startswith("<img"):
            source = re.search(r'\ssrc="([^"]+)"', text)
            path = _normal(folder / unquote(html.unescape(source[1]))) if source else ""
            if source and path in held.often and "object-position" in text:
                text = _as_background(text.replace(source[0], f' src="{NOTHING}"'), held.name(path))
        return _ATTRIBUTE.sub(attribute, text)

    return lambda fragment: _TAG.sub(tag, fragment)


def _as_background(tag: str, name: str) -> str:
    """An `<img>` whose place in a sheet is that of a background."""
    tag = tag.replace("object-position", "background-position", 1)
    if _CLASS.search(tag):
        return _CLASS.sub(lambda match: f' class="{match[1]} held {name}"', tag, count=1)
    return tag.replace("<img", f'<img class="held {name}"', 1)


def _data(file: Path) -> str:
    """A file as a data URI."""
    kind = TYPES.get(file.suffix)
    if kind is None or not file.is_file():
        why = "no such file" if kind else "a kind of file that the one file cannot hold"
        raise UserError(f"{file}: {why}; build the pages anew with `make report`")
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"


def _policy(scripts: list[str]) -> str:
    """The content security policy: nothing from anywhere, the scripts by their hashes."""
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes) or "'none'"
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src {allowed}; base-uri 'none'; form-action 'none'"
    )


def _normal(path: PurePosixPath) -> str:
    """A path without `..`."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _short(title: str) -> str:
    """A page's title up to its first colon, for the bar."""
    return html.escape(title.partition(":")[0])


def _check(text: str) -> None:
    """UserError where two elements share an id, or a link within the file has no target."""
    ids = Counter(
        html.unescape(match[3] or match[4] or "")
        for tag in _TAG.finditer(text)
        for match in _ATTRIBUTE.finditer(tag[0])
        if match[2] == "id"
    )
    twice = [name for name, times in ids.items() if times > 1]
    if twice:
        raise UserError(f"one file: two elements with the id '{twice[0]}'")
    for tag in _TAG.finditer(text):
        for match in _ATTRIBUTE.finditer(tag[0]):
            value = html.unescape(match[3] or match[4] or "")
            if match[2] == "href" and value.startswith("#") and unquote(value[1:]) not in ids:
                raise UserError(f"one file: a link leads to '{value}', which is nowhere")
