"""Picture sheets: the colours of heat maps, where tiles lie, what the JSON beside them says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid_repro.files import read_json
from reid_repro.measures.sheets import corner_boxes
from reid_repro.reporting import looks
from reid_repro.reporting.looks import Line, Picture, View


def luminance(colours: np.ndarray) -> np.ndarray:
    linear = (colours / 255) ** 2.2
    found: np.ndarray = linear @ np.array([0.2126, 0.7152, 0.0722])
    return found


def test_the_scale_grows_lighter_and_reads_without_red_and_green() -> None:
    colours = looks.colours(np.linspace(0, 1, 200))
    assert (np.diff(luminance(colours)) > 0).all()
    # Who sees no red from green still has blue against yellow: it falls as lightness grows.
    assert colours[0] == pytest.approx(looks.SCALE[0])
    assert colours[-1] == pytest.approx(looks.SCALE[-1])
    assert looks.colours(np.array([-1.0, 2.0]))[1] == pytest.approx(looks.SCALE[-1])


def test_maps_are_shown_as_shares_of_their_own_maximum() -> None:
    maps = np.array([[[2.0, -1.0], [1.0, 0.0]], [[-1.0, -2.0], [0.0, 0.0]]])
    np.testing.assert_allclose(looks.to_peak(maps), [[[1, 0], [0.5, 0]], [[0, 0], [0, 0]]])


@pytest.fixture
def picture() -> Picture:
    """Two queries, of which one is wide; a plain column, a hot one, and one with boxes."""
    shapes = ((128, 128), (60, 120))
    heat = np.zeros((4, 4))
    heat[:, 2:] = 1
    lines = tuple(
        Line(
            query=7 + number,
            identity=3,
            camera=number,
            pixels=np.full((*shape, 3), 120, np.uint8),
            views=(
                View(),
                View(heat=heat, note="in parts 50%"),
                View(boxes=(((0.25, 0.25, 0.75, 0.75), "31"), ((0.0, 0.0, 0.1, 0.1), ""))),
            ),
            numbers={"attention in parts": 0.123456},
        )
        for number, shape in enumerate(shapes)
    )
    return Picture(
        name="attention",
        title="Attention",
        caption="A caption.",
        columns=("Query", "Attention", "Boxes"),
        lines=lines,
        low="0",
        high="maximum",
        scale="attention",
    )


def test_a_sheet_and_its_words(picture: Picture, tmp_path: Path) -> None:
    out = tmp_path / "attention.webp"
    looks.draw(picture, out)
    facts = read_json(out.with_suffix(".json"))
    image = Image.open(out).convert("RGBA")
    assert list(image.size) == facts["size"] == [facts["width"], facts["height"]]
    assert facts["columns"] == ["Query", "Attention", "Boxes"]
    assert facts["rows"] == [
        {"query": 7 + n, "identity": 3, "camera": n, "numbers": {"attention in parts": 0.1235}}
        for n in range(2)
    ]
    assert {"low", "high", "label", "colours"} == set(facts["colour_scale"])
    assert facts["id"] == "attention"
    assert "12%" in facts["alt"]
    assert "Boxes" in facts["alt"]
    assert out.stat().st_size < 150_000

    step = facts["tile"][0] + facts["gap"]

    def tile(row: int, column: int) -> np.ndarray:
        left, top = column * step, facts["head"] + row * step
        box = left, top, left + facts["tile"][0], top + facts["tile"][1]
        return np.asarray(image.crop(box), float)[..., :3]

    plain, hot, boxed = (tile(0, column) for column in range(3))
    assert np.abs(plain - 120).max() <= 6
    # Cold left, hot right, half of each the photograph in grey.
    for part, place in ((hot[60:100, 10:60], 0), (hot[60:100, 120:170], -1)):
        mixed = (1 - looks.COVER) * 120 + looks.COVER * np.array(looks.SCALE[place])
        assert np.abs(part.mean(axis=(0, 1)) - mixed).max() < 8
    line = boxed[60:120, 42:48].min(axis=1)  # the left side of the box, dark beside bright
    assert (np.abs(line - 120).max(axis=1) > 40).all()
    assert np.abs(boxed[80:100, 70:110] - 120).max() <= 12
    # A wide image stands in the middle of its tile.
    assert np.abs(tile(1, 0)[:30] - 128).max() <= 6


def test_equal_pictures_give_equal_bytes(picture: Picture, tmp_path: Path) -> None:
    for name in ("one", "two"):
        looks.draw(picture, tmp_path / f"{name}.webp")
    for end in (".webp", ".json"):
        first, second = (tmp_path / f"{name}{end}" for name in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()


def test_corners_are_framed_where_their_cells_are() -> None:
    cells = np.zeros((8, 4), bool)
    cells[:3, :1] = cells[:3, 3:] = cells[5:, :1] = cells[5:, 3:] = True
    assert corner_boxes(cells) == [
        (0, 0, 0.25, 0.375),
        (0.75, 0, 1, 0.375),
        (0, 0.625, 0.25, 1),
        (0.75, 0.625, 1, 1),
    ]
