"""Masks, CSV boxes and COCO files made here: what they become, and one clear line where wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from reid_repro.datasets.places import BOX
from reid_repro.errors import UserError
from reid_repro.parts import coco, imports
from reid_repro.parts.classes import ATTRIBUTES

from conftest import ROOT, write_image

IMAGES = ["train/a.jpg", "test/b.jpg"]


def write_masks(folder: Path, name: str, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Masks of cells x0..x1, y0..y1 (ends excluded), in the order given: least confident first."""
    masks = np.zeros((len(boxes), 14, 14), np.float32)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = 1
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, masks)
    return masks


def test_masks_become_boxes_most_confident_first(tmp_path: Path) -> None:
    write_masks(tmp_path, "train/a.jpg.npy", (0, 0, 14, 14), (0, 0, 0, 0), (2, 3, 9, 5))
    write_masks(tmp_path, "b.npy", (1, 1, 2, 2), (4, 5, 6, 7), (7, 7, 14, 14))
    table = imports.masks(IMAGES, tmp_path)
    assert table["image"].tolist() == [0, 0, 0, 1, 1, 1]
    assert table["rank"].tolist() == [0, 1, 2, 0, 1, 2]
    assert table["label"].tolist() == ["part", "part", "whole image", "part", "part", "part"]
    assert table["score"].tolist() == pytest.approx([1, 1 / 2, 0, 1, 2 / 3, 1 / 3])
    cells = (table[BOX].to_numpy() * 14).round(4).tolist()
    assert cells[:3] == [[2, 3, 9, 5], [0, 0, 14, 14], [0, 0, 14, 14]]
    assert cells[3:] == [[7, 7, 14, 14], [4, 5, 6, 7], [1, 1, 2, 2]]
    assert table.dtypes.astype(str).tolist() == ["int32", "int16", "object", *["float32"] * 5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((3, 14, 13)), r"b\.npy: shape \(3, 14, 13\), expected D x 14 x 14"),
        (np.zeros((14, 14)), r"shape \(14, 14\)"),
        (np.full((3, 14, 14), 0.5), "expected masks of 0 and 1"),
        (np.full((3, 14, 14), np.nan), "expected masks of 0 and 1"),
        (np.ones((2, 14, 14)), "2 masks, but 3 in the files before"),
        (b"no array", r"b\.npy: not a readable \.npy file"),
    ],
)
def test_a_wrong_mask_is_one_clear_line(tmp_path: Path, content: Any, message: str) -> None:
    write_masks(tmp_path, "a.npy", (0, 0, 2, 2), (0, 0, 3, 3), (2, 3, 9, 5))
    if isinstance(content, bytes):
        (tmp_path / "b.npy").write_bytes(content)
    else:
        np.save(tmp_path / "b.npy", content)
    with pytest.raises(UserError, match=message) as caught:
        imports.masks(IMAGES, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_mask_is_named(tmp_path: Path) -> None:
    write_masks(tmp_path, "a.npy", (0, 0, 2, 2))
    with pytest.raises(UserError, match=r"test/b\.jpg\.npy: no such mask, nor .*b\.npy"):
        imports.masks(IMAGES, tmp_path)


def write_csv(file: Path, *lines: str) -> Path:
    file.write_text("\n".join(["image,label,score,x0,y0,x1,y1", *lines]) + "\n", "utf-8")
    return file


def test_csv_boxes_are_ranked_cut_and_filled(tmp_path: Path) -> None:
    file = write_csv(
        tmp_path / "boxes.csv",
        "test/b.jpg,wheel,0.25,0,0,0.5,0.5",
        "train/a.jpg,wheel,0.5,0.1,0.1,0.2,0.2",
        "test/b.jpg,car,0.99,0,0,1,1",
        "test/b.jpg,logo,0.75,0.25,0,0.5,0.5",
        "test/b.jpg,plate,0.125,0.25,0,0.5,1",
    )
    table = imports.csv(IMAGES, file, 2)
    assert table["label"].tolist() == ["wheel", "whole image", "logo", "wheel"]
    assert table["score"].tolist() == [0.5, 0, 0.75, 0.25]
    assert table[BOX].to_numpy().tolist()[1:3] == [[0, 0, 1, 1], [0.25, 0, 0.5, 0.5]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("c.jpg,wheel,0.5,0,0,1,1", r"line 3: 'c\.jpg' is no image of the dataset"),
        ("test/b.jpg,wheel,1.5,0,0,1,1", "line 3: score and coordinates must be in 0..1"),
        ("test/b.jpg,wheel,0.5,0,0,1,nan", "line 3: score and coordinates"),
        ("test/b.jpg,wheel,0.5,0,zero,1,1", "line 3: score and coordinates"),
        ("test/b.jpg,wheel,0.5,0.5,0,0.5,1", "line 3: the box is empty"),
        ('test/b.jpg,"wheel,0.5,0.5,0,0.5,1', "not a readable CSV file"),
    ],
)
def test_a_wrong_csv_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = write_csv(tmp_path / "boxes.csv", "train/a.jpg,wheel,0.5,0.1,0.1,0.2,0.2", line)
    with pytest.raises(UserError, match=message):
        imports.csv(IMAGES, file, 2)


def test_a_csv_without_a_column_or_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file of boxes"):
        imports.csv(IMAGES, tmp_path / "none.csv", 2)
    (tmp_path / "short.csv").write_text("image,label,x0,y0,x1,y1\n", "utf-8")
    with pytest.raises(UserError, match="no column 'score'"):
        imports.csv(IMAGES, tmp_path / "short.csv", 2)


class Coco:
    """A COCO file of two images and a map, to be broken by the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.map: Any = {"categories": {"tyre": "wheel", "door": None, "lamp": "car light"}}
        self.content: Any = {
            "images": [
                {"id": 7, "file_name": "b.jpg", "width": 40, "height": 20},
                {"id": 3, "file_name": "a.jpg", "width": 40, "height": 20},
            ],
            "categories": [
                {"id": 1, "name": "tyre"},
                {"id": 2, "name": "door"},
                {"id": 3, "name": "lamp"},
            ],
            "annotations": [
                {"image_id": 7, "category_id": 1, "bbox": [10, 5, 20, 10]},
                {"image_id": 7, "category_id": 2, "bbox": [0, 0, 9, 9]},
                {"image_id": 3, "category_id": 3, "segmentation": [[4, 2, 8, 2, 8, 6]]},
                {"image_id": 3, "category_id": 1, "bbox": [30, 10, 11, 10]},
                {"image_id": 3, "category_id": 1, "bbox": [0, 0, 40, 20], "iscrowd": 1},
            ],
        }
        for name in ("a.jpg", "b.jpg"):
            write_image(folder / name, 0, (40, 20))

    def load(self) -> Any:
        (self.folder / "notes.json").write_text(json.dumps(self.content), "utf-8")
        (self.folder / "map.yaml").write_text(yaml.safe_dump(self.map), "utf-8")
        return coco.load(self.folder / "notes.json", self.folder, self.folder / "map.yaml")


def test_coco_boxes_become_shares_of_the_images(tmp_path: Path) -> None:
    store, table = Coco(tmp_path).load()
    assert len(store) == 2
    assert store[1].shape == (20, 40, 3)
    assert store.images["image"].tolist() == ["a.jpg", "b.jpg"]
    assert list(zip(table["image"], table["label"], strict=True)) == [
        (1, "wheel"),
        (0, "car light"),
        (0, "wheel"),
    ]
    wanted = [[0.25, 0.25, 0.75, 0.75], [0.1, 0.1, 0.2, 0.3], [0.75, 0.5, 1, 1]]
    np.testing.assert_allclose(table[BOX].to_numpy(), wanted)


def broken(change: str, file: Coco) -> None:
    notes = file.content["annotations"]
    if change == "category":
        file.content["categories"].append({"id": 9, "name": "roof"})
    elif change == "category_id":
        notes[0]["category_id"] = 9
    elif change == "image_id":
        notes[1]["image_id"] = 9
    elif change == "file":
        (file.folder / "a.jpg").unlink()
    elif change == "outside":
        notes[0]["bbox"] = [30, 5, 20, 10]
    elif change == "empty":
        notes[0]["bbox"] = [30, 5, 0, 10]
    elif change == "bbox":
        notes[0]["bbox"] = [30, 5, "x", 10]
    elif change == "sides":
        file.content["images"][1]["width"] = 0
    elif change == "twice":
        file.content["images"][1]["id"] = 7
    elif change == "format":
        file.content = [1, 2]
    elif change == "class":
        file.map["categories"]["tyre"] = "tire"
    elif change == "map":
        file.map = ["tyre"]
    elif change == "nothing":
        file.map["categories"] = dict.fromkeys(file.map["categories"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("category", r"notes\.json: category 'roof' is not in .*map\.yaml; map it to a class"),
        ("category_id", "annotation 0: category_id 9 is no category"),
        ("image_id", "annotation 1: image_id 9 is no image"),
        ("file", r"a\.jpg: missing, but .*notes\.json lists it"),
        ("outside", r"annotation 0: bbox \[30, 5, 20, 10\] lies outside its image of 40 x 20"),
        ("empty", "annotation 0: bbox .* is empty"),
        ("bbox", "annotation 0: bbox is not four numbers"),
        ("sides", "image 1: needs file_name, width and height"),
        ("twice", "two images have the same id"),
        ("format", "not in COCO format, `images` is no list"),
        ("class", "'tyre' is mapped to 'tire', which is no class"),
        ("map", "expected `categories:`"),
        ("nothing", "no box is left"),
    ],
)
def test_a_broken_coco_file_is_one_clear_line(tmp_path: Path, change: str, message: str) -> None:
    file = Coco(tmp_path)
    broken(change, file)
    with pytest.raises(UserError, match=message) as caught:
        file.load()
    assert "\n" not in str(caught.value)


def test_files_that_are_missing_or_unreadable_are_named(tmp_path: Path) -> None:
    file = Coco(tmp_path)
    file.load()
    notes, chosen = tmp_path / "notes.json", tmp_path / "map.yaml"
    with pytest.raises(UserError, match=r"none\.json: no such file of annotations"):
        coco.load(tmp_path / "none.json", tmp_path, chosen)
    with pytest.raises(UserError, match=r"none\.yaml: no such map of categories"):
        coco.load(notes, tmp_path, tmp_path / "none.yaml")
    chosen.write_text("categories: [", "utf-8")
    with pytest.raises(UserError, match=r"map\.yaml: not a readable YAML file") as caught:
        coco.load(notes, tmp_path, chosen)
    assert "\n" not in str(caught.value)
    notes.write_text('{"images": [', "utf-8")
    with pytest.raises(UserError, match=r"notes\.json: not valid JSON"):
        coco.load(notes, tmp_path, chosen)


@pytest.mark.parametrize(("name", "size"), [("car-parts", 18), ("carparts-seg", 23)])
def test_shipped_maps_name_every_category_and_only_classes(name: str, size: int) -> None:
    found = coco.read_map(ROOT / "workflow" / "parts" / f"{name}.yaml")
    assert len(found) == size
    used = {label for label in found.values() if label}
    assert used == {"back mirror", "car light", "wheel", "wind-shield glass"}
    assert used <= set(ATTRIBUTES)
