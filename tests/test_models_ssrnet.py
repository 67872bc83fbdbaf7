"""SSR-Net: Eqs. 1 to 4 against literal loops, its branches, variants and training."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
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
from reid_repro.models.layers.attention import (
    CBAM,
    BilinearPooling,
    SpatialTransformer,
    affine_grid,
    squeeze_excitation,
)
from reid_repro.models.layers.graph import (
    REGIONS,
    RegionGCN,
    pool_regions,
    region_adjacency,
    region_bounds,
)
from reid_repro.models.outputs import Outputs
from reid_repro.models.ssrnet import SSRNet

SMALL: dict[str, Any] = {"backbone": "resnet10", "width": 8, "dimension": 24}

# Table 1, row by row, then Table 2 and the other choices of a branch.
VARIANTS: dict[str, dict[str, Any]] = {
    "GB": {"attention": "none", "relation": False},
    "GB+AB": {"relation": False},
    "GB+RB w/o GN": {"attention": "none", "global_node": False},
    "GB+RB w/o token": {"attention": "none", "token_node": False},
    "GB+RB": {"attention": "none"},
    "GB+AB+RB w/o GN": {"global_node": False},
    "GB+AB+RB": {},
    "SE": {"attention": "se"},
    "bilinear": {"attention": "bilinear"},
    "STN": {"attention": "stn"},
    "regions alone": {"global_node": False, "token_node": False},
    "one layer": {"layers": 1},
    "three layers": {"layers": 3},
    "vector of the map": {"attention_embedding": "none"},
    "linear vector": {"attention_embedding": "linear"},
    "linear last layer": {"last_activation": False},
}
variants = pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)


def small(**options: Any) -> SSRNet:
    torch.manual_seed(7)
    network = models.build("ssrnet", 4, **{**SMALL, **options})
    assert isinstance(network, SSRNet)
    return network


def uneven(network: nn.Module) -> nn.Module:
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


def array(value: Tensor) -> np.ndarray:
    return value.detach().double().numpy()


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_cbam_is_equation_1() -> None:
    torch.manual_seed(1)
    module = CBAM(8, reduction=4)
    features = torch.randn(2, 8, 5, 4)
    w1, b1 = array(module.channel[0].weight), array(module.channel[0].bias)
    w2, b2 = array(module.channel[2].weight), array(module.channel[2].bias)
    kernel = array(module.spatial.weight)[0]
    for image, got in zip(array(features), array(module(features)), strict=True):
        channels, height, width = image.shape
        total = np.zeros(channels)
        for pooled in (image.mean((1, 2)), image.max((1, 2))):
            total += w2 @ np.maximum(w1 @ pooled + b1, 0) + b2
        refined = np.stack([sigmoid(total[c]) * image[c] for c in range(channels)])
        maps = np.stack([refined.mean(0), refined.max(0)])
        for row in range(height):
            for column in range(width):
                response = 0.0
                for dy in range(-3, 4):
                    for dx in range(-3, 4):
                        y, x = row + dy, column + dx
                        if 0 <= y < height and 0 <= x < width:
                            response += kernel[:, dy + 3, dx + 3] @ maps[:, y, x]
                expected = sigmoid(response) * refined[:, row, column]
                np.testing.assert_allclose(got[:, row, column], expected, rtol=2e-5, atol=1e-6)


def test_squeeze_and_excitation_scales_channels() -> None:
    torch.manual_seed(1)
    module = squeeze_excitation(8, 4)
    features = torch.randn(2, 8, 3, 5)
    w1, b1 = array(module.fc1.weight)[:, :, 0, 0], array(module.fc1.bias)
    w2, b2 = array(module.fc2.weight)[:, :, 0, 0], array(module.fc2.bias)
    assert w1.shape == (2, 8)
    for image, got in zip(array(features), array(module(features)), strict=True):
        excited = w2 @ np.maximum(w1 @ image.mean((1, 2)) + b1, 0) + b2
        for channel in range(8):
            expected = sigmoid(excited[channel]) * image[channel]
            np.testing.assert_allclose(got[channel], expected, rtol=1e-5, atol=1e-6)


def test_bilinear_pooling_is_the_mean_outer_product() -> None:
    torch.manual_seed(1)
    module = BilinearPooling(12, reduction=4)
    features = torch.randn(2, 12, 3, 4)
    weight = array(module.reduce.weight)[:, :, 0, 0]
    got = array(module(features))
    assert got.shape == (2, module.dimension) == (2, 9)
    for image, vector in zip(array(features), got, strict=True):
        outer = np.zeros((3, 3))
        for row in range(3):
            for column in range(4):
                local = weight @ image[:, row, column]
                outer += np.outer(local, local) / 12
        rooted = np.sign(outer) * np.sqrt(np.abs(outer) + 1e-5)
        np.testing.assert_allclose(vector, (rooted / np.linalg.norm(rooted)).ravel(), rtol=1e-4)


def literal_warp(image: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Bilinear samples at the places that `theta` gives, zero outside the image."""
    _, height, width = image.shape
    warped = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            place = np.array([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1, 1.0])
            x, y = theta @ place
            x, y = ((x + 1) * width - 1) / 2, ((y + 1) * height - 1) / 2
            for y0 in (math.floor(y), math.floor(y) + 1):
                for x0 in (math.floor(x), math.floor(x) + 1):
                    if 0 <= y0 < height and 0 <= x0 < width:
                        share = (1 - abs(y - y0)) * (1 - abs(x - x0))
                        warped[:, row, column] += share * image[:, y0, x0]
    return warped


def test_the_spatial_transformer_samples_by_its_transform() -> None:
    torch.manual_seed(1)
    module = SpatialTransformer()
    images = torch.randn(2, 3, 40, 24)
    torch.testing.assert_close(module(images), images, rtol=1e-4, atol=1e-4)
    nn.init.normal_(module.localise[-1].weight, std=0.3)
    got, thetas = array(module(images)), array(module.transform(images))
    assert not np.allclose(thetas[0], thetas[1])
    for image, theta, warped in zip(array(images), thetas, got, strict=True):
        np.testing.assert_allclose(warped, literal_warp(image, theta), atol=2e-4)
    theta = torch.randn(3, 2, 3)
    expected = functional.affine_grid(theta, [3, 1, 7, 12], align_corners=False)
    torch.testing.assert_close(affine_grid(theta, 7, 12), expected)


def touching(global_node: bool, token_node: bool) -> tuple[list[str], set[frozenset[str]]]:
    """Names of the nodes in order, and the pairs that touch, from the paper's Fig. 2."""
    ring = ["upper left", "upper right", "lower right", "lower left"]
    nodes = ["upper left", "upper right", "middle", "lower left", "lower right"]
    pairs = {frozenset(pair) for pair in pairwise([*ring, ring[0]])}
    pairs |= {frozenset(("middle", corner)) for corner in ring}
    if token_node:
        pairs |= {frozenset(("token", region)) for region in REGIONS}
    if global_node and token_node:
        pairs.add(frozenset(("global", "token")))
    if global_node and not token_node:
        pairs |= {frozenset(("global", region)) for region in REGIONS}
    return nodes + ["global"] * global_node + ["token"] * token_node, pairs


both = pytest.mark.parametrize(
    ("global_node", "token_node"), [(True, True), (True, False), (False, True), (False, False)]
)


@both
def test_the_adjacency_is_equation_3(global_node: bool, token_node: bool) -> None:
    names, pairs = touching(global_node, token_node)
    adjacency = region_adjacency(global_node=global_node, token_node=token_node)
    assert adjacency.shape == (len(names), len(names))
    for row, one in enumerate(names):
        for column, other in enumerate(names):
            expected = one == other or frozenset((one, other)) in pairs
            assert adjacency[row, column] == expected, (one, other)


@both
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("last_activation", [True, False])
def test_the_graph_network_is_equation_4(
    global_node: bool, token_node: bool, layers: int, last_activation: bool
) -> None:
    torch.manual_seed(layers)
    names, pairs = touching(global_node, token_node)
    module = RegionGCN(
        6,
        4,
        layers=layers,
        global_node=global_node,
        token_node=token_node,
        last_activation=last_activation,
    )
    nodes = torch.randn(3, len(names), 6)
    got = array(module(nodes))
    for image, vector in zip(array(nodes), got, strict=True):
        state = image
        for depth, layer in enumerate(module.layers):
            weight = array(layer.weight).T
            after = np.zeros((len(names), weight.shape[1]))
            for row, one in enumerate(names):
                near = [
                    state[column]
                    for column, other in enumerate(names)
                    if one == other or frozenset((one, other)) in pairs
                ]
                after[row] = sum(near) / len(near) @ weight
            if depth < layers - 1 or last_activation:
                after = np.maximum(after, 0)
            state = after
        expected = state[-1] if global_node or token_node else state.mean(0)
        np.testing.assert_allclose(vector, expected, rtol=1e-4, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    crop=st.fractions(Fraction(1, 8), 1, max_denominator=100),
)
def test_regions_are_the_crops_of_equation_2(height: int, width: int, crop: Fraction) -> None:
    high, wide = math.floor(crop * height), math.floor(crop * width)
    if high < 1 or wide < 1:
        with pytest.raises(ValueError, match=f"of a {height}x{width} feature map has no cell"):
            region_bounds(height, width, float(crop))
        return
    features = np.random.default_rng(height * 31 + width).normal(size=(2, 3, height, width))
    got = array(pool_regions(torch.from_numpy(features).float(), float(crop)))
    middle = (height - high) // 2, (width - wide) // 2
    tops = [0, 0, middle[0], height - high, height - high]
    lefts = [0, width - wide, middle[1], 0, width - wide]
    for region, (top, left) in enumerate(zip(tops, lefts, strict=True)):
        expected = np.zeros((2, 3))
        for row in range(top, top + high):
            for column in range(left, left + wide):
                expected += features[:, :, row, column] / (high * wide)
        np.testing.assert_allclose(got[:, region], expected, atol=1e-5)


def test_the_papers_regions_overlap() -> None:
    rows, columns = region_bounds(16, 16, 2 / 3)[2]
    assert (rows.start, rows.stop, columns.start, columns.stop) == (3, 13, 3, 13)


@variants
def test_branches_of_every_variant(options: dict[str, Any]) -> None:
    network = small(**options).train()
    outputs = network(torch.randn(4, 3, 48, 64))
    assert isinstance(outputs, Outputs)
    branches = ["global"]
    branches += ["relation"] if options.get("relation", True) else []
    branches += ["attention"] if options.get("attention") != "none" else []
    assert list(outputs.features) == list(outputs.logits) == branches
    assert outputs.features["global"].shape == (4, 64)
    sizes = {"relation": 24, "attention": 24}
    if options.get("attention_embedding") == "none":
        sizes["attention"] = 64
    for branch in branches[1:]:
        assert outputs.features[branch].shape == (4, sizes[branch])
    assert all(value.shape == (4, 4) for value in outputs.logits.values())
    assert all(value.dtype == torch.float32 for value in outputs.features.values())
    assert network.dimension == 64 + sum(sizes[branch] for branch in branches[1:])
    with torch.inference_mode():
        assert network.eval()(torch.randn(2, 3, 48, 64)).shape == (2, network.dimension)


def test_the_branches_compose_as_figure_2() -> None:
    """By hand: F_G, F_Attn, the nodes in their order, and the necks' outputs side by side."""
    network = uneven(small()).eval()
    images = torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        features = network.backbone(images)
        assert network.attention is not None
        assert network.relation is not None
        assert network.relation.token is not None
        attended = network.attention.attend(features)
        whole = network.necks["global"](features.mean((2, 3)))
        nodes = [
            attended[:, :, rows, columns].mean((2, 3))
            for rows, columns in region_bounds(4, 4, 2 / 3)
        ]
        nodes += [whole, network.relation.token.expand(3, -1)]
        relation = network.relation.graph(torch.stack(nodes, 1))
        convolution, norm, _ = network.attention.convolution
        embedded = norm(convolution(attended)).relu().mean((2, 3))
        attention = embedded @ network.attention.linear.weight.T
        parts = [whole, network.necks["relation"](relation), network.necks["attention"](attention)]
        torch.testing.assert_close(network(images), torch.cat(parts, 1))
        network.normalise = True
        lengths = network(images).split([part.shape[1] for part in parts], 1)
        for part, length in zip(parts, lengths, strict=True):
            torch.testing.assert_close(length, part / part.norm(dim=1, keepdim=True))
    outputs = network.train()(images)
    for branch, feature in outputs.features.items():
        normalised = functional.batch_norm(
            feature, None, None, weight=network.necks[branch].norm.weight, training=True
        )
        expected = normalised @ network.necks[branch].classifier.weight.T
        torch.testing.assert_close(outputs.logits[branch], expected)


def test_the_global_branch_alone_is_the_strong_baseline() -> None:
    network = uneven(small(attention="none", relation=False)).eval()
    peer = models.build("baseline", 4, backbone="resnet10", width=8).eval()
    state = network.state_dict()
    peer.load_state_dict({key.replace("necks.global", "neck"): state[key] for key in state})
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(network(images), peer(images))


def cost(network: nn.Module, images: Tensor, labels: Tensor, margin: float = 0.3) -> Tensor:
    """Eq. 7 with beta 1: cross-entropy and batch-hard triplet, summed over the branches."""
    outputs = network(images)
    total = torch.zeros(())
    for logits in outputs.logits.values():
        total = total + functional.cross_entropy(logits, labels)
    same = labels[:, None] == labels
    for feature in outputs.features.values():
        apart = (feature[:, None] - feature).square().sum(2).clamp_min(1e-12).sqrt()
        hardest = apart.masked_fill(~same, 0).amax(1) - apart.masked_fill(same, 1e9).amin(1)
        total = total + (hardest + margin).relu().mean()
    return total


def batch(height: int = 64, width: int = 48) -> tuple[Tensor, Tensor]:
    """Sixteen images of noise, four of each identity."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(16, 3, height, width, generator=generator), torch.arange(16) // 4


@variants
def test_a_gradient_reaches_every_parameter(options: dict[str, Any]) -> None:
    network = small(**options).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    images, labels = batch(48, 48)
    # Layers behind the transformer's, which starts at zero, learn from the second step on.
    for _ in range(2):
        optimiser.zero_grad()
        cost(network, images, labels).backward()
        trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
        assert [name for name, p in trained.items() if p.grad is None] == []
        optimiser.step()
    assert [name for name, p in trained.items() if not p.grad.abs().sum() > 0] == []
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {f"necks.{branch}.norm.bias" for branch in network.necks}


@variants
def test_a_descriptor_does_not_depend_on_the_batch(options: dict[str, Any]) -> None:
    network = uneven(small(**options)).eval()
    images = torch.randn(5, 3, 48, 64)
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.inference_mode():
        together = network(images)
        assert torch.equal(network(images), together)
        alone = torch.cat([network(image[None]) for image in images])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(network(images[order]), together[order], rtol=1e-4, atol=1e-5)
    assert (together - together[:1]).abs()[1:].amax() > 1e-3


@pytest.mark.parametrize("attention", ["cbam", "bilinear", "stn"])
def test_it_learns_sixteen_images_by_heart(attention: str) -> None:
    network = small(attention=attention).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    images, labels = batch()
    first = cost(network, images, labels).item()
    for _ in range(60):
        optimiser.zero_grad()
        loss = cost(network, images, labels)
        loss.backward()
        optimiser.step()
    assert first > 3
    assert loss.item() < 0.1


@pytest.mark.parametrize("attention", ["cbam", "se", "bilinear", "stn"])
def test_half_precision_channels_last_and_determinism(attention: str) -> None:
    network = small(attention=attention).eval()
    images = torch.randn(2, 3, 64, 48)
    with torch.inference_mode():
        expected = network(images)
    network = network.to(memory_format=torch.channels_last)
    images = images.to(memory_format=torch.channels_last)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.inference_mode():
                got = network(images)
            outputs = network.train()(torch.cat((images, images)))
        loss = sum(value.float().square().mean() for value in outputs.logits.values())
        assert isinstance(loss, Tensor)
        loss.backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert got.dtype == torch.float32
    assert all(value.dtype == torch.float32 for value in outputs.features.values())
    assert torch.cosine_similarity(got, expected).min() > 0.999


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backbone", "resnet18"),
        ("width", 16),
        ("last_stride", 2),
        ("attention", "se"),
        ("relation", False),
        ("global_node", False),
        ("token_node", False),
        ("layers", 3),
        ("crop", 0.5),
        ("dimension", 16),
        ("last_activation", False),
        ("normalise", True),
        ("attention_reduction", 4),
        ("attention_embedding", "linear"),
    ],
)
def test_every_option_changes_the_descriptor(name: str, value: Any) -> None:
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
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
        network = models.build("ssrnet", 576)
        images = torch.empty(32, 3, 256, 256)
        outputs = network.train()(images)
        descriptor = network.eval()(images)
    assert {branch: tuple(value.shape) for branch, value in outputs.features.items()} == {
        "global": (32, 2048),
        "relation": (32, 512),
        "attention": (32, 512),
    }
    assert all(value.shape == (32, 576) for value in outputs.logits.values())
    assert descriptor.shape == (32, 3072)
    graph = 2048 * 2048 + 2048 * 512
    cbam = 2 * 2048 * 128 + 128 + 2048 + 2 * 49
    embedding = 2048 * 2048 + 2 * 2048 + 2048 * 512
    necks = 2 * (2048 + 512 + 512) + 576 * (2048 + 512 + 512)
    parts = {
        "backbone": 23_508_032,
        "relation": 2048 + graph,
        "attention": cbam + embedding,
        "necks": necks,
    }
    for name, expected in parts.items():
        module = network.get_submodule(name)
        assert sum(each.numel() for each in module.parameters()) == expected, name
    assert sum(each.numel() for each in network.parameters()) == sum(parts.values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attention": "bam"}, "attention 'bam' is unknown; known: none, cbam"),
        ({"crop": 0.0}, "crop is 0.0; it must be above 0"),
        ({"crop": 1.5}, "at most 1"),
        ({"layers": 0}, "layers is 0"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        small(**options)


def test_an_image_too_small_for_the_crop_is_named() -> None:
    with pytest.raises(ValueError, match=r"crop 0\.125 of a 4x4 feature map has no cell"):
        small(crop=1 / 8).eval()(torch.randn(1, 3, 64, 64))
