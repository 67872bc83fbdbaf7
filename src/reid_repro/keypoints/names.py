"""What others call the network's tensors: torchvision's ImageNet weights, TensorFlow's release.

One to one: `tensorflow_names` and `torchvision_names` give the foreign name of each of our own.
"""

from __future__ import annotations

from torch import nn

from reid_repro.errors import UserError
from reid_repro.keypoints.slim import SlimResNet101

HEADS = ("part_pred", "locref_pred", "intermediate_supervision")
NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
SKIPPED = "num_batches_tracked"  # a counter that only PyTorch keeps


def tensorflow_names(network: nn.Module) -> dict[str, str]:
    """TensorFlow's variable for each tensor of a `PoseNetwork` over ResNet-101.

    `backbone.block1.unit_1.conv1.conv.weight` is
    `resnet_v1_101/block1/unit_1/bottleneck_v1/conv1/weights`, `part_pred.bias` is
    `pose/part_pred/block4/biases`. A kernel (h, w, a, b) there is (b, a, h, w) here, of transposed
    convolutions too.
    """
    return {own: _tensorflow(own) for own in _tensors(network)}


def torchvision_names(backbone: SlimResNet101) -> dict[str, str]:
    """torchvision's key for each tensor of the backbone; shapes are the same."""
    return {own: _torchvision(own) for own in _tensors(backbone)}


def load_imagenet(backbone: SlimResNet101) -> None:
    """Load torchvision's ImageNet weights, from its cache or the network.

    They were trained with strides in the first units: a backbone of strides "last" would compute
    something else with them. Raises UserError where they cannot be had.
    """
    assert backbone.strides == "first"
    from torchvision.models import ResNet101_Weights  # two seconds that no other start needs

    weights = ResNet101_Weights.IMAGENET1K_V1
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"ImageNet weights of resnet101: {error}; download {weights.url} into "
            "torch.hub.get_dir()/checkpoints, or set detectors.keypoints.weights to none"
        ) from None
    names = torchvision_names(backbone)
    backbone.load_state_dict({own: state[name] for own, name in names.items()}, strict=False)


def _tensors(module: nn.Module) -> list[str]:
    return [name for name in module.state_dict() if not name.endswith(SKIPPED)]


def _tensorflow(own: str) -> str:
    parts = own.split(".")
    if parts[0] in HEADS:
        return f"pose/{parts[0]}/block4/{'weights' if parts[1] == 'weight' else 'biases'}"
    *path, layer, kind = parts[1:]
    if len(path) > 1:  # block, unit, convolution
        path.insert(2, "bottleneck_v1")
    leaf = "weights" if layer == "conv" else f"BatchNorm/{NORM[kind]}"
    return "/".join(("resnet_v1_101", *path, leaf))


def _torchvision(own: str) -> str:
    *path, layer, kind = own.split(".")
    if len(path) == 1:
        return f"{'conv1' if layer == 'conv' else 'bn1'}.{kind}"
    block, unit, part = path
    stem = f"layer{block[-1]}.{int(unit.removeprefix('unit_')) - 1}"
    if part == "shortcut":
        return f"{stem}.downsample.{0 if layer == 'conv' else 1}.{kind}"
    return f"{stem}.{'conv' if layer == 'conv' else 'bn'}{part[-1]}.{kind}"
