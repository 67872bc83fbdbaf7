"""The configuration: what is in workflow/ holds together, and mistakes are named by their key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from reid_repro import plan
from reid_repro.config import merge, read_yaml
from reid_repro.errors import UserError
from reid_repro.plan import Run
from reid_repro.schemas import schemas
from reid_repro.training import checkpoint


@pytest.mark.parametrize("scale", ["demo", "bench", "paper"])
def test_every_scale_gives_runs_that_resolve(repository: Path, scale: str) -> None:
    planned = plan.load({"scale": scale})
    assert planned.config.scale == scale
    assert planned.runs
    for run in planned.runs:
        assert planned.resolve(str(run)).seed == run.seed
    assert len(set(planned.runs)) == len(planned.runs)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"scale": "demmo"}, ["scale", "demmo", "demo"]),
        ({"traning": {}}, ["unknown key 'traning'", "did you mean 'training'"]),
        ({"training": {"epoch": 3}}, ["unknown key 'training.epoch'", "epochs"]),
        ({"model": {"softmax": "keys"}}, ["unknown key 'model.softmax'", "softmax_over"]),
        ({"model": {"width": "wide"}}, ["variants.bnneck", "model", "width", "'wide'"]),
        ({"model": {"softmax_over": "rows"}}, ["chca.yaml", "softmax_over", "'rows'"]),
        ({"training": {"epochs": "x"}}, ["training.epochs", "integer", "'x'"]),
        ({"training": {"epochs": 0}}, ["training.epochs", "greater"]),
        ({"datasets": {"vehicles": {"seed": 1}}}, ["unknown dataset 'vehicles'", "rendered-veh"]),
        ({"datasets": {"mine": {"source": "csv"}}}, ["datasets.mine.root", "missing"]),
        ({"datasets": {"mine": {"source": "cvs"}}}, ["datasets.mine", "cvs"]),
        ({"datasets": {"rendered-vehicles": {"sed": 1}}}, ["rendered-vehicles.sed", "seed"]),
        ({"evaluate_on": ["mine"]}, ["unknown dataset 'mine'"]),
        ({"papers": ["chcca"]}, ["unknown paper 'chcca'", "baseline"]),
        ({"seeds": [1, 1]}, ["seeds", "twice"]),
        ({"rerankers": {"aqe": {"method": "AQE"}}}, ["rerankers.aqe.method", "AverageQueryExp"]),
        ({"timings": {"shrink": 0}}, ["timings.shrink", "greater"]),
        ({"datasets": {"mine": {"source": "cvs"}}}, ["datasets.mine.source", "csv"]),
    ],
)
def test_a_mistake_is_named_by_its_key(
    repository: Path, overrides: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        plan.load(overrides)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_broken_yaml_is_named_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "demo.yaml").write_text("scale: demo\nseeds: [0\n")
    with pytest.raises(UserError, match=r"demo\.yaml, line \d+: not valid YAML"):
        plan.load(workflow=tmp_path)


def test_an_override_changes_only_what_it_names(repository: Path) -> None:
    before, after = plan.load(), plan.load({"training": {"epochs": 3}})
    run = before.runs[0]
    old, new = before.resolve(run), after.resolve(run)
    assert new.training.epochs == 3
    assert new.training.model_copy(update={"epochs": old.training.epochs}) == old.training
    assert new.model == old.model
    assert after.digest != before.digest


def test_merge_goes_into_mappings_and_replaces_lists() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 4}
    assert merge(base, {"a": {"c": [3]}}) == {"a": {"b": 1, "c": [3]}, "d": 4}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 4}


def test_run_names_go_both_ways() -> None:
    run = Run("chca", "level-3", "veri776", 12)
    assert Run.parse(str(run)) == run
    with pytest.raises(UserError, match="PAPER/VARIANT/DATASET/seedN"):
        Run.parse("chca/level-3/veri776/12")


def test_committed_schemas_are_those_of_the_code(repository: Path) -> None:
    for name, schema in schemas().items():
        committed = json.loads((repository / "workflow" / "schemas" / name).read_text())
        assert committed == schema, f"{name} is out of step: run `make schemas`"


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("benchmarks", "benchmarks.yaml"),
        ("claims", "papers/claims/*.yaml"),
        ("deviations", "deviations.yaml"),
        ("paper", "papers/*.yaml"),
        ("properties", "properties.yaml"),
        ("verdicts", "verdicts.yaml"),
    ],
)
def test_committed_files_fit_their_schemas(repository: Path, name: str, pattern: str) -> None:
    workflow = repository / "workflow"
    schema = json.loads((workflow / "schemas" / f"{name}.schema.json").read_text())
    files = sorted(workflow.glob(pattern))
    assert files
    for file in files:
        jsonschema.validate(json.loads(json.dumps(read_yaml(file))), schema)


def test_conda_pins_follow_the_lock_file(repository: Path) -> None:
    lock = (repository / "requirements.lock").read_text()
    environment = yaml.safe_load((repository / "envs" / "reid-repro.yaml").read_text())
    pins = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pins
    for pin in pins:
        assert f"\n{pin} " in f"\n{lock}", f"{pin} is not what requirements.lock says"


def test_the_lock_file_has_hashes_and_no_addresses(repository: Path) -> None:
    lock = (repository / "requirements.lock").read_text()
    assert "://" not in lock
    entries = [line for line in lock.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(entries) > 100
    assert all(line.endswith("\\") for line in entries), "an entry without a hash"


def test_checkpoints_and_rules_depend_on_the_same_code(repository: Path) -> None:
    rules = (repository / "rules" / "common.smk").read_text()
    listed = rules.split("TRAINING = [")[1].split("]")[0]
    assert re.findall(r'"([^"]+)"', listed) == list(checkpoint.CODE)
