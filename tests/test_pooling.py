"""Means of maps: the same values as torch's, with gradients laid out as the map is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reid_repro.models.layers.pooling import channel_mean, spatial_mean

PAIRS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "places": (spatial_mean, lambda maps: maps.mean((2, 3))),
    "places, float32": (
        lambda maps: spatial_mean(maps, torch.float32),
        lambda maps: maps.mean((2, 3), dtype=torch.float32),
    ),
    "channels": (channel_mean, lambda maps: maps.mean(1, keepdim=True)),
}


@pytest.mark.parametrize("shape", [(3, 5, 4, 2), (2, 8, 1, 1), (1, 1, 3, 4)])
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("pair", PAIRS)
def test_means_are_torchs(shape: tuple[int, ...], form: torch.memory_format, pair: str) -> None:
    ours, theirs = PAIRS[pair]
    maps = torch.randn(shape, dtype=torch.float64).contiguous(memory_format=form)
    if "float32" in pair:
        maps = maps.to(torch.bfloat16)
    maps.requires_grad_()
    found, expected = ours(maps), theirs(maps)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected)
    given = torch.randn_like(expected)
    torch.testing.assert_close(
        *(torch.autograd.grad(mean, maps, given)[0] for mean in (found, expected))
    )


@pytest.mark.parametrize("pair", PAIRS)
def test_gradients_lie_as_the_map_does(pair: str) -> None:
    maps = torch.randn(3, 5, 4, 2).to(memory_format=torch.channels_last).requires_grad_()
    (gradient,) = torch.autograd.grad(PAIRS[pair][0](maps).sum(), maps)
    assert gradient.is_contiguous(memory_format=torch.channels_last)
    assert not gradient.is_contiguous()
