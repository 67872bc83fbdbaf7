"""CHCA's context module against literal loops over Algorithm 1, and the network around it."""

from __future__ import annotations

import itertools
from math import ceil
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from reid_repro import models
from reid_repro.models.chca import CHCA
from reid_repro.models.layers import context
from reid_repro.models.layers.context import CHCM, pyramid_sizes, spread

SMALL: dict[str, Any] = {"backbone": "resnet10", "width": 8, "levels": 2}
TABLE_IV = [(), (1,), (2,), (3,), (4,), (1, 2), (2, 3), (3, 4), (1, 2, 3), (2, 3, 4), (1, 2, 3, 4)]


def literal_pool(grid: np.ndarray, size: tuple[int, int], pooling: str) -> np.ndarray:
    """`grid` (c, h, w) to `size`; a window reaches from floor to ceil of its exact borders."""
    channels, height, width = grid.shape
    pooled = np.empty((channels, *size))
    for row, column in np.ndindex(size):
        rows = slice(row * height // size[0], ceil((row + 1) * height / size[0]))
        columns = slice(column * width // size[1], ceil((column + 1) * width / size[1]))
        for channel in range(channels):
            window = grid[channel, rows, columns]
            pooled[channel, row, column] = window.max() if pooling == "max" else window.mean()
    return pooled


def literal_attention(
    queries: np.ndarray, keys: np.ndarray, values: np.ndarray, over: str, scale: float
) -> np.ndarray:
    """Eqs. 8 and 9 on columns: (c, q), (c, k), (c, k) to (c, q), entry by entry."""
    n_keys, n_queries = keys.shape[1], queries.shape[1]
    relation = np.empty((n_keys, n_queries))
    for key, query in np.ndindex(n_keys, n_queries):
        relation[key, query] = np.exp(scale * keys[:, key] @ queries[:, query])
    for line in relation if over == "queries" else relation.T:
        line /= line.sum()
    attended = np.zeros((len(values), n_queries))
    for key, query in np.ndindex(n_keys, n_queries):
        attended[:, query] += values[:, key] * relation[key, query]
    return attended


def literal_chcm(module: CHCM, features: np.ndarray, pooling: str, over: str) -> np.ndarray:
    """Algorithm 1, line by line, on one map (c, h, w)."""
    w_in = module.reduce.weight.detach().numpy()
    w_phi = [key.weight.detach().numpy() for key in module.keys]
    w_out = module.restore.weight.detach().numpy()
    channels, height, width = features.shape
    embedded = np.einsum("ec,chw->ehw", w_in, features)
    n = module.levels
    pyramid = []
    for i in range(1, n + 1):
        window = 2 ** (n - i + 1)
        size = (max(1, height // window), max(1, width // window))
        pyramid.append(literal_pool(embedded, size, pooling).reshape(len(embedded), -1))
    flat = embedded.reshape(len(embedded), -1)
    attended = pyramid[0]
    for i in range(1, n + 1):
        phi = w_phi[(i - 1) % len(w_phi)] @ attended
        queries = flat if i == n else pyramid[i]
        attended = literal_attention(queries, phi, attended, over, module.scale)
    return (w_out @ attended).reshape(channels, height, width) + features


@pytest.mark.parametrize(
    ("levels", "size"),
    [(1, (4, 2)), (2, (4, 8)), (3, (8, 8)), (2, (5, 7)), (3, (3, 6)), (4, (8, 4))],
)
def test_the_module_is_algorithm_1(levels: int, size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    features = torch.randn(2, 6, *size, dtype=torch.float64)
    for pooling, over, scaled, shared in itertools.product(
        ("max", "average"), ("queries", "keys"), (False, True), (False, True)
    ):
        module = CHCM(
            6,
            levels=levels,
            pooling=pooling,
            softmax_over=over,
            scaled=scaled,
            shared_key=shared,
            zero_output=False,
            too_small="clamp",
        ).double()
        expected = [literal_chcm(module, one, pooling, over) for one in features.numpy()]
        got = module(features).detach().numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_strided_convolutions_are_windows_with_weights_of_their_own() -> None:
    """The pooling alternative of Section IV-D: with equal weights they are average pooling."""
    torch.manual_seed(2)
    options: dict[str, Any] = {"levels": 2, "zero_output": False}
    average = CHCM(4, pooling="average", **options)
    strided = CHCM(4, pooling="strided", **options)
    assert {name for name, _ in strided.named_parameters()} - {
        name for name, _ in average.named_parameters()
    } == {"strided.0.weight", "strided.1.weight"}
    strided.load_state_dict(average.state_dict(), strict=False)
    features = torch.randn(3, 4, 8, 4)
    assert not torch.allclose(strided(features), average(features), atol=1e-4)
    for convolution in strided.strided:
        nn.init.constant_(convolution.weight, 1 / convolution.weight[0].numel())
    torch.testing.assert_close(strided(features), average(features))


@given(height=st.integers(1, 24), width=st.integers(1, 24), levels=st.integers(1, 4))
@settings(max_examples=40)
def test_the_sizes_are_equation_3_or_an_error(height: int, width: int, levels: int) -> None:
    exact = [(height / 2 ** (levels - i), width / 2 ** (levels - i)) for i in range(levels)]
    whole = all(side >= 1 and side == int(side) for pair in exact for side in pair)
    clamped = [(max(1, int(h)), max(1, int(w))) for h, w in exact]
    assert pyramid_sizes(height, width, levels, "clamp") == clamped
    if whole:
        assert pyramid_sizes(height, width, levels) == exact
    else:
        with pytest.raises(ValueError, match="level 1 of"):
            pyramid_sizes(height, width, levels)


def test_the_papers_sizes_at_256_pixels() -> None:
    """Section IV-B: stages of 64, 32, 16 and 16 cells, three levels."""
    sides = [[height for height, _ in pyramid_sizes(n, n, 3)] for n in (64, 32, 16, 16)]
    assert sides == [[8, 16, 32], [4, 8, 16], [2, 4, 8], [2, 4, 8]]


def test_one_level_is_a_non_local_block_with_down_sampled_keys() -> None:
    """Section IV-D; Wang et al. 2018, Eqs. 1 and 2, with theta = g = W_in and the embedded dot."""
    torch.manual_seed(3)
    module = CHCM(8, levels=1, softmax_over="keys", scaled=False, zero_output=False)
    features = torch.randn(2, 8, 4, 6)
    theta = functional.conv2d(features, module.reduce.weight[:, :, None, None])
    sampled = functional.max_pool2d(theta, 2)
    phi = functional.conv2d(sampled, module.keys[0].weight[:, :, None, None])
    pairs = torch.einsum("ncij,nckl->nijkl", theta, phi)
    weights = pairs.flatten(3).softmax(-1).unflatten(3, (2, 3))
    response = torch.einsum("nijkl,nckl->ncij", weights, sampled)
    expected = features + functional.conv2d(response, module.restore.weight[:, :, None, None])
    torch.testing.assert_close(module(features), expected)


def plain_spread(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return (keys @ queries.mT).softmax(-1).mT @ values


def test_weights_sum_to_one_over_the_queries_of_each_key() -> None:
    queries, keys = torch.randn(2, 7, 3), torch.randn(2, 5, 3)
    sums = spread(queries, keys, torch.eye(5, 3).expand(2, 5, 3)).sum(dim=1)
    torch.testing.assert_close(sums, torch.ones(2, 3))


@pytest.mark.parametrize("kept", [0, 2**24])
@pytest.mark.parametrize("entries", [1, 40, 2**20])
def test_the_attention_has_the_plain_ones_gradients_kept_or_computed_again(
    monkeypatch: pytest.MonkeyPatch, entries: int, kept: int
) -> None:
    monkeypatch.setattr(context, "KEPT", kept)
    monkeypatch.setitem(context.ENTRIES, "cpu", entries)
    torch.manual_seed(4)
    inputs = [torch.randn(3, n, 4, dtype=torch.float64, requires_grad=True) for n in (6, 3, 3)]
    torch.testing.assert_close(spread(*inputs), plain_spread(*inputs))
    upstream = torch.randn(3, 6, 4, dtype=torch.float64)
    expected = torch.autograd.grad(plain_spread(*inputs), inputs, upstream)
    got = torch.autograd.grad(spread(*inputs), inputs, upstream)
    torch.testing.assert_close(got, expected)
    assert torch.autograd.gradcheck(spread, inputs)


def test_half_precision_weights_come_from_a_softmax_in_full_precision() -> None:
    """4,096 weights added up in bfloat16 would never pass 256 of them."""
    half = torch.bfloat16
    even = spread(torch.zeros(1, 4096, 8, dtype=half), torch.ones(1, 2, 8, dtype=half),
                  torch.ones(1, 2, 8, dtype=half))  # fmt: skip
    assert even.dtype == half
    torch.testing.assert_close(even, torch.full_like(even, 2 / 4096), rtol=0, atol=0)
    torch.manual_seed(5)
    inputs = [torch.randn(2, n, 8).to(half) for n in (300, 40, 40)]
    exact = plain_spread(*(one.double() for one in inputs))
    with torch.autocast("cpu", half):
        got = spread(*inputs)
    assert (got.double() - exact).abs().max() < 0.02 * exact.abs().max()


@pytest.mark.parametrize("over", ["queries", "keys"])
def test_no_large_attention_matrix_is_kept_for_the_backward_pass(
    over: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "KEPT", 2**10)
    module = CHCM(4, softmax_over=over, zero_output=False)
    features = torch.randn(2, 4, 32, 32, requires_grad=True)
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        module(features).sum().backward()
    assert max(kept) <= features.numel()


@pytest.mark.parametrize("stages", TABLE_IV)
def test_any_stages_keep_the_shape_and_start_as_the_baseline(stages: tuple[int, ...]) -> None:
    torch.manual_seed(6)
    network = models.build("chca", 5, stages=stages, **SMALL)
    torch.manual_seed(6)
    baseline = models.build("baseline", 5, backbone="resnet10", width=8)
    own = network.state_dict()
    assert {key for key in own if not key.startswith("context.")} == set(baseline.state_dict())
    for key, value in baseline.state_dict().items():
        torch.testing.assert_close(own[key], value, rtol=0, atol=0)
    assert set(network.context) == {str(stage) for stage in stages}
    images = torch.randn(3, 3, 64, 128)
    torch.testing.assert_close(network.train()(images), baseline.train()(images))
    torch.testing.assert_close(network.eval()(images), baseline.eval()(images))
    assert network.feature_map(images).shape == (3, 64, 4, 8)


def test_the_descriptor_is_the_feature_after_the_neck() -> None:
    network = models.build("chca", 5, **SMALL)
    images = torch.randn(4, 3, 64, 64)
    outputs = network.train()(images)
    assert list(outputs.features) == list(outputs.logits) == ["global"]
    assert outputs.features["global"].shape == (4, network.dimension)
    assert outputs.logits["global"].shape == (4, 5)
    network.eval()
    pooled = network.feature_map(images).mean((2, 3))
    torch.testing.assert_close(network(images), network.neck(pooled))


def test_shapes_and_counts_at_the_papers_scale() -> None:
    """ResNet-50 at 256 x 256: a module of C channels adds 2 C C' + C'^2 parameters, C' = C / 2."""
    with torch.device("meta"):
        images = torch.empty(2, 3, 256, 256)
        baseline = models.build("baseline", 576)
        network = models.build("chca", 576)
        per_level = models.build("chca", 576, shared_key=False)
        strided = models.build("chca", 576, pooling="strided")
        unreduced = models.build("chca", 576, reduction=1)
        assert network.feature_map(images).shape == (2, 2048, 16, 16)
        assert network.backbone.layer3(torch.empty(1, 512, 32, 32)).shape[-2:] == (16, 16)
        assert network.train()(images).logits["global"].shape == (2, 576)
        assert network.eval()(images).shape == (2, 2048)

    def count(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    channels = [256, 512, 1024, 2048]
    added = sum(2 * c * (c // 2) + (c // 2) ** 2 for c in channels)
    assert count(network) - count(baseline) == added
    assert count(per_level) - count(network) == 2 * sum((c // 2) ** 2 for c in channels)
    # One weight a cell of each window and channel; pooling has none (Section IV-D).
    windows = sum(window**2 for window in (8, 4, 2))
    assert count(strided) - count(network) == windows * sum(channels) // 2
    operations = []
    for one in (baseline, network, unreduced):
        with FlopCounterMode(display=False) as counter:
            one.eval()(images)
        operations.append(counter.get_total_flops())
    # Section III-A: fewer channels cost less, here less than half.
    assert operations[1] - operations[0] < 0.5 * (operations[2] - operations[0])


VARIANTS: list[dict[str, Any]] = [
    {},
    {"softmax_over": "keys"},
    {"pooling": "average"},
    {"pooling": "strided"},
    {"shared_key": False},
    {"scaled": True},
    {"reduction": 4},
    {"levels": 1},
    {"stages": (1, 4)},
    {"levels": 3, "too_small": "clamp"},
    {"last_stride": 2, "too_small": "clamp"},
]


def loss_of(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy plus batch-hard triplet (Eqs. 10 to 12)."""
    outputs = network(images)
    miner, triplet = BatchHardMiner(), TripletMarginLoss(margin=0.3)
    total = sum(functional.cross_entropy(logits, labels) for logits in outputs.logits.values())
    for feature in outputs.features.values():
        total = total + triplet(feature, labels, miner(feature, labels))
    return total


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_a_gradient_reaches_every_parameter(options: dict[str, Any]) -> None:
    torch.manual_seed(7)
    network = models.build("chca", 4, **SMALL | {"zero_output": False} | options).train()
    loss_of(network, torch.randn(8, 3, 64, 64), torch.arange(8) // 2).backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("options", VARIANTS[1:], ids=str)
def test_every_option_changes_the_features(options: dict[str, Any]) -> None:
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(8))
    pair = []
    for chosen in ({}, options):
        torch.manual_seed(8)
        network = models.build("chca", 4, **SMALL | {"zero_output": False} | chosen).eval()
        pair.append(network(images))
    assert not torch.allclose(*pair, rtol=1e-3, atol=1e-5)


def test_zero_output_alone_makes_the_module_the_identity() -> None:
    features = torch.randn(1, 4, 8, 8)
    torch.testing.assert_close(CHCM(4)(features), features, rtol=0, atol=0)
    assert not torch.allclose(CHCM(4, zero_output=False)(features), features, atol=1e-4)


def test_evaluation_is_deterministic_and_looks_at_one_image_at_a_time() -> None:
    torch.manual_seed(9)
    network = models.build("chca", 4, zero_output=False, **SMALL).eval()
    images = torch.randn(5, 3, 64, 64)
    with torch.inference_mode():
        together = network(images)
        torch.testing.assert_close(network(images), together, rtol=0, atol=0)
        alone = torch.cat([network(image[None]) for image in images])
        order = torch.tensor([3, 0, 4, 2, 1])
        shuffled = network(images[order])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shuffled, together[order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("over", ["queries", "keys"])
def test_half_precision_and_channels_last_stay_near_full_precision(over: str) -> None:
    torch.manual_seed(10)
    network = models.build("chca", 4, zero_output=False, softmax_over=over, **SMALL).train()
    images = torch.randn(8, 3, 64, 64)
    exact = network(images).features["global"]
    network = network.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(images.to(memory_format=torch.channels_last)).features["global"]
    assert half.dtype == torch.float32
    assert functional.cosine_similarity(half, exact).min() > 0.99


@pytest.mark.parametrize("over", ["queries", "keys"])
def test_sixteen_images_are_learnt_by_heart(over: str) -> None:
    torch.manual_seed(11)
    network = models.build("chca", 4, softmax_over=over, **SMALL).train()
    images, labels = torch.randn(16, 3, 64, 64), torch.arange(16) // 4
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    start = loss_of(network, images, labels).item()
    for _ in range(30):
        optimizer.zero_grad()
        loss_of(network, images, labels).backward()
        optimizer.step()
    assert loss_of(network, images, labels).item() < 0.02 * start
    assert all(module.restore.weight.abs().max() > 0 for module in network.context.values())


def test_mistakes_are_named() -> None:
    network = models.build("chca", 4, backbone="resnet10", width=8)
    with pytest.raises(ValueError, match=r"behind stage 3: level 1 of 3 pools 8 x 8 cells.* 4 x 4"):
        network(torch.randn(1, 3, 64, 64))
    for stages in ((1, 1), (0,), (5,)):
        with pytest.raises(ValueError, match="name some of 1, 2, 3, 4, none twice"):
            CHCA(4, stages=stages)
    with pytest.raises(ValueError, match="6 channels cannot be divided by reduction 4"):
        CHCM(6, reduction=4)
    with pytest.raises(ValueError, match="levels is 0"):
        CHCM(4, levels=0)
    for option in ("pooling", "softmax_over", "too_small"):
        with pytest.raises(ValueError, match="option 'sum' is unknown; known: "):
            CHCM(4, **{option: "sum"})
    with pytest.raises(ValueError, match="strided convolutions need maps that fit"):
        CHCM(4, pooling="strided", too_small="clamp")
