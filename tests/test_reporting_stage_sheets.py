"""Sheets of detections: the right images, drawn where they were found, failures by their score."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageColor

from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.files import read_json
from reid_repro.keypoints.joints import GLAD, NAMES
from reid_repro.models.layers.regions import region_boxes
from reid_repro.reporting import overlays, stage_overlays
from reid_repro.reporting.sprites import fit
from reid_repro.reporting.stage_sheets import (
    covered_parts,
    keypoints_sheet,
    overlaps,
    parts_sheet,
)

from reporting_world import World
from stages_world import EMPTY, make_stages, missed_labels

SHEETS = {"parts": ("cars", parts_sheet), "keypoints": ("people", keypoints_sheet)}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_stages(tmp_path_factory.mktemp("world"))


@pytest.fixture
def copy(world: World, tmp_path: Path) -> Path:
    shutil.copytree(world.results, tmp_path / "results")
    return tmp_path / "results"


def described(results: Path, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(results / f"figures/{kind}/{SHEETS[kind][0]}.json")
    return found


def drawn(results: Path, kind: str) -> dict[str, Any]:
    dataset, draw = SHEETS[kind]
    draw(results, dataset, results / f"figures/{kind}/{dataset}.webp")
    return described(results, kind)


def crop(results: Path, kind: str, facts: dict[str, Any], origin: list[int]) -> np.ndarray:
    image = Image.open(results / f"figures/{kind}/{facts['dataset']}.webp").convert("RGB")
    width, height = facts["tile"]
    box = (origin[0], origin[1], origin[0] + width, origin[1] + height)
    return np.asarray(image.crop(box), dtype=float)


BOX = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 8)] * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(st.lists(BOX, max_size=4), st.lists(BOX, max_size=4))
def test_overlaps_count_cells(boxes: list[Any], others: list[Any]) -> None:
    def cells(box: Any) -> set[tuple[int, int]]:
        return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

    found = overlaps(np.reshape(boxes, (-1, 4)) / 20, np.reshape(others, (-1, 4)) / 20)
    assert found.shape == (len(boxes), len(others))
    for i, box in enumerate(boxes):
        for j, other in enumerate(others):
            expected = len(cells(box) & cells(other)) / len(cells(box) | cells(other))
            assert found[i, j] == pytest.approx(expected)


@given(st.lists(BOX, max_size=5), st.lists(BOX, max_size=5))
def test_a_box_covers_one_part_at_most(boxes: list[Any], parts: list[Any]) -> None:
    found, true = (np.reshape(b, (-1, 4)).astype(float) for b in (boxes, parts))
    shares = overlaps(found, true)
    taken: set[int] = set()
    for i in range(len(boxes)):
        free = [j for j in range(len(parts)) if j not in taken]
        if free and max(shares[i, j] for j in free) >= 0.5:
            taken.add(max(free, key=lambda j: shares[i, j]))  # the first of equals
    assert set(np.flatnonzero(covered_parts(found, true))) == taken


@pytest.mark.parametrize("kind", SHEETS)
def test_sheets_hold_random_images_and_the_worst(world: World, kind: str) -> None:
    facts = described(world.results, kind)
    random, failures = facts["groups"]
    scores = read_json(world.results / kind / facts["dataset"] / "evaluation.json")["per_image"]
    known = {int(row): value for row, value in scores.items() if value is not None}
    assert len(random["images"]) == len({one["image"] for one in random["images"]}) > 6
    worst = [one["score"] for one in failures["images"]]
    assert worst == [round(value, 4) for value in sorted(known.values())[: len(worst)]]
    assert all(one["score"] == round(known[one["image"]], 4) for one in failures["images"])
    images = pd.read_parquet(world.results / f"data/{facts['dataset']}/images.parquet")
    origins = set()
    for one in [*random["images"], *failures["images"]]:
        assert one["identity"] == images["identity"][one["image"]]
        assert one["camera"] == images["camera"][one["image"]]
        assert ("truth" in one["tiles"]) == (one in failures["images"])
        origins |= {tuple(origin) for origin in one["tiles"].values()}
    assert len(origins) == len(random["images"]) + 2 * len(failures["images"])


@pytest.mark.parametrize("kind", SHEETS)
def test_tiles_are_the_images_with_something_drawn(world: World, kind: str) -> None:
    facts = described(world.results, kind)
    store = ImageStore.open(world.results / "data" / facts["dataset"])
    for one in facts["groups"][1]["images"]:
        plain = np.asarray(fit(store[one["image"]], *facts["tile"]), dtype=float)
        found, truth = (
            crop(world.results, kind, facts, one["tiles"][view]) for view in ("detected", "truth")
        )
        for tile in (found, truth):
            changed = np.abs(tile - plain).max(axis=2) > 60
            assert 0.005 < changed.mean() < 0.5
            assert np.abs(tile - plain)[~changed].mean() < 12
        assert np.abs(found - truth).max() > 60


@pytest.mark.parametrize("kind", SHEETS)
def test_equal_files_give_equal_sheets_and_other_content_another_draw(
    world: World, copy: Path, kind: str
) -> None:
    facts = drawn(copy, kind)
    dataset = facts["dataset"]
    for name in (f"{dataset}.webp", f"{dataset}.json"):
        file = Path("figures") / kind / name
        assert (copy / file).read_bytes() == (world.results / file).read_bytes()
    content = copy / f"data/{dataset}/content.json"
    content.write_text(json.dumps(read_json(content) | {"content_hash": "12" * 32}))
    again = drawn(copy, kind)
    assert again["groups"][0]["images"] != facts["groups"][0]["images"]


def test_boxes_say_what_was_found_filled_and_missed(world: World) -> None:
    failures = described(world.results, "parts")["groups"][1]["images"]
    for one in failures:
        empty = one["image"] == EMPTY
        assert [box["rank"] for box in one["boxes"]] == list(range(1, 9))
        assert [box["filled"] for box in one["boxes"]] == [empty] * 4 + [True] * 4
        missed = missed_labels(one["image"], world.results)
        assert one["uncovered"] == {label: missed.count(label) for label in sorted(set(missed))}
        assert one["parts"] == 4
    assert failures[0]["image"] == EMPTY


def test_joints_say_how_sure_the_four_are(world: World) -> None:
    facts = described(world.results, "keypoints")
    table = pd.read_parquet(world.results / "keypoints/people/keypoints.parquet")
    for one in facts["groups"][0]["images"]:
        joints = table[table["image"] == one["image"]].set_index("joint")["confidence"]
        assert one["anchors"] == {NAMES[j]: round(float(joints[j]), 4) for j in GLAD}
        assert one["least"]["confidence"] == round(float(joints.min()), 4)


@pytest.mark.parametrize(("kind", "column"), [("parts", "score"), ("keypoints", "confidence")])
def test_without_truth_the_least_sure_come_last(copy: Path, kind: str, column: str) -> None:
    dataset = SHEETS[kind][0]
    (copy / kind / dataset / "evaluation.json").unlink()
    (copy / "data" / dataset / "annotations.parquet").unlink()
    file = copy / kind / dataset / f"{kind}.parquet"
    table = pd.read_parquet(file)
    unsure = {11: 0.01, 17: 0.02, 3: 0.03}
    table[column] = table["image"].map(unsure).fillna(0.9).astype("float32")
    table.to_parquet(file)
    facts = drawn(copy, kind)
    failures = facts["groups"][1]
    assert [one["image"] for one in failures["images"]][:3] == list(unsure)
    assert facts["score"] == "confidence"
    assert "least sure" in failures["rule"]
    assert all(list(one["tiles"]) == ["detected"] for one in failures["images"])
    assert not any("true" in entry["label"] for entry in facts["legend"])


def test_only_test_images_are_shown(copy: Path) -> None:
    splits = pd.read_parquet(copy / "data/cars/splits.parquet")
    splits["role"] = np.where(splits["image"] < 48, "train", splits["role"])
    splits.to_parquet(copy / "data/cars/splits.parquet")
    assert all(one["image"] >= 48 for one in drawn(copy, "parts")["groups"][0]["images"])
    splits.assign(role="train").to_parquet(copy / "data/cars/splits.parquet")
    with pytest.raises(UserError, match="no test image"):
        drawn(copy, "parts")


@pytest.mark.parametrize(
    ("kind", "left", "complaint"),
    [("parts", [], "no row of image"), ("keypoints", [0, 1], "not 14 joints an image")],
)
def test_a_table_that_does_not_fit_is_named(
    copy: Path, kind: str, left: list[int], complaint: str
) -> None:
    dataset = SHEETS[kind][0]
    file = copy / kind / dataset / f"{kind}.parquet"
    table = pd.read_parquet(file)
    order = "rank" if kind == "parts" else "joint"
    table[table[order].isin(left)].to_parquet(file)
    with pytest.raises(UserError, match=complaint) as caught:
        drawn(copy, kind)
    assert str(caught.value).startswith(f"{file}: ")


GREY = Image.new("RGB", (100, 100), (128, 128, 128))


def near(image: Image.Image, colour: str) -> np.ndarray:
    """Which pixels have about that colour."""
    return np.abs(np.asarray(image, dtype=float) - ImageColor.getrgb(colour)).max(axis=2) < 40


def test_what_only_fills_is_dashed(world: World) -> None:
    shares = {}
    for filled in (False, True):
        box = {"rank": 0, "x0": 0.1, "y0": 0.3, "x1": 0.9, "y1": 0.8, "filled": filled}
        image = stage_overlays.draw_ranked(GREY, pd.DataFrame([box]))
        bottom = near(image, overlays.part_colour(1))[75:82, 15:85].any(axis=0)
        shares[filled] = bottom.mean()
    assert shares[False] == 1
    assert 0.3 < shares[True] < 0.75


def test_missed_parts_are_dashed_and_of_another_colour() -> None:
    parts = pd.DataFrame(
        [{"x0": 0.1, "y0": 0.1, "x1": 0.4, "y1": 0.4}, {"x0": 0.5, "y0": 0.5, "x1": 0.9, "y1": 0.9}]
    )
    image = stage_overlays.draw_truth(GREY, parts, [True, False])
    hit, missed = (near(image, c) for c in (stage_overlays.COVERED, stage_overlays.MISSED))
    assert hit[:45, :45].any()
    assert not hit[45:, 45:].any()
    assert missed[45:, 45:].any()
    assert not missed[:45, :45].any()
    assert missed[86:92, 52:88].any(axis=0).mean() < 0.8 < hit[36:42, 12:38].any(axis=0).mean()


def test_regions_lie_where_glad_cuts() -> None:
    rng = np.random.default_rng(3)
    joints = pd.DataFrame(
        {
            "joint": range(14),
            "x": rng.uniform(0.3, 0.7, 14),
            "y": np.r_[0.9, 0.75, 0.55, 0.55, 0.75, 0.9, [0.5] * 6, 0.25, 0.1],
            "confidence": 0.9,
        }
    )
    tile = Image.new("RGB", (128, 256), (128, 128, 128))
    points = torch.tensor(joints[["x", "y", "confidence"]].to_numpy(np.float32))
    pixels = region_boxes(points[None], 256, 128)[0].numpy().round()
    image = stage_overlays.draw_pose(tile, joints, pixels / [128, 256, 128, 256])
    for (_, role), (_, top, _, bottom) in zip(stage_overlays.REGIONS.values(), pixels, strict=True):
        colour = stage_overlays.theme.COLOURS[role][1]
        rows = np.flatnonzero(near(image, colour).sum(axis=1) > 10)
        assert rows.min() == top
        assert rows.max() + 1 == bottom


def test_a_missing_joint_is_not_drawn_and_an_unsure_one_is_hollow() -> None:
    tile = Image.new("RGB", (128, 256), (128, 128, 128))
    nowhere = np.zeros((3, 4))
    middle = {}
    for confidence in (0.0, 0.4, 0.9):
        joints = pd.DataFrame([{"joint": 7, "x": 0.5, "y": 0.5, "confidence": confidence}])
        image = stage_overlays.draw_pose(tile, joints, nowhere)
        middle[confidence] = np.asarray(image, dtype=float)[128, 64]
    assert np.allclose(middle[0.0], 128)
    assert middle[0.4].max() < 60  # dark within a ring
    assert np.abs(middle[0.9] - ImageColor.getrgb(overlays.RIGHT)).max() < 40
