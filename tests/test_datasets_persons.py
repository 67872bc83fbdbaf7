"""VIPeR and CUHK03: what their layouts index to, their splits, and how damage is named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reid_repro import datasets
from reid_repro.dataset_config import Cuhk03Dataset, ViperDataset
from reid_repro.datasets.base import Dataset
from reid_repro.errors import UserError
from reid_repro.files import read_json
from reid_repro.retrieval.metrics import evaluate_distances

from standins import cuhk03, viper


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


# --------------------------------------------------------------------------------------- CUHK03


def open_cuhk03(root: Path, **settings: Any) -> Dataset:
    config = Cuhk03Dataset.model_validate({"source": "cuhk03", "root": root} | settings)
    return datasets.index("cuhk03", config, root)


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cuhk03")
    cuhk03.make(root)
    for crops in cuhk03.SPELLED:
        open_cuhk03(root, crops=crops)
    return root


@pytest.fixture
def cuhk03_root(tmp_path: Path) -> Path:
    cuhk03.make(tmp_path / "cuhk03")
    return tmp_path / "cuhk03"


def facts(kind: str, name: str) -> tuple[str, int, int, int]:
    """What the images table says of one crop."""
    pair, person, view, _ = (int(part) for part in name.removesuffix(".png").split("_"))
    identity = cuhk03.persons().index((pair, person)) + 1
    return f"images_{kind}/{name}", identity, view, pair


@pytest.mark.parametrize("kind", ["labelled", "detected"])
def test_cuhk03_of_the_new_division_is_indexed(extracted: Path, kind: str) -> None:
    dataset = open_cuhk03(extracted, crops=kind)
    names = cuhk03.names(kind)
    columns = dataset.images[["image", "identity", "camera", "pair"]]
    assert [tuple(row) for row in columns.to_numpy()] == [facts(kind, name) for name in names]
    assert roles(dataset) == {
        role: [f"images_{kind}/{names[place]}" for place in places]
        for role, places in cuhk03.new_roles(kind).items()
    }
    trained = identities(dataset, "train")
    assert not trained & (identities(dataset, "query") | identities(dataset, "gallery"))
    assert identities(dataset, "query") <= identities(dataset, "gallery")


@pytest.mark.parametrize("kind", ["labelled", "detected"])
@pytest.mark.parametrize("split", [0, 7, 19])
def test_cuhk03_of_the_classic_division_is_indexed(extracted: Path, kind: str, split: int) -> None:
    dataset = open_cuhk03(extracted, crops=kind, division="classic", split=split)
    expected: dict[str, list[str]] = {"train": [], "query": [], "gallery": []}
    for name in cuhk03.names(kind):
        pair, person, view, _ = (int(part) for part in name.removesuffix(".png").split("_"))
        tested = (pair, person) in cuhk03.testset(split)
        role = "train" if not tested else {1: "query", 2: "gallery"}[view]
        expected[role].append(f"images_{kind}/{name}")
    assert roles(dataset) == expected
    counts = dataset.counts()
    assert counts["train"]["identities"] == 8
    assert counts["query"]["identities"] == counts["gallery"]["identities"] == 3
    assert not identities(dataset, "train") & identities(dataset, "query")


def test_cuhk03_is_scored_by_drawn_galleries(extracted: Path) -> None:
    dataset = open_cuhk03(extracted, division="classic")
    ids, cameras = (dataset.images[name].to_numpy() for name in ("identity", "camera"))
    query, gallery = (
        dataset.splits.loc[dataset.splits["role"] == role, "image"].to_numpy()
        for role in ("query", "gallery")
    )
    distances = (ids[query][:, None] != ids[gallery][None]).astype(np.float32)
    got = evaluate_distances(
        *(distances, ids[query], ids[gallery], cameras[query], cameras[gallery]),
        single_gallery_shot=True,
        repeats=5,
    )
    assert got.n_valid == len(query)
    assert got.cmc[0] == 1


@pytest.mark.parametrize("kind", ["labelled", "detected"])
def test_crops_are_the_pixels_of_the_file(extracted: Path, kind: str) -> None:
    folder = extracted / f"images_{kind}"
    assert sorted(path.name for path in folder.iterdir()) == sorted(cuhk03.names(kind))
    for name in cuhk03.names(kind):
        pair, person, _, index = (int(part) for part in name.removesuffix(".png").split("_"))
        with Image.open(folder / name) as image:
            np.testing.assert_array_equal(
                np.asarray(image), cuhk03.pixels(kind, pair, person, index - 1)
            )


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_an_interrupted_extraction_goes_on(
    cuhk03_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(cuhk03_root, tmp_path / "at once")
    at_once = open_cuhk03(tmp_path / "at once").content_hash
    written = 0
    save = Image.Image.save

    def cut(image: Image.Image, path: Path, **settings: Any) -> None:
        nonlocal written
        written += 1
        save(image, path, **settings)
        if written > 5:
            path.write_bytes(path.read_bytes()[:20])
            raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", cut)
    with pytest.raises(KeyboardInterrupt):
        open_cuhk03(cuhk03_root)
    monkeypatch.undo()
    folder = cuhk03_root / "images_labelled"
    before = stamps(folder)
    assert sorted(before) == sorted(cuhk03.names("labelled"))[:5]  # whole ones alone
    assert not (cuhk03_root / "images_labelled.json").exists()
    assert open_cuhk03(cuhk03_root).content_hash == at_once
    after = stamps(folder)
    assert before.items() <= after.items()
    assert len(after) == len(cuhk03.names("labelled"))


def test_lost_crops_are_written_again_and_the_others_left(cuhk03_root: Path) -> None:
    first = open_cuhk03(cuhk03_root).content_hash
    folder = cuhk03_root / "images_labelled"
    before = stamps(folder)
    lost, emptied, *kept = cuhk03.names("labelled")
    (folder / lost).unlink()
    (folder / emptied).write_bytes(b"")
    assert open_cuhk03(cuhk03_root).content_hash == first
    after = stamps(folder)
    assert {name: before[name] for name in kept} == {name: after[name] for name in kept}


def test_crops_of_another_file_are_not_kept(cuhk03_root: Path) -> None:
    open_cuhk03(cuhk03_root)
    picture = cuhk03_root / "images_labelled" / cuhk03.names("labelled")[0]
    Image.new("RGB", (3, 3)).save(picture)
    listed = cuhk03_root / "images_labelled.json"
    content = read_json(listed)
    listed.write_text(listed.read_text().replace(str(content["bytes"]), str(content["bytes"] - 1)))
    open_cuhk03(cuhk03_root)
    with Image.open(picture) as image:
        assert image.size != (3, 3)


def test_without_the_file_the_crops_are_enough(cuhk03_root: Path) -> None:
    whole = [open_cuhk03(cuhk03_root, division=each).content_hash for each in ("new", "classic")]
    (cuhk03_root / "cuhk-03.mat").unlink()
    assert whole == [
        open_cuhk03(cuhk03_root, division=each).content_hash for each in ("new", "classic")
    ]
    name = cuhk03.names("labelled")[3]
    (cuhk03_root / "images_labelled" / name).write_bytes(b"")
    with pytest.raises(UserError, match=rf"1 of 50 images are .* images_labelled/{name} \(empty\)"):
        open_cuhk03(cuhk03_root)
    dataset = open_cuhk03(cuhk03_root, allow_partial=True)
    assert dataset.left_out == (f"missing: images_labelled/{name}",)
    assert len(dataset.images) == 49


def edit(change: Any) -> Any:
    """A change inside cuhk-03.mat, kept as HDF5."""

    def damage(root: Path) -> None:
        with h5py.File(root / "cuhk-03.mat", "r+") as file:
            change(file)

    return damage


def division(**changes: Any) -> Any:
    def damage(root: Path) -> None:
        path = root / "cuhk03_new_protocol_config_labeled.mat"
        cuhk03.write_division(path, "labelled", **changes)

    return damage


def overwrite_crop(file: h5py.File) -> None:
    """A crop of floating point numbers in place of the first one."""
    first = file[file[file["labeled"][0, 0]][0, 0]]
    name = first.name
    del file[name]
    new = file.create_dataset(name, data=np.zeros((3, 4, 5)))
    file[file["labeled"][0, 0]][0, 0] = new.ref


def lose_crop(file: h5py.File) -> None:
    file[file["labeled"][0, 0]][0, 0] = h5py.Reference()


def lose_person_of_testset(file: h5py.File) -> None:
    file[file["testsets"][0, 3]][0, 0] = 9


def cut_cells(file: h5py.File) -> None:
    cells = file[file["labeled"][0, 1]]
    short = file["#refs#"].create_dataset("short", data=cells[:9], dtype=h5py.ref_dtype)
    file["labeled"][0, 1] = short.ref


def plain_numbers(file: h5py.File) -> None:
    del file["labeled"]
    file["labeled"] = np.zeros((1, 5))


LABELS = len(cuhk03.names("labelled"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda root: (root / "cuhk-03.mat").unlink(),
            r"cuhk-03\.mat not found; `reid-repro data fetch cuhk03` gets the dataset",
        ),
        (
            lambda root: (root / "cuhk03_new_protocol_config_labeled.mat").unlink(),
            r"cuhk03_new_protocol_config_labeled\.mat not found; `reid-repro data fetch",
        ),
        (
            lambda root: (root / "cuhk-03.mat").write_bytes(b""),
            r"cuhk-03\.mat: no MATLAB v7\.3 \(HDF5\) file; fetch it anew",
        ),
        (
            lambda root: cuhk03.write_crops(root / "cuhk-03.mat", leave_out="labeled"),
            r"cuhk-03\.mat: 'labeled' is missing; it is another file or not whole",
        ),
        (
            lambda root: cuhk03.write_crops(root / "cuhk-03.mat", leave_out="testsets"),
            r"cuhk-03\.mat: 'testsets' is missing",
        ),
        (edit(plain_numbers), r"'labeled' is no cell array"),
        (
            edit(overwrite_crop),
            r"crop 1_001_1_01\.png of 'labeled' is float64 of shape \(5, 4, 3\)",
        ),
        (edit(lose_crop), r"crop 1_001_1_01\.png of 'labeled' is damaged; fetch the file anew"),
        (edit(cut_cells), r"'labeled' of camera pair 2 has 9 crops a person; expected 10"),
        (
            edit(lose_person_of_testset),
            r"set 3 of 'testsets' is no list of \(camera pair, person\)",
        ),
        (
            lambda root: (root / "images_labelled.json").write_text('{"images": 3}'),
            r"images_labelled\.json: not a list of crops; delete it and run again",
        ),
        (
            lambda root: (root / "cuhk03_new_protocol_config_labeled.mat").write_bytes(b"no"),
            r"config_labeled\.mat: not a whole MATLAB v5 file; fetch it anew",
        ),
        (
            lambda root: shutil.copy(
                root / "cuhk-03.mat", root / "cuhk03_new_protocol_config_labeled.mat"
            ),
            r"config_labeled\.mat: not a whole MATLAB v5 file; fetch it anew",
        ),
        *(
            (division(**{key: None}), rf"config_labeled\.mat has no '{key}'; is it the right file")
            for key in ("filelist", "labels", "camId", "train_idx", "query_idx", "gallery_idx")
        ),
        (division(labels=np.arange(3)), rf"3 labels for {LABELS} names of filelist"),
        (division(camId=np.arange(4)), rf"4 camId for {LABELS} names of filelist"),
        (division(query_idx=np.array([[0]])), rf"query_idx leaves filelist \(1 to {LABELS}\)"),
        (division(query_idx=np.array([[1.5]])), r"are not as in the published file"),
        (division(labels=np.ones(LABELS)), r"'labels' of the new division contradict the persons"),
        (
            division(labels=np.arange(LABELS)),
            r"'labels' of the new division contradict the persons",
        ),
        (
            division(query_idx=np.array([[1]])),
            r"1 persons of the new division's query_idx are in train_idx too, 1; fetch its file",
        ),
        (
            lambda root: cuhk03.write_division(
                root / "cuhk03_new_protocol_config_detected.mat", "labelled"
            ),
            None,
        ),
    ],
)
def test_damaged_files_of_cuhk03_are_named(
    cuhk03_root: Path, damage: Any, message: str | None
) -> None:
    damage(cuhk03_root)
    crops = "labelled"
    if message is None:  # the list of one kind of crops in place of the other's
        crops = "detected"
        message = (
            r"config_detected\.mat names \d+ images that are no detected crops of cuhk-03\.mat"
        )
    with pytest.raises(UserError, match=message) as caught:
        open_cuhk03(cuhk03_root, crops=crops)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_files_of_cuhk03_cut_short_are_named(cuhk03_root: Path, share: float) -> None:
    for name in ("cuhk-03.mat", "cuhk03_new_protocol_config_labeled.mat"):
        path = cuhk03_root / name
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(
            UserError, match=rf"{name}: (cut short|no MATLAB|not a whole).*; fetch it anew"
        ):
            open_cuhk03(cuhk03_root)
        path.write_bytes(content)


def test_a_split_that_the_file_lacks(cuhk03_root: Path) -> None:
    def keep_two(file: h5py.File) -> None:
        sets = file["testsets"][:, :2]
        del file["testsets"]
        file.create_dataset("testsets", data=sets, dtype=h5py.ref_dtype)

    edit(keep_two)(cuhk03_root)
    with pytest.raises(UserError, match="has 2 'testsets'; split 5"):
        open_cuhk03(cuhk03_root, division="classic", split=5)
