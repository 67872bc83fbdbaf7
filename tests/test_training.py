"""The training loop on a tiny real dataset: seeds, kills, damaged checkpoints, NaN."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from reid_repro import datasets
from reid_repro.config import RenderedDataset, TrainingConfig
from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.files import read_parquet
from reid_repro.networks import BaselineNetwork
from reid_repro.plan import ResolvedRun
from reid_repro.training.epoch import Epochs, Row
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
        "warmup": 1,
        "schedule": "cosine",
        "crop_padding": 2,
        "precision": "32-true",
    }
    return ResolvedRun(
        run=f"test/tiny/tiny/seed{seed}",
        scale="demo",
        seed=seed,
        dataset="tiny",
        model=BaselineNetwork(backbone="resnet10", width=8),
        training=TrainingConfig.model_validate(recipe | training),
    )


def trained(data: Path, run: ResolvedRun, checkpoints: Path) -> Trained:
    splits = read_parquet(data / "splits.parquet")
    return train(run, ImageStore.open(data), splits, data_hash="x", checkpoints=checkpoints)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `whole` leaves its last checkpoint."""
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def whole(data: Path, checkpoints: Path) -> Trained:
    """The training of `settings()`, never interrupted."""
    return trained(data, settings(), checkpoints)


def curve(history: pd.DataFrame) -> pd.DataFrame:
    return history.drop(columns=TIMES)


def assert_same(one: Trained, other: Trained) -> None:
    """The same curve and the same weights, to the bit."""
    pd.testing.assert_frame_equal(curve(one.history), curve(other.history), check_exact=True)
    weights = other.model.state_dict()
    for key, value in one.model.state_dict().items():
        assert torch.equal(value, weights[key]), key


def test_the_same_seed_gives_the_same_curve_and_weights(
    data: Path, whole: Trained, tmp_path: Path
) -> None:
    assert_same(trained(data, settings(), tmp_path / "again"), whole)
    assert whole.history["epoch"].tolist() == [1, 2, 3, 4]
    other = trained(data, settings(seed=2, epochs=1), tmp_path / "other").history
    assert not np.isclose(other["loss"][0], whole.history["loss"][0])


def test_a_run_cut_short_ends_like_one_that_was_not(
    data: Path, whole: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Epochs.run

    def dies_in_the_third(self: Epochs, epoch: int) -> Row:
        if epoch == 2:
            raise KeyboardInterrupt
        return real(self, epoch)

    monkeypatch.setattr(Epochs, "run", dies_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        trained(data, settings(), tmp_path)
    monkeypatch.setattr(Epochs, "run", real)
    resumed = trained(data, settings(), tmp_path)
    assert resumed.resumed == 1
    assert_same(resumed, whole)


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

    def stop(self: Epochs, epoch: int) -> Row:
        seen.append(epoch + 1)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Epochs, "run", stop)
        with pytest.raises(KeyboardInterrupt):
            trained(data, run, checkpoints)
    return seen[0]


def test_other_settings_do_not_resume_a_foreign_checkpoint(
    data: Path, whole: Trained, checkpoints: Path
) -> None:
    assert trained(data, settings(), checkpoints).resumed == 1  # its own is taken up
    assert _next_epoch(data, settings(margin=0.5), checkpoints) == 1


def test_a_damaged_checkpoint_is_named_and_set_aside(
    data: Path, whole: Trained, checkpoints: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (found,) = checkpoints.glob("*.pt")
    file = tmp_path / found.name
    file.write_bytes(found.read_bytes()[:1000])
    assert _next_epoch(data, settings(), tmp_path) == 1
    aside = file.with_suffix(".damaged")
    assert str(aside) in capsys.readouterr().err
    assert aside.is_file()
    assert not file.exists()


def test_a_loss_that_is_no_number_names_the_batch(data: Path, tmp_path: Path) -> None:
    run = settings(learning_rate=1e30, warmup=0, optimizer="sgd", epochs=3)
    with pytest.raises(
        UserError, match=r"the (loss|norm of the gradient) is (nan|inf) in epoch \d+, batch \d+"
    ):
        trained(data, run, tmp_path)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """A network this small on several threads mostly waits for them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
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
        epochs=7, warmup=2, warmup_factor=0.1, schedule="step", milestones=[4, 6],
        learning_rate=1e-3,
    )  # fmt: skip
    rates = trained(data, run, tmp_path).history["learning_rate"]
    np.testing.assert_allclose(rates, [1e-4, 5.5e-4, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5])


def test_descriptors_have_length_one_and_the_order_of_their_rows(
    data: Path, whole: Trained
) -> None:
    from reid_repro.config import FeatureConfig

    run, model = settings(), whole.model
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
