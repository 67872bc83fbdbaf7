"""PCB: its stripes against a literal loop, its branches and training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from reid_repro import models
from reid_repro.models.outputs import Outputs
from reid_repro.models.pcb import PCB, pool_stripes

SMALL: dict[str, Any] = {"backbone": "resnet10", "width": 8, "stripes": 3, "dimension": 16}


def small(**options: Any) -> PCB:
    torch.manual_seed(7)
    network = models.build("pcb", 4, **{**SMALL, **options})
    assert isinstance(network, PCB)
    return network


def uneven(network: PCB) -> PCB:
    """Batch normalisations as after some training, not the identity that they start as."""
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            shape = module.weight.shape
            module.running_mean.copy_(0.1 * torch.randn(shape, generator=generator))
            module.running_var.copy_(torch.rand(shape, generator=generator) + 0.5)
            module.weight.data.copy_(torch.rand(shape, generator=generator) + 0.5)
    return network


@settings(max_examples=40, deadline=None)
@given(stripes=st.integers(1, 8), height=st.integers(1, 24), width=st.integers(1, 5))
def test_stripes_are_means_of_rows(stripes: int, height: int, width: int) -> None:
    features = torch.randn(2, 3, height, width)
    if height < stripes:
        with pytest.raises(ValueError, match=f"a feature map of {height} rows has no {stripes}"):
            pool_stripes(features, stripes)
        return
    got = pool_stripes(features, stripes).numpy()
    assert got.shape == (2, stripes, 3)
    for stripe in range(stripes):
        top = math.floor(stripe * height / stripes)
        bottom = math.ceil((stripe + 1) * height / stripes)
        cells = [
            features[:, :, row, column].numpy()
            for row in range(top, bottom)
            for column in range(width)
        ]
        np.testing.assert_allclose(got[:, stripe], np.mean(cells, axis=0), atol=1e-5)
    peer = functional.adaptive_avg_pool2d(features, (stripes, 1)).flatten(2).mT.numpy()
    np.testing.assert_allclose(got, peer, atol=1e-5)


def test_every_stripe_has_a_neck_of_its_own() -> None:
    network = uneven(small())
    images = torch.randn(4, 3, 96, 48)
    pooled = network.backbone.eval()(images)
    assert pooled.shape[2:] == (6, 3)
    with torch.inference_mode():
        expected = []
        for stripe, neck in enumerate(network.necks.eval()):
            vector = pooled[:, :, 2 * stripe : 2 * stripe + 2].mean((2, 3))
            expected.append(neck(vector @ network.reduce.weight.T))
        torch.testing.assert_close(network.eval()(images), torch.cat(expected, 1))
    outputs = network.train()(images)
    assert isinstance(outputs, Outputs)
    assert list(outputs.logits) == ["stripe0", "stripe1", "stripe2"]
    assert list(outputs.features) == ["stripes"]
    assert outputs.features["stripes"].shape == (4, 48)
    for stripe, feature in enumerate(outputs.features["stripes"].split(16, 1)):
        neck = network.necks[stripe]
        normalised = functional.batch_norm(
            feature, None, None, weight=neck.norm.weight, training=True
        )
        expected_logits = normalised @ neck.classifier.weight.T
        torch.testing.assert_close(outputs.logits[f"stripe{stripe}"], expected_logits)


def cost(network: PCB, images: Tensor, labels: Tensor, margin: float = 0.3) -> Tensor:
    """Cross-entropy summed over the stripes, and batch-hard triplet of all stripes together."""
    outputs = network(images)
    total = torch.zeros(())
    for logits in outputs.logits.values():
        total = total + functional.cross_entropy(logits, labels)
    same = labels[:, None] == labels
    feature = outputs.features["stripes"]
    apart = (feature[:, None] - feature).square().sum(2).clamp_min(1e-12).sqrt()
    hardest = apart.masked_fill(~same, 0).amax(1) - apart.masked_fill(same, 1e9).amin(1)
    return total + (hardest + margin).relu().mean()


def test_it_learns_sixteen_images_by_heart_with_every_parameter() -> None:
    network = small().train()
    images, labels = torch.randn(16, 3, 64, 48), torch.arange(16) // 4
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    first = cost(network, images, labels)
    first.backward()
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert [n for n, p in trained.items() if p.grad is None or not p.grad.abs().sum() > 0] == []
    for _ in range(60):
        optimiser.zero_grad()
        loss = cost(network, images, labels)
        loss.backward()
        optimiser.step()
    assert first.item() > 3
    assert loss.item() < 0.1


def test_a_descriptor_does_not_depend_on_the_batch() -> None:
    network = uneven(small()).eval()
    images = torch.randn(5, 3, 64, 48)
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.inference_mode():
        together = network(images)
        assert torch.equal(network(images), together)
        alone = torch.cat([network(image[None]) for image in images])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(network(images[order]), together[order], rtol=1e-4, atol=1e-5)
    assert (together - together[:1]).abs()[1:].amax() > 1e-3


def test_half_precision_channels_last() -> None:
    network = small().eval()
    images = torch.randn(2, 3, 64, 48)
    with torch.inference_mode():
        expected = network(images)
        network = network.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = network(images.to(memory_format=torch.channels_last))
    assert got.dtype == torch.float32
    assert torch.cosine_similarity(got, expected).min() > 0.999


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backbone", "resnet18"),
        ("width", 16),
        ("last_stride", 2),
        ("stripes", 2),
        ("dimension", 8),
    ],
)
def test_every_option_changes_the_descriptor(name: str, value: Any) -> None:
    images = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        before = small().eval()(images)
        after = small(**{name: value}).eval()(images)
    assert before.shape != after.shape or (before - after).abs().max() > 1e-3


def test_weights_reach_the_backbone(tmp_path: Path) -> None:
    peer = small().backbone
    for parameter in peer.parameters():
        parameter.data.add_(1)
    torch.save(peer.state_dict(), tmp_path / "weights.pt")
    network = small(weights=str(tmp_path / "weights.pt"))
    for key, value in peer.state_dict().items():
        assert torch.equal(network.backbone.state_dict()[key], value), key


def test_shapes_and_parameters_at_paper_scale() -> None:
    with torch.device("meta"):
        network = models.build("pcb", 751)
        outputs = network.train()(torch.empty(8, 3, 384, 128))
        descriptor = network.eval()(torch.empty(1, 3, 384, 128))
    assert {tuple(value.shape) for value in outputs.logits.values()} == {(8, 751)}
    assert len(outputs.logits) == 6
    assert outputs.features["stripes"].shape == (8, 1536)
    assert descriptor.shape == (1, 1536)
    expected = 23_508_032 + 2048 * 256 + 6 * (2 * 256 + 751 * 256)
    assert sum(each.numel() for each in network.parameters()) == expected


def test_no_stripes_are_refused() -> None:
    with pytest.raises(ValueError, match="stripes is 0"):
        small(stripes=0)
    with pytest.raises(ValueError, match="2 rows has no 3 stripes"):
        small().eval()(torch.randn(1, 3, 32, 48))
