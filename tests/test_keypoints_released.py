"""The released weights in our network: every variable in its place, TensorFlow's arithmetic."""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reid_repro.detectors import KeypointsDetector
from reid_repro.errors import UserError
from reid_repro.keypoints import released
from reid_repro.keypoints.network import PoseNetwork
from reid_repro.keypoints.slim import Bottleneck, ConvNorm, SlimResNet101

import tensorflow_checkpoint as writer
import tensorflow_forward as literal

SETTINGS = KeypointsDetector.model_validate(
    {
        "data": {"source": "tensorflow", "checkpoint": "mpii-single-resnet-101"},
        "training": {"iterations": 1, "batch_size": 1, "learning_rate": 0.1},
    }
)


class TinySlim(nn.Module):
    """A few units of the same construction, of few channels, with the same names."""

    intermediate_channels, out_channels = 12, 16

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, 4, 7, stride=2)
        self.block1 = nn.Sequential(
            OrderedDict(
                unit_1=Bottleneck(4, 2, stride=1, dilation=1),
                unit_2=Bottleneck(8, 2, stride=2, dilation=1),
            )
        )
        self.block4 = nn.Sequential(OrderedDict(unit_1=Bottleneck(8, 4, stride=1, dilation=2)))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("the tests run its units")


def batch_norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    parts = ("gamma", "beta", "moving_mean", "moving_variance")
    return {f"{name}/BatchNorm/{part}": (channels,) for part in parts}


def convolution(name: str, kernel: int, channels: int, out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/weights": (kernel, kernel, channels, out)} | batch_norm(name, out)


def unit(name: str, channels: int, planes: int) -> dict[str, tuple[int, ...]]:
    name = f"resnet_v1_101/{name}/bottleneck_v1"
    variables = convolution(f"{name}/conv1", 1, channels, planes)
    variables |= convolution(f"{name}/conv2", 3, planes, planes)
    variables |= convolution(f"{name}/conv3", 1, planes, 4 * planes)
    if channels != 4 * planes:
        variables |= convolution(f"{name}/shortcut", 1, channels, 4 * planes)
    return variables


def head(name: str, channels: int, out: int) -> dict[str, tuple[int, ...]]:
    name = f"pose/{name}/block4"
    return {f"{name}/weights": (3, 3, out, channels), f"{name}/biases": (out,)}


def heads(last: int, middle: int) -> dict[str, tuple[int, ...]]:
    found = head("part_pred", last, 14) | head("locref_pred", last, 28)
    return found | head("intermediate_supervision", middle, 14)


def tiny_shapes() -> dict[str, tuple[int, ...]]:
    return (
        convolution("resnet_v1_101/conv1", 7, 3, 4)
        | unit("block1/unit_1", 4, 2)
        | unit("block1/unit_2", 8, 2)
        | unit("block4/unit_1", 8, 4)
        | heads(16, 12)
    )


def released_shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape in TensorFlow of every variable of mpii-single-resnet-101."""
    found = convolution("resnet_v1_101/conv1", 7, 3, 64)
    channels = 64
    for block, units in enumerate((3, 4, 23, 3)):
        planes = 64 * 2**block
        for number in range(1, units + 1):
            found |= unit(f"block{block + 1}/unit_{number}", channels, planes)
            channels = 4 * planes
    return found | heads(2048, 1024)


def random_variables(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """Random values, positive where they are variances, and what the optimiser leaves."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in shapes.items():
        positive = name.endswith(("gamma", "moving_variance"))
        values = rng.uniform(0.5, 1.5, shape) if positive else rng.normal(0, 0.5, shape)
        found[name] = values.astype(np.float32)
        if not name.endswith(("moving_mean", "moving_variance")):
            found[f"{name}/Momentum"] = np.zeros(shape, np.float32)
    return found | {"global_step": np.array(1030000, np.int64)}


@pytest.fixture
def variables() -> dict[str, np.ndarray]:
    return random_variables(tiny_shapes())


@pytest.fixture
def tiny() -> PoseNetwork:
    torch.manual_seed(0)
    return PoseNetwork(TinySlim())  # type: ignore[arg-type]


def filled(network: PoseNetwork, variables: dict[str, np.ndarray], folder: Path) -> PoseNetwork:
    prefix = folder / "snapshot"
    writer.write(prefix, variables, shards=2)
    released.fill(network, prefix)
    return network.eval()


def assert_equal(found: Tensor, expected: np.ndarray) -> None:
    array = found.detach().squeeze(0).permute(1, 2, 0).numpy()
    assert array.shape == expected.shape
    np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-4)


def image_of(rows: int, columns: int, channels: int) -> tuple[np.ndarray, Tensor]:
    values = np.random.default_rng(1).normal(size=(rows, columns, channels)).astype(np.float32)
    return values, torch.from_numpy(values).permute(2, 0, 1)[None]


@pytest.mark.parametrize("size", [(8, 6), (7, 5), (9, 8)])
@pytest.mark.parametrize(
    ("name", "stride", "rate"),
    [("block1/unit_1", 1, 1), ("block1/unit_2", 2, 1), ("block4/unit_1", 1, 2)],
)
def test_a_bottleneck_computes_what_tensorflow_computes(
    tiny: PoseNetwork,
    variables: dict[str, np.ndarray],
    tmp_path: Path,
    name: str,
    stride: int,
    rate: int,
    size: tuple[int, int],
) -> None:
    network = filled(tiny, variables, tmp_path)
    module = network.backbone.get_submodule(name.replace("/", "."))
    image, features = image_of(*size, module.conv1.conv.in_channels)
    assert_equal(module(features), literal.unit(image, variables, name, stride, rate))


@pytest.mark.parametrize("name", ["part_pred", "locref_pred", "intermediate_supervision"])
def test_a_head_computes_what_tensorflow_computes(
    tiny: PoseNetwork, variables: dict[str, np.ndarray], tmp_path: Path, name: str
) -> None:
    network = filled(tiny, variables, tmp_path)
    image, features = image_of(4, 3, 12 if name.startswith("intermediate") else 16)
    found = network.get_submodule(name)(features)
    assert_equal(found, literal.head(image, variables, name))


def test_the_first_convolution_computes_what_tensorflow_computes(
    tiny: PoseNetwork, variables: dict[str, np.ndarray], tmp_path: Path
) -> None:
    network = filled(tiny, variables, tmp_path)
    image, features = image_of(9, 12, 3)
    expected = literal.layer(image, variables, "resnet_v1_101/conv1", stride=2)
    assert_equal(network.backbone.conv1(features), np.maximum(expected, 0))


RENAMED = {
    "resnet_v1_101/": "backbone/",
    "pose/": "",
    "/bottleneck_v1": "",
    "/block4/biases": "/bias",
    "/block4/weights": "/weight",
    "/weights": "/conv/weight",
    "/BatchNorm/gamma": "/norm/weight",
    "/BatchNorm/beta": "/norm/bias",
    "/BatchNorm/moving_mean": "/norm/running_mean",
    "/BatchNorm/moving_variance": "/norm/running_var",
}


def own_name(variable: str) -> str:
    for theirs, ours in RENAMED.items():
        variable = variable.replace(theirs, ours)
    return variable.replace("/", ".")


def test_the_released_checkpoint_fills_the_whole_network(tmp_path: Path) -> None:
    """At full size; the tensors are windows of one array, so that the file stays small."""
    shapes = released_shapes()
    assert len(shapes) == 526
    first = "resnet_v1_101/conv1/weights"
    stored = shapes | {f"{first}/Momentum": shapes[first], "global_step": ()}
    largest = max(map(math.prod, shapes.values()))
    values = np.random.default_rng(0).uniform(0.5, 1.5, largest + len(stored)).astype(np.float32)
    variables = {
        name: values[start : start + math.prod(shape)].reshape(shape)
        for start, (name, shape) in enumerate(stored.items())
    }
    prefix = tmp_path / "snapshot-1030000"
    writer.write(prefix, variables, overlaid=True)
    network = released.load(prefix, SETTINGS)
    assert not network.training
    state = network.state_dict()
    for name in shapes:
        expected = variables[name]
        if expected.ndim == 4:
            expected = np.moveaxis(expected, (2, 3), (1, 0))
        assert np.array_equal(state.pop(own_name(name)).numpy(), expected), name
    assert all(name.endswith("num_batches_tracked") for name in state)  # PyTorch's own counters


def test_the_network_that_the_weights_are_for_strides_last() -> None:
    with torch.device("meta"):
        assert SlimResNet101().strides == "last"


def test_without_the_intermediate_head_its_variables_are_left_out(
    variables: dict[str, np.ndarray], tmp_path: Path
) -> None:
    network = PoseNetwork(TinySlim(), intermediate=False)  # type: ignore[arg-type]
    filled(network, variables, tmp_path)
    bias = variables["pose/part_pred/block4/biases"]
    assert np.array_equal(network.part_pred.bias.detach().numpy(), bias)


def failure(network: PoseNetwork, variables: dict[str, np.ndarray], folder: Path) -> str:
    """The one line of the error; the network stays as it was."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(UserError) as error:
        filled(network, variables, folder)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    (line,) = str(error.value).splitlines()
    return line


def test_an_unknown_variable_is_named(
    tiny: PoseNetwork, variables: dict[str, np.ndarray], tmp_path: Path
) -> None:
    variables["pose/pairwise_pred/block4/biases"] = np.zeros(3, np.float32)
    line = failure(tiny, variables, tmp_path)
    assert "variables have no place in the network: pose/pairwise_pred/block4/biases;" in line


def test_a_missing_variable_is_named(
    tiny: PoseNetwork, variables: dict[str, np.ndarray], tmp_path: Path
) -> None:
    name = "resnet_v1_101/block1/unit_2/bottleneck_v1/conv2/BatchNorm/gamma"
    del variables[name]
    assert f"variables are missing: {name};" in failure(tiny, variables, tmp_path)


def test_of_many_missing_variables_some_are_named(tiny: PoseNetwork, tmp_path: Path) -> None:
    line = failure(tiny, {"global_step": np.array(1, np.int64)}, tmp_path)
    assert "variables are missing: pose/intermediate_supervision/block4/biases, " in line
    assert f" and {len(tiny_shapes()) - 3} more; " in line


def test_another_shape_is_named_in_both_layouts(
    tiny: PoseNetwork, variables: dict[str, np.ndarray], tmp_path: Path
) -> None:
    name = "resnet_v1_101/block1/unit_1/bottleneck_v1/conv2/weights"
    variables[name] = np.zeros((3, 3, 2, 5), np.float32)
    line = failure(tiny, variables, tmp_path)
    assert f"'{name}' has shape (3, 3, 2, 5), which is (5, 2, 3, 3) here" in line
    assert line.endswith("the network needs (2, 2, 3, 3)")


@pytest.mark.parametrize("wrong", [np.array([1, 2], np.int32), np.array([1, np.nan], np.float32)])
def test_values_that_are_no_finite_real_numbers_are_named(
    tiny: PoseNetwork, variables: dict[str, np.ndarray], tmp_path: Path, wrong: np.ndarray
) -> None:
    name = "resnet_v1_101/block1/unit_1/bottleneck_v1/conv1/BatchNorm/beta"
    variables[name] = wrong
    line = failure(tiny, variables, tmp_path)
    assert f"'{name}' does not hold finite real numbers" in line


def test_a_damaged_tensor_is_named_even_where_it_is_not_needed(
    tiny: PoseNetwork, variables: dict[str, np.ndarray], tmp_path: Path
) -> None:
    name = "pose/part_pred/block4/biases/Momentum"
    prefix = tmp_path / "damaged"
    writer.write(prefix, variables, changed={name: writer.entry(variables[name], 0, 0, crc=1)})
    with pytest.raises(UserError, match=f"the CRC32C of '{name}' is wrong"):
        released.fill(tiny, prefix)


@pytest.mark.parametrize(
    ("name", "value"), [("network", "small"), ("weights", "imagenet"), ("locref_scale", 5.0)]
)
def test_settings_of_another_network_are_named(tmp_path: Path, name: str, value: object) -> None:
    settings = SETTINGS.model_copy(update={name: value})
    with pytest.raises(UserError, match=f"detectors.keypoints.{name}: .* not {value}"):
        released.load(tmp_path / "snapshot", settings)
