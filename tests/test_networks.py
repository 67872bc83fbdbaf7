"""The options of the networks: those of the classes, and checked without torch."""

from __future__ import annotations

import csv
import inspect
import io
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import yaml
from pydantic import BaseModel

from reid_repro import deviations, plan
from reid_repro.config import FeatureConfig, TrainingConfig
from reid_repro.detectors import (
    DetectorTraining,
    KeypointsDetection,
    KeypointsDetector,
    PartsDetection,
    PartsDetector,
    RenderedSource,
)
from reid_repro.errors import UserError
from reid_repro.models import NETWORKS
from reid_repro.networks import ModelConfig, needs
from reid_repro.phases import catalogue
from reid_repro.plan import Run

KINDS = {
    kind.model_fields["name"].annotation.__args__[0]: kind
    for kind in get_args(get_args(ModelConfig)[0])
}


def constructor(name: str):
    module, network = NETWORKS[name]
    return getattr(import_module(f"reid_repro.models.{module}"), network).__init__


@pytest.mark.parametrize("name", KINDS)
def test_options_are_the_keyword_arguments_of_the_class(name: str) -> None:
    fields = KINDS[name].model_fields
    mirrored = {key: field.default for key, field in fields.items() if key != "name"}
    parameters = inspect.signature(constructor(name)).parameters
    own = {key: p.default for key, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert mirrored == own


@pytest.mark.parametrize("name", KINDS)
def test_options_have_the_types_of_the_class(name: str) -> None:
    mirrored, own = get_type_hints(KINDS[name]), get_type_hints(constructor(name))
    words = {"backbone", "last_stride"}  # Literal here, checked by the class itself
    for key in KINDS[name].model_fields.keys() - words - {"name"}:
        assert mirrored[key] == own[key], key


def test_every_network_can_be_named() -> None:
    assert NETWORKS.keys() == KINDS.keys()


def test_the_options_are_read_without_torch() -> None:
    code = (
        "import sys; from reid_repro.plan import load; load({'ablations': 'all'});"
        "sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).resolve().parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize("scale", ["demo", "bench", "paper"])
def test_every_variant_of_every_paper_resolves(repository: Path, scale: str) -> None:
    """On any dataset of the right kind: also where the scale's own are not there yet."""
    planned = plan.load({"scale": scale, "ablations": "all"})
    for name, paper in planned.papers.items():
        subject = "rendered-pedestrians" if name == "glad" else "rendered-vehicles"
        for variant, settings in paper.variants.items():
            resolved = planned.resolve(Run(name, variant, subject, 0))
            for key, value in settings.model.items():
                if key not in settings.scales.get(scale, settings).model:
                    assert resolved.model.model_dump(mode="json")[key] == value, (variant, key)


def test_papers_keep_their_own_schedules(repository: Path) -> None:
    planned = plan.load({"scale": "paper"})

    def training(paper: str) -> TrainingConfig:
        return planned.resolve(Run(paper, paper, "market1501", 0)).training

    chca, pgan, ssrnet, glad = map(training, ("chca", "pgan", "ssrnet", "glad"))
    assert (chca.optimizer, chca.learning_rate, chca.milestones) == ("sgd", 5e-3, (60, 100))
    assert (pgan.optimizer, pgan.learning_rate, pgan.gamma) == ("adam", 1.75e-4, 0.5)
    assert pgan.milestones == (20, 40, 60, 80, 100, 120)
    assert (ssrnet.optimizer, ssrnet.warmup, ssrnet.cosine_start) == ("sgd", 5, 15)
    assert (glad.iterations, glad.epochs, glad.gamma) == (100_000, None, 0.5)
    assert [chca.height, pgan.height, ssrnet.height, glad.height] == [256, 224, 256, 512]


def test_ablations_are_planned_when_asked_for(repository: Path) -> None:
    few, all_ = plan.load(), plan.load({"ablations": "all"})
    assert set(few.runs) < set(all_.runs)
    assert {run.variant for run in few.runs if run.paper == "chca"} == {"chca", "none"}
    variants = {(name, v) for name, paper in all_.papers.items() for v in paper.variants}
    assert variants == {(run.paper, run.variant) for run in all_.runs}
    assert few.tables_of("chca") == ("table4",)
    assert set(all_.tables_of("chca")) == {"table4", "figure6", "decisions"}
    assert "table2" not in few.tables_of("glad")  # no row of it is planned
    assert "retrieval" in few.tables_of("baseline")


def test_a_number_of_seeds_stands_for_them(repository: Path) -> None:
    planned = plan.load({"seeds": 3})
    assert planned.config.seeds == (0, 1, 2)
    assert {run.seed for run in planned.runs} == {0, 1, 2}
    with pytest.raises(UserError, match="seeds"):
        plan.load({"seeds": 0})


def test_what_a_user_asks_for_wins_over_a_paper(repository: Path) -> None:
    run = "ssrnet/ssrnet/rendered-vehicles/seed0"
    overrides = {"training": {"margin": 0.7}, "model": {"width": 8, "softmax_over": "keys"}}
    planned = plan.load(overrides)
    asked = planned.resolve(run)  # a network that has no softmax_over
    chca = planned.resolve("chca/chca/rendered-vehicles/seed0").model
    assert chca.model_dump()["softmax_over"] == "keys"
    assert (asked.training.margin, asked.model.width) == (0.7, 8)
    glad = plan.load({"scale": "paper", "training": {"epochs": 3, "milestones": [2]}}).resolve(
        "glad/glad/market1501/seed0"
    )
    assert (glad.training.epochs, glad.training.iterations) == (3, None)
    with pytest.raises(UserError, match=r"glad: its length is in iterations; .*milestones"):
        plan.load({"scale": "paper", "training": {"epochs": 3}})


def test_a_network_whose_places_cannot_be_known_is_not_planned(repository: Path) -> None:
    planned = plan.load({"scale": "paper", "papers": ["baseline", "glad"], "ablations": "all"})
    assert needs(planned.resolve("glad/glad/market1501/seed0").model) == "keypoints"
    variants = {run.variant for run in planned.runs}
    assert "glad" in variants
    assert "true_joints" not in variants
    reason = planned.left_out("glad", "true_joints", "market1501")
    assert reason == "the true keypoints of 'market1501' are not known"


def test_detected_and_true_places_are_planned_apart(repository: Path) -> None:
    default = plan.load({})
    pedestrians, vehicles = "rendered-pedestrians", "rendered-vehicles"
    assert default.detected == (("keypoints", pedestrians), ("parts", vehicles))
    assert default.detectors == ("keypoints", "parts")
    assert {origin for _, _, origin in default.places} == {"detected"}
    every = plan.load({"ablations": "all"})
    assert ("parts", vehicles, "truth") in every.places
    assert every.resolve("glad/true_joints/rendered-pedestrians/seed0").places == "truth"
    assert every.resolve("pgan/grid/rendered-vehicles/seed0").places == "none"


def test_a_dataset_with_boxes_of_its_own_needs_no_detector(repository: Path) -> None:
    brought = {"rendered-vehicles": {"parts": {"source": "csv", "file": "boxes.csv"}}}
    assert plan.load({"datasets": brought}).detectors == ("keypoints",)


def test_a_detector_learns_from_a_rendered_set_of_its_subject(repository: Path) -> None:
    data = {"source": "rendered", "dataset": "rendered-pedestrians"}
    with pytest.raises(UserError, match="'rendered-pedestrians' is no rendered vehicle set"):
        plan.load({"detectors": {"parts": {"data": data}}})


def test_another_source_or_schedule_takes_the_place_of_the_old_one(repository: Path) -> None:
    weights = {"source": "weights", "file": "w.safetensors"}
    keypoints = {"data": weights, "training": {"schedule": "cosine", "steps": {}}}
    chosen = plan.load({"scale": "paper", "detectors": {"keypoints": keypoints}})
    settings = chosen.config.detectors.keypoints
    assert settings.data.model_dump() == {"source": "weights", "file": Path("w.safetensors")}
    assert (settings.training.schedule, settings.training.steps) == ("cosine", {})
    part = {"data": {"dataset": "rendered-vehicles"}}
    assert plan.load({"detectors": {"parts": part}}).trained_on("parts") == "rendered-vehicles"


def test_what_is_stored_serves_every_number_of_parts(repository: Path) -> None:
    with pytest.raises(UserError, match=r"detection\.boxes.* greater than or equal to 10"):
        plan.load({"detectors": {"parts": {"detection": {"boxes": 8}}}})
    with pytest.raises(UserError, match=r"model\.parts.* less than or equal to 10"):
        plan.load({"model": {"parts": 12}})


@pytest.mark.parametrize(
    ("dataset", "left_out", "kept"),
    [("rendered-vehicles", "glad", "pgan"), ("rendered-pedestrians", "pgan", "glad")],
)
def test_vehicles_have_no_joints_and_people_no_parts(
    repository: Path, dataset: str, left_out: str, kept: str
) -> None:
    planned = plan.load({"evaluate_on": [dataset]})
    variants = {(run.paper, run.variant) for run in planned.runs}
    assert (left_out, left_out) not in variants
    assert (kept, kept) in variants


def test_the_list_of_networks_says_what_is_planned(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = plan.load({"papers": ["baseline", "ssrnet"], "scale": "paper"})
    nowhere = chosen.papers["ssrnet"].model_copy(update={"datasets": {}})
    chosen = replace(chosen, papers=chosen.papers | {"ssrnet": nowhere})
    catalogue.show(chosen, csv=True)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    found = {row["run"]: row for row in rows}
    bare, gb, full = (found[f"{n}"] for n in ("baseline/bnneck", "ssrnet/global", "ssrnet/ssrnet"))
    assert bare["planned"] == "yes"
    assert gb["planned"] == "no dataset at this scale"
    assert f"{int(gb['parameters']):.2e}" == "2.35e+07"
    assert f"{int(gb['macs']):.2e}" == "8.11e+09"
    assert f"{int(full['parameters']):.2e}" == "3.45e+07"
    assert all(row["source"] for row in rows)
    assert gb["descriptor"] == "2048"


def test_a_wrong_option_is_named_by_paper_and_variant(
    repository: Path, tmp_path: Path
) -> None:  # fmt: skip
    workflow = tmp_path / "workflow"
    for folder in ("config", "datasets", "papers"):
        (workflow / folder).mkdir(parents=True)
        for file in (repository / "workflow" / folder).glob("*.yaml"):
            (workflow / folder / file.name).write_text(file.read_text())
    shutil.copy(repository / "workflow" / "benchmarks.yaml", workflow)
    file = workflow / "papers" / "chca.yaml"
    paper = yaml.safe_load(file.read_text())
    paper["variants"]["s1"]["model"] = {"stage": [1]}
    file.write_text(yaml.safe_dump(paper))
    with pytest.raises(UserError, match=r"chca\.yaml: variants\.s1.*'stages'"):
        plan.load(workflow=workflow)


def test_every_decision_names_a_key_that_exists() -> None:
    entries = deviations.read(Path(__file__).resolve().parent.parent / deviations.FILE)
    classes: dict[str, list[type[BaseModel]]] = {
        "model": list(KINDS.values()),
        "training": [TrainingConfig],
        "features": [FeatureConfig],
        "detectors.parts": [PartsDetector],
        "detectors.parts.data": [RenderedSource],
        "detectors.parts.training": [DetectorTraining],
        "detectors.parts.detection": [PartsDetection],
        "detectors.keypoints": [KeypointsDetector],
        "detectors.keypoints.data": [RenderedSource],
        "detectors.keypoints.training": [DetectorTraining],
        "detectors.keypoints.detection": [KeypointsDetection],
    }
    for entry in entries:
        if entry.key:
            section, _, key = entry.key.rpartition(".")
            known = [set(kind.model_fields) for kind in classes[section]]
            assert any(key in fields for fields in known), entry.id
    assert {"chca", "pgan", "ssrnet", "glad", "all"} <= {entry.paper for entry in entries}
