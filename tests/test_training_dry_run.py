"""The pass without numbers: what a network does not take, and what the losses do not reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from reid_repro import models
from reid_repro.config import TrainingConfig
from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.models.outputs import Outputs
from reid_repro.networks import ModelConfig
from reid_repro.plan import ResolvedRun
from reid_repro.training.dry_run import freeze_unread
from reid_repro.training.loop import prepare
from reid_repro.training.losses import ReIDLoss

NETWORK: TypeAdapter[ModelConfig] = TypeAdapter(ModelConfig)
SMALL = {"backbone": "resnet10", "width": 8}
BOXES = np.array([[[0.1, 0.1, 0.9, 0.5], [0.2, 0.3, 0.6, 0.9], [0, 0.5, 1, 1]]], np.float32)
JOINTS = np.random.default_rng(0).uniform(0.2, 0.9, (1, 14, 3)).astype(np.float32)


def recipe(**changes: object) -> TrainingConfig:
    settings = {"height": 64, "width": 64, "epochs": 1, "identities_per_batch": 2,
                "images_per_identity": 2, "precision": "32-true"}  # fmt: skip
    return TrainingConfig.model_validate(settings | changes)


def run(model: dict[str, Any], **training: object) -> ResolvedRun:
    return ResolvedRun(
        run="test/tiny/tiny/seed0",
        scale="demo",
        seed=0,
        dataset="tiny",
        model=NETWORK.validate_python(model),
        training=recipe(**training),
    )


CIRCLE = {"identity_loss": "circle", "metric_loss": "none"}
NETWORKS: list[tuple[dict[str, Any], npt.NDArray[np.float32] | None]] = [
    ({"name": "baseline", **SMALL}, None),
    ({"name": "chca", **SMALL, "levels": 2}, None),
    ({"name": "pgan", **SMALL, "parts": 3, "dimension": 32}, BOXES),
    ({"name": "ssrnet", **SMALL, "dimension": 32, "attention_reduction": 4}, None),
    ({"name": "pcb", **SMALL, "stripes": 4, "dimension": 16}, None),
    ({"name": "glad", "backbone": "googlenet_small", "width": 8, "maps": 16}, JOINTS),
]


@pytest.mark.parametrize("losses", [{}, CIRCLE, {"metric_loss": "none"}], ids=str)
@pytest.mark.parametrize(("network", "places"), NETWORKS, ids=lambda case: str(case)[:20])
def test_what_is_frozen_is_what_a_real_step_gives_no_gradient(
    network: dict[str, Any],
    places: npt.NDArray[np.float32] | None,
    losses: dict[str, str],
) -> None:
    torch.manual_seed(0)
    config, labels = recipe(height=128, **losses), torch.tensor([0, 0, 1, 1])
    name, options = network["name"], {k: v for k, v in network.items() if k != "name"}
    model = models.build(name, 2, **options).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fixed = {key for key, p in model.named_parameters() if not p.requires_grad}
    inputs = [torch.randn(4, 3, 128, 64)]
    if places is not None:
        inputs.append(torch.from_numpy(places).repeat(4, 1, 1))
    real = models.build(name, 2, **options).train()
    ReIDLoss(config)(real(*inputs), labels).total.backward()
    expected = {key for key, p in real.named_parameters() if p.grad is None}
    freeze_unread(model, config, places)
    assert {key for key, p in model.named_parameters() if not p.requires_grad} == expected
    unread = expected - fixed
    if losses == CIRCLE:
        assert any("classifier" in key or "confidence" in key for key in unread)
    elif losses == {} or name != "pgan":
        assert not unread
    else:  # its refined global and part features are there for the metric loss alone
        assert all(key.startswith(("refine.global", "refine.part")) for key in unread)
        assert unread
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key


def store(folder: Path) -> tuple[ImageStore, pd.DataFrame]:
    """Four training images of two identities, none of which can be decoded."""
    images = pd.DataFrame({"image": [f"{n}.jpg" for n in range(4)], "identity": [1, 1, 2, 2]})
    splits = pd.DataFrame({"image": range(4), "role": "train"})
    return ImageStore(folder=folder, images=images, root=folder), splits


@pytest.mark.parametrize(
    ("network", "training", "message"),
    [
        ({"name": "chca", **SMALL, "levels": 4}, {},
         "CHCM behind stage 2: level 1 of 4 pools 16 x 16 cells"),
        ({"name": "chca", **SMALL, "reduction": 3}, {}, "8 channels cannot be divided by"),
        ({"name": "pgan", **SMALL, "parts": 3, "dimension": 32}, {}, "needs part boxes"),
        ({"name": "pcb", **SMALL, "stripes": 6}, {}, "a feature map of 4 rows has no 6 stripes"),
    ],
    ids=["levels", "reduction", "no boxes", "stripes"],
)  # fmt: skip
def test_what_a_network_does_not_take_is_one_line_that_names_the_run(
    tmp_path: Path, network: dict[str, Any], training: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=rf"^test/tiny/tiny/seed0: .*{message}") as raised:
        prepare(run(network, **training), *store(tmp_path))
    assert "\n" not in str(raised.value)


def test_boxes_of_another_shape_are_refused(tmp_path: Path) -> None:
    network = {"name": "pgan", **SMALL, "parts": 4, "dimension": 32}
    with pytest.raises(UserError, match=r"seed0: boxes have shape \(2, 3, 4\), not \(2, at"):
        prepare(run(network), *store(tmp_path), places=BOXES.repeat(4, 0))


class Featureless(nn.Module):
    """A network for the identity loss alone."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(3, 2)

    def forward(self, images: torch.Tensor) -> Outputs:
        return Outputs({}, {"all": self.classifier(images.mean((2, 3)))})


def test_a_loss_without_a_branch_is_refused_before_the_first_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "build", lambda name, num_classes, **options: Featureless())
    with pytest.raises(UserError, match=r"seed0: training\.metric_loss is 'triplet', but the net"):
        prepare(run({"name": "baseline"}), *store(tmp_path))
