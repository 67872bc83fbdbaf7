"""The detectors' training loop: rates, intervals, exact resume, numbers that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from reid_repro.detectors import DetectorTraining
from reid_repro.errors import UserError
from reid_repro.training import fitting
from reid_repro.training.checkpoint import Checkpoints
from reid_repro.training.fitting import HISTORY, fit, learning_rate

SETTINGS: dict[str, Any] = {
    "iterations": 12,
    "batch_size": 4,
    "learning_rate": 0.1,
    "precision": "32-true",
    "checkpoints": 4,
}


def settings(**changes: Any) -> DetectorTraining:
    return DetectorTraining(**{**SETTINGS, **changes})


def batch(number: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(number).standard_normal((4, 3), np.float32))


def losses(model: nn.Module, given: Tensor, device: torch.device) -> dict[str, Tensor]:
    dropped = nn.functional.dropout(model(given.to(device)), 0.5)  # draws from the global generator
    return {"square": dropped.square().mean(), "sum": 0.1 * dropped.sum().abs()}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def keeper(folder: Path) -> Checkpoints:
    return Checkpoints(folder, code=["parts/*.py"], settings={"a": 1})


def test_history_has_a_row_an_interval_and_means_of_the_losses() -> None:
    model = network()
    seen: list[float] = []

    def noted(model: nn.Module, given: Tensor, device: torch.device) -> dict[str, Tensor]:
        found = losses(model, given, device)
        seen.append(float(found["square"].detach()))
        return found

    fitted = fit("tiny", model, batch, noted, settings())
    assert list(fitted.history["iteration"]) == [3, 6, 9, 12]
    assert set(HISTORY) | {"square", "sum"} == set(fitted.history.columns)
    assert fitted.history["square"].to_numpy() == pytest.approx(np.reshape(seen, (4, 3)).mean(1))
    total = fitted.history["square"] + fitted.history["sum"]
    assert fitted.history["loss"].to_numpy() == pytest.approx(total.to_numpy())


def test_a_killed_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = network()
    history = fit("whole", whole, batch, losses, settings(optimizer="adam")).history

    def dies(number: int) -> Tensor:
        if number == 7:
            raise KeyboardInterrupt
        return batch(number)

    cut = network()
    with pytest.raises(KeyboardInterrupt):
        fit("cut", cut, dies, losses, settings(optimizer="adam"), keeper=keeper(tmp_path))
    asked: list[int] = []

    def noted(number: int) -> Tensor:
        asked.append(number)
        return batch(number)

    again = nn.Linear(3, 2)  # other weights, which the checkpoint replaces
    resumed = fit("cut", again, noted, losses, settings(optimizer="adam"), keeper=keeper(tmp_path))
    assert resumed.resumed == 1
    assert asked[0] == 6  # what was done after the checkpoint is done again
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True)
    )
    pinned = ["iteration", "learning_rate", "loss"]
    assert resumed.history[pinned].equals(history[pinned])


def test_a_loss_that_is_no_number_names_the_iteration_and_the_key() -> None:
    def breaks(model: nn.Module, given: Tensor, device: torch.device) -> dict[str, Tensor]:
        return {"loss": model(given).sum() * (torch.nan if given is bad else 1.0)}

    bad = batch(4)
    with pytest.raises(
        UserError, match=r"loss is nan .* batch 5; lower detectors\.parts\.training"
    ):
        fit(
            "tiny",
            network(),
            lambda number: bad if number == 4 else batch(number),
            breaks,
            settings(),
            keys="detectors.parts.training",
        )


@given(iterations=st.integers(1, 200), warmup=st.integers(0, 50), step=st.integers(0, 199))
def test_the_cosine_rises_to_the_rate_and_falls_towards_zero(
    iterations: int, warmup: int, step: int
) -> None:
    chosen = settings(iterations=iterations, warmup=warmup)
    step = min(step, iterations - 1)
    rate = learning_rate(chosen, step)
    assert 0 < rate <= 0.1 + 1e-12
    if step + 1 < iterations:
        following = learning_rate(chosen, step + 1)
        rises = step + 1 < warmup
        assert (following > rate) if rises else (following <= rate + 1e-12)


def test_deepercuts_rates_change_at_their_iterations() -> None:
    steps = {10_000: 0.02, 430_000: 0.002, 730_000: 0.001}
    chosen = settings(iterations=1_030_000, learning_rate=0.005, schedule="step", steps=steps)
    at = (0, 9_999, 10_000, 429_999, 430_000, 729_999, 730_000, 1_029_999)
    wanted = (0.005, 0.005, 0.02, 0.02, 0.002, 0.002, 0.001, 0.001)
    assert tuple(learning_rate(chosen, step) for step in at) == wanted


def test_steps_are_for_the_step_schedule_alone() -> None:
    with pytest.raises(ValueError, match="needed with schedule 'step', and with no other"):
        settings(steps={3: 0.1})
    with pytest.raises(ValueError, match="needed with schedule 'step'"):
        settings(schedule="step")


def test_seeds_of_steps_differ() -> None:
    found = {fitting.seed_of(seed, number) for seed in range(3) for number in range(50)}
    assert len(found) == 150
