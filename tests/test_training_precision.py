"""Under autocast maps are half precision, but what is pooled of them is float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reid_repro import models

SMALL = {"backbone": "resnet10", "width": 8}
# Network, the module whose output is pooled, and the one that takes what was pooled of it.
CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "baseline": (SMALL, "backbone", "neck"),
    "chca": (SMALL | {"levels": 2}, "context.4", "neck"),
    "ssrnet": (SMALL | {"attention_reduction": 4}, "backbone", "necks.global"),
    "ssrnet attention": (
        SMALL | {"attention_embedding": "none", "attention_reduction": 4},
        "attention.attend",
        "necks.attention",
    ),
    "pcb": (SMALL | {"stripes": 3, "dimension": 16}, "backbone", "reduce"),
    "pgan shortcut": (
        SMALL | {"attention": "grid"},
        "refine.fusion.norm1",
        "refine.fusion.shortcut",
    ),
    "pgan bottleneck": (
        SMALL | {"attention": "grid"},
        "refine.fusion.norm3",
        "refine.fusion.conv3",
    ),
}


def pooled(maps: Tensor) -> Tensor:
    return maps.float().mean(dim=(2, 3))


def striped(maps: Tensor) -> Tensor:
    """Rows 0 to 2, 2 to 5 and 5 to 7 of eight, the neighbours sharing one."""
    rows = ((0, 3), (2, 6), (5, 8))
    return torch.stack([pooled(maps[:, :, top:bottom]) for top, bottom in rows], 1)


@pytest.mark.parametrize("case", CASES)
def test_pooling_is_float32_under_autocast(case: str) -> None:
    options, source, sink = CASES[case]
    torch.manual_seed(0)
    model = models.build(case.split()[0], 4, **options).train()
    seen: list[Tensor] = []
    taken: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # The activations of `Refine` work in place: what is pooled is what they leave here.
        seen.append(output)

    model.get_submodule(source).register_forward_hook(keep)
    model.get_submodule(sink).register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        model(torch.randn(4, 3, 128, 64))
    (maps,), (found,) = seen, taken
    assert maps.dtype == torch.bfloat16
    assert found.dtype == torch.float32
    pool: Callable[[Tensor], Tensor] = striped if case == "pcb" else pooled
    torch.testing.assert_close(found, pool(maps), rtol=1e-5, atol=1e-6)
