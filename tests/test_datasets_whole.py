"""Every dataset, tiny but in its exact layout: fetched, checked, indexed, described and scored."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reid_repro import datasets, plan
from reid_repro.dataset_config import Archive, FolderDataset
from reid_repro.datasets import checks, fetch
from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet, write_parquet
from reid_repro.paths import metrics_file, per_query_file
from reid_repro.phases import data, metrics
from reid_repro.plan import Plan, Run
from reid_repro.training.features import rows_of

from fetch_server import Served, Server, serving
from standins import (
    cuhk03,
    landmarks,
    university1652,
    vehicleid,
    veri776,
    veriwild,
    viper,
    vric,
)

MAKERS: dict[str, Callable[[Path], None]] = {
    "veri776": veri776.make,
    "vehicleid": vehicleid.make,
    "vric": vric.make,
    "veriwild": veriwild.make,
    "cuhk03-classic": cuhk03.make,
    "cuhk03-classic-detected": cuhk03.make,
    "cuhk03-labelled": cuhk03.make,
    "cuhk03-detected": cuhk03.make,
    "viper": viper.make,
    "oxford5k": lambda root: landmarks.make(root, "oxford5k"),
    "paris6k": lambda root: landmarks.make(root, "paris6k"),
    "university1652": university1652.make,
}
TRIALS = {"vehicleid": 10}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def packed(tree: Path, config: FolderDataset) -> dict[str, bytes]:
    """The tree as the archives that the dataset comes in; one zip where it has none of its own."""
    archives = config.archives
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    single = {archive.file: archive for archive in archives if not archive.unpack}
    claimed = {archive.into for archive in archives if archive.unpack} - {"."}
    found = {name: (tree / name).read_bytes() for name in single}
    for archive in archives:
        if archive.file in single:
            continue
        inside = tree if archive.into == "." else tree / archive.into
        own = [
            path
            for path in files
            if path.is_relative_to(inside)
            and path.name not in single
            and (archive.into != "." or path.relative_to(tree).parts[0] not in claimed)
        ]
        # Several archives may share a folder, as the two halves of Paris do.
        alike = [each for each in archives if each.into == archive.into and each.unpack]
        share = own[alike.index(archive) :: len(alike)]
        prefix = "x/" * archive.strip
        members = {prefix + path.relative_to(inside).as_posix(): path for path in share}
        found[archive.file] = _archive(archive.file, members)
    return found


def _archive(name: str, members: dict[str, Path]) -> bytes:
    content = io.BytesIO()
    if name.endswith(".zip"):
        with zipfile.ZipFile(content, "w") as archive:
            for inside, path in members.items():
                archive.write(path, inside)
    else:
        with tarfile.open(fileobj=content, mode="w:gz") as tar:
            for inside, path in members.items():
                tar.add(path, inside)
    return content.getvalue()


def offered(name: str, tree: Path, root: Path, server: Server) -> FolderDataset:
    """The dataset's own settings, its archives served on loopback and its root elsewhere."""
    config = plan.load({}).dataset(name)
    assert isinstance(config, FolderDataset)
    if not config.archives:
        config = config.model_copy(update={"archives": (Archive(file="everything.zip"),)})
    archives = []
    for file, content in packed(tree, config).items():
        server.files[f"/{file}"] = Served(content)
        own = next(archive for archive in config.archives if archive.file == file)
        archives.append(own.model_copy(update={"url": server.url(f"/{file}"), "sha256": ""}))
    settings: dict[str, Any] = {
        "archives": tuple(archives),
        "root": root,
        "access": "open",
        "official": {},
    }
    if name == "paris6k":  # the stand-in has a damaged image of its own
        settings["unreadable"] = (landmarks.UNREADABLE,)
    return config.model_copy(update=settings)


def chosen(name: str, config: FolderDataset) -> Plan:
    loaded = plan.load({})
    known = loaded.config.datasets | {name: config}
    return Plan(
        loaded.config.model_copy(update={"datasets": known}), loaded.papers, loaded.overrides
    )


@pytest.mark.parametrize("name", MAKERS)
def test_fetched_checked_indexed_and_scored(tmp_path: Path, server: Server, name: str) -> None:
    MAKERS[name](tmp_path / "tree")
    config = offered(name, tmp_path / "tree", tmp_path / "root", server)
    assert fetch.status(config) == "absent"
    fetch.fetch(name, config)
    assert fetch.status(config) == "present"
    for archive in config.archives:
        if archive.unpack:
            (config.root / archive.file).unlink()

    own = chosen(name, config)
    results = tmp_path / "results"
    dataset = data.run(own, name, results)
    assert checks.problems(dataset) == []
    data.describe(own, name, results)

    run = Run("baseline", "bnneck", name, 0)
    folder = results / "data" / name
    store, splits = ImageStore.open(folder), read_parquet(folder / "splits.parquet")
    assert (store.sizes() > 0).all()
    assert store[len(store) - 1].ndim == 3
    trained = splits[splits["role"] == "train"]["image"]
    assert len(trained) > 0 or config.subject == "place"
    for subset in config.subsets:
        rows = rows_of(store.images, splits, subset)
        # Each identity has a place of its own: whoever has a match finds it first.
        features = np.eye(2 + int(rows["identity"].max()), dtype=np.float32)[rows["identity"] + 1]
        features += np.random.default_rng(0).normal(0, 0.01, features.shape).astype(np.float32)
        file = results / "features" / str(run) / f"{subset}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, features)
        write_parquet(file.with_suffix(".parquet"), rows)
        metrics.run(own, str(run), subset, ["none"], results)
        scored = read_json(metrics_file(results, run, subset, "none"))
        if dataset.judgements is None:
            assert scored["mAP"] == pytest.approx(1)
        else:
            assert 0 < scored["mAP"] <= 1
        repeats = config.protocol.repeats
        assert scored["trials"] == TRIALS.get(name, 1) * repeats
        per_query = read_parquet(per_query_file(metrics_file(results, run, subset, "none")))
        assert len(per_query) == scored["n_valid"] * TRIALS.get(name, 1)


@pytest.mark.parametrize("name", ["veri776", "viper"])
def test_a_damaged_image_is_found_by_the_check(tmp_path: Path, name: str) -> None:
    MAKERS[name](tmp_path)
    config = plan.load({}).dataset(name).model_copy(update={"root": tmp_path, "official": {}})
    dataset = datasets.index(name, config, tmp_path)
    first = tmp_path / dataset.images["image"][0]
    first.write_bytes(first.read_bytes()[: first.stat().st_size // 2])
    problems = checks.problems(datasets.index(name, config, tmp_path), workers=2)
    assert problems == [f"1 images cannot be read: {dataset.images['image'][0]}"]


def test_a_partial_copy_goes_on_when_asked_and_says_so(tmp_path: Path) -> None:
    veri776.make(tmp_path / "root")
    gone = next((tmp_path / "root" / "image_train").iterdir())
    gone.unlink()
    config = plan.load({}).dataset("veri776")
    own = chosen("veri776", config.model_copy(update={"root": tmp_path / "root"}))
    with pytest.raises(UserError, match=rf"1 of .* missing or empty, image_train/{gone.name}; get"):
        data.run(own, "veri776", tmp_path / "results")
    data.run(own, "veri776", tmp_path / "results", allow_partial=True)
    data.describe(own, "veri776", tmp_path / "results")
    facts = read_json(tmp_path / "results" / "data" / "veri776" / "dataset.json")
    assert facts["n_left_out"] == 1
    assert facts["left_out"] == [f"missing: image_train/{gone.name}"]
