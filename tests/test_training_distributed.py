"""Two processes on a CPU against one: a step's gradients and statistics, whole trainings.

Started for real, with gloo between them: by torchrun and by the training itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from training_process import gradients, small_batch, small_step
from typer import Exit

from reid_repro.config import TrainingConfig
from reid_repro.console import job
from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.files import read_parquet
from reid_repro.networks import BaselineNetwork
from reid_repro.plan import ResolvedRun
from reid_repro.training import distributed
from reid_repro.training.loop import Trained, train

from conftest import write_pedestrians

PROCESS = Path(__file__).with_name("training_process.py")
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_pedestrians(folder)
    return folder


def run(devices: int) -> ResolvedRun:
    training = TrainingConfig(
        height=64,
        width=32,
        epochs=2,
        identities_per_batch=4,
        images_per_identity=4,
        warmup=1,
        crop_padding=2,
        # Adam divides by the gradient's size: where it is nearly zero, rounding decides a step.
        optimizer="sgd",
        learning_rate=1e-2,
        precision="32-true",
        devices=devices,
    )
    return ResolvedRun(
        run="test/tiny/tiny/seed0",
        scale="demo",
        seed=0,
        dataset="tiny",
        model=BaselineNetwork(backbone="resnet10", width=8),
        training=training,
    )


def started(out: Path, data: Path, devices: int, starter: list[str]) -> pd.DataFrame:
    """The history of a training in processes of its own."""
    out.mkdir(parents=True)
    job = {"run": run(devices).model_dump(mode="json"), "data": str(data), "out": str(out)}
    file = out / "job.json"
    file.write_text(json.dumps(job), "utf-8")
    environment = {key: value for key, value in os.environ.items() if key not in RANKS}
    environment["OMP_NUM_THREADS"] = "1"
    done = subprocess.run(
        [sys.executable, *starter, str(PROCESS), str(file)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 2/2") == 1, "every process prints"
    return pd.read_csv(out / "history.csv")


@pytest.fixture(scope="module")
def single(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    trained = train(
        run(1),
        ImageStore.open(data),
        read_parquet(data / "splits.parquet"),
        data_hash="x",
        checkpoints=tmp_path_factory.mktemp("checkpoints"),
    )
    return trained


TORCHRUN = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--rdzv_backend=c10d",
            "--rdzv_endpoint=127.0.0.1:0"]  # fmt: skip


@pytest.mark.parametrize(
    ("devices", "starter"), [(2, []), (1, TORCHRUN)], ids=["devices=2", "torchrun"]
)
def test_two_processes_train_like_one(
    single: Trained, data: Path, tmp_path: Path, devices: int, starter: list[str]
) -> None:
    history = started(tmp_path / "out", data, devices, starter)
    assert len(list((tmp_path / "out" / "checkpoints").iterdir())) == 1
    columns = ["loss", "loss_identity", "loss_metric", "learning_rate", "accuracy"]
    np.testing.assert_allclose(history[columns], single.history[columns], rtol=1e-4)
    weights = torch.load(tmp_path / "out" / "weights.pt")
    assert_shared_steps_equal_a_single_one(tmp_path / "out")
    for key, value in single.model.state_dict().items():
        torch.testing.assert_close(weights[key], value, rtol=1e-2, atol=1e-3)


def assert_shared_steps_equal_a_single_one(out: Path) -> None:
    """Loss, gradients, running statistics and keys of the small network in both processes."""
    model, images, labels = small_batch()
    loss = small_step(model, images, labels, 1)
    expected = gradients(model)
    for rank in (0, 1):
        its_loss, its_gradients, state = torch.load(out / f"rank{rank}.pt")
        assert its_loss == pytest.approx(loss, rel=1e-5)
        torch.testing.assert_close(its_gradients, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(state, dict(model.state_dict()), rtol=1e-5, atol=1e-6)


def test_a_batch_that_the_devices_do_not_divide_is_refused() -> None:
    config = run(1).training.model_copy(update={"devices": 3})
    with pytest.raises(UserError, match="a batch of 16 images cannot be shared by 3 devices"):
        distributed.connect(config, "32-true")


SLURM = {"SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "1", "SLURM_NTASKS": "1", "SLURM_PROCID": "0",
         "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NODELIST": "127.0.0.1"}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, "asks for 2 processes, but the launcher has started 1; start as many"),
        ({"SLURM_NTASKS_PER_NODE": "1"}, "is 2: .*`--ntasks-per-node=1` does not match"),
    ],
    ids=["world size", "tasks a node"],
)
def test_another_number_of_processes_than_asked_for_is_refused(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str], message: str
) -> None:
    """One task of Slurm, where the recipe asks for two devices."""
    for name in (*RANKS, "SLURM_NTASKS_PER_NODE", "SLURM_NNODES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (SLURM | more).items():
        monkeypatch.setenv(name, value)
    config = run(1).training.model_copy(update={"devices": 2})
    try:
        with pytest.raises(UserError, match=f"training.devices {message}"):
            distributed.connect(config, "32-true")
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def test_only_the_first_of_several_processes_takes_the_lock_and_writes_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOCAL_RANK", "0")
    with job(tmp_path / "first.log", "train", "it"):
        print("first")
        for name in ("RANK", "LOCAL_RANK", "NODE_RANK"):
            monkeypatch.setenv(name, "1")
            with job(tmp_path / "second.log", "train", "it"):  # waits forever for its own lock
                print("second")
            monkeypatch.delenv(name)
    assert (tmp_path / "first.log").read_text() == "first\n" + 3 * "second\n"
    assert not (tmp_path / "second.log").exists()
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(Exit), job(None, "train", "it"):
        raise UserError("its image is damaged")
    assert "error: its image is damaged" in capsys.readouterr().err
