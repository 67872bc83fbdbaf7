"""The backbone and the baseline against torchvision."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from torch.nn import functional

from reid_repro import models
from reid_repro.errors import UserError
from reid_repro.models.baseline import Baseline
from reid_repro.models.layers import googlenet, resnet
from reid_repro.models.layers.blocks import SqueezeExcitation
from reid_repro.models.layers.resnet import ResNet, load_weights
from reid_repro.models.outputs import Outputs


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
    assert outputs.features["global"].shape == (4, 64)
    assert outputs.logits["global"].shape == (4, 5)
    normalised = functional.batch_norm(outputs.features["global"], None, None, training=True)
    torch.testing.assert_close(
        outputs.logits["global"], normalised @ network.neck.classifier.weight.T
    )
    assert not network.neck.norm.bias.requires_grad
    assert network.neck.classifier.bias is None
    network.eval()
    with torch.inference_mode():
        pooled = network.backbone(images).mean((2, 3))
        torch.testing.assert_close(network(images), network.neck(pooled))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="model 'osnet' is unknown"):
        models.build("osnet", 3)
    with pytest.raises(ValueError, match="at least 1"):
        models.build("baseline", 0)
    with pytest.raises(ValueError, match="backbone 'vgg' is unknown"):
        models.build("baseline", 3, backbone="vgg")


def test_squeeze_and_excitation_is_torchvisions() -> None:
    torch.manual_seed(0)
    own = SqueezeExcitation(12, 3)
    peer = torchvision.ops.SqueezeExcitation(12, 3)
    peer.load_state_dict(own.state_dict())
    features = torch.randn(4, 12, 5, 7)
    torch.testing.assert_close(own(features), peer(features), rtol=0, atol=0)


def test_networks_are_there_without_the_compiler() -> None:
    """Every job that loads a network would wait two seconds for torchvision and torch._dynamo."""
    names = "baseline, chca, glad, pcb, pgan, ssrnet"
    code = f"""import sys
from reid_repro.models import {names}
from reid_repro.phases import features
print(*{{"torchvision", "torch._dynamo", "lightning_fabric"}} & set(sys.modules))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("layouts", [resnet.LAYOUTS, googlenet.LAYOUTS])
def test_imagenet_weights_have_torchvisions_names(layouts) -> None:
    names = {layout: facts.imagenet for layout, facts in layouts.items() if facts.imagenet}
    assert names
    for layout, name in names.items():
        weights = torchvision.models.get_weight(name)
        assert weights.url.rsplit("/", 1)[1].startswith(layout)
