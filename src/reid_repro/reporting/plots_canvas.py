"""Small SVG plots drawn shape by shape, in the colours and type of the report's other figures.

matplotlib takes a tenth of a second and a dozen kilobytes a panel, mostly for its axes. The plots
here are lines, bands, steps and dots on one pair of axes: this writes them directly, each shape
with a theme class (`theme.page_css` recolours it) beside its light colour for plain viewers.
Nothing has an id, so that any number of panels share a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import numpy.typing as npt

from reid_repro.reporting import theme
from reid_repro.reporting.plots_axes import Axis
from reid_repro.reporting.svg import FONT, SVG

Marker = Literal["line", "area", "dot", "square", "triangle", "diamond"]
MARKERS: Final[tuple[Marker, ...]] = ("dot", "square", "triangle", "diamond")
Values = Sequence[float] | npt.NDArray[np.float64]

SIZE: Final = 11  # of the type; titles are one larger
CHARACTER: Final = 0.56  # mean width of a character in units of the size
TICK: Final = 5  # between an axis and its numbers
LINE: Final = 16  # height of a line of text
GAP: Final = 7  # between a point and its words
# Of words at a point, from its height down.
SHIFTS: Final = (3.5, -8.5, 15.5, -20.5, 27.5, -32.5, 39.5)
ROOM: Final = 8  # at the right and top edge


class Canvas:
    """One panel: axes first, then shapes in the order of their drawing.

    `legend` holds (text, mark, series number or role, dash number); it stands below the title,
    where it hides nothing. Words at points give way to one another.
    """

    def __init__(
        self,
        x: Axis,
        y: Axis,
        *,
        title: str,
        label: str,
        width: float = 400,
        height: float = 270,
        legend: Sequence[tuple[str, Marker, int | str, int]] = (),
    ) -> None:
        self.x, self.y, self.label = x, y, label
        self.width, self.height = width, height
        self._shapes: list[str] = []
        numbers = max((len(text) for _, text in y.numbers), default=0)
        self._left = numbers * SIZE * CHARACTER + TICK + 4 + (LINE if y.label else 0)
        self._right = width - ROOM - 6
        top = self._legend(legend, self._title(title))
        self._top = top + ROOM
        self._bottom = height - LINE - TICK - (LINE if x.label else 0)
        self._axes()

    def line(
        self, xs: Values, ys: Values, number: int, *, dash: int = 0, width: float = 1.8
    ) -> None:
        """A line through the points."""
        data = "M" + "L".join(self._points(xs, ys))
        self._shapes.append(self._path(data, _stroke(number, dash, width)))

    def area(self, xs: Values, low: Values, high: Values, number: int, opacity: float) -> None:
        """A filled band between two lines."""
        back = [self._point(a, b) for a, b in zip(xs, high, strict=True)][::-1]
        data = "M" + "L".join([*self._points(xs, low), *back]) + "Z"
        self._shapes.append(self._path(data, _fill(number, opacity)))

    def steps(self, edges: Values, heights: Values, number: int, *, dash: int = 0) -> None:
        """A histogram: n + 1 edges and n heights, filled lightly, with its outline."""
        data = f"M{self._point(edges[0], self.y.low)}"
        for start, end, height in zip(edges[:-1], edges[1:], heights, strict=True):
            if height > 0 or not data.endswith("Z"):
                data += f"L{self._point(start, height)}L{self._point(end, height)}"
        data += f"L{self._point(edges[-1], self.y.low)}"
        self._shapes.append(self._path(data, _fill(number, 0.16)))
        self._shapes.append(self._path(data, _stroke(number, dash, 1.5)))

    def dots(self, xs: Values, ys: Values, number: int, marker: Marker = "dot") -> None:
        """A mark a point."""
        data = "".join(_mark(marker, *self._xy(a, b)) for a, b in zip(xs, ys, strict=True))
        self._shapes.append(self._path(data, _fill(number, 1)))

    def bars(self, xs: Values, low: Values, high: Values, number: int) -> None:
        """A vertical interval a point."""
        data = "".join(
            f"M{self._point(a, b)}V{_number(self._xy(a, c)[1])}"
            for a, b, c in zip(xs, low, high, strict=True)
        )
        self._shapes.append(self._path(data, _stroke(number, 0, 1.3)))

    def levels(self, ys: Values, low: Values, high: Values, number: int) -> None:
        """A horizontal interval a point."""
        data = "".join(
            f"M{self._point(b, a)}H{_number(self._xy(c, a)[0])}"
            for a, b, c in zip(ys, low, high, strict=True)
        )
        self._shapes.append(self._path(data, _stroke(number, 0, 1.5)))

    def across(self, value: float, role: str = "muted", *, dash: int = 0) -> None:
        """A horizontal line over the whole panel."""
        y = _number(self._xy(self.x.low, value)[1])
        data = f"M{_number(self._left)} {y}H{_number(self._right)}"
        self._shapes.append(self._path(data, _stroke(role, dash, 1.2)))

    def upright(self, value: float, role: str = "muted", *, dash: int = 0) -> None:
        """A vertical line over the whole panel."""
        x = _number(self._xy(value, self.y.low)[0])
        data = f"M{x} {_number(self._top)}V{_number(self._bottom)}"
        self._shapes.append(self._path(data, _stroke(role, dash, 1.2)))

    def words(self, points: Sequence[tuple[float, float, str]]) -> None:
        """Words beside points (x, y, text): where nothing else stands, as near as may be.

        Draw the points' marks afterwards, so that no words lie over one.
        """
        taken = [(x - 4, x + 4, y + 3.5) for x, y in (self._xy(x, y) for x, y, _ in points)]
        for x, y, text in points:
            left, top = self._xy(x, y)
            wide = len(text) * SIZE * CHARACTER
            places = [
                (left + side, top + shift)
                for shift in SHIFTS
                for side in (GAP, -GAP - wide)
                if left + side > self._left and left + side + wide < self.width
                if self._top + SIZE / 2 < top + shift < self._bottom
            ] or [(left + GAP, top + SHIFTS[0])]
            start, line = min(
                places,
                key=lambda place: sum(
                    place[0] + wide > a and place[0] < b and abs(place[1] - other) < SIZE
                    for a, b, other in taken
                ),
            )
            taken.append((start, start + wide, line))
            before = start < left
            anchor = "end" if before else ""
            self._write(start + wide * before, line, text, anchor=anchor, halo=True)

    def svg(self) -> str:
        """The panel as an `<svg>` element."""
        size = f"{_number(self.width)} {_number(self.height)}"
        return (
            f'<svg xmlns="{SVG}" class="panel" width="{_number(self.width)}" '
            f'height="{_number(self.height)}" viewBox="0 0 {size}" role="img" '
            f'aria-label={quoteattr(self.label)} font-family="{FONT}" font-size="{SIZE}" '
            f'stroke-linejoin="round">{"".join(self._shapes)}</svg>'
        )

    def _title(self, title: str) -> float:
        self._write(4, 14, title, size=SIZE + 1, bold=True)
        return 18.0

    def _legend(self, entries: Sequence[tuple[str, Marker, int | str, int]], top: float) -> float:
        """Marks and words in rows; returns where the last row ends."""
        left, row = 4.0, top + LINE - 3
        for words, mark, number, dash in entries:
            wide = 24 + len(words) * SIZE * CHARACTER + 10
            if left > 4 and left + wide > self.width:
                left, row = 4.0, row + LINE
            self._key(left, row - 4, mark, number, dash)
            self._write(left + 23, row, words)
            left += wide
        return row if entries else top

    def _key(self, x: float, y: float, mark: Marker, number: int | str, dash: int) -> None:
        if mark == "line":
            data = f"M{_number(x)} {_number(y)}h18"
            self._shapes.append(self._path(data, _stroke(number, dash, 1.8)))
        elif mark == "area":
            data = f"M{_number(x)} {_number(y - 4)}h18v8h-18z"
            self._shapes.append(self._path(data, _fill(number, 0.35)))
        else:
            self._shapes.append(self._path(_mark(mark, x + 9, y), _fill(number, 1)))

    def _axes(self) -> None:
        grid, ticks = "", []
        for value, words in self.x.numbers:
            at = self._xy(value, self.y.low)[0]
            grid += f"M{_number(at)} {_number(self._top)}V{_number(self._bottom)}" * self.x.grid
            ticks.append((at, self._bottom + LINE - 2, words, "middle"))
        for value, words in self.y.numbers:
            at = self._xy(self.x.low, value)[1]
            grid += f"M{_number(self._left)} {_number(at)}H{_number(self._right)}" * self.y.grid
            ticks.append((self._left - TICK, at + 4, words, "end"))
        if grid:
            self._shapes.append(self._path(grid, _stroke("grid", 0, 0.8)))
        frame = f"M{_number(self._left)} {_number(self._top)}V{_number(self._bottom)}"
        self._shapes.append(self._path(f"{frame}H{_number(self._right)}", _stroke("muted", 0, 0.8)))
        for left, top, words, anchor in ticks:
            self._write(left, top, words, anchor=anchor, role="muted")
        middle = (self._left + self._right) / 2
        if self.x.label:
            self._write(middle, self.height - 5, self.x.label, anchor="middle")
        if self.y.label:
            x, y = LINE - 4, (self._top + self._bottom) / 2
            turn = f' transform="rotate(-90 {_number(x)} {_number(y)})"'
            self._write(x, y, self.y.label, anchor="middle", more=turn)

    def _write(
        self,
        x: float,
        y: float,
        words: str,
        *,
        anchor: str = "",
        role: str = "ink",
        size: int = SIZE,
        bold: bool = False,
        halo: bool = False,
        more: str = "",
    ) -> None:
        look = f' text-anchor="{anchor}"' if anchor else ""
        look += f' font-size="{size}"' if size != SIZE else ""
        look += ' font-weight="700"' if bold else ""
        around = ""
        if halo:  # the colour of the ground parts words from lines behind them
            look += f' paint-order="stroke" stroke="{theme.light("paper")}" stroke-width="3"'
            around = " s-paper"
        self._shapes.append(
            f'<text x="{_number(x)}" y="{_number(y)}" class="f-{role}{around}" '
            f'fill="{theme.light(role)}"{look}{more}>{escape(words)}</text>'
        )

    @staticmethod
    def _path(data: str, look: str) -> str:
        return f'<path d="{data}" {look}/>'

    def _points(self, xs: Values, ys: Values) -> list[str]:
        return [self._point(a, b) for a, b in zip(xs, ys, strict=True)]

    def _point(self, x: float, y: float) -> str:
        left, top = self._xy(x, y)
        return f"{_number(left)} {_number(top)}"

    def _xy(self, x: float, y: float) -> tuple[float, float]:
        """User units of a point; what lies outside the axes comes to their edge."""
        across = min(1.0, max(0.0, self.x.place(float(x))))
        up = min(1.0, max(0.0, self.y.place(float(y))))
        return (
            self._left + across * (self._right - self._left),
            self._bottom - up * (self._bottom - self._top),
        )


def document(panels: Sequence[str], title: str, description: str) -> str:
    """Panels below each other as one SVG file that stands alone, light and dark."""
    sizes = [[float(v) for v in panel.split('viewBox="0 0 ')[1].split('"')[0].split()]
             for panel in panels]  # fmt: skip
    width, height = max(w for w, _ in sizes), sum(h for _, h in sizes)
    dark = "".join(
        f".{kind}-{role}{{{prop}:{pair[1]}}}"
        for role, pair in theme.COLOURS.items()
        for kind, prop in (("s", "stroke"), ("f", "fill"))
    )
    placed, top = "", 0.0
    for panel, (_, tall) in zip(panels, sizes, strict=True):
        placed += panel.replace("<svg ", f'<svg y="{_number(top)}" ', 1)
        top += tall
    return (
        f'<svg xmlns="{SVG}" role="img" aria-labelledby="title desc" width="{_number(width)}" '
        f'height="{_number(height)}" viewBox="0 0 {_number(width)} {_number(height)}">'
        f'<title id="title">{escape(title)}</title><desc id="desc">{escape(description)}</desc>'
        f"<style>@media (prefers-color-scheme:dark){{{dark}}}</style>"
        f'<rect width="100%" height="100%" class="f-paper" fill="{theme.light("paper")}"/>'
        f"{placed}</svg>\n"
    )


def _role(number: int | str) -> str:
    return number if isinstance(number, str) else theme.SERIES[number % len(theme.SERIES)]


def _stroke(number: int | str, dash: int, width: float) -> str:
    role = _role(number)
    look = f'class="s-{role}" fill="none" stroke="{theme.light(role)}" stroke-width="{width:g}"'
    pattern = theme.DASHES[dash % len(theme.DASHES)]
    if isinstance(pattern, tuple):
        look += f' stroke-dasharray="{" ".join(f"{width * part:g}" for part in pattern[1])}"'
    return look


def _fill(number: int | str, opacity: float) -> str:
    role = _role(number)
    seen = f' fill-opacity="{opacity:g}"' if opacity < 1 else ""
    return f'class="f-{role}" fill="{theme.light(role)}"{seen}'


def _mark(marker: Marker, x: float, y: float) -> str:
    """A mark of about 8 units around a point, as path data."""
    if marker == "square":
        return f"M{_number(x - 3.5)} {_number(y - 3.5)}h7v7h-7z"
    if marker == "triangle":
        return f"M{_number(x - 4.2)} {_number(y + 3.5)}h8.4l-4.2 -7.6z"
    if marker == "diamond":
        return f"M{_number(x - 4.6)} {_number(y)}l4.6 -4.6l4.6 4.6l-4.6 4.6z"
    return f"M{_number(x - 3.8)} {_number(y)}a3.8 3.8 0 1 0 7.6 0a3.8 3.8 0 1 0 -7.6 0"


def _number(value: float) -> str:
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text
