"""Rendered sets on disk: layouts, annotations, bytes, whole folders, contact sheets."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from reid_repro.cli import app
from reid_repro.config import MarketDataset
from reid_repro.datasets import index
from reid_repro.rendering import export as exporting
from reid_repro.rendering.contact_sheet import contact_sheet
from reid_repro.rendering.export import GROUP_SIZE, ExportSummary, export
from reid_repro.rendering.pedestrians import JOINTS, PedestrianRenderer
from reid_repro.rendering.vehicles import PART_CLASSES, VehicleRenderer

# As the two datasets' own readers match them.
MARKET_NAME = re.compile(r"([-\d]+)_c(\d)s\d_\d+_\d+\.jpg")
VERI_NAME = re.compile(r"^(\d{4})_c(\d{3})_(\d{8})_(\d+)\.jpg$")
IDS, CAMERAS, PER_CAMERA = 8, 3, 2
SMALL: dict[str, Any] = {
    "ids": IDS, "cameras": CAMERAS, "images_per_camera": PER_CAMERA, "seed": 5,
}  # fmt: skip
SIZES = {"pedestrian": (64, 32), "vehicle": (64, 64)}


def small(kind: Any, out: Path, layout: Any, **options: Any) -> ExportSummary:
    return export(kind, out, layout=layout, **{**SMALL, "size": SIZES[kind], **options})


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pedestrians in the layout of Market-1501."""
    out = tmp_path_factory.mktemp("export") / "market"
    small("pedestrian", out, "market1501")
    return out


@pytest.fixture(scope="module")
def veri(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vehicles in the layout of VeRi-776."""
    out = tmp_path_factory.mktemp("export") / "veri"
    small("vehicle", out, "veri776")
    return out


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def keys(folder: Path, pattern: re.Pattern[str]) -> list[tuple[int, int]]:
    """(identity, camera) of every image in a folder; each name must match as a whole."""
    matches = [pattern.fullmatch(name) for name in names(folder)]
    assert all(matches), names(folder)
    return [(int(m[1]), int(m[2])) for m in matches if m]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def images_of(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.jpg"))


# --- layouts ----------------------------------------------------------------------------------


def test_market_layout(market: Path) -> None:
    assert {p.name for p in market.iterdir() if p.is_dir()} == {
        "bounding_box_train", "bounding_box_test", "query"
    }  # fmt: skip
    train, query, gallery = (
        keys(market / folder, MARKET_NAME)
        for folder in ("bounding_box_train", "query", "bounding_box_test")
    )
    half = IDS // 2
    assert Counter(train) == {
        (i, c): PER_CAMERA for i in range(1, half + 1) for c in range(1, CAMERAS + 1)
    }
    tested = {(i, c) for i in range(half + 1, IDS + 1) for c in range(1, CAMERAS + 1)}
    assert Counter(query) == dict.fromkeys(tested, 1)
    assert Counter(gallery) == dict.fromkeys(tested, PER_CAMERA - 1)
    # In this layout a query is not in the gallery folder.
    assert not set(names(market / "query")) & set(names(market / "bounding_box_test"))


def test_veri_layout(veri: Path) -> None:
    train, query, gallery = (
        keys(veri / folder, VERI_NAME) for folder in ("image_train", "image_query", "image_test")
    )
    half = IDS // 2
    assert Counter(train) == {
        (i, c): PER_CAMERA for i in range(1, half + 1) for c in range(1, CAMERAS + 1)
    }
    tested = {(i, c) for i in range(half + 1, IDS + 1) for c in range(1, CAMERAS + 1)}
    assert Counter(query) == dict.fromkeys(tested, 1)
    assert Counter(gallery) == dict.fromkeys(tested, PER_CAMERA)
    for name in names(veri / "image_query"):
        again = veri / "image_test" / name
        assert again.read_bytes() == (veri / "image_query" / name).read_bytes()
    for subset in ("train", "query", "test"):
        listed = (veri / f"name_{subset}.txt").read_text().splitlines()
        assert listed == names(veri / f"image_{subset}")


def test_veri_labels(veri: Path) -> None:
    words: dict[str, dict[str, str]] = {}
    for file in ("list_color.txt", "list_type.txt"):
        pairs = [line.split(" ", 1) for line in (veri / file).read_text().splitlines()]
        assert [int(number) for number, _ in pairs] == list(range(1, len(pairs) + 1))
        words[file] = dict(pairs)
    renderer = VehicleRenderer(seed=5, cameras=CAMERAS, group_size=GROUP_SIZE)
    for subset in ("train", "test"):
        root = ElementTree.parse(veri / f"{subset}_label.xml").getroot()
        assert (root.tag, root.get("Version")) == ("TrainingImages", "1.0")
        (items,) = root
        assert int(items.attrib["number"]) == len(items)
        assert [item.attrib["imageName"] for item in items] == names(veri / f"image_{subset}")
        for item in items:
            match = VERI_NAME.fullmatch(item.attrib["imageName"])
            assert match is not None
            assert item.attrib["vehicleID"] == match[1]
            assert item.attrib["cameraID"] == f"c{match[2]}"
            looks = renderer.attributes(int(match[1]) - 1)
            assert words["list_color.txt"][item.attrib["colorID"]] == looks["colour"]
            assert words["list_type.txt"][item.attrib["typeID"]] == looks["body"]


@pytest.mark.parametrize("kind", ["vehicle", "pedestrian"])
@pytest.mark.parametrize("layout", ["market1501", "veri776"])
def test_images_are_those_of_the_renderer(tmp_path: Path, kind: Any, layout: Any) -> None:
    small(kind, tmp_path / "set", layout, ids=2, cameras=2)
    make = VehicleRenderer if kind == "vehicle" else PedestrianRenderer
    renderer = make(seed=5, cameras=2, group_size=GROUP_SIZE)
    pattern = MARKET_NAME if layout == "market1501" else VERI_NAME
    for path in images_of(tmp_path / "set"):
        match = pattern.fullmatch(Path(path).name)
        assert match is not None
        index = int(re.split("[_.]", Path(path).name)[2]) - 1
        drawn = renderer.render(int(match[1]) - 1, int(match[2]) - 1, index, SIZES[kind])
        with Image.open(tmp_path / "set" / path) as image:
            assert image.format == "JPEG"
            stored = np.asarray(image.convert("RGB")).astype(int)
        assert stored.shape == drawn.image.shape
        assert np.abs(stored - drawn.image).mean() < 4  # JPEG alone stands between them


@pytest.mark.parametrize(
    ("ids", "share", "trained"),
    [
        (8, 0.5, 4),
        (16, 0.25, 4),
        (24, 0.5, 12),
        (2, 0.5, 1),
        (3, 0.9, 2),
        (5, 0.1, 1),
        (20, 0.3, 8),
    ],
)
def test_groups_of_look_alikes_stay_together(ids: int, share: float, trained: int) -> None:
    plan = exporting._plan(ids, 2, 2, share)
    roles = defaultdict(set)
    for photograph in plan:
        roles["train" if photograph.role == "train" else "test"].add(photograph.identity)
    assert roles["train"] == set(range(trained))
    assert roles["test"] == set(range(trained, ids))


def test_summary_counts_what_is_on_disk(tmp_path: Path, market: Path) -> None:
    seen: list[int] = []
    summary = small("vehicle", tmp_path / "set", "veri776", progress=seen.append)
    assert sum(seen) == IDS * CAMERAS * PER_CAMERA
    assert summary.folder == tmp_path / "set"
    assert (summary.train_ids, summary.test_ids, summary.cameras) == (4, 4, CAMERAS)
    assert summary.train_images == len(names(tmp_path / "set" / "image_train"))
    assert summary.query_images == len(names(tmp_path / "set" / "image_query"))
    total = len(names(tmp_path / "set" / "image_test"))
    assert summary.gallery_images == total - summary.query_images
    assert str(summary) == (
        "24 training images of 4 identities, 12 queries and 12 gallery images of "
        "4 other identities, 3 cameras"
    )


# --- annotations ------------------------------------------------------------------------------


def coco(path: Path) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """The file's content, and its annotations by file name; ids are unique and complete."""
    content = json.loads(path.read_text())
    files = {image["id"]: image["file_name"] for image in content["images"]}
    assert len(files) == len(content["images"])
    ids = [annotation["id"] for annotation in content["annotations"]]
    assert ids == list(range(1, len(ids) + 1))
    by_file: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        by_file[files[annotation["image_id"]]].append(annotation)
    return content, by_file


def test_parts_agree_and_lie_in_the_image(veri: Path) -> None:
    content, by_file = coco(veri / "parts.json")
    assert sorted(image["file_name"] for image in content["images"]) == images_of(veri)
    assert all((i["height"], i["width"]) == SIZES["vehicle"] for i in content["images"])
    labels = {category["id"]: category["name"] for category in content["categories"]}
    assert tuple(labels.values()) == PART_CLASSES
    table: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows(veri / "parts.csv"):
        table[row["image"]].append(row)
    assert set(table) == set(by_file) <= set(images_of(veri))
    assert sum(map(len, table.values())) > 3 * len(images_of(veri))
    height, width = SIZES["vehicle"]
    for path, boxes in table.items():
        for row, annotation in zip(boxes, by_file[path], strict=True):
            x0, y0, x1, y1, seen = (float(row[k]) for k in ("x0", "y0", "x1", "y1", "visibility"))
            assert 0 <= x0 < x1 <= 1
            assert 0 <= y0 < y1 <= 1
            assert 0 < seen <= 1
            assert labels[annotation["category_id"]] == row["label"]
            left, top, w, h = annotation["bbox"]
            expected = (x0 * width, y0 * height, x1 * width, y1 * height)
            np.testing.assert_allclose((left, top, left + w, top + h), expected, atol=2e-3)
            assert left >= 0
            assert top >= 0
            assert left + w <= width
            assert top + h <= height
            assert annotation["area"] == pytest.approx(w * h, abs=0.1)


def test_parts_are_those_of_the_renderer(veri: Path) -> None:
    renderer = VehicleRenderer(seed=5, cameras=CAMERAS, group_size=GROUP_SIZE)
    table = rows(veri / "parts.csv")
    for path in images_of(veri)[::7]:
        match = VERI_NAME.fullmatch(Path(path).name)
        assert match is not None
        key = int(match[1]) - 1, int(match[2]) - 1, int(match[3]) - 1
        drawn = renderer.render(*key, SIZES["vehicle"]).parts
        written = [row for row in table if row["image"] == path]
        assert [row["label"] for row in written] == [part.label for part in drawn]
        for row, part in zip(written, drawn, strict=True):
            for name in ("x0", "y0", "x1", "y1", "visibility"):
                assert float(row[name]) == pytest.approx(getattr(part, name), abs=1e-6)


def test_joints_agree_and_lie_in_the_image(market: Path) -> None:
    content, by_file = coco(market / "joints.json")
    assert sorted(image["file_name"] for image in content["images"]) == images_of(market)
    assert tuple(content["categories"][0]["keypoints"]) == JOINTS
    bones = content["categories"][0]["skeleton"]
    assert {end for bone in bones for end in bone} == set(range(1, 15))  # COCO counts from 1
    table: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows(market / "joints.csv"):
        table[row["image"]].append(row)
    assert sorted(table) == sorted(by_file) == images_of(market)
    height, width = SIZES["pedestrian"]
    renderer = PedestrianRenderer(seed=5, cameras=CAMERAS, group_size=GROUP_SIZE)
    for path, joints in table.items():
        (annotation,) = by_file[path]
        assert annotation["bbox"] == [0, 0, width, height]
        assert [row["name"] for row in joints] == list(JOINTS)
        assert [int(row["joint"]) for row in joints] == list(range(14))
        match = MARKET_NAME.fullmatch(Path(path).name)
        assert match is not None
        key = int(match[1]) - 1, int(match[2]) - 1, int(Path(path).name.split("_")[2]) - 1
        drawn = renderer.render(*key, SIZES["pedestrian"]).joints
        assert drawn is not None
        triples = np.reshape(annotation["keypoints"], (14, 3)).tolist()
        for row, (x, y, v), exact in zip(joints, triples, drawn.tolist(), strict=True):
            share = float(row["x"]), float(row["y"])
            np.testing.assert_allclose((*share, int(row["visible"])), exact, atol=1e-6)
            inside = 0 <= share[0] < 1 and 0 <= share[1] < 1
            assert v == (0 if not inside else 1 + int(row["visible"]))
            expected = (share[0] * width, share[1] * height) if inside else (0, 0)
            np.testing.assert_allclose((x, y), expected, atol=2e-3)
        assert annotation["num_keypoints"] == sum(v > 0 for _, _, v in triples)


@pytest.mark.parametrize("kind", ["vehicle", "pedestrian"])
def test_attributes_of_every_identity(kind: str, market: Path, veri: Path) -> None:
    make = VehicleRenderer if kind == "vehicle" else PedestrianRenderer
    renderer = make(seed=5, cameras=CAMERAS, group_size=GROUP_SIZE)
    table = rows((veri if kind == "vehicle" else market) / "attributes.csv")
    assert [row["identity"] for row in table] == [f"{i:04d}" for i in range(1, IDS + 1)]
    for identity, row in enumerate(table):
        written = {name: word for name, word in row.items() if word and name != "identity"}
        assert written == {n: w for n, w in renderer.attributes(identity).items() if w}


def test_only_the_own_annotations_are_there(market: Path, veri: Path) -> None:
    files = {p.name for p in market.iterdir() if p.is_file()}
    assert files == {"joints.csv", "joints.json", "attributes.csv"}
    files = {p.name for p in veri.iterdir() if p.is_file()}
    assert files == {
        "parts.csv", "parts.json", "attributes.csv", "list_color.txt", "list_type.txt",
        "name_train.txt", "name_query.txt", "name_test.txt", "train_label.xml", "test_label.xml",
    }  # fmt: skip


# --- bytes and folders ------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "layout"), [("pedestrian", "market1501"), ("vehicle", "veri776")])
def test_workers_change_no_byte(tmp_path: Path, kind: str, layout: str) -> None:
    for workers in (1, 2):
        small(kind, tmp_path / str(workers), layout, ids=6, workers=workers)
    one, two = digests(tmp_path / "1"), digests(tmp_path / "2")
    assert len(one) > 36
    assert one == two


def test_no_number_of_workers_means_one_a_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def draw_all(tasks: list[Any], workers: int) -> Any:
        asked.append(workers)
        return map(exporting._draw, tasks)

    monkeypatch.setattr(exporting, "_draw_all", draw_all)
    small("pedestrian", tmp_path / "set", "market1501", ids=2, workers=0)
    assert asked == [os.cpu_count()]


def test_seed_changes_the_images(tmp_path: Path, market: Path) -> None:
    small("pedestrian", tmp_path / "other", "market1501", seed=6)
    one, other = digests(market), digests(tmp_path / "other")
    assert set(one) == set(other)
    assert all(one[name] != other[name] for name in one if name.endswith(".jpg"))


def test_refuses_a_folder_that_holds_something(tmp_path: Path) -> None:
    kept = tmp_path / "set" / "mine.txt"
    kept.parent.mkdir()
    kept.write_text("keep")
    with pytest.raises(ValueError, match="already exists and is not an empty folder"):
        small("pedestrian", kept.parent, "market1501")
    with pytest.raises(ValueError, match="not an empty folder"):
        small("pedestrian", kept, "market1501")
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "mine.txt"]
    assert kept.read_text() == "keep"


def test_takes_an_empty_folder_and_makes_parents(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    small("pedestrian", tmp_path / "empty", "market1501", ids=2)
    small("pedestrian", tmp_path / "a" / "b" / "set", "market1501", ids=2)
    assert digests(tmp_path / "empty") == digests(tmp_path / "a" / "b" / "set")
    assert names(tmp_path / "a" / "b") == ["set"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failure_in_the_middle_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    done = 0

    def stop(count: int) -> None:
        nonlocal done
        done += count
        if done == 7:
            # Some of the set is on disk by now, under another name.
            (beside,) = tmp_path.iterdir()
            assert beside.name != "set"
            assert len(images_of(beside)) == 7
            raise error("stop")

    with pytest.raises(error, match="stop"):
        small("pedestrian", tmp_path / "set", "market1501", progress=stop)
    assert list(tmp_path.iterdir()) == []
    summary = small("pedestrian", tmp_path / "set", "market1501", ids=2)  # and can be repeated
    assert summary.train_images == CAMERAS * PER_CAMERA


def test_failure_of_a_renderer_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = VehicleRenderer.render

    def fail(self: VehicleRenderer, identity: int, *rest: Any) -> Any:
        if identity == 3:
            raise MemoryError("no room")
        return original(self, identity, *rest)

    monkeypatch.setattr(VehicleRenderer, "render", fail)
    with pytest.raises(MemoryError):
        small("vehicle", tmp_path / "set", "veri776")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "boat"}, "kind is 'boat'; it must be one of vehicle, pedestrian"),
        ({"layout": "viper"}, "layout is 'viper'; it must be one of market1501, veri776"),
        ({"ids": 1}, "ids is 1; .* 2 .* to 9999"),
        ({"ids": 10_000}, "ids is 10000"),
        ({"cameras": 1}, "cameras is 1; a query needs a match by another camera"),
        ({"cameras": 10}, "the layout market1501 can name 9: choose 2 to 9"),
        ({"images_per_camera": 1}, "images_per_camera is 1; it must be at least 2"),
        ({"size": (31, 64)}, "at least 32 pixels"),
        ({"size": (64, 0)}, "at least 32 pixels"),
        ({"seed": -1}, "seed is -1; it must not be negative"),
        ({"train_share": 1.0}, "train_share is 1.0; it must lie between 0 and 1"),
        ({"workers": -1}, "workers is -1; give how many, or 0 for one a core"),
    ],
)
def test_bad_arguments(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    arguments = {"kind": "pedestrian", "layout": "market1501", "size": (64, 32), **options}
    with pytest.raises(ValueError, match=message) as caught:
        export(out=tmp_path / "set", **{**SMALL, **arguments})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_places_where_no_folder_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file cannot hold a new folder"):
        small("pedestrian", tmp_path / "file" / "set", "market1501")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for place in (".", "..", "/"):
        with pytest.raises(ValueError, match="name a new folder"):
            small("pedestrian", Path(place), "market1501")
    assert names(tmp_path) == ["file", "here"]


# --- command line -----------------------------------------------------------------------------


def call(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["render", *arguments])


@pytest.mark.parametrize(
    ("layout", "folders", "size"),
    [
        ("market1501", ("bounding_box_train", "query", "bounding_box_test"), (128, 256)),
        ("veri776", ("image_train", "image_query", "image_test"), (256, 256)),
    ],
)
def test_command_with_its_defaults(
    tmp_path: Path, layout: str, folders: tuple[str, ...], size: tuple[int, int]
) -> None:
    out = tmp_path / "set"
    result = call("--out", str(out), "--ids", "8", "--layout", layout)
    assert result.exit_code == 0, result.output
    assert "72 training images of 4 identities, 24 queries" in result.stdout
    pattern = MARKET_NAME if layout == "market1501" else VERI_NAME
    train, query, test = (keys(out / folder, pattern) for folder in folders)
    assert (len(train), len(query)) == (72, 24)
    assert len(test) == (48 if layout == "market1501" else 72)
    assert not {i for i, _ in train} & {i for i, _ in query + test}
    first = images_of(out)[0]
    with Image.open(out / first) as image:
        assert image.size == size
    # Each layout shows its own dataset's subject.
    assert (out / "joints.csv").exists() == (layout == "market1501")
    assert (out / "parts.csv").exists() == (layout == "veri776")


def test_command_as_a_process(tmp_path: Path) -> None:
    """The console script's module, every option, two workers: the same bytes as the library."""
    options = {
        "--out": "set", "--ids": "4", "--kind": "vehicle", "--cameras": "2",
        "--images-per-camera": "2", "--layout": "market1501", "--height": "48", "--width": "64",
        "--seed": "9", "--threads": "2",
    }  # fmt: skip
    arguments = [word for pair in options.items() for word in pair]
    done = subprocess.run(
        [sys.executable, "-m", "reid_repro.cli", "render", *arguments],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("set: 8 training images of 2 identities")
    export(
        "vehicle", tmp_path / "same", ids=4, cameras=2, images_per_camera=2,
        layout="market1501", size=(48, 64), seed=9,
    )  # fmt: skip
    assert digests(tmp_path / "set") == digests(tmp_path / "same")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--layout", "viper"), "layout 'viper': expected market1501 or veri776"),
        (("--kind", "boat"), "kind 'boat': expected vehicle or pedestrian"),
        (("--cameras", "12"), "can name 9"),
        (("--height", "8"), "at least 32 pixels"),
    ],
)
def test_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = call("--out", str(tmp_path / "set"), "--ids", "8", *arguments)
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_command_refuses_a_full_folder(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("keep")
    result = call("--out", str(tmp_path / "set"), "--ids", "8")
    assert result.exit_code == 1
    assert "error: " in result.stderr
    assert "is not an empty folder" in result.stderr
    assert names(tmp_path / "set") == ["mine.txt"]


# --- read back --------------------------------------------------------------------------------


def test_the_projects_own_reader_takes_the_set(market: Path, tmp_path: Path) -> None:
    config = MarketDataset(
        source="market1501", title="Rendered", subject="pedestrian", licence="CC0-1.0", root=market
    )
    dataset = index("rendered", config, tmp_path)
    per_identity = CAMERAS * PER_CAMERA
    assert dataset.counts() == {
        "train": {"images": 4 * per_identity, "identities": 4, "cameras": CAMERAS},
        "query": {"images": 4 * CAMERAS, "identities": 4, "cameras": CAMERAS},
        "gallery": {
            "images": 4 * per_identity - 4 * CAMERAS, "identities": 4, "cameras": CAMERAS
        },
    }  # fmt: skip
    assert sorted(dataset.images["image"]) == images_of(market)
    assert set(dataset.images["height"]) == {64}
    assert set(dataset.images["width"]) == {32}
    roles = dict(zip(dataset.splits["image"], dataset.splits["role"], strict=True))
    identities = defaultdict(set)
    for row, identity in enumerate(dataset.images["identity"]):
        identities[roles[row]].add(int(identity))
    assert identities["query"] == identities["gallery"]
    assert not identities["train"] & identities["query"]


# --- contact sheets ---------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "tile"), [("vehicle", (224, 224)), ("pedestrian", (128, 64))])
@pytest.mark.parametrize("scale", [1, 2])
def test_contact_sheet_holds_the_photographs(kind: Any, tile: tuple[int, int], scale: int) -> None:
    """Tiles keep their size and order: each photograph is found where its row and column meet."""
    identities, cameras = (0, 5), (2, 0, 1)
    sheet = contact_sheet(
        kind, identities=identities, cameras=cameras, seed=1, annotated=False, scale=scale
    )
    assert sheet.mode == "RGB"
    height, width = tile[0] * scale, tile[1] * scale
    pixels = np.asarray(sheet)
    gap = 4
    left = sheet.width - len(cameras) * (width + gap)
    top = sheet.height - len(identities) * (height + gap)
    assert 0 < left < 60
    assert 0 < top < 40
    make = VehicleRenderer if kind == "vehicle" else PedestrianRenderer
    renderer = make(seed=1, cameras=3)
    for row, identity in enumerate(identities):
        for column, camera in enumerate(cameras):
            image = Image.fromarray(renderer.render(identity, camera, 0, tile).image)
            expected = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
            y, x = top + row * (height + gap), left + column * (width + gap)
            np.testing.assert_array_equal(pixels[y : y + height, x : x + width], expected)


@pytest.mark.parametrize("kind", ["vehicle", "pedestrian"])
def test_annotated_sheet_has_overlays_and_a_legend(kind: Any) -> None:
    plain = contact_sheet(kind, identities=2, cameras=2, seed=1, annotated=False, scale=1)
    marked = contact_sheet(kind, identities=2, cameras=2, seed=1, annotated=True, scale=1)
    assert marked.width == plain.width
    assert marked.height > plain.height
    above = np.asarray(marked)[: plain.height]
    changed = (above != np.asarray(plain)).any(axis=2)
    assert 0.01 < changed.mean() < 0.6


def test_joints_of_the_sheet_are_hollow_where_hidden() -> None:
    renderer = PedestrianRenderer(seed=1, cameras=1)
    plain = contact_sheet(
        "pedestrian", identities=[4], cameras=[0], seed=1, annotated=False, scale=4
    )
    sheet = contact_sheet("pedestrian", identities=[4], cameras=[0], seed=1, scale=4)
    left, top = plain.width - 64 * 4 - 4, plain.height - 128 * 4 - 4
    joints = renderer.render(4, 0, 0, (128, 64)).joints
    assert joints is not None
    checked = set()
    for row, (x, y, visible) in enumerate(joints.tolist()):
        others = np.delete(joints[:, :2], row, axis=0) * (64, 128)
        if np.hypot(*(others - (x * 64, y * 128)).T).min() > 3:  # no other dot lies over this one
            colour = sheet.getpixel((left + int(x * 256), top + int(y * 512)))
            assert (colour == (32, 33, 36)) == (not visible)
            checked.add(bool(visible))
    assert checked == {True, False}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "boat"}, "kind is 'boat'"),
        ({"identities": 0}, "identities is 0; give at least one"),
        ({"cameras": []}, "cameras is \\[\\]; give at least one"),
        ({"identities": [-1]}, "identities is \\[-1\\]"),
        ({"scale": 0}, "scale is 0; it must be at least 1"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_contact_sheet_refuses(options: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "kind": "pedestrian", "identities": 1, "cameras": 1, "seed": 0, **options
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        contact_sheet(**arguments)
