"""`reid-repro data`: what is listed, fetched, checked, and how it says that something is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from reid_repro.cli import app
from reid_repro.files import read_json

from standins import viper, vric


def said(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["data", *arguments])


@pytest.fixture
def at(tmp_path: Path) -> str:
    """The override that moves VRIC to a tiny copy, whose counts it takes for the official ones."""
    vric.make(tmp_path / "vric")
    images = {"train": 7, "query": 3, "gallery": 3}
    official = {role: {"images": count, "identities": 3} for role, count in images.items()}
    settings = {"root": str(tmp_path / "vric"), "official": official}
    return json.dumps({"datasets": {"vric": settings}})


def test_every_dataset_is_listed_with_its_status(repository: Path, at: str) -> None:
    lines = said("list", "--config", at).stdout.splitlines()
    assert lines[0].split() == ["dataset", "status", "images"]
    found = {line.split()[0]: line for line in lines[1:]}
    assert len(found) == len(lines) - 1
    assert "drawn here" in found["rendered-vehicles"]
    assert " present " in found["vric"]
    names = {"veri776", "vehicleid", "veriwild", "market1501", "viper", "oxford5k", "paris6k"}
    assert names | {"university1652", "cuhk03-labelled", "cuhk03-classic"} <= set(found)
    assert "absent" in found["veriwild"]
    assert "form" in found["veriwild"]
    assert "`reid-repro data fetch oxford5k` gets" in found["oxford5k"]


def test_a_copy_without_some_of_its_lists_is_partial(
    repository: Path, at: str, tmp_path: Path
) -> None:
    (tmp_path / "vric" / "vric_probe.txt").unlink()
    line = next(line for line in said("list", "--config", at).stdout.splitlines() if "vric" in line)
    assert " partial " in line
    assert "vric_probe.txt missing" in line


def test_what_must_be_asked_for_is_one_line_and_status_one(repository: Path) -> None:
    done = said("fetch", "veriwild")
    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1
    for words in ("https://github.com/PKU-IMRE/VERI-Wild", "vehicle_info.txt", "data/veriwild"):
        assert words in done.stderr
    assert "nothing to fetch" in said("fetch", "rendered-vehicles").stderr


def test_a_whole_copy_is_checked(repository: Path, at: str) -> None:
    done = said("check", "vric", "--config", at)
    assert done.exit_code == 0, done.stderr
    assert "vric: train: 7 images, 3 identities" in done.stdout


def test_all_that_is_wrong_is_said_at_once(repository: Path, at: str, tmp_path: Path) -> None:
    folder = tmp_path / "vric" / "train_images"
    first, second, *_ = sorted(folder.iterdir())
    first.unlink()
    second.write_bytes(second.read_bytes()[:80])
    (folder / "stranger.jpg").write_bytes(b"1")
    done = said("check", "vric", "--config", at)
    assert done.exit_code == 1
    for words in (
        f"1 images missing or empty: train_images/{first.name}",
        "1 images in no list: train_images/stranger.jpg",
        f"1 images cannot be read: train_images/{second.name}",
    ):
        assert words in done.stderr
    assert said("check", "vric", "--config", at, "--allow-partial").exit_code == 0


def test_a_partial_copy_is_indexed_when_asked(repository: Path, at: str, tmp_path: Path) -> None:
    next((tmp_path / "vric" / "train_images").iterdir()).unlink()
    results = ["--results", str(tmp_path / "results"), "--config", at]
    refused = said("index", "vric", *results)
    assert refused.exit_code == 1
    assert "--allow-partial" in refused.stderr
    done = said("index", "vric", *results, "--allow-partial")
    assert done.exit_code == 0
    assert "note: left out: 1 images" in done.stderr
    assert read_json(tmp_path / "results/data/vric/content.json")["n_left_out"] == 1


def test_counts_that_are_not_official_are_said(repository: Path, tmp_path: Path) -> None:
    viper.make(tmp_path)
    done = said("check", "viper", "--config", f"datasets: {{viper: {{root: {tmp_path}}}}}")
    assert done.exit_code == 1
    assert "train: 8 images, officially 632" in done.stderr
