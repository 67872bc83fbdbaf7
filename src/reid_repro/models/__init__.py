"""The papers' networks, one file a paper."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import nn

__all__ = ["build"]

# Name in the configuration -> module and class, imported when asked for.
NETWORKS = {
    "baseline": ("baseline", "Baseline"),
    "chca": ("chca", "CHCA"),
    "pgan": ("pgan", "PGAN"),
    "ssrnet": ("ssrnet", "SSRNet"),
    "pcb": ("pcb", "PCB"),
    "glad": ("glad", "GLAD"),
}


def build(name: str, num_classes: int, **options: Any) -> nn.Module:
    """The network `name` for `num_classes` training identities.

    In training mode its forward gives `outputs.Outputs`, in evaluation mode the (n, d) descriptor,
    ready for L2 normalisation; `dimension` is its d. Beside the images (n, 3, h, w), PGAN takes
    part boxes (n, parts, 4) and GLAD keypoints (n, 14, 3), both in shares of the image. Raises
    ValueError for an unknown name or a number of classes below 1.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}; it must be at least 1")
    if name not in NETWORKS:
        raise ValueError(f"model '{name}' is unknown; known: {', '.join(NETWORKS)}")
    module, network = NETWORKS[name]
    built: nn.Module = getattr(import_module(f"reid_repro.models.{module}"), network)(
        num_classes, **options
    )
    return built
