"""Datasets: rendered, Market-1501 layout, CSV; what is indexed and how bad input is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reid_repro import datasets
from reid_repro.config import CsvDataset, MarketDataset, RenderedDataset
from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.files import read_json

from conftest import write_image


def rendered(subject: str = "vehicle", **changes: object) -> RenderedDataset:
    settings = {
        "train_identities": 4,
        "test_identities": 4,
        "cameras": 2,
        "train_images_per_camera": 1,
        "test_images_per_camera": 2,
        "height": 64,
        "width": 64,
    }
    return RenderedDataset.model_validate(
        {"source": "rendered", "subject": subject} | settings | changes
    )


@pytest.mark.parametrize("subject", ["vehicle", "pedestrian"])
def test_a_rendered_set_keeps_the_contract(tmp_path: Path, subject: str) -> None:
    dataset = datasets.index("drawn", rendered(subject), tmp_path)
    datasets.write(dataset, tmp_path)
    datasets.describe(rendered(subject, title="Drawn"), tmp_path)
    images = pd.read_parquet(tmp_path / "images.parquet")
    splits = pd.read_parquet(tmp_path / "splits.parquet")
    assert list(images.columns[:5]) == ["image", "identity", "camera", "width", "height"]
    assert images["identity"].dtype == np.int32
    assert images["camera"].dtype == np.int16
    assert sorted(splits["image"]) == list(range(len(images)))
    by_role = {
        role: set(images["identity"].iloc[part["image"]]) for role, part in splits.groupby("role")
    }
    assert not by_role["train"] & (by_role["query"] | by_role["gallery"])
    assert by_role["query"] == by_role["gallery"]
    # One query an identity and camera.
    queries = images.iloc[splits.loc[splits["role"] == "query", "image"]]
    assert not queries.duplicated(["identity", "camera"]).any()
    facts = read_json(tmp_path / "dataset.json")
    assert facts["counts"]["query"] == {"images": 8, "identities": 4, "cameras": 2}
    assert facts["title"] == "Drawn"
    assert facts["protocol"]["same_camera"] == "remove"
    store = ImageStore.open(tmp_path)
    assert store[len(store) - 1].shape == (64, 64, 3)
    notes = pd.read_parquet(tmp_path / "annotations.parquet")
    assert set(notes["image"]) <= set(range(len(images)))


def test_a_rendered_set_does_not_hang_on_the_number_of_workers(tmp_path: Path) -> None:
    one = datasets.index("drawn", rendered(), tmp_path / "one", workers=1)
    two = datasets.index("drawn", rendered(), tmp_path / "two", workers=2)
    assert one.content_hash == two.content_hash
    pd.testing.assert_frame_equal(one.images, two.images)
    for name in ("pixels.arrow", "annotations.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_groups_of_lookalikes_stay_together(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="multiples of group_size 4"):
        datasets.index("drawn", rendered(train_identities=6), tmp_path)


def test_damaged_pixels_are_named(tmp_path: Path) -> None:
    dataset = datasets.index("drawn", rendered(), tmp_path)
    datasets.write(dataset, tmp_path)
    (tmp_path / "pixels.arrow").write_bytes(b"not a feather file")
    with pytest.raises(UserError, match=r"pixels\.arrow: missing or damaged"):
        ImageStore.open(tmp_path)[0]


def test_a_market_folder_is_indexed(tmp_path: Path, market: Path) -> None:
    dataset = datasets.index("market", MarketDataset(source="market1501", root=market), tmp_path)
    counts = dataset.counts()
    assert counts["train"] == {"images": 16, "identities": 4, "cameras": 2}
    assert counts["query"] == {"images": 6, "identities": 3, "cameras": 2}
    # Junk and the distractor are gallery images but no identities.
    assert counts["gallery"] == {"images": 15, "identities": 3, "cameras": 3}
    assert sorted(set(dataset.images["identity"])) == [-1, 0, 1, 2, 3, 4, 7, 10, 11]
    datasets.write(dataset, tmp_path / "out")
    store = ImageStore.open(tmp_path / "out")
    assert store[0].shape == (48, 24, 3)


def test_the_hash_sees_every_byte(tmp_path: Path, market: Path) -> None:
    config = MarketDataset(source="market1501", root=market)
    before = datasets.index("market", config, tmp_path).content_hash
    assert datasets.index("market", config, tmp_path).content_hash == before
    write_image(next((market / "query").glob("*.jpg")), seed=99)
    assert datasets.index("market", config, tmp_path).content_hash != before


def test_official_counts_are_compared(tmp_path: Path, market: Path) -> None:
    config = MarketDataset(
        source="market1501", root=market, official={"train": {"images": 16, "identities": 5}}
    )
    assert datasets.index("market", config, tmp_path).check() == [
        "market: train: 4 identities, officially 5"
    ]


def test_a_missing_folder_says_where_to_get_it(tmp_path: Path, market: Path) -> None:
    (market / "query").rename(market / "queries")
    config = MarketDataset(source="market1501", root=market, homepage="https://example.org/m")
    with pytest.raises(UserError, match=r"query not found; get it from https://example.org/m"):
        datasets.index("market", config, tmp_path)


def test_a_foreign_name_is_named(tmp_path: Path, market: Path) -> None:
    write_image(market / "query" / "somebody.jpg", seed=1)
    with pytest.raises(UserError, match=r"somebody\.jpg: the name does not say"):
        datasets.index("market", MarketDataset(source="market1501", root=market), tmp_path)


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_an_unreadable_image_is_named(tmp_path: Path, market: Path, damage: str) -> None:
    victim = sorted((market / "bounding_box_train").glob("*.jpg"))[3]
    whole = victim.read_bytes()
    victim.write_bytes({"cut": whole[: len(whole) // 2], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(UserError) as caught:
        datasets.index("market", MarketDataset(source="market1501", root=market), tmp_path)
    assert str(victim) in str(caught.value)
    assert "\n" not in str(caught.value)


def write_list(tmp_path: Path, rows: list[str], header: str = "path,identity,camera,role") -> Path:
    for seed, row in enumerate(rows):
        name = row.split(",")[0]
        if name:
            write_image(tmp_path / "images" / name, seed)
    file = tmp_path / "list.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


ROWS = [
    "a.jpg,anna,door,train",
    "b.jpg,ben,door,query",
    "c.jpg,ben,yard,gallery",
    "d.jpg,0,,gallery",
]


def csv_config(tmp_path: Path, file: Path) -> CsvDataset:
    return CsvDataset(source="csv", root=tmp_path / "images", list=file)


def test_a_csv_with_names_is_indexed(tmp_path: Path) -> None:
    dataset = datasets.index("mine", csv_config(tmp_path, write_list(tmp_path, ROWS)), tmp_path)
    assert dataset.images["identity"].tolist() == [1, 2, 2, 0]
    assert dataset.images["camera"].tolist() == [0, 0, 1, -1]
    assert dataset.images["identity_name"].tolist() == ["anna", "ben", "ben", "0"]
    assert dataset.splits["role"].tolist() == ["train", "query", "gallery", "gallery"]


def test_numbers_in_a_csv_stay_as_they_are(tmp_path: Path) -> None:
    rows = ["a.jpg,17,3,train", "b.jpg,4,3,query", "c.jpg,4,5,gallery", "d.jpg,-1,5,gallery"]
    dataset = datasets.index("mine", csv_config(tmp_path, write_list(tmp_path, rows)), tmp_path)
    assert dataset.images["identity"].tolist() == [17, 4, 4, -1]
    assert dataset.images["camera"].tolist() == [3, 3, 5, 5]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "01", "001"], [1, 2, 3]),  # names that look like numbers stay apart
        (["99999999999999", "5", "5"], [1, 2, 2]),  # too large for the table: a name
        (["5", "7", "5"], [5, 7, 5]),
    ],
)
def test_identities_are_numbers_only_if_all_are_plain(
    tmp_path: Path, values: list[str], expected: list[int]
) -> None:
    roles = ("train", "query", "gallery")
    rows = [
        f"{n}.jpg,{value},1,{role}"
        for n, (value, role) in enumerate(zip(values, roles, strict=True))
    ]
    dataset = datasets.index("mine", csv_config(tmp_path, write_list(tmp_path, rows)), tmp_path)
    assert dataset.images["identity"].tolist() == expected


def test_columns_of_ones_own_never_replace_the_tables(tmp_path: Path) -> None:
    rows = [f"{row},other.jpg,9,7,red" for row in ROWS]
    header = "path,identity,camera,role,image,width,identity_name,colour"
    file = write_list(tmp_path, rows, header)
    images = datasets.index("mine", csv_config(tmp_path, file), tmp_path).images
    assert images["image"].tolist() == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert images["width"].tolist() == [24] * 4
    assert images["identity_name"].tolist() == ["anna", "ben", "ben", "0"]
    assert images["colour"].tolist() == ["red"] * 4


def test_fields_beyond_the_header_are_refused(tmp_path: Path) -> None:
    file = write_list(tmp_path, [f"{row},left" for row in ROWS])
    with pytest.raises(UserError, match=r"list\.csv: a line has more fields"):
        datasets.index("mine", csv_config(tmp_path, file), tmp_path)


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        ("path,identity,role", ["a.jpg,1,train"], ["column 'camera' is missing"]),
        ("path,identity,camera,role", [*ROWS, "e.jpg,eve,door,test"], ["line 6", "role 'test'"]),
        ("path,identity,camera,role", [*ROWS, "e.jpg,,door,train"], ["line 6", "'identity'"]),
        ("path,identity,camera,role", [*ROWS, ROWS[0]], ["line 6", "'a.jpg' stands twice"]),
        ("path,identity,camera,role", ROWS[:1], ["no image has role 'query'"]),
        ("path,identity,camera,role", [], ["no image has role 'train'"]),
    ],
)
def test_a_bad_list_is_named_by_line_or_column(
    tmp_path: Path, header: str, rows: list[str], words: list[str]
) -> None:
    file = write_list(tmp_path, rows, header)
    with pytest.raises(UserError) as caught:
        datasets.index("mine", csv_config(tmp_path, file), tmp_path)
    message = str(caught.value)
    assert str(file) in message
    assert "\n" not in message
    for word in words:
        assert word in message


def test_an_image_missing_from_the_folder_is_named(tmp_path: Path) -> None:
    file = write_list(tmp_path, ROWS)
    (tmp_path / "images" / "c.jpg").unlink()
    with pytest.raises(UserError, match=r"c\.jpg: no such file"):
        datasets.index("mine", csv_config(tmp_path, file), tmp_path)


def test_load_takes_a_dataset_by_name(repository: Path, market: Path, tmp_path: Path) -> None:
    dataset = datasets.load("market1501", root=market)
    assert len(dataset.images) == 37
    assert dataset.protocol.ap == "trapezoid"
    assert len(dataset.check()) == 6  # every official count differs in this tiny copy
    with pytest.raises(UserError, match="unknown dataset 'nothing'"):
        datasets.load("nothing")
