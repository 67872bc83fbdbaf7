"""A large step of several networks and losses in one pair of processes, against one process.

The file is also what the processes run: `python test_training_two_processes.py FOLDER` trains every
case on two devices, one after the other. One step: later ones would compare how rounding grows.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from reid_repro.config import TrainingConfig
from reid_repro.datasets.images import ImageStore
from reid_repro.files import read_parquet
from reid_repro.models.layers.stream_norm import StreamNorm2d
from reid_repro.networks import BaselineNetwork, GLADNetwork
from reid_repro.plan import ResolvedRun
from reid_repro.training.loop import Prepared, Trained, prepare, train

from conftest import write_pedestrians

GLAD = GLADNetwork(name="glad", backbone="googlenet_small", width=8, maps=16)
BASELINE = BaselineNetwork(backbone="resnet10", width=8)
CASES: dict[str, tuple[BaselineNetwork | GLADNetwork, dict[str, object]]] = {
    "circle": (BASELINE, {"identity_loss": "circle", "metric_loss": "none"}),
    "logits alone": (BASELINE, {"metric_loss": "none"}),
    "glad": (GLAD, {"height": 96}),
}
LOSSES = ["loss", "loss_identity", "loss_metric"]
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def run(case: str, devices: int) -> ResolvedRun:
    model, changes = CASES[case]
    settings = {
        "height": 64,
        "width": 48,
        "iterations": 1,
        "identities_per_batch": 4,
        "images_per_identity": 2,
        "warmup": 0,
        "crop_padding": 2,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        # So large that it would be seen on what no loss reads.
        "weight_decay": 0.5,
        "precision": "32-true",
        "devices": devices,
    }
    return ResolvedRun(
        run=f"test/{case.replace(' ', '_')}/tiny/seed0",
        scale="demo",
        seed=0,
        dataset="tiny",
        model=model,
        training=TrainingConfig.model_validate(settings | changes),
    )


def inputs(case: str, folder: Path) -> tuple[ImageStore, pd.DataFrame, np.ndarray | None]:
    """Images, splits, and keypoints where the network needs them: some joints are missing."""
    store = ImageStore.open(folder / "data")
    joints = np.random.default_rng(0).random((len(store), 14, 3)).astype(np.float32)
    joints[..., 2] = joints[..., 2] > 0.2
    places = joints if CASES[case][0] is GLAD else None
    return store, read_parquet(folder / "data" / "splits.parquet"), places


def trained(case: str, folder: Path, devices: int) -> Trained:
    store, splits, places = inputs(case, folder)
    checkpoints = folder / f"checkpoints{devices}" / case
    return train(
        run(case, devices), store, splits, data_hash="x", checkpoints=checkpoints, places=places
    )


def untrained(case: str, folder: Path) -> Prepared:
    store, splits, places = inputs(case, folder)
    return prepare(run(case, 1), store, splits, places)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, and what two processes have made of each case."""
    folder = tmp_path_factory.mktemp("two")
    write_pedestrians(folder / "data", (96, 48))
    environment = {key: value for key, value in os.environ.items() if key not in RANKS}
    environment["OMP_NUM_THREADS"] = "1"
    done = subprocess.run(
        [sys.executable, __file__, str(folder)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_like_one(case: str, folder: Path) -> None:
    single = trained(case, folder, 1)
    assert single.world_size == 1
    initial = {key: p.clone() for key, p in untrained(case, folder).model.state_dict().items()}
    for rank in (0, 1):
        facts = torch.load(folder / f"{case}{rank}.pt")
        assert facts["world_size"] == 2
        np.testing.assert_allclose(facts["losses"], single.history[LOSSES], rtol=1e-4)
        state = single.model.state_dict()
        torch.testing.assert_close(facts["state"], dict(state), rtol=1e-3, atol=1e-4)
        unread = {"neck.classifier.weight", "neck.norm.weight"} if case == "circle" else set()
        for name, _ in single.model.named_parameters():
            still = torch.equal(facts["state"][name], initial[name])
            assert still == (name in unread or name == "neck.norm.bias"), name
            assert (name in facts["gradients"]) != still, name
    norms = [m for m in single.model.modules() if isinstance(m, StreamNorm2d)]
    assert bool(norms) == (case == "glad")


def main(folder: Path) -> None:
    """Every case in this process; Fabric starts the other one."""
    torch.set_num_threads(1)
    for case in CASES:
        done = trained(case, folder, 2)
        facts = {
            "world_size": done.world_size,
            "losses": torch.from_numpy(done.history[LOSSES].to_numpy()),
            "state": done.model.state_dict(),
            "gradients": [name for name, p in done.model.named_parameters() if p.grad is not None],
        }
        torch.save(facts, folder / f"{case}{done.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
