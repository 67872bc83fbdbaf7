"""MPII's annotation file, in all the forms in which it says a thing; the crops of its people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from PIL import Image

from reid_repro.errors import UserError
from reid_repro.keypoints.joints import JOINTS, as_arrays
from reid_repro.keypoints.mpii import OUTSIDE, MpiiPeople, Person, crop_box, cut

EMPTY = np.zeros((0, 0))
# MPII's own numbers of our 14 joints; 6 is the pelvis, 7 the thorax.
RAW = [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 8, 9]


def structs(records: list[dict[str, Any]]) -> np.ndarray:
    """A MATLAB struct array (1, n): every record has every field, empty where it lacks it."""
    fields = list(dict.fromkeys(name for record in records for name in record))
    found = np.empty((1, len(records)), dtype=[(name, object) for name in fields])
    for number, record in enumerate(records):
        for name in fields:
            found[0, number][name] = record.get(name, EMPTY)
    return found


def point(raw: int, x: float, y: float, mark: Any = None) -> dict[str, Any]:
    found = {"x": x, "y": y, "id": raw}
    return found if mark is None else found | {"is_visible": mark}


def person(points: list[dict[str, Any]], scale: Any = 0.5) -> dict[str, Any]:
    return {
        "scale": scale,
        "objpos": structs([{"x": 50.0, "y": 60.0}]),
        "annopoints": structs([{"point": structs(points)}]),
    }


def standing(x: float, top: float, tall: float) -> list[dict[str, Any]]:
    """All 16 points of a person on a vertical line, the head at `top`; odd ones are hidden."""
    return [
        point(raw, x + raw, top + tall * raw / 15, EMPTY if raw in (8, 9) else 1 - raw % 2)
        for raw in range(16)
    ]


def release(
    file: Path,
    images: list[tuple[str, list[dict[str, Any]] | None]],
    *,
    train: list[int] | None = None,
    single: list[list[int]] | None = None,
) -> Path:
    """The .mat of images with their people; single people are counted from 1."""
    annolist = [
        {
            "image": structs([{"name": name}]),
            "annorect": EMPTY if people is None else structs(people),
        }
        for name, people in images
    ]
    chosen = single or [list(range(1, len(people or []) + 1)) for _, people in images]
    cells = np.empty((len(images), 1), dtype=object)
    for number, indices in enumerate(chosen):
        cells[number, 0] = np.array(indices, np.uint8) if indices else EMPTY
    content = {
        "annolist": structs(annolist),
        "img_train": np.array([train or [1] * len(images)], np.uint8),
        "single_person": cells,
    }
    scipy.io.savemat(file, {"RELEASE": content}, do_compression=True)  # as the release is
    return file


def photograph(folder: Path, name: str, size: tuple[int, int] = (100, 120)) -> np.ndarray:
    """Width x height noise, stored without loss."""
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(len(name)).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(folder / name, format="PNG")
    return pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for name in ("one.png", "two.png"):
        photograph(folder, name)
    return folder


def test_joints_stand_in_our_order_with_their_visibility(tmp_path: Path, folder: Path) -> None:
    file = release(tmp_path / "mpii.mat", [("one.png", [person(standing(40, 20, 80))])])
    people = MpiiPeople(file, folder)
    assert len(people) == 1
    row = people.images.iloc[0]
    notes = people.annotations
    assert notes["joint"].tolist() == list(range(JOINTS))
    assert notes["image"].tolist() == [0] * JOINTS
    for joint, raw in enumerate(RAW):
        x = row["x0"] + notes["x"][joint] * row["width"]
        y = row["y0"] + notes["y"][joint] * row["height"]
        assert x == pytest.approx(40 + raw, abs=1e-3)
        assert y == pytest.approx(20 + 80 * raw / 15, abs=1e-3)
        assert notes["visible"][joint] == (raw in (8, 9) or raw % 2 == 0)
    assert row["scale"] == 0.5
    assert (row["centre_x"], row["centre_y"]) == (50, 60)


def test_what_training_takes(tmp_path: Path, folder: Path) -> None:
    """All joints lie inside their crop; one that nobody marked is not present."""
    few = [point(9, 30, 20, EMPTY), point(13, 40, 40, 1), point(7, 35, 30, 1)]
    images = [("one.png", [person(standing(40, 20, 80))]), ("two.png", [person(few)])]
    people = MpiiPeople(release(tmp_path / "mpii.mat", images), folder)
    rows, places, present = as_arrays(people.annotations)
    assert rows.tolist() == [0, 1]
    assert present[0].all()
    assert np.flatnonzero(present[1]).tolist() == [RAW.index(13), RAW.index(9)]
    assert np.isnan(places[1][~present[1]]).all()
    visible = people.annotations["visible"].to_numpy().reshape(2, JOINTS)
    assert not visible[1][~present[1]].any()


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        (1, True),
        (0, False),
        (np.uint8(1), True),
        ("1", True),
        ("0", False),
        ("", True),
        (EMPTY, True),
        (None, True),
    ],
)
def test_a_visibility_in_any_form(tmp_path: Path, folder: Path, mark: Any, expected: bool) -> None:
    images = [("one.png", [person([point(0, 50, 60, mark)])])]
    people = MpiiPeople(release(tmp_path / "mpii.mat", images), folder)
    assert people.annotations["visible"].tolist() == [expected] + [False] * 13


def test_only_people_of_training_images_that_are_annotated_count(
    tmp_path: Path, folder: Path
) -> None:
    whole = person(standing(40, 20, 80))
    lacking = [
        {key: value for key, value in whole.items() if key != "scale"},
        {key: value for key, value in whole.items() if key != "annopoints"},
        whole | {"annopoints": structs([{"point": EMPTY}])},
        person([point(6, 50, 50, 1), point(7, 50, 40, 1)]),  # of none of our joints
        whole,
    ]
    without = {"x1": 3.0, "y1": 4.0}
    images = [
        ("one.png", lacking),
        ("test.png", [whole]),
        ("two.png", None),
        ("two.png", [without]),
        ("two.png", [whole | {"objpos": EMPTY}]),
    ]
    file = release(tmp_path / "mpii.mat", images, train=[1, 0, 1, 1, 1])
    people = MpiiPeople(file, folder, people="all")
    assert people.images["image"].tolist() == ["one.png", "two.png"]
    assert people.skipped == 5
    assert np.isnan(people.images["centre_x"][1])


def test_single_people_are_those_that_the_release_lists(tmp_path: Path, folder: Path) -> None:
    crowd = [person(standing(x, 20, 80), scale=x / 100) for x in (20, 40, 60)]
    images = [("one.png", crowd), ("two.png", crowd), ("two.png", crowd)]
    file = release(tmp_path / "mpii.mat", images, single=[[3], [], [1, 2]])
    single = MpiiPeople(file, folder)
    assert single.images["scale"].tolist() == [0.6, 0.2, 0.4]
    assert single.images["image"].tolist() == ["one.png", "two.png", "two.png"]
    assert len(MpiiPeople(file, folder, people="all")) == 9


def test_a_crop_is_that_part_of_the_photograph(tmp_path: Path, folder: Path) -> None:
    """Pixel by pixel, with the filling colour where it leaves the photograph."""
    pixels = photograph(folder, "one.png")
    images = [("one.png", [person(standing(2, 5, 90), scale=0.6)])]
    people = MpiiPeople(release(tmp_path / "mpii.mat", images), folder)
    x0, y0, x1, y1 = people.images.loc[0, ["x0", "y0", "x1", "y1"]]
    assert x0 < 0  # it leaves the photograph
    crop = people[0]
    assert crop.shape == (y1 - y0, x1 - x0, 3)
    assert crop.dtype == np.uint8
    for y in range(y0, y1):
        for x in range(x0, x1):
            inside = 0 <= x < 100 and 0 <= y < 120
            expected = pixels[y, x] if inside else OUTSIDE
            assert tuple(crop[y - y0, x - x0]) == tuple(expected)


def test_a_crop_beside_the_photograph_is_filled() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    assert (cut(image, [9, 0, 12, 5]) == OUTSIDE).all()


@pytest.mark.parametrize("aspect", [0.5, 1.0])
@pytest.mark.parametrize("seed", range(20))
def test_a_crop_holds_all_joints_with_a_margin(seed: int, aspect: float) -> None:
    rng = np.random.default_rng(seed)
    joints = np.concatenate([rng.uniform(-50, 900, (14, 2)), np.ones((14, 1))], axis=1)
    joints[rng.random(14) < 0.3] = np.nan
    scale = float(rng.uniform(0.2, 5))
    x0, y0, x1, y1 = crop_box(Person("a", scale, (0, 0), joints), aspect)
    margin = 0.1 * 200 * scale
    for x, y, mark in joints:
        if not np.isnan(mark):
            assert x0 <= x - margin
            assert x + margin <= x1
            assert y0 <= y - margin
            assert y + margin <= y1
    assert y1 - y0 >= 1.2 * 200 * scale
    assert (x1 - x0) / (y1 - y0) == pytest.approx(aspect, abs=2 / (y1 - y0))


def test_who_is_shown_in_part_is_no_larger_than_who_stands() -> None:
    joints = np.full((14, 3), np.nan)
    joints[13], joints[12] = (50, 20, 1), (50, 45, 1)  # the head alone
    box = crop_box(Person("a", 1.0, (0, 0), joints), 0.5)
    assert box[3] - box[1] == pytest.approx(240, abs=2)


def one_line(file: Path, folder: Path, **options: Any) -> str:
    with pytest.raises(UserError) as error:
        MpiiPeople(file, folder, **options)
    (line,) = str(error.value).splitlines()
    return line


def test_missing_images_are_counted_and_the_first_is_named(tmp_path: Path, folder: Path) -> None:
    whole = person(standing(40, 20, 80))
    images = [(name, [whole]) for name in ("one.png", "lost.png", "two.png", "gone.png")]
    file = release(tmp_path / "mpii.mat", images)
    expected = "2 of 4 images of MPII are missing, the first is lost.png"
    assert expected in one_line(file, folder)
    assert "no such folder" in one_line(file, tmp_path / "nowhere")


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, folder: Path) -> None:
    file = release(tmp_path / "mpii.mat", [("one.png", [person(standing(40, 20, 80))])])
    (folder / "one.png").write_bytes(b"no image")
    people = MpiiPeople(file, folder)
    with pytest.raises(UserError, match=r"one\.png: not a readable image"):
        people[0]


def test_files_that_are_not_the_release_are_named(tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "mpii.mat"
    assert f"{file}: no such file" in one_line(file, folder)
    file.write_bytes(b"MATLAB?" * 40)
    assert f"{file}: not a readable MATLAB v5 file" in one_line(file, folder)
    scipy.io.savemat(file, {"other": 1})
    assert "no struct RELEASE with an annolist" in one_line(file, folder)
    whole = [("one.png", [person(standing(40, 20, 80))])]
    content = release(file, whole).read_bytes()
    half = len(content) // 2
    for damaged in (content[:half], content[:half] + b"damage" + content[half + 6 :]):
        file.write_bytes(damaged)
        assert f"{file}: not a readable MATLAB v5 file" in one_line(file, folder)


def test_a_release_that_contradicts_itself_is_named(tmp_path: Path, folder: Path) -> None:
    whole = person(standing(40, 20, 80))
    file = release(tmp_path / "mpii.mat", [("one.png", [whole])], train=[1, 1])
    assert "1 images in annolist but 2 marks in img_train" in one_line(file, folder)
    file = release(tmp_path / "mpii.mat", [("../one.png", [whole])])
    assert "image 1 of annolist has no file name" in one_line(file, folder)
    file = release(tmp_path / "mpii.mat", [("one.png", [{"scale": 1.0}])])
    assert "no training image has a person" in one_line(file, folder)
    file = release(tmp_path / "mpii.mat", [("one.png", [whole | {"scale": np.inf}])])
    assert "one.png has an infinite scale" in one_line(file, folder)
