"""File names and folders of the two public layouts that rendered sets are written in.

Market-1501: `bounding_box_train/`, `bounding_box_test/`, `query/`, names
`0001_c1s1_000001_00.jpg`; a query is not in the gallery folder. VeRi-776: `image_train/`,
`image_test/`, `image_query/`, names `0001_c001_00000001_0.jpg`, lists of names, label files with
colour and type; every query is in `image_test/` as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from xml.sax.saxutils import quoteattr

Layout = Literal["market1501", "veri776"]
Role = Literal["train", "query", "gallery"]

LAYOUTS: Final[tuple[Layout, ...]] = ("market1501", "veri776")
# What one digit (Market-1501) and three digits (VeRi-776) can number.
MAX_CAMERAS: Final[dict[Layout, int]] = {"market1501": 9, "veri776": 999}
MAX_IDS: Final = 9999  # both layouts write four digits

_FOLDERS: Final[dict[Layout, dict[Role, tuple[str, ...]]]] = {
    "market1501": {
        "train": ("bounding_box_train",),
        "query": ("query",),
        "gallery": ("bounding_box_test",),
    },
    "veri776": {
        "train": ("image_train",),
        "query": ("image_query", "image_test"),
        "gallery": ("image_test",),
    },
}


@dataclass(frozen=True, slots=True)
class Photograph:
    """One image of the set; identity, camera and index count from 0, as renderers count."""

    identity: int
    camera: int
    index: int
    role: Role

    def name(self, layout: Layout) -> str:
        """The file name, in which identity, camera and frame count from 1."""
        identity, camera, frame = self.identity + 1, self.camera + 1, self.index + 1
        if layout == "market1501":
            return f"{identity:04d}_c{camera}s1_{frame:06d}_00.jpg"
        return f"{identity:04d}_c{camera:03d}_{frame:08d}_0.jpg"

    def paths(self, layout: Layout) -> tuple[str, ...]:
        """Where the image lies, relative to the set's folder."""
        name = self.name(layout)
        return tuple(f"{folder}/{name}" for folder in _FOLDERS[layout][self.role])


def make_folders(layout: Layout, root: Path) -> None:
    """Create the layout's image folders under `root`."""
    for folders in _FOLDERS[layout].values():
        for folder in folders:
            (root / folder).mkdir(exist_ok=True)


def write_veri_lists(
    root: Path, photographs: Sequence[Photograph], looks: dict[int, tuple[str, str]]
) -> None:
    """VeRi-776's text and XML files; `looks` maps an identity to (colour, type) in words."""
    named: dict[str, list[Photograph]] = {
        "train": [p for p in photographs if p.role == "train"],
        "test": [p for p in photographs if p.role != "train"],
        "query": [p for p in photographs if p.role == "query"],
    }
    for subset, members in named.items():
        members.sort(key=lambda p: (p.identity, p.camera, p.index))
        _write_lines(root / f"name_{subset}.txt", [p.name("veri776") for p in members])
    colours = _numbered([colour for colour, _ in looks.values()])
    types = _numbered([kind for _, kind in looks.values()])
    for file, numbers in (("list_color.txt", colours), ("list_type.txt", types)):
        _write_lines(root / file, [f"{number} {word}" for word, number in numbers.items()])
    for subset in ("train", "test"):
        items = []
        for photograph in named[subset]:
            colour, kind = looks[photograph.identity]
            items.append(
                f"    <Item imageName={quoteattr(photograph.name('veri776'))}"
                f' vehicleID="{photograph.identity + 1:04d}"'
                f' cameraID="c{photograph.camera + 1:03d}"'
                f' colorID="{colours[colour]}" typeID="{types[kind]}"/>'
            )
        head = ['<?xml version="1.0" encoding="UTF-8"?>', '<TrainingImages Version="1.0">']
        head.append(f'  <Items number="{len(items)}">')
        _write_lines(
            root / f"{subset}_label.xml", [*head, *items, "  </Items>", "</TrainingImages>"]
        )


def _numbered(words: Sequence[str]) -> dict[str, int]:
    return {word: number for number, word in enumerate(sorted(set(words)), start=1)}


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
