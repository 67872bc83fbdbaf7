"""The files of the report: collected first, then written together, each whole or not at all."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from reid_repro.errors import UserError
from reid_repro.files import whole

FOLDER = "assets"


@dataclass
class Assets:
    """What the pages link to, by the path below the report folder."""

    files: dict[str, Path | str] = field(default_factory=dict)

    def copy(self, source: Path, name: str) -> str:
        """Take `source` into the report as `assets/{name}`; returns that path."""
        if not source.is_file():
            raise UserError(f"{source}: no such file; `snakemake --cores all {source}` makes it")
        return self._add(source, name)

    def text(self, content: str, name: str) -> str:
        """Put `content` into the report as `assets/{name}`; returns that path."""
        return self._add(content, name)

    def _add(self, content: Path | str, name: str) -> str:
        href = f"{FOLDER}/{name}"
        if self.files.get(href, content) != content:
            raise ValueError(f"two files of the report are called {href}")
        self.files[href] = content
        return href


def write(report: Path, assets: Assets, pages: dict[str, str]) -> list[Path]:
    """Write assets, then pages in order, and remove what an earlier report left behind.

    Returns the pages' paths. The index comes last, so that it never links to what is not there.
    """
    for href, content in assets.files.items():
        with whole(report / href) as beside:
            if isinstance(content, Path):
                shutil.copyfile(content, beside)
            else:
                beside.write_text(content, "utf-8")
    for name, text in pages.items():
        with whole(report / name) as beside:
            beside.write_text(text, "utf-8")
    _remove_others(report, {report / name for name in (*assets.files, *pages)})
    return [report / name for name in pages]


def _remove_others(report: Path, kept: set[Path]) -> None:
    pages = [*(report / "papers").glob("*.html"), *(report / "stages").glob("*.html")]
    for path in [*(report / FOLDER).rglob("*"), *pages]:
        if path.is_file() and path not in kept:
            path.unlink()
