"""Descriptors made elsewhere: taken over row by row, or refused with one clear line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reid_repro import plan
from reid_repro.dataset_config import FeatureFiles
from reid_repro.errors import UserError
from reid_repro.files import read_parquet, write_parquet
from reid_repro.phases import features
from reid_repro.phases.imported_features import take_over
from reid_repro.plan import Run
from reid_repro.rows import every_single, swept_runs

BUILDINGS = ("oxford5k", "paris6k")
KEY = "datasets.x.features.p/v.test"


def saved(folder: Path, query: np.ndarray, gallery: np.ndarray) -> FeatureFiles:
    """Both arrays as files."""
    files = FeatureFiles(query=folder / "query.npy", gallery=folder / "gallery.npy")
    np.save(files.query, query)
    np.save(files.gallery, gallery)
    return files


def test_rows_come_in_the_order_of_their_role(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    query, gallery = rng.normal(size=(3, 4)), rng.normal(size=(2, 4)).astype(np.float16)
    # A second trial adds a query behind the gallery of the first.
    rows = pd.DataFrame({"role": ["query", "query", "gallery", "gallery", "query"]})
    found = take_over(saved(tmp_path, query, gallery), rows, KEY)
    wanted = [query[0], query[1], gallery[0], gallery[1], query[2]]
    assert found.dtype == np.float32
    for row, one in zip(found, wanted, strict=True):
        one = one.astype(np.float64)
        np.testing.assert_allclose(row, one / np.sqrt((one * one).sum()), rtol=1e-6)


ONES = np.ones((2, 4))


@pytest.mark.parametrize(
    ("query", "gallery", "words"),
    [
        (np.ones((3, 4)), ONES, "query.npy has 3 rows and the dataset 2 images"),
        (ONES, np.ones((2, 5)), "queries of 4 dimensions and a gallery of 5"),
        (ONES, np.ones((2, 4), int), "expected floating-point (rows, dimensions), found int64"),
        (np.ones(4), ONES, "found float64 of shape (4,)"),
        (ONES, np.diag([1.0, 0.0, 1.0, 1.0])[:2], "row 1 is not finite or zero"),
        (ONES * [[1], [np.nan]], ONES, "row 1 is not finite or zero"),
    ],
)
def test_a_wrong_file_is_named(
    tmp_path: Path, query: np.ndarray, gallery: np.ndarray, words: str
) -> None:
    rows = pd.DataFrame({"role": ["query", "query", "gallery", "gallery"]})
    with pytest.raises(UserError) as caught:
        take_over(saved(tmp_path, query, gallery), rows, KEY)
    assert words in str(caught.value)
    assert str(caught.value).startswith(KEY)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    rows = pd.DataFrame({"role": ["query", "gallery"]})
    files = saved(tmp_path, np.ones((1, 4)), np.ones((1, 4)))
    files.gallery.write_bytes(b"no array")
    with pytest.raises(UserError, match=r"gallery\.npy: not a readable \.npy file"):
        take_over(files, rows, KEY)
    files.query.unlink()
    with pytest.raises(UserError, match=r"query\.npy: no such file"):
        take_over(files, rows, KEY)


def brought(folder: Path) -> dict[str, object]:
    """The configuration that gives the buildings' features."""
    files = {"query": str(folder / "query.npy"), "gallery": str(folder / "gallery.npy")}
    own = {"features": {"baseline/bnneck": {"test": files}}}
    return {"scale": "paper", "datasets": dict.fromkeys(BUILDINGS, own)}


def test_features_that_are_given_stand_in_for_a_training(repository: Path, tmp_path: Path) -> None:
    without, with_ = plan.load({"scale": "paper"}), plan.load(brought(tmp_path))
    runs = [Run("baseline", "bnneck", name, 0) for name in BUILDINGS]
    assert not set(runs) & set(without.runs)
    assert "has no images to train on" in without.left_out("baseline", "bnneck", "oxford5k")
    assert set(with_.runs) == {*without.runs, *runs}
    assert with_.trainings == without.trainings == without.runs
    assert {(run, "gnn") for run in runs} <= set(every_single(with_))
    assert not {run for _, run in swept_runs(with_, "gnn")} & set(runs)  # of other tables
    assert not with_.variants_on("baseline", "oxford5k")  # no curves, no ranked lists


def test_the_features_phase_takes_them_over(repository: Path, tmp_path: Path) -> None:
    planned = plan.load(brought(tmp_path))
    data = tmp_path / "results/data/paris6k"
    count = 5
    images = {"identity": np.arange(count), "camera": np.full(count, -1)}
    write_parquet(data / "images.parquet", pd.DataFrame(images))
    roles = ["gallery"] * 3 + ["query"] * 2
    splits = {"subset": "test", "trial": 0, "role": roles, "image": np.arange(count)}
    write_parquet(data / "splits.parquet", pd.DataFrame(splits))
    query, gallery = np.eye(4)[:2], np.eye(4)[1:]
    saved(tmp_path, query, gallery)
    name = "baseline/bnneck/paris6k/seed0"
    features.run(planned, name, "test", tmp_path / "results")
    file = tmp_path / "results/features" / name / "test.npy"
    np.testing.assert_array_equal(np.load(file), np.concatenate([query, gallery]))
    assert read_parquet(file.with_suffix(".parquet"))["image"].tolist() == [3, 4, 0, 1, 2]


def test_every_subset_needs_its_features(repository: Path) -> None:
    files = {"query": "q.npy", "gallery": "g.npy"}
    own = {"features": {"baseline/bnneck": {"test": files}}}
    with pytest.raises(UserError, match=r"vehicleid.*files of small, medium, large are needed"):
        plan.load({"scale": "paper", "datasets": {"vehicleid": own}})
