"""CMC and training figures: what is drawn is what the files say, in a file fit for any page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reid_repro.errors import UserError
from reid_repro.files import read_json, write_json, write_parquet
from reid_repro.ledger.statistics import identity_bootstrap
from reid_repro.paths import per_query_file
from reid_repro.reporting import svg, theme
from reid_repro.reporting.figures import cmc_figure, training_figure

from reporting_world import HOSTILE, World, make_world

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"), figures=False)


@pytest.fixture(scope="module")
def cmc(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cmc") / "cmc.svg"
    cmc_figure(world.metrics("cars"), out, statistics=world.plan.config.statistics)
    return out


def panels(file: Path) -> list[ET.Element]:
    return ET.parse(file).getroot().findall(f"{SVG}svg")


def points(path: ET.Element) -> np.ndarray:
    return np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.attrib["d"]), dtype=float)


def shapes(panel: ET.Element, number: int) -> list[np.ndarray]:
    """The lines of a series, as arrays of points."""
    return [
        points(path)
        for path in panel.iter(f"{SVG}path")
        if f"s-{theme.SERIES[number]}" in path.attrib.get("class", "").split()
        and "clip-path" in path.attrib
    ]


def band(panel: ET.Element, number: int) -> np.ndarray:
    """The outline of a series' band: a definition that is put in place by its use."""
    paths = {path.attrib.get("id"): path for path in panel.iter(f"{SVG}path")}
    (use,) = [
        use
        for use in panel.iter(f"{SVG}use")
        if use.attrib["class"] == f"f-{theme.SERIES[number]}" and "fill-opacity" in use.attrib
    ]
    offset = [float(use.attrib["x"]), float(use.attrib["y"])]
    return points(paths[use.attrib["href"][1:]]) + offset


def band_ends(panel: ET.Element, number: int, scale: np.ndarray) -> np.ndarray:
    """Lower and upper end of a series' band at each rank, in percent: (2, ranks)."""
    outline = band(panel, number)
    heights = [percent(outline[outline[:, 0] == x, 1], scale) for x in np.unique(outline[:, 0])]
    return np.array([[h.min() for h in heights], [h.max() for h in heights]])


def to_percent(panel: ET.Element) -> np.ndarray:
    """Slope and offset from a y coordinate to percent, read off the tick labels and grid lines."""
    labels = {
        round(float(text.attrib["y"]), 2): float(text.text or "nan")
        for text in panel.iter(f"{SVG}text")
        if text.attrib.get("text-anchor") == "end"
    }
    heights = sorted(
        {
            float(points(path)[0, 1])
            for path in panel.iter(f"{SVG}path")
            if "s-grid" in path.attrib.get("class", "").split()
            and points(path)[0, 1] == points(path)[1, 1]
        }
    )
    assert len(heights) == len(labels) > 2
    values = [labels[y] for y in sorted(labels)]
    return np.polyfit(heights, values, 1)


def percent(values: np.ndarray, line: np.ndarray) -> np.ndarray:
    return np.asarray(np.polyval(line, values))


def test_lines_are_the_cmc_of_the_files(world: World, cmc: Path) -> None:
    for panel, last in zip(panels(cmc), (50, 10), strict=True):
        scale = to_percent(panel)
        for number in range(3):
            files = world.metrics("cars")[2 * number : 2 * number + 2]
            single = 100 * np.array([read_json(file)["cmc"][:last] for file in files])
            drawn = [line for line in shapes(panel, number) if len(line) == last]
            assert len(drawn) == 3  # two seeds, then their mean
            for line, expected in zip(drawn, [*single, single.mean(axis=0)], strict=True):
                np.testing.assert_allclose(percent(line[:, 1], scale), expected, atol=0.1)


def test_bands_are_the_bootstrap_over_identities(world: World, cmc: Path) -> None:
    statistics = world.plan.config.statistics
    scale = to_percent(panels(cmc)[1])
    for number in range(3):
        files = world.metrics("cars")[2 * number : 2 * number + 2]
        frames = [
            pd.read_parquet(f.with_name(f"{f.name.removesuffix('.json')}.per_query.parquet"))
            for f in files
        ]
        hits = np.empty((len(frames[0]), 10))
        for query in range(len(hits)):
            for rank in range(1, 11):
                found = [frame["first_hit"][query] <= rank for frame in frames]
                hits[query, rank - 1] = sum(found) / len(found)
        low, high = identity_bootstrap(
            hits,
            frames[0]["identity"].to_numpy(),
            resamples=statistics.resamples,
            level=statistics.level,
            seed=statistics.seed,
        )
        ends = band_ends(panels(cmc)[1], number, scale)
        np.testing.assert_allclose(ends, 100 * np.array([low, high]), atol=0.1)


def test_bands_of_repeated_draws_hold_their_curve(world: World, tmp_path: Path) -> None:
    """Hits of each draw count; the threshold of a mean rank would leave the curve out."""
    statistics = world.plan.config.statistics
    draws = np.tile([[1, 1, 1, 40], [2, 1, 30, 1], [1, 20, 1, 2]], (8, 1))
    hits = np.array([[np.mean(row <= r) for r in range(1, 51)] for row in draws])
    identity = np.repeat(np.arange(8), 3)
    file = tmp_path / "none.json"
    facts = read_json(world.metrics("cars", seed=1)[0])
    write_json(file, facts | {"cmc": hits.mean(axis=0).tolist(), "n_valid": len(hits)})
    frame = pd.DataFrame({"identity": identity, "first_hit": draws.mean(axis=1)})
    write_parquet(per_query_file(file), frame.assign(hits=list(hits.astype(np.float32))))
    out = tmp_path / "cmc.svg"
    cmc_figure([file], out, statistics=statistics)
    expected = identity_bootstrap(
        hits[:, :10],
        identity,
        resamples=statistics.resamples,
        level=statistics.level,
        seed=statistics.seed,
    )
    panel = panels(out)[1]
    ends = band_ends(panel, 0, to_percent(panel))
    np.testing.assert_allclose(ends, 100 * np.array(expected), atol=0.1)


def test_one_seed_draws_one_line(world: World, tmp_path: Path) -> None:
    out = tmp_path / "cmc.svg"
    cmc_figure(world.metrics("cars", seed=1), out, statistics=world.plan.config.statistics)
    assert [len(line) for line in shapes(panels(out)[0], 0) if len(line) > 2] == [50]


def test_series_differ_by_dashes_and_markers_too(cmc: Path) -> None:
    lines = [
        [
            path.attrib
            for path in panels(cmc)[1].iter(f"{SVG}path")
            if f"s-series{number}" in path.attrib.get("class", "") and "clip-path" in path.attrib
        ][-1]
        for number in range(3)
    ]
    assert len({line.get("stroke-dasharray") for line in lines}) == 3


def test_text_is_text_and_titles_are_taken_literally(cmc: Path) -> None:
    texts = {text.text for text in panels(cmc)[0].iter(f"{SVG}text")}
    assert f"k-reciprocal {HOSTILE}" in texts
    assert "<script>" not in cmc.read_text("utf-8")


def test_every_colour_belongs_to_the_theme(cmc: Path) -> None:
    known = {pair[0] for pair in theme.COLOURS.values()}
    for element in ET.parse(cmc).getroot().iter():
        for key, kind in (("fill", "f"), ("stroke", "s")):
            colour = element.attrib.get(key, "none")
            assert colour == "none" or colour in known
            if colour in known:
                assert f"{kind}-" in element.attrib["class"]
        assert "style" not in element.attrib


def test_equal_results_give_equal_bytes(world: World, cmc: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.svg"
    cmc_figure(world.metrics("cars"), again, statistics=world.plan.config.statistics)
    assert again.read_bytes() == cmc.read_bytes()


def test_inlined_ids_are_prefixed_and_styles_left_out(cmc: Path) -> None:
    description, texts = svg.inline(cmc, "one-")
    _, others = svg.inline(cmc, "two-")
    assert "Rank-1" in description
    ids = [re.findall(r'\bid="([^"]+)"', "".join(t)) for t in (texts, others)]
    assert all(name.startswith("one-") for name in ids[0])
    assert len(set(ids[0] + ids[1])) == len(ids[0] + ids[1]) > 0
    joined = "".join(texts)
    assert set(re.findall(r"url\(#([^)]+)\)", joined)) <= set(ids[0])
    assert set(re.findall(r'href="#([^"]+)"', joined)) <= set(ids[0])
    assert "<style" not in joined


def test_training_figure_draws_every_seed(world: World, tmp_path: Path) -> None:
    out = tmp_path / "training.svg"
    histories = [
        world.results / f"models/ground/plain/cars/seed{seed}/history.csv" for seed in (0, 1)
    ]
    training_figure(histories, out)
    loss, accuracy, rate = panels(out)
    scale = to_percent(loss)
    frames = [pd.read_csv(file) for file in histories]
    for number, column in enumerate(("loss", "loss_identity", "loss_metric")):
        drawn = [line for line in shapes(loss, number) if len(line) == 5]
        for line, frame in zip(drawn, frames, strict=True):
            np.testing.assert_allclose(percent(line[:, 1], scale), frame[column], atol=0.02)
    drawn = shapes(accuracy, 0)
    np.testing.assert_allclose(
        percent(drawn[0][:, 1], to_percent(accuracy)), 100 * frames[0]["accuracy"], atol=0.5
    )
    assert len(shapes(rate, 0)) == 2


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "no such file"),
        ("", "not a readable CSV"),
        ("epoch,loss,accuracy\n1,2,0.5\n", "no column 'learning_rate'"),
        ("epoch,loss,accuracy,learning_rate\n", "no epoch"),
    ],
)
def test_a_bad_history_is_named(tmp_path: Path, content: str | None, complaint: str) -> None:
    file = tmp_path / "history.csv"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=rf"history\.csv: {complaint}"):
        training_figure([file], tmp_path / "out.svg")
    assert not (tmp_path / "out.svg").exists()


@pytest.mark.parametrize("files", [[], None])
def test_missing_inputs_are_named(
    world: World, tmp_path: Path, files: Sequence[Path] | None
) -> None:
    given = [tmp_path / "none.json"] if files is None else files
    with pytest.raises(UserError, match=r"none\.json|no metrics files"):
        cmc_figure(given, tmp_path / "cmc.svg", statistics=world.plan.config.statistics)


@pytest.mark.parametrize("dark", [False, True])
def test_theme_colours_reach_aa_on_every_ground(dark: bool) -> None:
    def luminance(colour: str) -> float:
        channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(first: str, second: str) -> float:
        low, high = sorted((luminance(first), luminance(second)))
        return (high + 0.05) / (low + 0.05)

    every = {role: pair[dark] for role, pair in (theme.COLOURS | theme.PAGE).items()}
    texts = ["ink", "muted", "link", "right", "wrong", *theme.SERIES]
    for text in texts:
        for ground in ("paper", "ground"):
            assert contrast(every[text], every[ground]) >= 4.5, (text, ground)
    assert contrast(every["caution-ink"], every["caution"]) >= 4.5
