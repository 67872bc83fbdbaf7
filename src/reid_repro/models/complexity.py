"""Parameters, multiply-accumulates and descriptor size of a network (SSR-Net, Table 7).

Everything runs on torch's meta device: shapes without numbers, so that a network at paper scale
costs a fraction of a second and no memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.utils.flop_counter import FlopCounterMode

from reid_repro.models import build
from reid_repro.networks import ModelConfig, ModelFile, PGANNetwork, needs

JOINTS = 14


class Complexity(NamedTuple):
    """What a network costs: `parameters` and `macs` of one image's descriptor, at test time.

    Classifiers, which a test does without, count only in `trained`, the parameters with a gradient.
    `macs` are those of convolutions and matrix products, as papers count them, so normalisations,
    activations, poolings by a kernel of their own, RoI alignment and image warping are free.
    """

    parameters: int
    macs: int
    dimension: int
    trained: int


def complexity(
    name: str, options: Mapping[str, Any], *, num_classes: int, size: tuple[int, int]
) -> Complexity:
    """The complexity of network `name` with its `options`, for images of `size` (height, width).

    Raises pydantic's ValidationError, a ValueError, for options that the network has not.
    """
    config = ModelFile.model_validate({"model": {**options, "name": name}}).model
    known = {**config.model_dump(exclude={"name"}), "weights": "none"}  # shapes need no weights
    with torch.device("meta"):
        network = build(name, num_classes, **known)
        inputs = _inputs(config, size)
    trained = sum(each.numel() for each in network.parameters() if each.requires_grad)
    network.eval().requires_grad_(True)  # frozen parameters are used as well
    with FlopCounterMode(display=False) as counter:
        descriptor: Tensor = network(*inputs)
    if descriptor.ndim != 2 or len(descriptor) != 1:
        raise ValueError(f"{name} gave {tuple(descriptor.shape)} for one image, not (1, d)")
    return Complexity(
        parameters=sum(each.numel() for each in used_parameters(network, descriptor)),
        macs=counter.get_total_flops() // 2,  # the counter takes a multiply-accumulate for two
        dimension=descriptor.shape[1],
        trained=trained,
    )


def _inputs(config: ModelConfig, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """One image, with the boxes or keypoints that the network needs."""
    images = torch.empty(1, 3, *size)
    match needs(config):
        case "parts":
            assert isinstance(config, PGANNetwork)
            return images, torch.empty(1, config.parts, 4)
        case "keypoints":
            return images, torch.empty(1, JOINTS, 3)
    return (images,)


def used_parameters(network: nn.Module, output: Tensor) -> list[nn.Parameter]:
    """The parameters of `network` that `output` was computed from, by walking its graph."""
    found: set[int] = set()
    seen: set[Node | None] = {None}
    waiting = [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)  # of the nodes that accumulate a gradient
        if leaf is not None:
            found.add(id(leaf))
        waiting += [before for before, _ in node.next_functions]
    return [each for each in network.parameters() if id(each) in found]
