"""The pose network: TensorFlow's padding against loops, torchvision's ResNet, names, files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from reid_repro.detectors import KeypointsDetector
from reid_repro.errors import UserError
from reid_repro.keypoints import weights
from reid_repro.keypoints.joints import JOINTS, MIRRORED, MPII_IDS, NAMES, PAIRS
from reid_repro.keypoints.names import tensorflow_names, torchvision_names
from reid_repro.keypoints.network import (
    MEAN,
    PoseNetwork,
    SmallBackbone,
    Upsampling,
    build,
    map_size,
    scaled,
    shown,
)
from reid_repro.keypoints.slim import Bottleneck, SlimResNet101, max_pool_same

Array = npt.NDArray[np.float64]


def detector(**changes: object) -> KeypointsDetector:
    base = {
        "data": {"source": "rendered", "dataset": "x"},
        "training": {"iterations": 1, "batch_size": 1, "learning_rate": 0.1},
    }
    return KeypointsDetector.model_validate(base | changes)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "SAME": rows out, and rows of padding before the first."""
    out = math.ceil(size / stride)
    total = max((out - 1) * stride + kernel - size, 0)
    return out, total // 2


def pooled(image: Array) -> Array:
    """3x3 maximum of stride 2, padded as "SAME" says; (h, w)."""
    (rows, top), (columns, left) = (same_padding(size, 3, 2) for size in image.shape)
    out = np.full((rows, columns), -np.inf)
    for i in range(rows):
        for j in range(columns):
            for k in range(3):
                for m in range(3):
                    y, x = 2 * i + k - top, 2 * j + m - left
                    if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]:
                        out[i, j] = max(out[i, j], image[y, x])
    return out


def convolved(image: Array, kernel: Array, *, stride: int, rate: int = 1) -> Array:
    """slim's conv2d_same of (h, w, a) with (3, 3, a, b): one row of zeros (rate) all round."""
    rows, columns = (math.ceil(size / stride) for size in image.shape[:2])
    out = np.zeros((rows, columns, kernel.shape[3]))
    for i in range(rows):
        for j in range(columns):
            for k in range(kernel.shape[0]):
                for m in range(kernel.shape[1]):
                    y = i * stride + rate * (k - kernel.shape[0] // 2)
                    x = j * stride + rate * (m - kernel.shape[1] // 2)
                    if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]:
                        out[i, j] += image[y, x] @ kernel[k, m]
    return out


def upsampled(image: Array, kernel: Array, bias: Array) -> Array:
    """conv2d_transpose "SAME", stride 2, of (h, w, a) with (3, 3, b, a): the gradient's formula."""
    height, width = image.shape[:2]
    out = np.tile(bias, (2 * height, 2 * width, 1))
    for i in range(height):
        for j in range(width):
            for k in range(3):
                for m in range(3):
                    if 2 * i + k < 2 * height and 2 * j + m < 2 * width:
                        out[2 * i + k, 2 * j + m] += kernel[k, m] @ image[i, j]
    return out


def to_torch(image: Array) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None]


def to_numpy(maps: torch.Tensor) -> Array:
    return maps[0].permute(1, 2, 0).detach().numpy()


sizes = st.integers(2, 9)


@settings(max_examples=20, deadline=None)
@given(height=sizes, width=sizes)
def test_pooling_pads_as_tensorflow_does(height: int, width: int) -> None:
    image = np.random.default_rng(height * 10 + width).normal(size=(height, width, 1)) - 5
    assert np.array_equal(to_numpy(max_pool_same(to_torch(image)))[..., 0], pooled(image[..., 0]))


@pytest.mark.parametrize("size", [(2, 2), (5, 3)])
def test_upsampling_is_same_transposed_convolution(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(*size, 4)), rng.normal(size=(3, 3, 2, 4))
    bias = rng.normal(size=2)
    head = Upsampling(4, 2).double()
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(kernel).permute(3, 2, 0, 1))
        assert head.bias is not None
        head.bias.copy_(torch.from_numpy(bias))
    assert np.allclose(to_numpy(head(to_torch(image))), upsampled(image, kernel, bias))


def loaded(conv: nn.Module, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Random weights in a ConvNorm: its kernel (h, w, a, b), and scale and shift of the norm."""
    weight, norm = conv.conv.weight, conv.norm
    kernel = rng.normal(size=weight.permute(2, 3, 1, 0).shape)
    gamma, beta, mean = rng.normal(size=(3, len(weight)))
    variance = rng.uniform(0.5, 2, len(weight))
    with torch.no_grad():
        weight.copy_(torch.from_numpy(kernel).permute(3, 2, 0, 1))
        values = (norm.weight, gamma), (norm.bias, beta), (norm.running_mean, mean)
        for own, value in (*values, (norm.running_var, variance)):
            own.copy_(torch.from_numpy(value))
    scale = gamma / np.sqrt(variance + 1e-5)
    return kernel, scale, beta - mean * scale


@pytest.mark.parametrize(("channels", "stride", "rate"), [(8, 2, 1), (8, 1, 2), (6, 1, 1)])
@pytest.mark.parametrize("size", [(4, 6), (5, 3)])
def test_bottleneck_is_slims(channels: int, stride: int, rate: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    unit = Bottleneck(channels, 2, stride=stride, dilation=rate).double().eval()
    image = rng.normal(size=(*size, channels))
    values = image
    for conv, step, hole in ((unit.conv1, 1, 1), (unit.conv2, stride, rate), (unit.conv3, 1, 1)):
        kernel, scale, shift = loaded(conv, rng)
        values = convolved(values, kernel, stride=step, rate=hole) * scale + shift
        if conv is not unit.conv3:
            values = np.maximum(values, 0)
    if unit.shortcut is None:
        shortcut = image[::stride, ::stride]
    else:
        kernel, scale, shift = loaded(unit.shortcut, rng)
        shortcut = convolved(image, kernel, stride=stride) * scale + shift
    with torch.no_grad():
        found = to_numpy(unit(to_torch(image)))
    assert np.allclose(found, np.maximum(values + shortcut, 0))


def test_blocks_of_the_released_network_stride_last() -> None:
    with torch.device("meta"):
        backbone = SlimResNet101()
    placed = {
        name: (unit.conv2.conv.stride[0], unit.conv2.conv.dilation[0])
        for name, unit in backbone.named_modules()
        if isinstance(unit, Bottleneck)
    }
    assert len(placed) == 33
    special = {name: value for name, value in placed.items() if value != (1, 1)}
    dilated = {f"block4.unit_{number}": (1, 2) for number in (1, 2, 3)}
    assert special == {"block1.unit_3": (2, 1), "block2.unit_4": (2, 1)} | dilated


def test_with_strides_first_it_is_torchvisions_resnet101() -> None:
    torch.manual_seed(0)
    peer = torchvision.models.resnet101(
        weights=None, replace_stride_with_dilation=[False, False, True]
    ).eval()
    state = peer.state_dict()
    for key, value in state.items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2)
        if key.endswith(("running_mean", "bias")):
            value.normal_(0, 0.1)
    ours = SlimResNet101("first").eval()
    names = torchvision_names(ours)
    skipped = {"fc.weight", "fc.bias"} | {key for key in state if key.endswith("batches_tracked")}
    assert set(names.values()) == state.keys() - skipped
    ours.load_state_dict({own: state[name] for own, name in names.items()}, strict=False)
    images = torch.randn(1, 3, 50, 33)
    with torch.no_grad():
        expected = peer.maxpool(peer.relu(peer.bn1(peer.conv1(images))))
        for layer in (peer.layer1, peer.layer2, peer.layer3, peer.layer4):
            expected = layer(expected)
        assert torch.allclose(ours(images)[1], expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("network", ["small", "resnet101"])
def test_map_sizes(network: str) -> None:
    with torch.device("meta"):
        model = build(detector(network=network, width=8))
        for size in ((512, 256), (97, 55), (48, 33)):
            maps = model.train()(torch.empty(2, 3, *size))
            rows, columns = (math.ceil(side / 16) * 2 for side in size)
            assert (map_size(size[0]), map_size(size[1])) == (rows, columns)
            assert maps.scores.shape == (2, JOINTS, rows, columns)
            assert maps.offsets.shape == (2, 2 * JOINTS, rows, columns)
            assert maps.intermediate is not None
            assert maps.intermediate.shape == maps.scores.shape
        assert model.eval()(torch.empty(1, 3, 48, 33)).intermediate is None


def test_network_normalises_bytes_as_released() -> None:
    torch.manual_seed(0)
    model = PoseNetwork(SmallBackbone(8)).eval()
    images = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    seen: list[torch.Tensor] = []
    model.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        model(images)
    for channel, mean in enumerate(MEAN):
        assert torch.allclose(seen[0][0, channel], images[0, channel].float() - mean)


def test_tensorflow_names() -> None:
    with torch.device("meta"):
        names = tensorflow_names(build(detector()))
    assert len(set(names.values())) == len(names) == 520 + 6
    assert names["backbone.conv1.conv.weight"] == "resnet_v1_101/conv1/weights"
    unit = "resnet_v1_101/block3/unit_12/bottleneck_v1"
    own = "backbone.block3.unit_12"
    assert names[f"{own}.conv2.conv.weight"] == f"{unit}/conv2/weights"
    assert names[f"{own}.conv3.norm.running_var"] == f"{unit}/conv3/BatchNorm/moving_variance"
    assert names["locref_pred.bias"] == "pose/locref_pred/block4/biases"


def test_frozen_statistics_stay_while_training() -> None:
    model = PoseNetwork(SmallBackbone(8), frozen_statistics=True).train()
    before = {name: value.clone() for name, value in model.named_buffers()}
    model(torch.rand(2, 3, 32, 32) * 255)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())


def test_joints_are_mpiis() -> None:
    assert len(NAMES) == len(set(NAMES)) == JOINTS == len(MPII_IDS)
    for a, b in PAIRS:
        assert NAMES[a].removeprefix("right ") == NAMES[b].removeprefix("left ")
    assert [MIRRORED[MIRRORED[joint]] for joint in range(JOINTS)] == list(range(JOINTS))
    assert [joint for joint in range(JOINTS) if MIRRORED[joint] == joint] == [12, 13]


def test_shown_keeps_or_resizes() -> None:
    pixels = torch.randint(0, 256, (2, 10, 6, 3), dtype=torch.uint8)
    assert torch.equal(shown(pixels, (10, 6)), pixels.permute(0, 3, 1, 2))
    flat = torch.full((1, 10, 6, 3), 77, dtype=torch.uint8)
    assert (shown(flat, (6, 4)).shape, shown(flat, (6, 4)).unique().item()) == ((1, 3, 6, 4), 77)
    assert scaled(detector(), 0.6) == (307, 154)


def test_weights_come_back(tmp_path: Path) -> None:
    torch.manual_seed(3)
    chosen = detector(network="small", width=8)
    model = build(chosen).eval()
    weights.save(tmp_path / "w.safetensors", model, chosen)
    again = weights.load(tmp_path / "w.safetensors", chosen)
    images = torch.rand(1, 3, 32, 32) * 255
    with torch.no_grad():
        assert torch.equal(model(images).scores, again(images).scores)


def test_wrong_weights_are_named(tmp_path: Path) -> None:
    chosen = detector(network="small", width=8)
    file = tmp_path / "w.safetensors"
    with pytest.raises(UserError, match="no such file"):
        weights.load(file, chosen)
    weights.save(file, build(chosen), chosen)
    with pytest.raises(UserError, match=r"width 8, but detectors\.keypoints\.width is 16"):
        weights.load(file, detector(network="small", width=16))
    state = load_file(file)
    gone = state.pop("part_pred.bias")
    save_file(state, file, metadata=weights.identity(chosen))
    with pytest.raises(UserError, match=r"'part_pred\.bias' is missing"):
        weights.load(file, chosen)
    save_file(state | {"part_pred.bias": gone[:3]}, file, metadata=weights.identity(chosen))
    with pytest.raises(UserError, match=r"'part_pred\.bias' has shape \(3,\), not \(14,\)"):
        weights.load(file, chosen)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match="not a readable safetensors file"):
        weights.load(file, chosen)


def test_small_network_has_no_pretrained_weights() -> None:
    with pytest.raises(UserError, match="no ImageNet weights"):
        build(detector(network="small", weights="imagenet"))
