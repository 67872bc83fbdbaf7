"""matplotlib figures as small SVG files that follow the reader's light or dark theme.

matplotlib writes colours into `style` attributes. Here every colour of `theme.COLOURS` becomes a
class beside a presentation attribute: CSS can then recolour the shape, and a viewer without CSS
still shows the light theme. One file holds one or more panels as nested `<svg>` elements, so that
a page can lay them out side by side or below each other (`inline`). Text stays text.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from reid_repro.errors import UserError
from reid_repro.files import whole
from reid_repro.reporting import theme

SVG: Final = "http://www.w3.org/2000/svg"
XLINK: Final = "{http://www.w3.org/1999/xlink}href"
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
GAP: Final = 18  # user units between two panels
_ROLE_OF: Final = {pair[0]: role for role, pair in theme.COLOURS.items()}
_DROPPED: Final = {"version", "stroke-miterlimit", "font-family"}

ET.register_namespace("", SVG)


@dataclass(frozen=True)
class Panel:
    """One plot: a matplotlib figure and the sentence that stands for it in words."""

    figure: Figure
    label: str


def style() -> AbstractContextManager[None]:
    """matplotlib settings for every plot of the report."""
    ink, muted = theme.light("ink"), theme.light("muted")
    return mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "reid-repro",
            "text.parse_math": False,  # a dollar sign in a title is a dollar sign
            "font.family": "DejaVu Sans",  # measures only; the file names no font of its own
            "font.size": 11,
            "text.color": ink,
            "axes.facecolor": "none",
            "figure.facecolor": "none",
            "axes.edgecolor": muted,
            "axes.labelcolor": ink,
            "axes.titlesize": 12,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.8,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": theme.light("grid"),
            "grid.linewidth": 0.8,
            "xtick.color": muted,
            "ytick.color": muted,
            "xtick.major.size": 3,
            "ytick.major.size": 3,
            "legend.frameon": False,
            "legend.fontsize": 10.5,
            "lines.linewidth": 1.8,
            "lines.markersize": 4.5,
        }
    )


def panel_figure(width: float, height: float) -> Figure:
    """An empty figure of one panel; sizes in user units (1/72 inch)."""
    figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def save(panels: Sequence[Panel], out: Path, *, title: str, description: str) -> None:
    """Write the panels, side by side, into one SVG that also stands alone.

    `title` and `description` are what assistive technology reads.
    """
    root = ET.Element(
        f"{{{SVG}}}svg",
        {
            "role": "img",
            "aria-labelledby": "title desc",
            "font-family": FONT,
            "stroke-linejoin": "round",
            "stroke-linecap": "butt",
        },
    )
    ET.SubElement(root, f"{{{SVG}}}title", {"id": "title"}).text = title
    ET.SubElement(root, f"{{{SVG}}}desc", {"id": "desc"}).text = description
    ET.SubElement(root, f"{{{SVG}}}style").text = _standalone_css()
    ground = ET.SubElement(root, f"{{{SVG}}}rect", {"width": "100%", "height": "100%"})
    ground.set("class", "f-paper")
    ground.set("fill", theme.light("paper"))
    left, height = 0.0, 0.0
    for number, panel in enumerate(panels):
        drawn, size = _draw(panel.figure, prefix=f"p{number}-")
        drawn.attrib = {
            "class": "panel",
            "x": _number(left),
            "width": _number(size[0]),
            "height": _number(size[1]),
            "viewBox": f"0 0 {_number(size[0])} {_number(size[1])}",
            "role": "img",
            "aria-label": panel.label,
        }
        root.append(drawn)
        left += size[0] + GAP
        height = max(height, size[1])
    width = left - GAP
    root.set("viewBox", f"0 0 {_number(width)} {_number(height)}")
    root.set("width", _number(width))
    root.set("height", _number(height))
    with whole(out) as beside:
        beside.write_text(ET.tostring(root, encoding="unicode") + "\n", "utf-8")


def inline(path: Path, prefix: str) -> tuple[str, list[str]]:
    """The panels of a saved file for an HTML page: (what the figure shows, one `<svg>` each).

    Every id gets `prefix`, so that many figures share one page. Raises UserError for a file that
    is missing or was not written by `save`.
    """
    try:
        root = ET.parse(path).getroot()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; the figures phase writes it") from None
    except ET.ParseError:
        raise UserError(f"{path}: not a readable SVG; delete it and run again") from None
    panels = root.findall(f"{{{SVG}}}svg")
    if not panels:
        raise UserError(f"{path}: holds no panel; delete it and run again")
    inherited: dict[str, str] = {
        key: root.attrib[key]
        for key in ("font-family", "stroke-linejoin", "stroke-linecap")
        if key in root.attrib
    }
    texts = []
    for panel in panels:
        panel.attrib.pop("x", None)
        panel.attrib |= inherited
        _prefix_ids(panel, prefix)
        texts.append(ET.tostring(panel, encoding="unicode"))
    return root.findtext(f"{{{SVG}}}desc") or "", texts


def _standalone_css() -> str:
    """Dark colours for the file opened by itself; `svg:root` keeps them out of a host page."""
    rules = "".join(
        f"svg:root .{kind}-{role}{{{prop}:{dark}}}"
        for role, (_, dark) in theme.COLOURS.items()
        for kind, prop in (("s", "stroke"), ("f", "fill"))
    )
    return f"@media (prefers-color-scheme:dark){{{rules}}}"


def _draw(figure: Figure, prefix: str) -> tuple[ET.Element, tuple[float, float]]:
    buffer = io.BytesIO()
    nothing: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", metadata=nothing)
    root = ET.fromstring(buffer.getvalue())
    _clean(root)
    _prefix_ids(root, prefix)
    box = [float(value) for value in root.attrib["viewBox"].split()]
    return root, (box[2], box[3])


def _clean(root: ET.Element) -> None:
    """Drop what only matplotlib needs; turn styles into attributes and theme classes."""
    for parent in root.iter():
        for child in list(parent):
            name = child.tag.rpartition("}")[2]
            if name == "metadata" or (name == "style"):
                parent.remove(child)
    for element in root.iter():
        element.tail = None
        if element.tag.rpartition("}")[2] != "text":
            element.text = None
        _unstyle(element)
        if XLINK in element.attrib:
            element.set("href", element.attrib.pop(XLINK))
        if "d" in element.attrib:
            element.set("d", _path(element.attrib["d"]))
    used = {match for e in root.iter() for match in _references(e)}
    for element in root.iter():
        if element.attrib.get("id") not in used:
            element.attrib.pop("id", None)
    _drop_empty(root)


def _unstyle(element: ET.Element) -> None:
    classes = []
    for declaration in filter(None, element.attrib.pop("style", "").split(";")):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key == "font":
            element.attrib |= _font(value)
        elif key not in _DROPPED:
            element.set(key, value)
    for key, kind in (("fill", "f"), ("stroke", "s")):
        role = _ROLE_OF.get(element.attrib.get(key, ""))
        if role:
            classes.append(f"{kind}-{role}")
    if classes:
        element.set("class", " ".join(classes))
    for key in _DROPPED:
        element.attrib.pop(key, None)
    if element.attrib.get("transform", "").startswith(("rotate(-0 ", "rotate(0 ")):
        del element.attrib["transform"]


def _font(value: str) -> dict[str, str]:
    """`font: bold 12px 'Name'` as presentation attributes."""
    size = re.search(r"([\d.]+)px", value)
    found = {"font-size": size[1]} if size else {}
    weight = re.match(r"(bold|[5-9]00)\b", value)
    return found | ({"font-weight": weight[1]} if weight else {})


def _path(data: str) -> str:
    """Path data on one line with two decimals."""
    short = re.sub(r"-?\d+\.\d+", lambda m: _number(float(m[0])), data)
    return " ".join(short.split())


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _references(element: ET.Element) -> list[str]:
    return [
        match
        for value in element.attrib.values()
        for match in re.findall(r"(?:^|\()#([\w-]+)", value)
    ]


def _prefix_ids(root: ET.Element, prefix: str) -> None:
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, prefix + value)
            elif key == "href" or value.startswith("url("):
                element.set(key, value.replace("#", f"#{prefix}"))


def _drop_empty(element: ET.Element) -> None:
    """Remove groups and definitions that hold nothing."""
    for child in list(element):
        _drop_empty(child)
        name = child.tag.rpartition("}")[2]
        if name in {"g", "defs"} and not len(child) and "id" not in child.attrib:
            element.remove(child)
