"""VIPeR and CUHK03: what their layouts index to, their splits, and how damage is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standins import viper

from reid_repro import datasets
from reid_repro.dataset_config import ViperDataset
from reid_repro.datasets.base import Dataset
from reid_repro.errors import UserError


def roles(dataset: Dataset, trial: int = 0, subset: str = "test") -> dict[str, list[str]]:
    """Paths by role of one trial, training images among them."""
    splits = dataset.splits
    rows = splits[(splits["subset"] == "train") | (splits["subset"] == subset)]
    rows = rows[(rows["trial"] == trial) | (rows["subset"] == "train")]
    return {
        str(role): dataset.images["image"].iloc[part["image"]].tolist()
        for role, part in rows.groupby("role")
    }


def identities(dataset: Dataset, role: str) -> set[int]:
    rows = dataset.splits.loc[dataset.splits["role"] == role, "image"]
    return set(dataset.images["identity"].iloc[rows])


# ---------------------------------------------------------------------------------------- VIPeR


def open_viper(root: Path, **settings: object) -> Dataset:
    config = ViperDataset.model_validate({"source": "viper", "root": root} | settings)
    return datasets.index("viper", config, root)


@pytest.fixture(scope="module")
def whole_viper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("viper")
    viper.make(root)
    return root


@pytest.fixture
def viper_root(tmp_path: Path) -> Path:
    viper.make(tmp_path / "viper")
    return tmp_path / "viper"


def test_viper_is_indexed(whole_viper: Path) -> None:
    dataset = open_viper(whole_viper)
    # Numbers 0, 1, 3, 4, ...: identities count from 1, the gaps stay.
    people = [1, 2, 4, 5, 7, 8, 10, 11]
    images = dataset.images
    assert images["identity"].tolist() == people + people
    assert images["camera"].tolist() == [1] * 8 + [2] * 8
    assert images["image"].tolist()[:2] == ["cam_a/000_0.bmp", "cam_a/001_45.bmp"]
    assert images["image"].tolist()[8:10] == ["cam_b/000_45.bmp", "cam_b/001_90.bmp"]
    assert images["width"].tolist() == [0] * 16  # nothing was opened
    assert dataset.counts() == {
        "train": {"images": 8, "identities": 4, "cameras": 2},
        "query": {"images": 4, "identities": 4, "cameras": 1},
        "gallery": {"images": 4, "identities": 4, "cameras": 1},
    }


@given(st.integers(0, 9), st.integers(0, 1000), st.sampled_from([1, 2]))
def test_viper_halves_share_nobody_and_every_query_has_its_match(
    whole_viper: Path, split: int, seed: int, directions: int
) -> None:
    dataset = open_viper(whole_viper, split=split, seed=seed, directions=directions)
    assert len(identities(dataset, "train")) == 4
    assert not identities(dataset, "train") & identities(dataset, "query")
    assert identities(dataset, "query") == identities(dataset, "gallery")
    assert dataset.splits["trial"].max() == directions - 1
    for trial in range(directions):
        paths = roles(dataset, trial)
        folders = {role: {path[:5] for path in paths[role]} for role in ("query", "gallery")}
        expected = [{"cam_a"}, {"cam_b"}][:: 1 - 2 * trial]
        assert [folders["query"], folders["gallery"]] == expected
    again = open_viper(whole_viper, split=split, seed=seed, directions=directions)
    pd.testing.assert_frame_equal(again.splits, dataset.splits)
    assert again.content_hash == dataset.content_hash


def test_viper_splits_differ(whole_viper: Path) -> None:
    split = [open_viper(whole_viper, split=number) for number in range(4)]
    halves = {tuple(sorted(identities(dataset, "train"))) for dataset in split}
    assert len(halves) > 1
    others = [open_viper(whole_viper, seed=seed).content_hash for seed in range(4)]
    assert len(set(others)) > 1


def test_viper_of_upper_case_is_read(viper_root: Path) -> None:
    before = open_viper(viper_root).images["identity"].tolist()
    for path in (viper_root / "cam_b").iterdir():
        path.rename(path.with_suffix(".BMP"))
    assert open_viper(viper_root).images["identity"].tolist() == before


def test_viper_without_a_folder(viper_root: Path) -> None:
    (viper_root / "cam_b").rename(viper_root / "camera_b")
    with pytest.raises(UserError, match=r"cam_b not found; `reid-repro data fetch viper` gets"):
        open_viper(viper_root)


def test_viper_with_a_person_of_one_camera(viper_root: Path) -> None:
    next((viper_root / "cam_b").glob("003_*")).unlink()
    with pytest.raises(UserError, match=r"1 persons .* not found: cam_b/003_\*\.bmp"):
        open_viper(viper_root)
    dataset = open_viper(viper_root, allow_partial=True)
    assert dataset.left_out == ("missing: cam_b/003_*.bmp",)
    assert len(dataset.images) == 15
    assert np.array_equal(np.sort(dataset.splits["image"]), np.arange(15))


def test_viper_with_an_empty_image(viper_root: Path) -> None:
    victim = next((viper_root / "cam_a").glob("003_*"))
    victim.write_bytes(b"")
    with pytest.raises(UserError, match=rf"1 of 16 images .* cam_a/{victim.name} \(empty\)"):
        open_viper(viper_root)
    dataset = open_viper(viper_root, allow_partial=True)
    assert dataset.left_out == (f"missing: cam_a/{victim.name}",)


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("cam_a/somebody.bmp", r"cam_a/somebody\.bmp: the name does not say the person"),
        ("cam_a/000_77.bmp", r"cam_a/000_77\.bmp and cam_a/000_0\.bmp are of the same person"),
    ],
)
def test_viper_with_a_foreign_image(viper_root: Path, added: str, message: str) -> None:
    (viper_root / added).write_bytes(b"x")
    with pytest.raises(UserError, match=message):
        open_viper(viper_root)


def test_viper_without_images(tmp_path: Path) -> None:
    for folder in ("cam_a", "cam_b"):
        (tmp_path / folder).mkdir()
    with pytest.raises(UserError, match="cam_a and cam_b hold no images"):
        open_viper(tmp_path)
