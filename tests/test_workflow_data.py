"""Real datasets in real Snakemake: planned without data, stopped at the start, indexed if whole."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from reid_repro.files import read_json, read_parquet

from fetch_server import Served, serving
from standins import vehicleid, viper
from workspace import Workspace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace.copied(tmp_path_factory.mktemp("datasets"))
    made.configure({"papers": ["ssrnet", "gnn"]})
    return made


def test_paper_scale_is_planned_without_data(space: Workspace) -> None:
    output = space.snakemake("-n", "--quiet", "rules", "--config", "scale=paper", "papers=[ssrnet]")
    jobs = {m[1]: int(m[2]) for m in re.finditer(r"^(\w+)\s+(\d+)\s*$", output, re.M)}
    # 30 networks on VeRi-776 and 22 on VehicleID, whose three lists are subsets of their own.
    assert jobs["index_dataset"] == 2
    assert jobs["train"] == 30 + 22
    assert jobs["extract_features"] == jobs["score_ssrnet"] == 30 + 22 * 3


def test_one_table_at_paper_scale_needs_its_own_runs_alone(space: Workspace) -> None:
    settings = ["--config", "scale=paper", "papers=[ssrnet]"]
    table = "results/tables/ssrnet/table5.csv"
    output = space.snakemake("-n", table, "--quiet", "rules", *settings)
    jobs = {m[1]: int(m[2]) for m in re.finditer(r"^(\w+)\s+(\d+)\s*$", output, re.M)}
    one = {"index_dataset": 2, "describe_dataset": 2, "train": 14, "table": 1}
    assert jobs == one | {"extract_features": 28, "score_ssrnet": 28, "total": 75}


def test_absent_data_stop_the_run_at_its_start(space: Workspace) -> None:
    output = space.snakemake("--config", "scale=paper", "papers=[ssrnet]", check=False)
    lines = output.splitlines()
    start = lines.index("datasets are missing:")
    for line, name in zip(lines[start + 1 :], ("vehicleid", "veri776"), strict=False):
        assert line.startswith(f"{name}: absent; fill in the form at https://"), output
        assert f"data/{name} holds" in line
        assert f"or set datasets.{name}.root to where they lie" in line
    assert not (space.folder / "results/data/vehicleid").exists()
    assert not (space.folder / "results/detectors").exists()


def test_a_dataset_that_lies_elsewhere_is_indexed(space: Workspace) -> None:
    vehicleid.make(space.folder / "elsewhere")
    root = f"datasets={{vehicleid: {{root: {space.folder / 'elsewhere'}}}}}"
    target = "results/data/vehicleid/dataset.json"
    space.snakemake(target, "--config", "scale=paper", "papers=[ssrnet]", root)
    folder = space.folder / "results/data/vehicleid"
    facts = read_json(folder / "dataset.json")
    assert any("small/query" in line for line in facts["differs"])  # a tiny copy says so
    assert facts["printed"][0]["paper"] == "pgan"
    splits = read_parquet(folder / "splits.parquet")
    assert set(splits["subset"]) == {"train", "small", "medium", "large"}
    assert splits.loc[splits["subset"] == "small", "trial"].nunique() == 10


def test_open_data_are_fetched_on_request(space: Workspace) -> None:
    viper.make(space.folder / "tree")
    archive = shutil.make_archive(str(space.folder / "tree"), "zip", space.folder / "tree")
    with serving() as server:
        server.files["/VIPeR.v1.0.zip"] = Served(Path(archive).read_bytes())
        url = server.url("/VIPeR.v1.0.zip")
        own = {"root": "viper", "archives": [{"file": "VIPeR.v1.0.zip", "url": url}]}
        settings = space.folder / "loopback.yaml"
        settings.write_text(json.dumps({"datasets": {"viper": own}}))
        target = ("results/fetched/viper", "--configfile", "loopback.yaml")
        space.snakemake(*target, "--config", "scale=paper")
    assert len(list((space.folder / "viper/cam_a").iterdir())) == 8
    assert "unpacked" in (space.folder / "logs/fetch/viper.log").read_text()
