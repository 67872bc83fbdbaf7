"""The four vehicle datasets: what stands in the tables, which splits the lists make."""

from __future__ import annotations

import random
import tempfile
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_repro import datasets, plan
from reid_repro.dataset_config import FolderDataset, VehicleIdDataset, VeriWildDataset
from reid_repro.datasets.base import Dataset
from reid_repro.datasets.images import ImageStore
from reid_repro.files import read_json

from standins import vehicleid, veri776, veriwild, vric

NAMES = ("veri776", "vehicleid", "vric", "veriwild")
few = settings(max_examples=8)


def settings_of(name: str, root: Path) -> FolderDataset:
    """The settings of workflow/datasets, for a copy at `root`."""
    config = plan.load().dataset(name)
    assert isinstance(config, FolderDataset)
    return config.model_copy(update={"root": root})


def indexed(name: str, tmp_path: Path) -> Dataset:
    root = tmp_path / name
    import_module(f"standins.{name}").make(root)
    return datasets.index(name, settings_of(name, root), root)


def names_by_role(dataset: Dataset, trial: int = 0) -> dict[tuple[str, str], list[str]]:
    rows = dataset.splits[dataset.splits["trial"] == trial]
    paths = dataset.images["image"]
    return {
        (str(subset), str(role)): paths.iloc[part["image"]].tolist()
        for (subset, role), part in rows.groupby(["subset", "role"])
    }


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("name", NAMES)
def test_a_dataset_goes_from_its_folder_to_the_tables(tmp_path: Path, name: str) -> None:
    dataset = indexed(name, tmp_path)
    datasets.write(dataset, tmp_path / "out")
    images = pd.read_parquet(tmp_path / "out" / "images.parquet")
    splits = pd.read_parquet(tmp_path / "out" / "splits.parquet")
    assert list(images.columns[:5]) == ["image", "identity", "camera", "width", "height"]
    assert images["identity"].dtype == np.int32
    assert images["camera"].dtype == np.int16
    assert not images["image"].duplicated().any()
    assert set(splits["image"]) == set(range(len(images)))
    assert read_json(tmp_path / "out" / "content.json")["counts"] == dataset.counts()
    assert ImageStore.open(tmp_path / "out")[len(images) - 1].shape == (48, 24, 3)
    facts = datasets.describe(dataset.config, tmp_path / "out")
    # A tiny copy has none of the official numbers, but all of the official roles.
    assert len(facts["differs"]) == sum(map(len, dataset.config.official.values()))
    assert set(dataset.config.official) == set(dataset.counts())
    assert dataset.left_out == ()


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("name", NAMES)
def test_the_hash_sees_lists_and_images(tmp_path: Path, name: str) -> None:
    dataset = indexed(name, tmp_path)
    root = tmp_path / name
    assert datasets.index(name, settings_of(name, root), root).content_hash == dataset.content_hash
    image = root / dataset.images["image"].iloc[-1]
    image.write_bytes(image.read_bytes() + b"more")
    assert datasets.index(name, settings_of(name, root), root).content_hash != dataset.content_hash


@pytest.mark.usefixtures("repository")
def test_veri776_is_read_from_the_names(tmp_path: Path) -> None:
    dataset = indexed("veri776", tmp_path)
    tested = veri776.names((2, 6))
    assert names_by_role(dataset) == {
        ("train", "train"): [f"image_train/{name}" for name in veri776.names((1, 4, 5))],
        ("test", "query"): [f"image_query/{name}" for name in tested[::2]],
        ("test", "gallery"): [f"image_test/{name}" for name in tested],  # the queries stay in it
    }
    assert dataset.images["identity"].tolist() == [1] * 4 + [4] * 4 + [5] * 4 + [2, 2, 6, 6] + (
        [2] * 4 + [6] * 4
    )
    assert (
        dataset.images["camera"].tolist() == [1, 1, 19, 19] * 3 + [1, 19] * 2 + [1, 1, 19, 19] * 2
    )
    # Vehicle 4 has type 0, which means none; vehicle 5 is in no label file.
    attributes = dataset.images.groupby("identity")[["colour", "type"]].agg(set)
    assert attributes.map(lambda values: values.pop()).to_dict("index") == {
        1: {"colour": "orange", "type": "sedan"},
        2: {"colour": "green", "type": "suv"},
        4: {"colour": "red", "type": ""},
        5: {"colour": "", "type": ""},
        6: {"colour": "orange", "type": "suv"},
    }
    assert dataset.protocol.same_camera == "remove"


@pytest.mark.usefixtures("repository")
def test_veri776_does_without_labels(tmp_path: Path) -> None:
    root = tmp_path / "veri776"
    veri776.make(root)
    (root / "list_color.txt").unlink()
    config = settings_of("veri776", root)
    assert datasets.index("veri776", config, root).images["colour"].tolist()[0] == "2"
    for file in ("train_label.xml", "test_label.xml"):
        (root / file).unlink()
    assert list(datasets.index("veri776", config, root).images) == [
        "image",
        "identity",
        "camera",
        "width",
        "height",
    ]


@pytest.mark.usefixtures("repository")
def test_vric_is_read_from_its_lists(tmp_path: Path) -> None:
    dataset = indexed("vric", tmp_path)
    photographs = [(v, c) for v, cameras in vric.TRAIN for c in cameras]
    photographs += [(v, c) for v, c, _ in vric.TESTED] + [(v, c) for v, _, c in vric.TESTED]
    assert dataset.images["identity"].tolist() == [vehicle for vehicle, _ in photographs]
    assert dataset.images["camera"].tolist() == [camera for _, camera in photographs]
    three = ["000001.jpg", "000002.jpg", "000003.jpg"]
    assert names_by_role(dataset) == {
        ("train", "train"): [f"train_images/{number:06d}.jpg" for number in range(1, 8)],
        ("test", "query"): [f"probe_images/{name}" for name in three],
        ("test", "gallery"): [f"gallery_images/{name}" for name in three],
    }


@pytest.mark.usefixtures("repository")
def test_veriwild_has_three_sizes(tmp_path: Path) -> None:
    dataset = indexed("veriwild", tmp_path)
    expected: dict[tuple[str, str], list[str]] = {}
    for subset, vehicles in {
        "small": (11, 12),
        "medium": (11, 12, 13),
        "large": (11, 12, 13, 14),
    }.items():
        for vehicle in vehicles:
            shown = [n for n in veriwild.photographs(veriwild.TESTED, 10) if int(n[:5]) == vehicle]
            expected.setdefault((subset, "query"), []).append(f"images/{shown[0]}.jpg")
            expected.setdefault((subset, "gallery"), []).extend(
                f"images/{n}.jpg" for n in shown[1:]
            )
    trained = veriwild.photographs(veriwild.TRAIN, 1)
    expected["train", "train"] = [f"images/{name}.jpg" for name in trained]
    assert names_by_role(dataset) == expected
    images = dataset.images.sort_values("image")
    assert images["identity"].tolist() == [int(path[7:12]) for path in images["image"]]
    numbers = [int(path[13:19]) for path in images["image"]]
    assert images["camera"].tolist() == [number + 1 for number in numbers]
    assert images["model"].tolist() == ["" if n % 5 == 0 else "Volkswagen/Sagitar" for n in numbers]
    assert set(images["type"]) == {"SUV"}
    assert set(images["colour"]) == {"white"}
    assert images["time"].iloc[0] == "2018-03-02 10:01:57"


@pytest.mark.usefixtures("repository")
def test_copies_of_the_veriwild_lists_are_read_too(tmp_path: Path) -> None:
    before = indexed("veriwild", tmp_path)
    lists = tmp_path / "veriwild" / "train_test_split"
    for file in sorted(lists.glob("test_*.txt")):
        lines = file.read_text().split()
        other = [f"{line}.jpg {int(line[:5])} 3" for line in lines]
        size, *query = file.stem.removeprefix("test_").split("_")
        (lists / "_".join(["test", size, "id", *query])).with_suffix(".txt").write_text(
            "\r\n".join(other)
        )
        file.unlink()
    info = (lists / "vehicle_info.txt").read_text().splitlines()
    (lists / "vehicle_info.txt").write_text("\n".join([*info[1:-1], info[-1].split(";2018")[0]]))
    after = datasets.index("veriwild", before.config, tmp_path)
    pd.testing.assert_frame_equal(before.splits, after.splits)
    columns = ["image", "identity", "camera"]
    pd.testing.assert_frame_equal(before.images[columns], after.images[columns])
    assert after.images["model"].tolist()[-1] == ""


@pytest.mark.usefixtures("repository")
def test_vehicleid_has_lists_and_attributes(tmp_path: Path) -> None:
    dataset = indexed("vehicleid", tmp_path)
    assert dataset.splits["trial"].nunique() == 10
    assert dataset.protocol.same_camera == "keep"
    assert set(dataset.images["camera"]) == {-1}
    roles = names_by_role(dataset)
    files = {"small": "test_list_800", "medium": "test_list_1600", "large": "test_list_2400"}
    for subset, file in files.items():
        listed = [f"image/{name}.jpg" for name, _ in vehicleid.images(vehicleid.TESTS[file])]
        assert sorted(roles[subset, "query"] + roles[subset, "gallery"]) == listed
    trained = vehicleid.images(vehicleid.TRAIN)
    assert roles["train", "train"] == [f"image/{name}.jpg" for name, _ in trained]
    for row in dataset.images.itertuples():
        assert row.identity == int(row.image[6:11])
        assert row.colour == str(row.identity % 7)
        assert row.model == (str(10 * row.identity) if row.identity % 2 else "")
    assert f"image/{100 * vehicleid.UNLISTED:07d}.jpg" not in set(dataset.images["image"])


many = st.dictionaries(st.integers(0, 400), st.integers(2, 5), min_size=2, max_size=6)


def vehicleid_of(vehicles: dict[int, int], folder: Path, seed: int, draws: int) -> Dataset:
    """The first vehicle trains; the test lists have all others, the even and the odd places."""
    train, *rest = vehicles.items()
    tests = dict(
        zip(vehicleid.TESTS, (dict(rest), dict(rest[::2]), dict(rest[1::2] or rest)), strict=True)
    )
    if not (folder / "image").exists():
        vehicleid.make(folder, dict([train]), tests)
    config = VehicleIdDataset(source="vehicleid", root=folder, seed=seed, draws=draws)
    return datasets.index("vehicleid", config, folder)


@few
@given(vehicles=many, seed=st.integers(0, 2**32))
def test_every_vehicleid_draw_has_one_gallery_image_a_vehicle(
    vehicles: dict[int, int], seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        dataset = vehicleid_of(vehicles, Path(folder), seed, draws=3)
        again = vehicleid_of(vehicles, Path(folder), seed, draws=3)
        longer = vehicleid_of(vehicles, Path(folder), seed, draws=5)
    pd.testing.assert_frame_equal(dataset.splits, again.splits)
    assert dataset.content_hash == again.content_hash
    # More draws leave the first ones as they are.
    for trial in range(3):
        assert names_by_role(longer, trial) == names_by_role(dataset, trial)
    assert dataset.images["identity"].min() >= 1  # 0 would be a distractor
    shift = 1 if 0 in vehicles else 0
    identity = dataset.images["identity"].to_numpy()
    trained = set(identity[dataset.splits.loc[dataset.splits["role"] == "train", "image"]])
    assert trained == {next(iter(vehicles)) + shift}
    tested = dataset.splits[dataset.splits["role"] != "train"]
    for _, draw in tested.groupby(["subset", "trial"]):
        gallery = draw.loc[draw["role"] == "gallery", "image"]
        query = draw.loc[draw["role"] == "query", "image"]
        assert not set(gallery) & set(query)
        assert sorted(identity[gallery]) == sorted(set(identity[draw["image"]]))
        assert set(identity[query]) == set(identity[gallery])
        assert not trained & set(identity[draw["image"]])
        counts = pd.Series(identity[draw["image"]]).value_counts()
        assert all(counts[vehicle] == vehicles[vehicle - shift] for vehicle in counts.index)


def test_draws_differ_and_choose_fairly(tmp_path: Path) -> None:
    vehicles = {1: 2, 2: 3, 3: 3, 4: 3}
    dataset = vehicleid_of(vehicles, tmp_path, seed=5, draws=400)
    small = dataset.splits[(dataset.splits["subset"] == "small")]
    galleries = small[small["role"] == "gallery"].groupby("trial")["image"].agg(tuple)
    assert galleries.nunique() == 27  # each of 3 x 3 x 3
    chosen = np.bincount(np.concatenate(galleries.to_numpy()))[2:]
    assert chosen.sum() == 1200
    assert np.abs(chosen - 400 / 3).max() < 35  # nearly four standard deviations
    other = vehicleid_of(vehicles, tmp_path, seed=6, draws=4)
    assert names_by_role(other) != names_by_role(dataset)


def test_the_order_of_a_vehicleid_list_does_not_matter(tmp_path: Path) -> None:
    vehicles = {1: 2, 2: 3, 3: 5, 4: 3}
    before = vehicleid_of(vehicles, tmp_path, seed=1, draws=4)
    for file in (tmp_path / "train_test_split").glob("test_*.txt"):
        lines = file.read_text().splitlines()
        random.Random(0).shuffle(lines)
        file.write_text("\n".join(lines))
    after = vehicleid_of(vehicles, tmp_path, seed=1, draws=4)
    for trial in range(4):
        one, other = names_by_role(before, trial), names_by_role(after, trial)
        assert {key: set(names) for key, names in one.items()} == {
            key: set(names) for key, names in other.items()
        }


@few
@given(vehicles=many)
def test_veriwild_keeps_halves_apart_and_every_query_has_a_match(vehicles: dict[int, int]) -> None:
    (trained, count), *rest = vehicles.items()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "wild"
        sizes = {3000: 1, 5000: (len(rest) + 1) // 2, 10000: len(rest)}
        veriwild.make(root, {trained: count}, dict(rest), sizes)
        config = VeriWildDataset(source="veriwild", root=root)
        dataset = datasets.index("veriwild", config, root)
    assert dataset.images["identity"].min() >= 1
    identity = dataset.images["identity"].to_numpy()
    for (subset, role), part in dataset.splits.groupby(["subset", "role"]):
        found = identity[part["image"]]
        if role == "train":
            assert len(set(found)) == 1
            assert not set(found) & set(identity[dataset.splits["image"][part.index.max() + 1 :]])
        if role == "query":
            of_subset = dataset.splits[dataset.splits["subset"] == subset]
            gallery = of_subset.loc[of_subset["role"] == "gallery", "image"]
            assert len(set(found)) == len(found)  # one a vehicle
            assert set(found) == set(identity[gallery])
            assert not set(part["image"]) & set(gallery)
