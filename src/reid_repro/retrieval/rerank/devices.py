"""What the re-rankers do on which device: the kind of their steps, and the timing of a phase."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from reid_repro.retrieval.rerank.base import timed


def takes_tensor_steps(device: torch.device) -> bool:
    """Whether steps run as torch operations; on the CPU compiled loops are faster."""
    return device.type != "cpu"


@contextmanager
def timed_on(device: torch.device, timings: dict[str, float], phase: str) -> Iterator[None]:
    """`timed`, on a GPU until its work is done."""
    with timed(timings, phase):
        yield
        if device.type == "cuda":
            torch.cuda.synchronize(device)
