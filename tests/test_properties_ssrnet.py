"""What SSR-Net says of its method and training, shown on this project's network and settings."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from reid_repro import models, plan
from reid_repro.models.layers.graph import region_adjacency, region_bounds
from reid_repro.models.ssrnet import SSRNet


def steps_between(adjacency: torch.Tensor) -> torch.Tensor:
    """The number of edges on the shortest way between each two nodes."""
    nodes = len(adjacency)
    ways = adjacency.bool()
    steps = torch.full((nodes, nodes), -1)
    steps[ways] = 1
    steps[torch.eye(nodes, dtype=torch.bool)] = 0
    for length in range(2, nodes):
        ways = (ways.float() @ adjacency).bool()
        steps[ways & (steps < 0)] = length
    return steps


def test_the_graph_is_two_edges_deep() -> None:
    """Section 4.4: the longest shortest way has two edges, as many as the GCN has layers."""
    steps = steps_between(region_adjacency(global_node=True, token_node=True))
    assert steps.shape == (7, 7)
    assert int(steps.min()) == 0
    assert int(steps.max()) == 2
    assert steps[-1].tolist() == [1] * 6 + [0]  # the token touches all
    assert steps[-2, :5].tolist() == [2] * 5  # the global node sees regions through it


@pytest.mark.parametrize("side", [48, 16])
def test_crops_overlap_from_a_half_on(side: int) -> None:
    """Section 3.4: each two of the five crops share cells if and only if lambda is above 1/2."""
    for cells in range(1, side + 1):
        bounds = region_bounds(side, side, cells / side)
        assert all(rows.stop - rows.start == cells for rows, _ in bounds)
        shared = [
            max(one[axis].start, other[axis].start) < min(one[axis].stop, other[axis].stop)
            for one, other in combinations(bounds, 2)
            for axis in (0, 1)
        ]
        assert all(shared) == (2 * cells > side)


def test_settings_are_those_of_section_4_2() -> None:
    """Section 4.2, and the values of lambda, beta and l that Section 4.4 chooses."""
    run = plan.load({"scale": "paper"}).resolve("ssrnet/ssrnet/veri776/seed0")
    training, model = run.training, run.model.model_dump()
    assert (model["backbone"], model["weights"]) == ("resnet50", "imagenet")
    assert (training.height, training.width) == (256, 256)
    assert training.flip > 0
    assert training.crop_padding > 0
    assert training.erasing == 0
    assert (training.identities_per_batch, training.images_per_identity) == (8, 4)
    assert (training.optimizer, training.weight_decay) == ("sgd", 5e-4)
    assert (training.learning_rate, training.warmup) == (1e-4, 5)
    assert (training.schedule, training.cosine_start) == ("cosine", 15)
    assert (training.margin, training.metric_weight) == (0.5, 1)
    assert (model["crop"], model["layers"], model["attention"]) == (2 / 3, 2, "cbam")
    options = run.model.model_dump(exclude={"name", "weights"})
    with torch.device("meta"):
        network = models.build("ssrnet", 576, **options)
    assert isinstance(network, SSRNet)
    assert network.relation is not None
    assert network.relation.token is not None
    assert network.relation.token.numel() == 2048
    assert network.dimension == 2048 + 512 + 512
