"""The phases `models` and `features` on a network that needs part boxes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

from reid_repro import datasets
from reid_repro.config import FeatureConfig, RenderedDataset, TrainingConfig
from reid_repro.datasets.places import places_file, true_parts
from reid_repro.errors import UserError
from reid_repro.files import read_parquet, write_parquet
from reid_repro.networks import PGANNetwork
from reid_repro.phases import features as feature_phase
from reid_repro.phases import models as model_phase
from reid_repro.plan import Plan, ResolvedRun

RUN = "pgan/parts/tiny/seed0"


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The phases set the number of threads for good."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Data and part boxes of a few rendered vehicles."""
    config = RenderedDataset(
        source="rendered",
        subject="vehicle",
        train_identities=4,
        test_identities=4,
        cameras=2,
        train_images_per_camera=2,
        test_images_per_camera=2,
        height=64,
        width=64,
    )
    folder = tmp_path / "data" / "tiny"
    indexed = datasets.index("tiny", config, folder)
    datasets.write(indexed, folder)
    boxes = true_parts(read_parquet(folder / "annotations.parquet"), len(indexed.images))
    file = places_file(tmp_path, "tiny", "parts", "detected")
    file.parent.mkdir(parents=True)
    write_parquet(file, boxes)
    return tmp_path


def plan() -> Plan:
    """What the phases ask of a plan."""
    training = TrainingConfig(
        height=64, width=64, epochs=1, identities_per_batch=4, images_per_identity=2, warmup=0
    )
    resolved = ResolvedRun(
        run=RUN,
        scale="demo",
        seed=0,
        dataset="tiny",
        places="detected",
        model=PGANNetwork(name="pgan", backbone="resnet10", width=8, parts=3, dimension=32),
        training=training,
    )
    stand_in = SimpleNamespace(
        resolve=lambda name: resolved,
        features_of=lambda run: {},
        digest="0" * 12,
        command=lambda target: f"make {target}",
        config=SimpleNamespace(features=FeatureConfig(batch_size=3)),
    )
    return cast(Plan, stand_in)


def test_a_network_with_part_boxes_is_trained_loaded_and_used(results: Path) -> None:
    model_phase.run(plan(), RUN, results, threads=1)
    out = results / "models" / RUN
    facts: dict[str, Any] = json.loads((out / "run.json").read_text())
    assert facts["num_classes"] == 4
    assert facts["world_size"] == 1
    assert len(pd.read_csv(out / "history.csv")) == 1
    assert not (results / "checkpoints" / RUN).exists()
    network, settings = model_phase.load(RUN, results)
    assert settings.model == plan().resolve(RUN).model
    feature_phase.run(plan(), RUN, "test", results)
    features = np.load(results / "features" / RUN / "test.npy")
    assert features.shape == (len(read_parquet(results / "features" / RUN / "test.parquet")), 32)
    assert network.dimension == 32


def test_weights_without_their_number_of_classes_are_refused(results: Path) -> None:
    model_phase.run(plan(), RUN, results, threads=1)
    file = results / "models" / RUN / "run.json"
    facts = json.loads(file.read_text())
    del facts["num_classes"]
    file.write_text(json.dumps(facts))
    with pytest.raises(UserError, match=r"weights\.safetensors: cannot be loaded .*num_classes"):
        model_phase.load(RUN, results)
