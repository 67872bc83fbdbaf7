"""The training loop on a tiny real dataset: seeds, kills, damaged checkpoints, NaN."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

from reid_repro import models
from reid_repro.config import FeatureConfig, TrainingConfig
from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.files import read_parquet
from reid_repro.models.outputs import Outputs
from reid_repro.networks import BaselineNetwork
from reid_repro.plan import ResolvedRun
from reid_repro.training import distributed, schedule
from reid_repro.training.epoch import Epochs, Row
from reid_repro.training.features import extract, rows_of
from reid_repro.training.loop import Trained, train

from conftest import write_pedestrians

TIMES = ["images_per_second", "seconds"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_pedestrians(folder)
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


def trained(
    data: Path, run: ResolvedRun, checkpoints: Path, places: npt.NDArray[np.float32] | None = None
) -> Trained:
    splits = read_parquet(data / "splits.parquet")
    store = ImageStore.open(data)
    return train(run, store, splits, data_hash="x", checkpoints=checkpoints, places=places)


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
    while not list(tmp_path.glob("[!.]*.pt")):
        assert process.poll() is None, "the training ended by itself"
        assert time.monotonic() < deadline, "no checkpoint in two minutes"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    file = next(tmp_path.glob("[!.]*.pt"))
    done = len(torch.load(file, weights_only=False)["history"])
    assert done >= 1
    assert _next_epoch(data, run, tmp_path) == done + 1


def _next_epoch(
    data: Path,
    run: ResolvedRun,
    checkpoints: Path,
    *,
    after: int = 0,
    places: npt.NDArray[np.float32] | None = None,
) -> int:
    """The number of the epoch that a new start works on when `after` others are done."""
    seen: list[int] = []
    real = Epochs.run

    def stop(self: Epochs, epoch: int) -> Row:
        seen.append(epoch + 1)
        if len(seen) > after:
            raise KeyboardInterrupt
        return real(self, epoch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Epochs, "run", stop)
        with pytest.raises(KeyboardInterrupt):
            trained(data, run, checkpoints, places)
    return seen[-1]


def test_other_settings_do_not_resume_a_foreign_checkpoint(
    data: Path, whole: Trained, checkpoints: Path
) -> None:
    assert trained(data, settings(), checkpoints).resumed == 1  # its own is taken up
    assert _next_epoch(data, settings(margin=0.5), checkpoints) == 1


def test_a_run_goes_on_with_other_workers_and_devices(
    data: Path, whole: Trained, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they are changes no step; here two devices are asked for and one is given."""
    real = distributed.connect
    monkeypatch.setattr(
        distributed,
        "connect",
        lambda config, precision: real(config.model_copy(update={"devices": 1}), precision),
    )
    resumed = trained(data, settings(workers=3, devices=2), checkpoints)
    assert resumed.resumed >= 1
    assert_same(resumed, whole)


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


def test_a_length_in_iterations_cuts_the_last_pass_and_steps_the_rate_by_batch(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four batches a pass, six iterations: a pass and a half, the rate halved after the fifth."""
    run = settings(
        epochs=None, iterations=6, sampler="uniform", metric_loss="none", schedule="step",
        milestones=[5], gamma=0.5, warmup=0, learning_rate=1e-2, optimizer="sgd",
    )  # fmt: skip
    rates: list[float] = []
    real = schedule.set_learning_rate

    def noted(optimizer: torch.optim.Optimizer, rate: float) -> None:
        rates.append(rate)
        real(optimizer, rate)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "set_learning_rate", noted)
        whole = trained(data, run, tmp_path / "whole")
    assert rates == [1e-2] * 5 + [5e-3]
    assert whole.history["epoch"].tolist() == [1, 2]
    assert whole.history["learning_rate"].tolist() == [1e-2, 5e-3]
    assert whole.history["loss_metric"].tolist() == [0, 0]
    assert _next_epoch(data, run, tmp_path / "cut", after=1) == 2
    assert_same(trained(data, run, tmp_path / "cut"), whole)


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({"warmup": 2, "warmup_factor": 0.1, "milestones": [4, 6], "epochs": 8},
         [0.1, 0.55, 1, 1, 0.1, 0.1, 0.01, 0.01]),
        ({"warmup": 0, "milestones": [1], "gamma": 0.5, "epochs": 3}, [1, 0.5, 0.5]),
        ({"warmup": 2, "warmup_factor": 0.5, "schedule": "cosine", "epochs": 6},
         [0.5, 0.75, 1, 0.853553, 0.5, 0.146447]),
        ({"warmup": 1, "warmup_factor": 0.5, "schedule": "cosine", "cosine_start": 3, "epochs": 5},
         [0.5, 1, 1, 1, 0.5]),
        ({"warmup": 9, "warmup_factor": 0.1, "schedule": "cosine", "epochs": None, "iterations": 3},
         [0.1, 0.2, 0.3]),
    ],
    ids=["warm-up and steps", "steps", "cosine", "late cosine", "warm-up only"],
)  # fmt: skip
def test_schedules(training: dict[str, object], expected: list[float]) -> None:
    config = settings(**({"schedule": "step", "learning_rate": 2.0} | training)).training
    rates = [schedule.learning_rate(config, step) for step in range(len(expected))]
    np.testing.assert_allclose(rates, 2 * np.array(expected), rtol=1e-5)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_optimisers_take_the_steps_of_their_papers(name: str) -> None:
    """Two steps of Kingma & Ba 2015 and of momentum, the weight decay added to the gradient."""
    rate, decay = 0.1, 0.01
    config = settings(optimizer=name, learning_rate=rate, weight_decay=decay).training
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    frozen = torch.nn.Parameter(torch.ones(1), requires_grad=False)
    optimizer = schedule.optimizer([weight, frozen], config)
    value, first, second = weight.detach().double().numpy().copy(), np.zeros(2), np.zeros(2)
    for step in (1, 2):
        gradient = np.array([0.3, 0.7]) * step
        weight.grad = torch.from_numpy(gradient).float()
        optimizer.step()
        slope = gradient + decay * value
        if name == "adam":
            first = 0.9 * first + 0.1 * slope
            second = 0.999 * second + 0.001 * slope**2
            lean = first / (1 - 0.9**step), second / (1 - 0.999**step)
            value = value - rate * lean[0] / (np.sqrt(lean[1]) + 1e-8)
        else:
            first = 0.9 * first + slope
            value = value - rate * first
        np.testing.assert_allclose(weight.detach().numpy(), value, rtol=1e-5)
    assert frozen == 1


def test_no_checkpoint_is_written_of_weights_that_are_no_numbers(
    data: Path, tmp_path: Path
) -> None:
    run = settings(learning_rate=1e30, warmup=0, optimizer="sgd", epochs=3)
    with pytest.raises(UserError):
        trained(data, run, tmp_path)
    for file in tmp_path.glob("[!.]*.pt"):
        weights = torch.load(file, weights_only=False)["model"].values()
        assert all(torch.isfinite(weight).all() for weight in weights)


def test_a_compiled_network_has_the_keys_and_the_curve_of_a_plain_one(
    data: Path, whole: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Traced, but run by torch's own kernels: the compiler of others is not what is tested.
    eager = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", eager)
    compiled = trained(data, settings(compile=True, epochs=2, schedule="step"), tmp_path)
    plain = trained(data, settings(epochs=2, schedule="step"), tmp_path / "plain")
    assert compiled.model.state_dict().keys() == whole.model.state_dict().keys()
    np.testing.assert_allclose(compiled.history["loss"], plain.history["loss"], rtol=1e-4)


class Placed(torch.nn.Module):
    """A network that notes the places it is given, and makes its descriptor of them."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.classifier = torch.nn.Linear(4, num_classes)
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor, boxes: torch.Tensor) -> Outputs | torch.Tensor:
        assert boxes.dtype == torch.float32
        self.seen.append(boxes)
        feature = boxes.mean(dim=1)
        if not self.training:
            return feature
        return Outputs({"boxes": feature}, {"boxes": self.classifier(feature)})


def test_places_reach_the_network_in_training_and_at_test_time(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ImageStore.open(data)
    rng = np.random.default_rng(0)
    boxes = rng.random((len(store), 3, 4), dtype=np.float32)
    monkeypatch.setattr(models, "build", lambda name, num_classes, **options: Placed(num_classes))
    run = settings(
        epochs=1, flip=0.0, crop_padding=0, sampler="uniform", metric_loss="none",
        precision="bf16-mixed",
    )  # fmt: skip
    splits = read_parquet(data / "splits.parquet")
    done = train(run, store, splits, data_hash="x", checkpoints=tmp_path, places=boxes)
    assert isinstance(done.model, Placed)
    train_rows = splits.loc[splits["role"] == "train", "image"].to_numpy()
    seen = {tuple(box.ravel().tolist()) for box in torch.cat(done.model.seen).numpy()}
    assert seen == {tuple(boxes[row].ravel().tolist()) for row in train_rows}
    rows = np.array([5, 0, 7])
    for flip in (False, True):
        config = FeatureConfig(batch_size=2, flip=flip)
        features = extract(done.model, store, rows, run.training, config, places=boxes)
        expected = boxes[rows].mean(axis=1)
        if flip:
            mirrored = boxes[rows][:, :, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [1, 0, 1, 0]
            expected = expected + mirrored.mean(axis=1)
        expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(features, expected, rtol=1e-5)


def test_other_places_do_not_resume_a_foreign_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "build", lambda name, num_classes, **options: Placed(num_classes))
    boxes = np.random.default_rng(0).random((len(ImageStore.open(data)), 3, 4), dtype=np.float32)
    run = settings(epochs=3, sampler="uniform", metric_loss="none")
    assert _next_epoch(data, run, tmp_path, after=1, places=boxes) == 2
    assert _next_epoch(data, run, tmp_path, places=boxes) == 2
    assert _next_epoch(data, run, tmp_path, places=boxes / 2) == 1


@pytest.mark.usefixtures("one_thread")
def test_without_an_identity_loss_on_logits_there_is_no_accuracy(
    data: Path, tmp_path: Path
) -> None:
    run = settings(epochs=1, identity_loss="circle")
    history = trained(data, run, tmp_path).history
    assert history["accuracy"].isna().all()
    parts = history["loss_identity"] + history["loss_metric"]
    np.testing.assert_allclose(history["loss"], parts, rtol=1e-5)
    assert list(history.columns) == [
        "epoch", "learning_rate", "loss", "loss_identity", "loss_metric", "accuracy",
        "images_per_second", "seconds",
    ]  # fmt: skip


def test_descriptors_have_length_one_and_the_order_of_their_rows(
    data: Path, whole: Trained
) -> None:
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
