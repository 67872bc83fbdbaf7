"""The training loop on a tiny real dataset: seeds, kills, damaged checkpoints, NaN."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from reid_repro import datasets
from reid_repro.config import ModelConfig, RenderedDataset, TrainingConfig
from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.files import read_parquet
from reid_repro.plan import ResolvedRun
from reid_repro.training import loop
from reid_repro.training.features import extract, rows_of
from reid_repro.training.loop import Trained, train

TIMES = ["images_per_second", "seconds"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    config = RenderedDataset(
        source="rendered",
        subject="pedestrian",
        train_identities=8,
        test_identities=4,
        cameras=2,
        train_images_per_camera=2,
        test_images_per_camera=2,
        height=64,
        width=32,
    )
    datasets.write(datasets.index("tiny", config, folder), folder)
    return folder


def settings(seed: int = 0, **training: object) -> ResolvedRun:
    recipe = {
        "height": 64,
        "width": 32,
        "epochs": 4,
        "identities_per_batch": 4,
        "images_per_identity": 2,
        "warmup_epochs": 1,
        "schedule": "cosine",
        "crop_padding": 2,
        "precision": "32-true",
    }
    return ResolvedRun(
        run=f"test/tiny/tiny/seed{seed}",
        scale="demo",
        seed=seed,
        dataset="tiny",
        model=ModelConfig(backbone="resnet10", width=8),
        training=TrainingConfig.model_validate(recipe | training),
    )


def trained(data: Path, run: ResolvedRun, checkpoints: Path) -> Trained:
    splits = read_parquet(data / "splits.parquet")
    return train(run, ImageStore.open(data), splits, data_hash="x", checkpoints=checkpoints)


def curve(history: pd.DataFrame) -> pd.DataFrame:
    return history.drop(columns=TIMES)


def test_the_same_seed_gives_the_same_curve_and_weights(data: Path, tmp_path: Path) -> None:
    first = trained(data, settings(seed=1), tmp_path / "a")
    again = trained(data, settings(seed=1), tmp_path / "b")
    other = trained(data, settings(seed=2), tmp_path / "c")
    pd.testing.assert_frame_equal(curve(first.history), curve(again.history), check_exact=True)
    for key, value in first.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key]), key
    assert not np.allclose(first.history["loss"], other.history["loss"])
    assert first.history["epoch"].tolist() == [1, 2, 3, 4]


def test_a_run_cut_short_ends_like_one_that_was_not(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(data, settings(), tmp_path / "whole")
    real, calls = loop._epoch, []

    def dies_in_the_third(*arguments: object) -> dict[str, float]:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(loop, "_epoch", dies_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        trained(data, settings(), tmp_path / "cut")
    monkeypatch.setattr(loop, "_epoch", real)
    resumed = trained(data, settings(), tmp_path / "cut")
    assert resumed.resumed == 1
    pd.testing.assert_frame_equal(curve(resumed.history), curve(whole.history), check_exact=True)
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key


def test_sigkill_in_mid_epoch_loses_at_most_that_epoch(data: Path, tmp_path: Path) -> None:
    """A real process, really killed, with nothing to clean up after."""
    run = settings(epochs=500)
    code = (
        "import sys; from pathlib import Path; from reid_repro.plan import ResolvedRun\n"
        "from reid_repro.datasets.images import ImageStore\n"
        "from reid_repro.files import read_parquet\n"
        "from reid_repro.training.loop import train\n"
        f"run = ResolvedRun.model_validate_json({run.model_dump_json()!r})\n"
        f"data = Path({str(data)!r})\n"
        "train(run, ImageStore.open(data), read_parquet(data / 'splits.parquet'),\n"
        f"      data_hash='x', checkpoints=Path({str(tmp_path)!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*.pt")):
        assert process.poll() is None, "the training ended by itself"
        assert time.monotonic() < deadline, "no checkpoint in two minutes"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    file = next(tmp_path.glob("*.pt"))
    done = len(torch.load(file, weights_only=False)["history"])
    assert done >= 1
    assert _next_epoch(data, run, tmp_path) == done + 1


def _next_epoch(data: Path, run: ResolvedRun, checkpoints: Path) -> int:
    """The number of the first epoch that a new start works on."""
    seen: list[int] = []

    def stop(*arguments: Any) -> dict[str, float]:
        seen.append(arguments[6] + 1)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            trained(data, run, checkpoints)
    return seen[0]


def test_other_settings_do_not_resume_a_foreign_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(data, settings(epochs=1), tmp_path)
    assert list(tmp_path.glob("*.pt"))
    assert _next_epoch(data, settings(epochs=1, margin=0.5), tmp_path) == 1


def test_a_damaged_checkpoint_is_named_and_set_aside(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(data, settings(epochs=1), tmp_path)
    file = next(tmp_path.glob("*.pt"))
    file.write_bytes(file.read_bytes()[:1000])
    again = trained(data, settings(epochs=1), tmp_path)
    assert again.resumed == 0
    assert str(file.with_suffix(".damaged")) in capsys.readouterr().out


def test_a_loss_that_is_no_number_names_the_batch(data: Path, tmp_path: Path) -> None:
    run = settings(learning_rate=1e30, warmup_epochs=0, optimizer="sgd", epochs=3)
    with pytest.raises(UserError, match=r"the loss is (nan|inf) in epoch \d+, batch \d+"):
        trained(data, run, tmp_path)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_training_learns(data: Path, tmp_path: Path, precision: str) -> None:
    run = settings(
        epochs=40, precision=precision, learning_rate=2e-3, erasing=0.0, label_smoothing=0.0
    )
    history = trained(data, run, tmp_path).history
    assert history["loss"].tail(3).mean() < 0.5 * history["loss"].head(3).mean()
    assert history["accuracy"].tail(3).mean() > 0.6  # one in eight by chance


def test_the_learning_rate_warms_up_and_then_falls(data: Path, tmp_path: Path) -> None:
    run = settings(
        epochs=7, warmup_epochs=2, warmup_factor=0.1, schedule="step", milestones=[4, 6],
        learning_rate=1e-3,
    )  # fmt: skip
    rates = trained(data, run, tmp_path).history["learning_rate"]
    np.testing.assert_allclose(rates, [1e-4, 5.5e-4, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5])


def test_descriptors_have_length_one_and_the_order_of_their_rows(
    data: Path, tmp_path: Path
) -> None:
    from reid_repro.config import FeatureConfig

    run = settings(epochs=1)
    model = trained(data, run, tmp_path).model
    store = ImageStore.open(data)
    rows = rows_of(store.images, read_parquet(data / "splits.parquet"), "test")
    assert rows["role"].tolist() == ["query"] * 8 + ["gallery"] * 8
    images = rows["image"].to_numpy()
    features = extract(model, store, images, run.training, FeatureConfig(batch_size=5))
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    backwards = extract(model, store, images[::-1], run.training, FeatureConfig(batch_size=16))
    np.testing.assert_allclose(features, backwards[::-1], atol=1e-5)
    with pytest.raises(UserError, match="unknown subset 'small'; known: test"):
        rows_of(store.images, read_parquet(data / "splits.parquet"), "small")
