"""Damaged copies of the four vehicle datasets: each trouble is one line that names the place."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from reid_repro import datasets, plan
from reid_repro.datasets.base import Dataset
from reid_repro.datasets.veri776 import read_items
from reid_repro.errors import UserError

from conftest import write_image


@dataclass(frozen=True)
class Place:
    """Where the tests strike: a list, an image that it names, an image that no list names."""

    name: str
    lists: tuple[str, ...]
    image: str
    foreign: str | None  # None where the folder holds more than the lists by design

    @property
    def file(self) -> str:
        return self.lists[0]


PLACES = (
    Place(
        "veri776",
        ("name_test.txt", "name_train.txt", "name_query.txt"),
        "image_test/0006_c019_00006191_1.jpg",
        "image_query/0006_c019_00006191_1.jpg",
    ),
    Place(
        "vehicleid",
        (
            "train_test_split/test_list_2400.txt",
            "train_test_split/train_list.txt",
            "train_test_split/test_list_800.txt",
            "train_test_split/test_list_1600.txt",
        ),
        "image/0002504.jpg",
        None,
    ),
    Place(
        "vric",
        ("vric_gallery.txt", "vric_train.txt", "vric_probe.txt"),
        "gallery_images/000003.jpg",
        "probe_images/000004.jpg",
    ),
    Place(
        "veriwild",
        (
            "train_test_split/test_10000.txt",
            "train_test_split/train_list.txt",
            "train_test_split/vehicle_info.txt",
            "train_test_split/test_3000_query.txt",
        ),
        "images/00014/000020.jpg",
        "images/00014/000021.jpg",
    ),
)
all_of_them = pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)


@pytest.fixture
def root(tmp_path: Path, place: Place, repository: Path) -> Path:
    return whole(tmp_path / place.name, place.name)


def whole(root: Path, name: str) -> Path:
    import_module(f"standins.{name}").make(root)
    return root


def index(place: Place, root: Path, **changes: object) -> Dataset:
    config = plan.load().dataset(place.name).model_copy(update={"root": root, **changes})
    return datasets.index(place.name, config, root)


def refused(place: Place, root: Path) -> str:
    with pytest.raises(UserError) as caught:
        index(place, root)
    message = str(caught.value)
    assert "\n" not in message
    return message


def add_line(file: Path, line: str) -> int:
    """Its number."""
    lines = [*file.read_text().splitlines(), line]
    file.write_text("\n".join(lines) + "\n")
    return len(lines)


@all_of_them
def test_a_missing_list_is_named(place: Place, root: Path) -> None:
    for each in place.lists:
        (root / each).rename(root / "away")
        for changes in ({}, {"allow_partial": True}):  # without its lists nothing is a dataset
            with pytest.raises(UserError) as caught:
                index(place, root, **changes)
            assert str(caught.value) == (
                f"dataset '{place.name}': {root / each} not found; `reid-repro data fetch "
                f"{place.name}` gets the dataset or says where from, or set "
                f"datasets.{place.name}.root to where it lies"
            )
        (root / "away").rename(root / each)
    index(place, root)


@all_of_them
def test_a_missing_folder_is_named(place: Place, root: Path) -> None:
    folder = root / place.image.split("/")[0]
    shutil.rmtree(folder)
    assert f"{folder} not found" in refused(place, root)


@all_of_them
@pytest.mark.parametrize("damage", ["missing", "empty"])
def test_a_missing_or_empty_image_is_named_or_left_out(
    place: Place, root: Path, damage: str
) -> None:
    before = index(place, root)
    if damage == "missing":
        (root / place.image).unlink()
    else:
        (root / place.image).write_bytes(b"")
    shown = place.image + (" (empty)" if damage == "empty" else "")
    assert f"1 of {len(before.images)} images are missing or empty, {shown}; get the whole" in (
        refused(place, root)
    )
    partial = index(place, root, allow_partial=True)
    assert partial.left_out == (f"missing: {place.image}",)
    kept = before.images[before.images["image"] != place.image].reset_index(drop=True)
    assert partial.images.equals(kept)
    # Every other image keeps its roles; VehicleID's draws are those of the whole dataset.
    assert roles(partial) == {row for row in roles(before) if row[-1] != place.image}
    assert partial.content_hash != before.content_hash


def roles(dataset: Dataset) -> set[tuple[object, ...]]:
    names = dataset.images["image"].iloc[dataset.splits["image"]].to_numpy()
    rows = dataset.splits.assign(image=names)
    return set(rows[["subset", "trial", "role", "image"]].itertuples(index=False, name=None))


@all_of_them
def test_an_image_in_no_list_is_named_or_left_out(place: Place, root: Path) -> None:
    before = index(place, root)
    if place.foreign is None:  # VehicleID's stand-in has one already
        write_image(root / "image" / "0999999.jpg", seed=1)
        assert index(place, root).content_hash == before.content_hash
        return
    write_image(root / place.foreign, seed=1)
    assert f"1 images under {root} are in no list, {place.foreign}; move" in refused(place, root)
    partial = index(place, root, allow_partial=True)
    assert partial.left_out == (f"in no list: {place.foreign}",)
    assert partial.images.equals(before.images)


@all_of_them
def test_what_is_no_image_is_passed_over(place: Place, root: Path) -> None:
    (root / place.image).with_name("Thumbs.db").write_bytes(b"no image")
    (root / place.image).with_name(".hidden.jpg").write_bytes(b"no image")
    assert index(place, root).left_out == ()


@all_of_them
def test_a_duplicate_line_is_named(place: Place, root: Path) -> None:
    for each in place.lists:
        content = (root / each).read_bytes()
        lines = content.decode().splitlines()
        number = add_line(root / each, "\n" + lines[1]) + 1  # a blank line before it
        message = refused(place, root)
        assert f"{root / each}, line {number}: '" in message
        assert "' stands in line 2 already" in message
        (root / each).write_bytes(content)


@all_of_them
def test_a_list_that_is_no_text_is_named(place: Place, root: Path) -> None:
    for each in place.lists:
        content = (root / each).read_bytes()
        (root / each).write_bytes(content + "车辆\n".encode("gb2312"))
        number = content.count(b"\n") + 1
        assert f"{root / each}, line {number}: not utf-8 text" in refused(place, root)
        (root / each).write_bytes(content)


@all_of_them
def test_upper_case_extensions_are_accepted(place: Place, root: Path) -> None:
    before = index(place, root)
    for path in sorted(root.rglob("*.jpg")):
        path.rename(path.with_suffix(".JPG"))
    after = index(place, root)
    assert after.splits.equals(before.splits)
    assert all((root / path).is_file() for path in after.images["image"])
    lower = after.images["image"].str.lower().tolist()
    assert lower == before.images["image"].str.lower().tolist()


@all_of_them
def test_a_list_of_another_dataset_is_named(place: Place, root: Path, tmp_path: Path) -> None:
    other = whole(tmp_path / "other", "veri776" if place.name != "veri776" else "vric")
    wrong = other / ("name_train.txt" if place.name != "veri776" else "vric_train.txt")
    for each in place.lists:
        content = (root / each).read_bytes()
        shutil.copy(wrong, root / each)
        message = refused(place, root)
        number = 2 if each.endswith("vehicle_info.txt") else 1  # the first may be a header
        assert f"{root / each}, line {number}: '" in message
        assert "is not of the form" in message
        (root / each).write_bytes(content)


@all_of_them
def test_a_malformed_line_is_named(place: Place, root: Path) -> None:
    for each in place.lists:
        content = (root / each).read_bytes()
        for bad in ("somebody", "../../outside.jpg 1 1", "0" * 100):
            number = add_line(root / each, bad)
            message = refused(place, root)
            assert f"{root / each}, line {number}: '{bad[:60]}" in message
            assert len(message) < 400
            (root / each).write_bytes(content)


@all_of_them
def test_an_empty_list_is_named(place: Place, root: Path) -> None:
    (root / place.file).write_text("\n\n")
    assert refused(place, root) == (
        f"{root / place.file}: the list is empty; is it the right file?"
    )


@all_of_them
def test_a_training_list_in_place_of_a_test_list_is_named(place: Place, root: Path) -> None:
    test, train = root / place.lists[0], root / place.lists[1]
    shutil.copy(train, test)
    message = refused(place, root)
    assert "none is trained on and tested; is one of them the wrong file?" in message
    assert str(test) in message
    assert str(train) in message


VERI, VEHICLEID, VRIC, VERIWILD = PLACES


@pytest.mark.parametrize("place", [VEHICLEID], ids=["vehicleid"])
def test_two_vehicles_for_one_image_are_named(place: Place, root: Path) -> None:
    small = root / place.lists[2]
    small.write_text(small.read_text().replace("0002000 20", "0002000 21"))
    message = refused(place, root)
    assert "image/0002000.jpg shows vehicle 21 in" in message
    assert f"but 20 in {root / place.lists[3]}" in message


@pytest.mark.parametrize("place", [VRIC], ids=["vric"])
def test_a_query_without_its_vehicle_in_the_gallery_is_named(place: Place, root: Path) -> None:
    gallery = root / "vric_gallery.txt"
    gallery.write_text(gallery.read_text().replace("000003.jpg 9 2", "000003.jpg 10 2"))
    message = refused(place, root)
    assert f"vehicle 9 is in {root / 'vric_probe.txt'} but not in {gallery}" in message


@pytest.mark.parametrize("place", [VERIWILD], ids=["veriwild"])
def test_an_image_of_unknown_camera_is_named(place: Place, root: Path) -> None:
    info = root / "train_test_split" / "vehicle_info.txt"
    info.write_text("".join(info.read_text().splitlines(keepends=True)[:-1]))
    message = refused(place, root)
    assert "test_10000.txt names 00014/000020, of which" in message
    assert f"{info} knows no camera" in message


@pytest.mark.parametrize("place", [VERI], ids=["veri776"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b'<?xml version="1.0" encoding="gb2312"?>\n<!DOCTYPE a [<!ENTITY b "bb">]>\n<a>&b;</a>',
            "line 2: a document type",
        ),
        (b'<!DOCTYPE a SYSTEM "file:///etc/hostname">\n<a/>', "line 1: a document type"),
        (b"<a>\n<b>\n</a>", "line 3: not XML (mismatched tag)"),
        (b"", "line 1: not XML (no element found)"),
        (b"<a>\n\xff</a>", "line 2: not utf-8-sig text"),
        (b'<?xml version="1.0" encoding="gb2312"?>\n<a>\xff</a>', "line 2: not gb18030 text"),
    ],
)
def test_labels_that_are_damaged_or_dangerous_are_refused(
    place: Place, root: Path, content: bytes, words: str
) -> None:
    (root / "test_label.xml").write_bytes(content)
    message = refused(place, root)
    assert message.startswith(f"{root / 'test_label.xml'}, {words}")


@pytest.mark.parametrize("encoding", ["gb2312", "GBK", "utf-8", None])
def test_labels_are_read_whatever_they_declare(tmp_path: Path, encoding: str | None) -> None:
    declared = f'<?xml version="1.0" encoding="{encoding}"?>' if encoding else ""
    text = f'{declared}<A><Item imageName="车.jpg" colorID="3"/><Item imageName="b.jpg"/></A>'
    (tmp_path / "labels.xml").write_bytes(text.encode(encoding or "utf-8-sig"))
    items = read_items(tmp_path / "labels.xml")
    assert list(items) == ["车.jpg", "b.jpg"]
    assert items["车.jpg"]["colorID"] == "3"
