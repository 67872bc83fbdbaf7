"""The colours of the report, once for figures and pages, light and dark.

The series colours are those of Okabe & Ito (2008), darkened on white and lightened on black until
each keeps a contrast of at least 4.5 to its ground. Colour is never the only mark: lines
also differ in dashes and markers, right and wrong in glyph and border.
"""

from __future__ import annotations

from typing import Final

# role -> (light, dark); the light value is also what a plain SVG viewer shows.
COLOURS: Final[dict[str, tuple[str, str]]] = {
    "paper": ("#ffffff", "#15191d"),
    "ink": ("#1b2025", "#e8ebee"),
    "muted": ("#59626b", "#a4adb6"),
    "grid": ("#e3e6ea", "#2c3238"),
    "series0": ("#0b62a4", "#62b5ec"),
    "series1": ("#b94700", "#ff9a4d"),
    "series2": ("#00755a", "#3ecda2"),
    "series3": ("#9b3a78", "#e796c8"),
    "series4": ("#6a5a00", "#e0c94a"),
    "series5": ("#4f5b66", "#b6c2cc"),
}
SERIES: Final = tuple(role for role in COLOURS if role.startswith("series"))
DASHES: Final = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (9, 2)), (0, (3, 3)))
MARKERS: Final = ("o", "s", "^", "D", "v", "P")


def light(role: str) -> str:
    """The light value of a role, as `#rrggbb`."""
    return COLOURS[role][0]


def series(number: int) -> str:
    """The light colour of the n-th line of a plot."""
    return light(SERIES[number % len(SERIES)])


# What only pages need: grounds, lines, links and the marks of right, wrong and caution.
PAGE: Final[dict[str, tuple[str, str]]] = {
    "ground": ("#f6f7f8", "#0e1114"),
    "raised": ("#eef1f4", "#1e242a"),
    "line": ("#d5dae0", "#333b43"),
    "link": ("#0b5a97", "#7cc0f2"),
    "right": ("#0b62a4", "#62b5ec"),
    "wrong": ("#b94700", "#ff9a4d"),
    "tint": ("#edf3f9", "#17232d"),
    # Verdicts: the colour only repeats what the glyph says.
    "v-reproduced": ("#0b62a4", "#62b5ec"),
    "v-partially": ("#00755a", "#3ecda2"),
    "v-not_reproduced": ("#b94700", "#ff9a4d"),
    "v-inconclusive": ("#6a5a00", "#e0c94a"),
    "v-paper_inconsistent": ("#9b3a78", "#e796c8"),
    "v-not_run": ("#59626b", "#a4adb6"),
    "v-exceeds": ("#00755a", "#3ecda2"),
    "v-below": ("#b94700", "#ff9a4d"),
    "v-scaled": ("#4f5b66", "#b6c2cc"),
    "v-measured": ("#4f5b66", "#b6c2cc"),
    "caution": ("#fff3d6", "#33290f"),
    "caution-ink": ("#6b4a00", "#f3d48a"),
}


def page_css() -> str:
    """The colours of both themes as custom properties, and the classes of the figures.

    Dark follows the system unless the page says `data-theme`; paper is always light.
    """
    light_css, dark_css = (_declarations(dark) for dark in (False, True))
    classes = "".join(
        f".{kind}-{role}{{{prop}:var(--{role})}}"
        for role in COLOURS
        for kind, prop in (("s", "stroke"), ("f", "fill"))
    )
    classes += "".join(f".{role}{{--v:var(--{role})}}" for role in PAGE if role.startswith("v-"))
    return (
        f":root{{color-scheme:light;{light_css}}}\n"
        "@media screen and (prefers-color-scheme:dark){:root:not([data-theme=light])"
        f"{{color-scheme:dark;{dark_css}}}}}\n"
        f"@media screen{{:root[data-theme=dark]{{color-scheme:dark;{dark_css}}}}}\n"
        f"{classes}"
    )


def _declarations(dark: bool) -> str:
    return "".join(f"--{role}:{pair[dark]};" for role, pair in (COLOURS | PAGE).items())
