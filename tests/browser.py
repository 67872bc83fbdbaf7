"""A headless Chromium for tests of HTML pages opened from disk, and what can be asked of a page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str | None:
    """REID_REPRO_CHROMIUM if set, else the first Chromium on the path."""
    named = os.environ.get("REID_REPRO_CHROMIUM")
    if named:
        return named
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def require_chromium() -> str:
    """The Chromium to use. Without one the test skips, in CI it fails."""
    found = find_chromium()
    if found is None:
        reason = f"no Chromium found ({', '.join(NAMES)}); set REID_REPRO_CHROMIUM to one"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@contextmanager
def launched() -> Iterator[Browser]:
    """A running browser; it ends with the block."""
    executable = require_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """An opened page and what went wrong while it was open."""

    page: Page
    console: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)


@contextmanager
def visit(
    browser: Browser,
    file: Path,
    *,
    width: int = 1280,
    scheme: str = "light",
    scripts: bool = True,
    fragment: str = "",
) -> Iterator[Visit]:
    """`file` opened from disk in a window of its own, every drawer open, all images loaded."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=scripts,
    )
    seen = Visit(context.new_page())
    seen.page.set_default_timeout(10_000)
    noted = {"error", "warning"}
    seen.page.on("console", lambda m: seen.console.append(m.text) if m.type in noted else None)
    seen.page.on("pageerror", lambda error: seen.console.append(str(error)))
    seen.page.on("requestfailed", lambda request: seen.failed.append(request.url))
    seen.page.on("request", lambda request: seen.requested.append(request.url))
    try:
        seen.page.goto(file.as_uri() + (f"#{fragment}" if fragment else ""))
        yield seen
    finally:
        context.close()


def load_everything(page: Page) -> None:
    """Open every drawer and wait for every lazy image."""
    page.evaluate(
        """async () => {
            for (const drawer of document.querySelectorAll("details")) drawer.open = true;
            const images = [...document.images];
            for (const image of images) image.loading = "eager";
            await Promise.all(images.map((image) => image.decode()));
        }"""
    )


# Contrast by WCAG 2.2: every element that holds text of its own against the colours below it.
LOW_CONTRAST = """() => {
  const parse = (text) => {
    const n = text.match(/[\\d.]+/g).map(Number);
    return [n[0], n[1], n[2], n.length > 3 ? n[3] : 1];
  };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => {
      v /= 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      layers.push(parse(getComputedStyle(e).backgroundColor));
    }
    return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const found = [];
  let checked = 0;
  for (const element of document.querySelectorAll("body *")) {
    if (["SCRIPT", "STYLE"].includes(element.tagName)) continue;
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    if (style.visibility === "hidden" || +style.opacity === 0) continue;
    const svg = element instanceof SVGElement;
    const below = ground(element);
    const text = over(parse(svg ? style.fill : style.color), below);
    const [high, low] = [luminance(text), luminance(below)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700);
    checked += 1;
    if (ratio < (large ? 3 : 4.5)) {
      found.push(`${element.tagName} ${element.className.baseVal ?? element.className}: ` +
                 `${ratio.toFixed(2)} ${element.textContent.trim().slice(0, 40)}`);
    }
  }
  return {found, checked};
}"""
