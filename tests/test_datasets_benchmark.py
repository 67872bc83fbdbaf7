"""The benchmark of the datasets builds what it says, in any size; its results name no place."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import yaml

from reid_repro import datasets, plan

from conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))
import datasets_trees

# The script is called `datasets`, as a public package is, too.
SCRIPT = ROOT / "benchmarks" / "datasets.py"
SPEC = spec_from_file_location("datasets_benchmark", SCRIPT)
assert SPEC is not None
assert SPEC.loader is not None
benchmark = module_from_spec(SPEC)
SPEC.loader.exec_module(benchmark)


def official(name: str) -> datasets_trees.Sizes:
    found: datasets_trees.Sizes = yaml.safe_load(
        (ROOT / "workflow" / "datasets" / f"{name}.yaml").read_text("utf-8")
    )["official"]
    return found


@pytest.mark.parametrize("name", benchmark.NAMES)
def test_a_smaller_tree_has_the_counts_asked_for(
    name: str, tmp_path: Path, repository: Path
) -> None:
    config = plan.load().dataset(name)
    wanted = datasets_trees.shrunk(official(name), 300)
    unreadable = getattr(config, "unreadable", ())
    datasets_trees.build(name, tmp_path / "tree", wanted, unreadable)
    config = config.model_copy(update={"root": tmp_path / "tree"})
    found = datasets.index(name, config, config.root)
    for role, counts in wanted.items():
        for what, number in counts.items():
            assert found.counts()[role][what] == number, (role, what)
    assert found.left_out == ()
    assert found.check()  # it is smaller than the dataset


@pytest.mark.parametrize("name", benchmark.NAMES)
def test_counts_are_shrunk_in_proportion(name: str) -> None:
    whole = official(name)
    assert datasets_trees.shrunk(whole, 1) == whole
    for role, counts in datasets_trees.shrunk(whole, 50).items():
        each = whole[role]["images"] / whole[role]["identities"]
        assert counts["identities"] == max(2, whole[role]["identities"] // 50)
        assert counts["images"] / counts["identities"] == pytest.approx(each, abs=0.5)


def test_spread_is_even_and_whole() -> None:
    for total, parts in ((10, 3), (3, 3), (28, 10), (5693, 800)):
        found = datasets_trees.spread(total, parts)
        assert len(found) == parts
        assert sum(found) == total
        assert max(found) - min(found) <= 1


def test_links_change_their_file_before_it_has_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets_trees, "LINKS", 3)
    image = datasets_trees.Linked(tmp_path / "linked", b"abc")
    paths = [tmp_path / f"{number}.jpg" for number in range(8)]
    for path in paths:
        image(path)
    assert {path.read_bytes() for path in paths} == {b"abc"}
    assert len({path.stat().st_ino for path in paths}) == 3
    assert max(path.stat().st_nlink for path in paths) == 4  # three and the file itself


def test_the_walk_sees_every_file(tmp_path: Path) -> None:
    for name in ("a/b/1.jpg", "a/2.jpg", "3.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert benchmark.walk(tmp_path) == 3


def test_the_script_measures_each_index_in_a_process_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--only", "vehicleid", "--shrink", "200"]
    command += ["--repeats", "1", "--tree", str(tmp_path), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "counts as they should be: all" in done.stdout
    (file,) = tmp_path.iterdir()  # the trees are gone
    run = json.loads(file.read_text("utf-8"))
    (row,) = run["datasets"]
    wanted = datasets_trees.shrunk(official("vehicleid"), 200)
    assert row["counts"]["large/gallery"]["identities"] == wanted["large/gallery"]["identities"]
    assert row["differences"] == []
    assert 0 < row["images"] < row["files"]  # there are images in no list
    assert row["times_walk"] == pytest.approx(row["seconds"] / row["walk_seconds"], rel=0.2)
    # Were torch or the builder in that process, it would be several times as large.
    assert 20 < row["imports_mb"] < row["peak_mb"] < 400


def test_results_of_all_datasets_are_committed_and_name_no_place_of_the_machine() -> None:
    files = sorted(benchmark.RESULTS.glob("datasets-*.json"))
    assert files, "no result is committed"
    for file in files:
        text = file.read_text("utf-8")
        run = json.loads(text)
        assert run["machine"]["processor"]["model"]
        assert run["shrink"] == 1
        assert not re.search(r"/(home|root|work|tmp|usr)\b", text)
        assert [row["dataset"] for row in run["datasets"]] == list(benchmark.NAMES)
        for row in run["datasets"]:
            assert row["differences"] == []
            assert row["peak_mb"] < run["limit_mb"]
