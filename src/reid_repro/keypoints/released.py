"""The released DeeperCut weights, `mpii-single-resnet-101`, in the network of this project.

A TensorFlow checkpoint of ResNet-101 (`resnet_v1_101/...`) and three heads (`pose/...`). A kernel
(h, w, in, out) there is (out, in, h, w) here; of a transposed convolution, (h, w, out, in) is
(in, out, h, w): one permutation serves both. What the optimiser left (`*/Momentum`, `global_step`)
is not needed. Every other variable has its place, or is named.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from reid_repro.detectors import KeypointsDetector
from reid_repro.errors import UserError
from reid_repro.keypoints.names import tensorflow_names
from reid_repro.keypoints.network import PoseNetwork, build_bare
from reid_repro.keypoints.tensorflow import Checkpoint

KERNEL = (3, 2, 0, 1)
LOCREF_SCALE = 7.2801  # the unit of the released network's offsets, in pixels
INTERMEDIATE = "pose/intermediate_supervision/"


def load(prefix: Path, settings: KeypointsDetector) -> PoseNetwork:
    """The network of the settings with the weights of the checkpoint, in evaluation mode.

    `prefix` is what stands before `.index`. Raises UserError for settings of another network, and
    for a checkpoint that is damaged, or does not hold exactly its variables.
    """
    wanted = {"network": "resnet101", "weights": "none", "locref_scale": LOCREF_SCALE}
    for name, value in wanted.items():
        if getattr(settings, name) != value:
            raise UserError(
                f"detectors.keypoints.{name}: the released checkpoint {prefix} needs {value}, "
                f"not {getattr(settings, name)}"
            )
    network = build_bare(settings)
    fill(network, prefix)
    return network.eval()


def fill(network: nn.Module, prefix: Path) -> None:
    """Put the checkpoint's variables into the tensors that `tensorflow_names` pairs them with.

    The CRC32C of every tensor is checked, that of the optimiser's too. The intermediate head's are
    left out where the network has none: it serves training alone. The network is not changed
    unless all fits; UserError names what does not.
    """
    checkpoint = Checkpoint(prefix)
    own = {variable: name for name, variable in tensorflow_names(network).items()}
    _check_names(checkpoint, set(own))
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    state = {}
    for variable in checkpoint:
        values = checkpoint.read(variable)  # of what is not needed too: a damaged file is noticed
        if variable in own:
            name = own[variable]
            state[name] = _tensor(checkpoint, variable, values, shapes[name])
    network.load_state_dict(state, strict=False)  # PyTorch's counters of batches have no like


def _check_names(checkpoint: Checkpoint, wanted: set[str]) -> None:
    found = {name for name in checkpoint if not _skipped(name)}
    if not any(name.startswith(INTERMEDIATE) for name in wanted):
        found = {name for name in found if not name.startswith(INTERMEDIATE)}
    for trouble, names in (
        ("variables are missing", sorted(wanted - found)),
        ("variables have no place in the network", sorted(found - wanted)),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise UserError(
                f"{checkpoint.index}: {trouble}: {', '.join(names[:3])}{more}; "
                "expected those of mpii-single-resnet-101"
            )


def _skipped(variable: str) -> bool:
    return variable == "global_step" or variable.endswith("/Momentum")


def _tensor(
    checkpoint: Checkpoint, variable: str, values: np.ndarray, shape: tuple[int, ...]
) -> torch.Tensor:
    """The variable's values as float32 in PyTorch's layout."""
    if values.dtype.kind != "f" or not np.isfinite(values).all():
        raise UserError(f"{checkpoint.index}: '{variable}' does not hold finite real numbers")
    found = values.transpose(KERNEL) if values.ndim == 4 else values
    if found.shape != shape:
        raise UserError(
            f"{checkpoint.index}: '{variable}' has shape {values.shape}, which is {found.shape} "
            f"here, but the network needs {shape}"
        )
    return torch.from_numpy(np.ascontiguousarray(found, np.float32))
