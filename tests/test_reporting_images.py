"""Sample sheets, overlays and ranked lists: the right pixels in the right place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.files import read_json
from reid_repro.reporting import overlays
from reid_repro.reporting.figures import ranked_lists, samples
from reid_repro.reporting.sprites import Grid, fit, sheet

from reporting_world import CAMERAS, LABELS, SHOTS, World, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"), figures=False)


def crop(image: Image.Image, origin: tuple[int, int], tile: tuple[int, int]) -> np.ndarray:
    box = (*origin, origin[0] + tile[0], origin[1] + tile[1])
    return np.asarray(image.convert("RGB").crop(box), dtype=float)


def close(found: np.ndarray, pixels: np.ndarray) -> bool:
    """Equal up to what WebP loses."""
    expected = np.asarray(fit(pixels, found.shape[1], found.shape[0]), dtype=float)
    return bool(np.abs(found - expected).mean() < 8)


@pytest.mark.parametrize("dataset", ["cars", "people"])
def test_samples_show_identities_by_cameras(world: World, tmp_path: Path, dataset: str) -> None:
    folder, out = world.results / "data" / dataset, tmp_path / "sheet.webp"
    samples(folder, out)
    facts, image, store = (
        read_json(out.with_suffix(".json")),
        Image.open(out),
        ImageStore.open(folder),
    )
    assert list(image.size) == facts["size"]
    tile = tuple(facts["tile"])
    grid = Grid(*tile, columns=len(facts["cameras"]), gap=facts["gap"])
    rows = [row for line in facts["images"] for row in line]
    images = pd.read_parquet(folder / "images.parquet")
    for number, row in enumerate(rows):
        line, column = divmod(number, CAMERAS)
        assert images["identity"][row] == facts["identities"][line]
        assert images["camera"][row] == facts["cameras"][column]
        plain = crop(image, grid.origin(number), tile)
        assert close(plain, store[row])
        annotated = crop(image, grid.origin(number + len(rows)), tile)
        changed = np.abs(annotated - plain).max(axis=2) > 60
        assert 0.01 < changed.mean() < 0.5
    groups = images.drop_duplicates("identity").set_index("identity")["group"]
    first, second, third, fourth = (groups[identity] for identity in facts["identities"])
    assert first == second != third == fourth
    if dataset == "cars":
        assert [entry["label"] for entry in facts["legend"]] == [
            label.replace("_", " ") for label in sorted(LABELS)
        ]
        assert {entry["count"] for entry in facts["legend"]} == {len(images)}


def test_samples_without_annotations_are_plain(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "cars"
    shutil.copytree(world.results / "data/cars", folder)
    (folder / "annotations.parquet").unlink()
    samples(folder, tmp_path / "sheet.webp")
    facts = read_json(tmp_path / "sheet.json")
    assert facts["annotation"] is None
    assert facts["size"][1] == facts["plain_height"]
    assert (facts["legend"], len(facts["captions"])) == ([], 1)


def test_samples_leave_a_place_for_a_camera_that_missed_someone(
    world: World, tmp_path: Path
) -> None:
    folder = tmp_path / "cars"
    shutil.copytree(world.results / "data/cars", folder)
    splits = pd.read_parquet(folder / "splits.parquet")
    images = pd.read_parquet(folder / "images.parquet").drop(columns="group")
    # Each identity misses one camera, by turns.
    seen = images["camera"] != images["identity"] % CAMERAS
    splits[seen].to_parquet(folder / "splits.parquet")
    images.to_parquet(folder / "images.parquet")
    samples(folder, tmp_path / "sheet.webp")
    facts = read_json(tmp_path / "sheet.json")
    assert [line.count(-1) for line in facts["images"]] == [1, 1, 1, 1]
    assert facts["rule"] == "spread evenly over the test identities"


def altered(world: World, folder: Path, **columns: object) -> Path:
    """A copy of the cars that came as a list of files: other columns, no annotation."""
    shutil.copytree(world.results / "data/cars", folder)
    (folder / "annotations.parquet").unlink()
    for name in ("dataset.json", "content.json"):
        (folder / name).write_text(json.dumps(read_json(folder / name) | {"source": "csv"}))
    images = pd.read_parquet(folder / "images.parquet").assign(**columns)
    images.to_parquet(folder / "images.parquet")
    return folder


@pytest.mark.parametrize("cameras", [0, CAMERAS])
def test_samples_of_unknown_cameras_show_several_images_of_each(
    world: World, tmp_path: Path, cameras: int
) -> None:
    folder = altered(world, tmp_path / "cars", camera=np.int16(-1))
    if not cameras:
        # One image each of three identities: fewer than the sheet has room for.
        splits = pd.read_parquet(folder / "splits.parquet")
        per_identity = CAMERAS * SHOTS
        splits.iloc[[0, per_identity, 2 * per_identity]].to_parquet(folder / "splits.parquet")
    samples(folder, tmp_path / "sheet.webp")
    facts = read_json(tmp_path / "sheet.json")
    images = pd.read_parquet(folder / "images.parquet")
    assert facts["cameras"] == [-1]
    assert [len(line) for line in facts["images"]] == ([6] * 4 if cameras else [1] * 3)
    for identity, line in zip(facts["identities"], facts["images"], strict=True):
        assert len(set(line)) == len(line)
        assert {int(images["identity"][row]) for row in line} == {identity}
    assert facts["captions"][0].endswith("one row each, camera unknown")


def test_samples_of_data_with_some_unknown_cameras_show_the_known_ones(
    world: World, tmp_path: Path
) -> None:
    camera = pd.read_parquet(world.results / "data/cars/images.parquet")["camera"]
    folder = altered(world, tmp_path / "cars", camera=camera.where(camera > 1, -1))
    samples(folder, tmp_path / "sheet.webp")
    facts = read_json(tmp_path / "sheet.json")
    assert facts["cameras"] == list(range(2, CAMERAS))
    assert all(camera[row] == facts["cameras"][n] for line in facts["images"]
               for n, row in enumerate(line))  # fmt: skip


def test_samples_show_identities_that_few_cameras_saw_rather_than_one_row(
    world: World, tmp_path: Path
) -> None:
    images = pd.read_parquet(world.results / "data/cars/images.parquet")
    folder = altered(world, tmp_path / "cars")
    splits = pd.read_parquet(folder / "splits.parquet")
    # Only the first identity was seen by the last camera.
    seen = (images["camera"] < CAMERAS - 1) | (images["identity"] == 1)
    splits[seen].to_parquet(folder / "splits.parquet")
    samples(folder, tmp_path / "sheet.webp")
    facts = read_json(tmp_path / "sheet.json")
    assert [line.count(-1) for line in facts["images"]] == [0, 1, 1, 1]


def test_groups_are_look_alikes_in_rendered_data_alone(world: World, tmp_path: Path) -> None:
    samples(altered(world, tmp_path / "cars"), tmp_path / "sheet.webp")
    facts = read_json(tmp_path / "sheet.json")
    assert facts["rule"] == "spread evenly over the test identities"
    assert facts["identities"] == [1, 3, 6, 8]


def test_samples_of_test_images_without_identity_are_refused(world: World, tmp_path: Path) -> None:
    folder = altered(world, tmp_path / "cars", identity=np.int32(0))
    with pytest.raises(UserError, match="no test image with an identity to show"):
        samples(folder, tmp_path / "sheet.webp")


def test_boxes_lie_where_they_should() -> None:
    tile = Image.new("RGB", (100, 50), (128, 128, 128))
    box = pd.DataFrame({"label": ["sign"], "x0": [0.2], "y0": [0.4], "x1": [0.6], "y1": [0.9]})
    drawn = np.asarray(overlays.draw_parts(tile, box, {"sign": 1}), dtype=int)
    changed = np.argwhere(np.abs(drawn - 128).max(axis=2) > 20)
    below_tag = changed[changed[:, 0] > 22]
    assert below_tag.min(axis=0)[1] == pytest.approx(20, abs=1)
    assert below_tag.max(axis=0) == pytest.approx([44, 59], abs=1)
    assert (drawn[30, 30] == 128).all()


def test_hidden_joints_are_hollow() -> None:
    tile = Image.new("RGB", (96, 192), (128, 128, 128))

    def centre(visible: bool) -> np.ndarray:
        joint = pd.DataFrame({"joint": [0], "x": [0.5], "y": [0.5], "visible": [visible]})
        return np.asarray(overlays.draw_joints(tile, joint))[96, 48]

    assert centre(True).sum() > 350
    assert centre(False).sum() < 120


def test_joints_follow_the_mpii_order_of_sides() -> None:
    for right, left in ((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9)):
        assert right in overlays.RIGHT_JOINTS
        assert left in overlays.LEFT_JOINTS
    linked = {joint for first, second, _ in overlays.LIMBS for joint in (first, second)}
    assert linked == set(range(14))


@pytest.fixture(scope="module")
def ranked(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("ranked") / "ranked.webp"
    ranked_lists(
        world.results / "data/cars", world.metrics("cars", seed=0), world.rankings("cars"), out
    )
    return out, read_json(out.with_suffix(".json"))


def test_queries_are_chosen_by_rule(world: World, ranked: tuple[Path, dict[str, Any]]) -> None:
    _, facts = ranked
    ap = {}
    for file in world.metrics("cars", seed=0):
        name = file.name.removesuffix(".json")
        frame = pd.read_parquet(file.with_name(f"{name}.per_query.parquet"))
        ap[name] = dict(zip(frame["query"], frame["AP"], strict=True))
    chosen = {
        rule: [query["image"] for query in facts["queries"] if query["rule"] == rule]
        for rule in ("random", "worst", "change")
    }
    assert [len(queries) for queries in chosen.values()] == [4, 4, 4]
    assert len({query for queries in chosen.values() for query in queries}) == 12
    left = [query for query in ap["none"] if query not in chosen["random"]]
    worst = sorted(left, key=lambda query: ap["none"][query])[:4]
    assert sorted(chosen["worst"]) == sorted(worst)
    left = [query for query in left if query not in worst]
    change = sorted(left, key=lambda q: -abs(ap["k-reciprocal"][q] - ap["none"][q]))[:4]
    assert sorted(chosen["change"]) == sorted(change)
    for query in facts["queries"]:
        for name, value in query["AP"].items():
            assert value == pytest.approx(ap[name][query["image"]], abs=1e-4)


def test_answers_are_those_of_the_rankings(
    world: World, ranked: tuple[Path, dict[str, Any]]
) -> None:
    _, facts = ranked
    images = pd.read_parquet(world.results / "data/cars/images.parquet")
    rankings = {path.name.removesuffix(".parquet"): path for path in world.rankings("cars")}
    assert list(facts["titles"]) == list(rankings)
    for name, path in rankings.items():
        frame = pd.read_parquet(path)
        for query in facts["queries"]:
            expected = frame[frame["query"] == query["image"]]
            answers = query["rows"][name]
            assert [answer["image"] for answer in answers] == expected["image"].tolist()
            assert [answer["rank"] for answer in answers] == list(range(1, 11))
            for answer in answers:
                assert answer["match"] == (answer["identity"] == query["identity"])
                assert answer["camera"] == images["camera"][answer["image"]]


def test_the_sprite_holds_each_thumbnail_at_its_origin(
    world: World, ranked: tuple[Path, dict[str, Any]]
) -> None:
    out, facts = ranked
    image, sprite = Image.open(out), facts["sprite"]
    store = ImageStore.open(world.results / "data/cars")
    assert list(image.size) == sprite["size"]
    shown = {answer["image"] for q in facts["queries"] for r in q["rows"].values() for answer in r}
    assert {int(row) for row in sprite["origin"]} == shown | {q["image"] for q in facts["queries"]}
    for row, origin in sprite["origin"].items():
        assert close(crop(image, tuple(origin), tuple(sprite["tile"])), store[int(row)])


def test_ranked_lists_are_reproducible(
    world: World, ranked: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, _ = ranked
    again = tmp_path / "ranked.webp"
    # The order in which the ranking files come does not matter.
    ranked_lists(
        world.results / "data/cars",
        world.metrics("cars", seed=0),
        world.rankings("cars")[::-1],
        again,
    )
    for suffix in (".webp", ".json"):
        assert again.with_suffix(suffix).read_bytes() == out.with_suffix(suffix).read_bytes()


def test_a_missing_ranking_is_named(world: World, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no ranking file 'k-reciprocal\.parquet'"):
        ranked_lists(
            world.results / "data/cars",
            world.metrics("cars", seed=0),
            world.rankings("cars")[:2],
            tmp_path / "ranked.webp",
        )


def test_fit_keeps_the_shape() -> None:
    wide = np.full((10, 40, 3), 255, dtype=np.uint8)
    tile = np.asarray(fit(wide, 20, 20))
    assert (tile[8:12] == 255).all()
    assert (tile[:6] == 128).all()


def test_a_sheet_beyond_the_format_is_refused() -> None:
    tile = Image.new("RGB", (9000, 10))
    with pytest.raises(UserError, match="WebP's limit"):
        sheet([tile, tile], Grid(9000, 10, columns=2))
