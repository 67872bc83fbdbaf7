"""Networks and losses against torchvision and against literal loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch.nn import functional

from reid_repro import models
from reid_repro.config import TrainingConfig
from reid_repro.errors import UserError
from reid_repro.models.baseline import Baseline, Outputs
from reid_repro.models.layers.resnet import ResNet, load_weights
from reid_repro.training.losses import BaselineLoss


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_backbone_is_torchvisions_but_for_stride_and_classifier(
    name: str, tmp_path: Path
) -> None:
    peer = getattr(torchvision.models, name)(weights=None).eval()
    torch.save(peer.state_dict(), tmp_path / "weights.pt")
    ours = ResNet(layout=name, last_stride=2).eval()
    load_weights(ours, name, str(tmp_path / "weights.pt"))
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = peer(images)
        got = peer.fc(ours(images).mean((2, 3)))
    torch.testing.assert_close(got, expected)


def test_last_stride_one_keeps_the_map_twice_as_fine() -> None:
    images = torch.randn(1, 3, 64, 32)
    assert ResNet(layout="resnet10", width=8)(images).shape == (1, 64, 4, 2)
    assert ResNet(layout="resnet10", width=8, last_stride=2)(images).shape == (1, 64, 2, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("layer1.0.conv1.weight"), "'layer1.0.conv1.weight' is missing"),
        (lambda state: state.update(extra=torch.zeros(1)), "'extra' is unexpected"),
        (lambda state: state.update({"bn1.bias": torch.zeros(3)}), "'bn1.bias' has shape (3,)"),
    ],
)
def test_weights_that_do_not_fit_name_the_key(change, words: str, tmp_path: Path) -> None:
    backbone = ResNet(layout="resnet10", width=8)
    state = dict(backbone.state_dict())
    change(state)
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(UserError) as caught:
        load_weights(backbone, "resnet10", str(tmp_path / "weights.pt"))
    assert words in str(caught.value)


def test_damaged_or_missing_weights_are_named(tmp_path: Path) -> None:
    backbone = ResNet(layout="resnet10", width=8)
    with pytest.raises(UserError, match="no such file"):
        load_weights(backbone, "resnet10", str(tmp_path / "none.pt"))
    (tmp_path / "bad.pt").write_bytes(b"\x80garbage")
    with pytest.raises(UserError, match="not a readable state dict"):
        load_weights(backbone, "resnet10", str(tmp_path / "bad.pt"))
    with pytest.raises(UserError, match="no ImageNet weights"):
        load_weights(backbone, "resnet10", "imagenet")


def test_the_neck_stands_between_triplet_and_classifier() -> None:
    network = models.build("baseline", 5, backbone="resnet10", width=8)
    assert isinstance(network, Baseline)
    images = torch.randn(4, 3, 32, 32)
    outputs = network.train()(images)
    assert isinstance(outputs, Outputs)
    assert outputs.feature.shape == (4, 64)
    assert outputs.logits.shape == (4, 5)
    normalised = functional.batch_norm(outputs.feature, None, None, training=True)
    torch.testing.assert_close(outputs.logits, normalised @ network.classifier.weight.T)
    assert not network.neck.bias.requires_grad
    assert network.classifier.bias is None
    network.eval()
    with torch.inference_mode():
        pooled = network.backbone(images).mean((2, 3))
        torch.testing.assert_close(network(images), network.neck(pooled))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="model 'pcb' is unknown"):
        models.build("pcb", 3)
    with pytest.raises(ValueError, match="at least 1"):
        models.build("baseline", 0)
    with pytest.raises(ValueError, match="backbone 'vgg' is unknown"):
        models.build("baseline", 3, backbone="vgg")


def literal_batch_hard(features: np.ndarray, labels: np.ndarray, margin: float) -> float:
    """Hermans et al. 2017, Eq. 5, anchor after anchor; zero terms are left out of the mean."""
    terms = []
    for anchor in range(len(features)):
        distances = np.array([np.linalg.norm(features[anchor] - other) for other in features])
        apart = labels != labels[anchor]
        terms.append(max(0.0, distances[~apart].max() - distances[apart].min() + margin))
    positive = [term for term in terms if term > 0]
    return float(np.mean(positive)) if positive else 0.0


@pytest.mark.parametrize("margin", [0.3, 1.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_papers(margin: float, smoothing: float) -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(4), 3)
    features = rng.normal(size=(12, 6)) + 0.8 * np.eye(6)[labels]
    logits = rng.normal(size=(12, 4))
    config = TrainingConfig(
        height=32, width=32, epochs=1, margin=margin, label_smoothing=smoothing, triplet_weight=2
    )
    outputs = Outputs(torch.from_numpy(features).float(), torch.from_numpy(logits).float())
    parts = BaselineLoss(config)(outputs, torch.from_numpy(labels))
    triplet = literal_batch_hard(features, labels, margin)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    target = np.full_like(logits, smoothing / 4)
    target[np.arange(12), labels] += 1 - smoothing
    identity = float(-(target * log_p).sum(1).mean())
    assert float(parts.triplet) == pytest.approx(triplet, rel=1e-5)
    assert float(parts.identity) == pytest.approx(identity, rel=1e-5)
    assert float(parts.total) == pytest.approx(identity + 2 * triplet, rel=1e-5)
