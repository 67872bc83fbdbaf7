"""Figures of distances, changes, cameras, agreement, effects and times, against naive loops."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid_repro.errors import UserError
from reid_repro.ledger.tables import Reader
from reid_repro.plan import load
from reid_repro.reporting import (
    extra_figures,
    plots_agreement,
    plots_cameras,
    plots_change,
    plots_claims,
    plots_distances,
    plots_times,
)
from reid_repro.reporting.assets import Assets
from reid_repro.reporting.plots_axes import Axis, around
from reid_repro.reporting.plots_canvas import Canvas, document
from reid_repro.reporting.plots_common import at_quantiles, comparison
from reid_repro.reporting.plots_distances import Labels

from reporting_world import HOSTILE, World, make_world

LARGEST = 25_000  # bytes of a figure


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The report's tiny world, with features of its runs."""
    made = make_world(tmp_path_factory.mktemp("world"), figures=False)
    for run in made.plan.runs:
        images = pd.read_parquet(made.results / "data" / run.dataset / "images.parquet")
        rng = np.random.default_rng([run.seed, len(run.variant)])
        features = rng.normal(size=(len(images), 8)) + images["identity"].to_numpy()[:, None] % 5
        file = made.results / "features" / str(run) / "test.npy"
        file.parent.mkdir(parents=True)
        np.save(file, features.astype(np.float32))
        rows = images[["identity", "camera"]].assign(image=np.arange(len(images), dtype=np.int32))
        rows.to_parquet(file.with_suffix(".parquet"))
    return made


def labels(draw: np.random.Generator, number: int, first: int) -> Labels:
    return Labels(
        draw.integers(-1, 4, number), draw.integers(-1, 3, number), np.arange(first, first + number)
    )


@given(seed=st.integers(0, 10_000), remove=st.booleans())
def test_distances_are_those_of_a_loop_over_pairs(seed: int, remove: bool) -> None:
    rng = np.random.default_rng(seed)
    query, gallery = (rng.normal(size=(n, 3)).astype(np.float32) for n in (5, 9))
    asked, known = labels(rng, 5, 7), labels(rng, 9, 0)  # images 7 and 8 are in both
    same, other, first = [], [], []
    for q in range(5):
        right, wrong = [], []
        for g in range(9):
            if asked.image[q] == known.image[g]:
                mine = known.identity[g] == asked.identity[q]
                if not mine and known.identity[g] >= 0:
                    wrong.append(math.dist(query[q], gallery[g]))
                continue
            if known.identity[g] == asked.identity[q]:
                seen = remove and asked.camera[q] >= 0 and asked.camera[q] == known.camera[g]
                right += [] if seen else [math.dist(query[q], gallery[g])]
            elif known.identity[g] >= 0:
                wrong.append(math.dist(query[q], gallery[g]))
        if right and wrong:
            same += right
            other.append(min(wrong))
            first.append(min(right) < min(wrong))
    found = plots_distances.distances(query, gallery, asked, known, remove=remove)
    if not first:
        assert found is None
        return
    assert found is not None
    np.testing.assert_allclose(np.sort(found.same), np.sort(same), atol=1e-3)
    np.testing.assert_allclose(found.other, other, atol=1e-3)
    assert found.first == pytest.approx(np.mean(first))


def test_of_a_large_set_a_part_of_the_queries_meets_the_whole_gallery() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 4)).astype(np.float32)
    of = Labels(np.arange(60) % 6, np.arange(60) % 2, np.arange(60))
    whole = plots_distances.distances(features, features, of, of, remove=False)
    part = plots_distances.distances(features, features, of, of, remove=False, work=60 * 4 * 10)
    assert whole is not None
    assert part is not None
    assert (whole.queries, part.queries, part.of) == (60, 10, 60)
    assert set(part.other) <= set(whole.other)  # farther, had the gallery been thinned as well
    assert len(part.same) == 10 * 9


def test_change_of_ap_is_the_mean_over_seeds_query_by_query(world: World) -> None:
    plan, results = world.plan, world.results
    plot = plots_change.plot(plan, "ground", "people", Reader(results))
    assert plot is not None
    expected: dict[int, float] = {}
    for variant, sign in (("plain", 1), ("wide", -1)):  # plain stands first: it is the paper's
        for seed in plan.config.seeds:
            file = results / f"metrics/ground/{variant}/people/seed{seed}/test"
            frame = pd.read_parquet(file / "none.per_query.parquet")
            for query, ap in zip(frame["query"], frame["AP"], strict=True):
                expected[query] = expected.get(query, 0) + sign * float(ap) / 2
    found = dict(zip(plot.values["query"], plot.values["change"], strict=True))
    assert found == pytest.approx(expected, abs=2e-6)
    assert plot.values["change"].is_monotonic_increasing
    gains = 100 * np.mean([change > plots_change.SAME for change in expected.values()])
    assert f"{gains:.0f} % of {len(expected)} queries gain" in plot.description
    mean = 100 * np.mean(list(expected.values()))
    assert f"mean change is {mean:+.1f} points" in plot.description


def test_rankings_of_other_queries_are_no_comparison(world: World, tmp_path: Path) -> None:
    read = Reader(world.results)
    ranking = read.ranking

    def shifted(paper: str, run: Any, subset: str, name: str) -> Any:
        scores = ranking(paper, run, subset, name)
        if run.variant == "wide":
            scores.per_query["query"] += 1
        return scores

    read.ranking = shifted  # type: ignore[method-assign]
    with pytest.raises(UserError, match="other queries than in"):
        plots_change.plot(world.plan, "ground", "cars", read)


def test_map_by_camera_is_the_mean_of_its_queries(world: World) -> None:
    plan, results = world.plan, world.results
    plot = plots_cameras.plot(plan, "ground", "cars", results, Reader(results))
    assert plot is not None
    images = pd.read_parquet(results / "data/cars/images.parquet")
    frames = [
        pd.read_parquet(results / f"metrics/ground/plain/cars/seed{s}/test/none.per_query.parquet")
        for s in plan.config.seeds
    ]
    for row in plot.values.to_dict("records"):
        mine = images["camera"].to_numpy()[frames[0]["query"]] == row["camera"]
        assert row["queries"] == mine.sum()
        assert row["mAP"] == pytest.approx(
            np.mean([f["AP"][mine].mean() for f in frames]), abs=1e-6
        )
        assert row["low"] <= row["mAP"] <= row["high"]
    assert len(plot.values) == images["camera"].nunique()


def test_of_many_cameras_the_lowest_and_highest_are_drawn() -> None:
    table = pd.DataFrame({"camera": range(40), "mAP": np.linspace(0, 1, 40)[::-1]})
    drawn = plots_cameras._drawn(table)
    assert len(drawn) == plots_cameras.MOST
    assert set(drawn["camera"]) == {*range(12), *range(28, 40)}


def test_main_and_base_follow_the_variants_then_the_first_table(repository: Path) -> None:
    plan = load({"ablations": "all"})
    assert {
        paper: (found.base.title, found.main.title)
        for paper, dataset in (
            ("chca", "rendered-vehicles"),
            ("pgan", "rendered-vehicles"),
            ("gnn", "rendered-vehicles"),
            ("baseline", "rendered-pedestrians"),
        )
        if (found := comparison(plan, paper, dataset))
    } == {
        "chca": ("Baseline", "CHCA"),
        "pgan": ("Baseline", "PGAN"),
        "gnn": ("Baseline", "GNN, 2 layers"),
        "baseline": ("Baseline", "k-reciprocal"),
    }


@given(low=st.floats(-1e4, 1e4), span=st.floats(1e-3, 1e4))
def test_numbers_of_an_axis_are_round_within_it_and_evenly_apart(low: float, span: float) -> None:
    axis = Axis(low, low + span)
    values = [value for value, _ in axis.numbers]
    assert 2 <= len(values) <= 8
    assert all(low - 1e-6 * span <= value <= low + 1.000001 * span for value in values)
    np.testing.assert_allclose(np.diff(values), np.diff(values)[0], rtol=1e-6)
    shown = [float(text.replace("\N{MINUS SIGN}", "-")) for _, text in axis.numbers]
    np.testing.assert_allclose(shown, values, atol=1e-6 * max(1, abs(low) + span))


def test_a_log_axis_has_powers_of_ten() -> None:
    axis = Axis(0.001, 200, log=True)
    assert [text for _, text in axis.numbers] == ["0.001", "0.01", "0.1", "1", "10", "100"]
    assert axis.place(0.001) == pytest.approx(0)
    assert axis.place(math.sqrt(0.001 * 200)) == pytest.approx(0.5)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=900))
def test_a_thinned_curve_keeps_its_ends_and_its_order(values: list[float]) -> None:
    ordered = np.sort(np.array(values))
    places, thinned = at_quantiles(ordered, most=50)
    assert len(places) == len(thinned) <= 50
    assert (thinned[0], thinned[-1]) == (ordered[0], ordered[-1])
    assert (np.diff(thinned) >= -1e-12).all()


def test_words_at_points_do_not_lie_over_each_other() -> None:
    canvas = Canvas(Axis(0, 1), Axis(0, 1), title="", label="")
    canvas.words([(0.5, 0.5 + n / 500, "some words") for n in range(5)])
    texts = [t for t in ET.fromstring(canvas.svg()) if t.text == "some words"]
    boxes = [(float(t.attrib["x"]), float(t.attrib["y"])) for t in texts]
    assert len({(x, y) for x, y in boxes}) == 5
    right = sorted(y for x, y in boxes if x > 250)
    assert all(b - a >= 10 for a, b in pairwise(right))


def atom(**changes: Any) -> dict[str, Any]:
    common = {"text": "Table 1 · a · mAP > b", "op": ">", "effect": 0.5, "n": 50, "p": 0.01}
    return common | {"p_holm": 0.02, "support": "supported"} | changes


def test_effects_stand_once_point_the_claimed_way_and_have_intervals() -> None:
    items = [
        {"id": "Table 1", "atoms": [atom(), atom(effect=None), atom(n=None)]},
        {"id": "4.2", "atoms": [atom()]},
        {"id": "4.3", "atoms": [atom(op="<", effect=-0.25, support="open", p=0.5, p_holm=None)]},
        {"id": "4.4", "atoms": None},
    ]
    first, second = plots_claims.effects(items, 0.9)
    assert first.claims == ("Table 1", "4.2")
    assert first.label == "Table 1 mAP"
    assert (first.effect, second.effect) == (0.5, 0.25)
    half = 1.6448536 * math.sqrt(1 / 50 + 0.5**2 / 100)
    assert (first.low, first.high) == pytest.approx((0.5 - half, 0.5 + half))
    assert (first.p, second.p, second.group) == (0.02, 0.5, "open")
    several = [{"id": "5", "atoms": [atom(effect=n / 10, p=n / 100) for n in range(3)]}]
    assert [one.label for one in plots_claims.effects(several, 0.9)] == [
        "5 mAP",
        "5 mAP (2)",
        "5 mAP (3)",
    ]


def ledger(*rows: tuple[Any, ...]) -> pd.DataFrame:
    names = ["table", "row", "dataset", "metric", "printed", "value", "low", "high", "ranking"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(split="test", kind="", level=0.9, verdict="scaled", scale="demo",
                        difference=frame["value"] - frame["printed"])  # fmt: skip


def test_rows_with_a_time_and_a_map_are_points_in_seconds() -> None:
    nothing = math.nan
    cells = ledger(
        ("Table 7", "theta=0.1, dim=4", "M", "time_ms", 368.0, 22.0, nothing, nothing, ""),
        ("Table 7", "theta=0.1, dim=4", "M", "mAP", 73.9, 66.0, 62.0, 70.0, "none"),
        ("Table 7", "theta=0.2, dim=4", "M", "time_ms", 267.0, nothing, nothing, nothing, ""),
        ("Table 7", "theta=0.2, dim=4", "M", "mAP", 73.7, 67.0, 63.0, 71.0, "none"),
        ("Table 8", "x", "M", "mAP", 1.0, 2.0, 1.0, 3.0, "none"),
    )
    (points,) = plots_times.of_rows(cells)
    (ours,) = points.ours
    assert (ours.label, ours.value, ours.low) == ("θ 0.1, 4", 66.0, 62.0)
    assert ours.seconds == pytest.approx(0.022)
    assert [p.seconds for p in points.printed] == pytest.approx([0.368, 0.267])


def test_times_by_method_meet_the_accuracy_of_the_same_method(
    repository: Path, tmp_path: Path
) -> None:
    plan = load({})
    times = [
        ("0:aqe", "AQE", "CPU", "market", 2.5, math.nan),
        ("1:gnn2", "GNN, 2 layers", "CPU", "market", 5.0, 60.0),
        ("2:gnn2", "GNN, 2 layers", "GPU", "market", math.nan, 0.0094),
        ("3:sca", "SCA", "CPU", "oxford", 1.0, 2.0),
    ]
    names = ["row", "row_title", "platform", "column", "seconds", "printed_seconds"]
    file = tmp_path / "table4.csv"
    pd.DataFrame(times, columns=names).to_csv(file, index=False)
    cells = ledger(
        ("Table 5", "baseline", "Market-1501", "mAP", 88.0, 51.0, 47.0, 55.0, "none"),
        ("Table 5", "AQE [5]", "Market-1501", "mAP", 93.0, 52.0, 48.0, 56.0, "aqe"),
        ("Table 5", "ours", "Market-1501", "mAP", 94.0, 59.0, 55.0, 63.0, "gnn"),
        ("Table 2", "ours", "Market-1501", "mAP", 1.0, 1.0, 1.0, 1.0, "gnn"),
    )
    (points,) = plots_times.of_methods(plan, "gnn", cells, {"table4": file})
    assert [(p.label, p.seconds, p.value) for p in points.ours] == [
        ("AQE", 2.5, 52.0),
        ("GNN, 2 layers", 5.0, 59.0),
    ]
    assert [(p.platform, p.seconds) for p in points.printed] == [("CPU", 60.0), ("GPU", 0.0094)]
    assert points.bare == (51.0, 88.0)


def test_printed_values_are_compared_where_they_were_judged(
    repository: Path, tmp_path: Path
) -> None:
    cells = ledger(
        ("I", "a", "V", "mAP", 80.0, 80.5, 80.0, 81.0, "none"),
        ("I", "a", "V", "R1", 90.0, 85.0, 84.0, 86.0, "none"),
        ("I", "b", "V", "mAP", 70.0, 30.0, 29.0, 31.0, "none"),
    )
    cells["verdict"] = ["reproduced", "below", "scaled"]
    (tmp_path / "ledger").mkdir()
    cells.to_csv(tmp_path / "ledger" / "chca.csv", index=False)
    of_map, of_rank = plots_agreement.plots(load({}), "chca", tmp_path)
    assert "1 printed values of mAP against ours: 1 reproduced, 0 exceeds" in of_map.description
    assert "-5.00 points" in of_rank.description
    assert list(of_map.values["row"]) == ["a"]
    assert plots_agreement.plots(load({}), "pgan", tmp_path) == []
    cells.drop(columns="verdict").to_csv(tmp_path / "ledger" / "pgan.csv")
    with pytest.raises(UserError, match="no column 'verdict'"):
        plots_agreement.plots(load({}), "pgan", tmp_path)


def test_figures_of_a_paper_are_small_escaped_and_downloadable(world: World) -> None:
    assets = Assets()
    found = extra_figures.figures(world.plan, "ground", world.results, assets)
    assert [one.id for one in found] == [
        f"{kind}-{dataset}-ground"
        for dataset in ("cars", "people")
        for kind in ("change", "distances", "cameras")
    ]
    for one in found:
        assert sum(map(len, one.panels)) < LARGEST
        assert "<script" not in "".join(one.panels)
        for panel in one.panels:
            root = ET.fromstring(panel)
            assert root.attrib["aria-label"]
            assert not [e for e in root.iter() if "id" in e.attrib]
        assert len(one.description) > 40
        svg, csv = (assets.files[download.href] for download in one.item.downloads)
        assert isinstance(svg, str)
        assert isinstance(csv, str)
        assert ET.fromstring(svg).findtext("{http://www.w3.org/2000/svg}desc") == one.description
        assert len(pd.read_csv(io.StringIO(csv))) > 3
        assert one.item.sources
    again = extra_figures.figures(world.plan, "ground", world.results, Assets())
    assert [one.panels for one in again] == [one.panels for one in found]
    titles = "".join(
        text or "" for one in found for p in one.panels for text in ET.fromstring(p).itertext()
    )
    assert HOSTILE.split("<")[0] in titles


def test_without_features_there_is_no_figure_of_distances_and_damaged_ones_are_named(
    tmp_path: Path,
) -> None:
    made = make_world(tmp_path, figures=False)
    assert plots_distances.plot(made.plan, "ground", "cars", made.results) is None
    for variant in ("plain", "wide"):
        folder = made.results / f"features/ground/{variant}/cars/seed0"
        folder.mkdir(parents=True)
        (folder / "test.npy").write_bytes(b"no array")
        pd.DataFrame({"image": [0]}).to_parquet(folder / "test.parquet")
    with pytest.raises(UserError, match=r"test\.npy: missing or damaged"):
        plots_distances.plot(made.plan, "ground", "cars", made.results)


def test_a_document_stands_alone_in_both_themes() -> None:
    canvas = Canvas(Axis(0, 1, "<x>"), Axis(*around([2, 5])), title='"&', label='"&')
    canvas.line([0, 1], [2, 5], 0)
    text = document([canvas.svg()] * 2, "T & T", "D < D")
    root = ET.fromstring(text)
    assert root.findtext("{http://www.w3.org/2000/svg}title") == "T & T"
    assert len(root.findall("{http://www.w3.org/2000/svg}svg")) == 2
    assert "prefers-color-scheme:dark" in text


def test_no_network_library_is_imported() -> None:
    code = (
        "import sys, json, reid_repro.reporting.extra_figures;"
        "print(json.dumps([m for m in ('torch', 'torchvision') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
