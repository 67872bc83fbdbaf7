"""Weights of the pose network as a safetensors file that says which network they belong to."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from reid_repro.detectors import KeypointsDetector
from reid_repro.errors import UserError
from reid_repro.files import whole
from reid_repro.keypoints.network import PoseNetwork, build_bare

# The settings that decide what the tensors mean.
IDENTITY = ("network", "weights", "width", "intermediate", "locref_scale")


def save(file: Path, network: PoseNetwork, settings: KeypointsDetector) -> None:
    """Write the network's tensors whole, and what they belong to as the file's metadata."""
    # safetensors keeps plain row-major tensors only
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    with whole(file) as beside:
        save_file(state, beside, metadata=identity(settings))


def load(file: Path, settings: KeypointsDetector) -> PoseNetwork:
    """The network of the settings with the weights of `file`, in evaluation mode, on the CPU.

    The settings' own source of pretrained weights is not asked for. Raises UserError for a file
    that is missing, damaged, or of another network, naming what differs.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            found = opened.metadata() or {}
            state = {name: opened.get_tensor(name) for name in list(opened.keys())}
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; train the keypoints' network first") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file}: not a readable safetensors file ({error})") from None
    for name, wanted in identity(settings).items():
        if found.get(name) != wanted:
            raise UserError(
                f"{file}: weights for {name} {found.get(name, 'unknown')}, but "
                f"detectors.keypoints.{name} is {wanted}; change the setting or train again"
            )
    network = build_bare(settings)
    wrong = _differences({name: tuple(value.shape) for name, value in state.items()}, network)
    if wrong:
        raise UserError(f"{file}: does not fit the network {settings.network}: {wrong[0]}")
    network.load_state_dict(state)
    return network.eval()


def identity(settings: KeypointsDetector) -> dict[str, str]:
    """What weights belong to, as text; the width is the small network's alone."""
    names = [name for name in IDENTITY if name != "width" or settings.network == "small"]
    return {name: str(getattr(settings, name)) for name in names}


def _differences(shapes: dict[str, tuple[int, ...]], network: PoseNetwork) -> list[str]:
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    return [
        f"'{name}' is {'missing' if name in own else 'unexpected'}"
        for name in sorted(own.keys() ^ shapes.keys())
    ] + [
        f"'{name}' has shape {shapes[name]}, not {own[name]}"
        for name in sorted(own.keys() & shapes.keys())
        if shapes[name] != own[name]
    ]
