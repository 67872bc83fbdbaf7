"""State dicts from elsewhere, loaded strictly: every key must be there, and fit.

Backbones keep torchvision's parameter names, so that its ImageNet weights load; what a backbone
has not (the classifier, auxiliary heads) is skipped by name.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from reid_repro.errors import UserError


def load_strict(
    backbone: nn.Module,
    layout: str,
    weights: str,
    *,
    imagenet: str | None,
    skipped: tuple[str, ...] = ("fc.",),
) -> None:
    """`none`, `imagenet` (torchvision's, from its cache or the network), or a state dict's path.

    `layout` names the backbone in messages, `imagenet` torchvision's weights where it has some
    (`ResNet50_Weights.IMAGENET1K_V1`), and keys that begin with one of `skipped` are left out.
    Raises UserError for weights that cannot be had or do not fit, naming a key.
    """
    if weights == "none":
        return
    state = _imagenet(layout, imagenet) if weights == "imagenet" else _from_file(Path(weights))
    state = {key: value for key, value in state.items() if not key.startswith(skipped)}
    own = backbone.state_dict()
    wrong = [
        f"'{key}' is {'missing' if key not in state else 'unexpected'}"
        for key in sorted(own.keys() ^ state.keys())
    ]
    wrong += [
        f"'{key}' has shape {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in sorted(own.keys() & state.keys())
        if own[key].shape != state[key].shape
    ]
    if wrong:
        raise UserError(f"weights '{weights}' do not fit {layout}: {wrong[0]}")
    backbone.load_state_dict(state)


def _imagenet(layout: str, name: str | None) -> dict[str, Tensor]:
    if name is None:
        raise UserError(f"{layout} has no ImageNet weights; set model.weights to none or a path")
    from torchvision.models import get_weight  # two seconds that no other start needs

    weights = get_weight(name)
    try:
        return dict(weights.get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"ImageNet weights of {layout}: {error}; download {weights.url} where there is a "
            "network and set model.weights to its path"
        ) from None


def _from_file(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"weights '{path}': no such file") from None
    except Exception as error:  # torch.load raises many types for a damaged file
        raise UserError(f"weights '{path}': not a readable state dict ({error})") from None
    if not isinstance(content, dict):
        raise UserError(f"weights '{path}': expected a state dict, found {type(content).__name__}")
    return content
