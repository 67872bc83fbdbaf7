"""Optimisers, and the learning rate as a function of how far the training is.

A function of the epoch or iteration alone has no state, so a resumed training needs none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from reid_repro.config import TrainingConfig


def optimizer(parameters: Iterable[nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    """Adam or SGD with momentum; the weight decay is on every parameter that learns.

    Fused: one kernel for all parameters, on CPU and GPU.
    """
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    if config.optimizer == "adam":
        return torch.optim.Adam(
            learning, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
    return torch.optim.SGD(
        learning,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        fused=True,
    )


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The rate of epoch (or iteration, where the length is given in these) `step`, from 0.

    Warm-up: from `warmup_factor` of the rate, linearly, whole from step `warmup` on. Then
    times `gamma` at each milestone (counted from the start), or half a cosine from `cosine_start`
    (not before the warm-up's end) that would reach zero one step after the last.
    """
    rate = config.learning_rate
    if step < config.warmup:
        rate *= config.warmup_factor + (1 - config.warmup_factor) * step / config.warmup
    if config.schedule == "step":
        return rate * config.gamma ** sum(step >= milestone for milestone in config.milestones)
    start = max(config.cosine_start, config.warmup)
    total = config.epochs or config.iterations or 0
    if step <= start or total <= start:
        return rate
    return rate * (1 + math.cos(math.pi * (step - start) / (total - start))) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate
