"""The papers' networks, one file a paper."""

from __future__ import annotations

from typing import Any

from torch import nn

from reid_repro.models.baseline import Baseline

__all__ = ["build"]


def build(name: str, num_classes: int, **options: Any) -> nn.Module:
    """The network `name` for `num_classes` training identities.

    In training mode its forward gives what the losses take, in evaluation mode the (n, d)
    descriptor, ready for L2 normalisation. Raises ValueError for an unknown name or a number of
    classes below 1.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}; it must be at least 1")
    if name == "baseline":
        return Baseline(num_classes, **options)
    raise ValueError(f"model '{name}' is unknown; known: baseline")
