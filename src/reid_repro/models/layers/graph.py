"""SSR-Net's graph of regions: which nodes touch (Eq. 3), their crops (Eq. 2), and the GCN (Eq. 4).

Nodes stand in the order of `REGIONS`, then the global node, then the token node, where they exist.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

REGIONS = ("upper left", "upper right", "middle", "lower left", "lower right")
# The corners form a ring, and the middle touches each of them.
REGION_EDGES = ((0, 1), (1, 4), (4, 3), (3, 0), (2, 0), (2, 1), (2, 3), (2, 4))


def region_adjacency(*, global_node: bool, token_node: bool) -> Tensor:
    """A + I (nodes, nodes) of zeros and ones.

    The token touches the five regions and the global node, which touches nothing else. Without a
    token the global node touches the regions itself; without both, there are the regions alone.
    """
    local = len(REGIONS)
    edges = list(REGION_EDGES)
    nodes = local + global_node + token_node
    if nodes > local:  # the last node is the token, or the global node in its place
        edges += [(nodes - 1, other) for other in range(nodes - 1)]
    adjacency = [[float(row == column) for column in range(nodes)] for row in range(nodes)]
    for one, other in edges:
        adjacency[one][other] = adjacency[other][one] = 1.0
    return torch.tensor(adjacency)


def region_bounds(height: int, width: int, crop: float) -> list[tuple[slice, slice]]:
    """The rows and columns of each region of a map (height, width), in the order of `REGIONS`.

    Every region has floor(crop * height) x floor(crop * width) cells (Eq. 2). Raises ValueError
    where that is none.
    """
    # 0.29 * 100 is a hair below 29 in floating point; the floor is of the decimal product.
    high, wide = int(crop * height + 1e-9), int(crop * width + 1e-9)
    if high < 1 or wide < 1:
        raise ValueError(
            f"crop {crop:.3g} of a {height}x{width} feature map has no cell; "
            "enlarge the image or model.crop"
        )
    down, right = height - high, width - wide
    corners = ((0, 0), (0, right), (down // 2, right // 2), (down, 0), (down, right))
    return [(slice(top, top + high), slice(left, left + wide)) for top, left in corners]


def pool_regions(features: Tensor, crop: float) -> Tensor:
    """The mean feature of every region of maps (n, c, h, w): (n, 5, c) float32.

    One product with the regions' indicators: five slices would each read the map again, and write
    a whole map of zeros on the way back.
    """
    height, width = features.shape[2:]
    bounds = region_bounds(height, width, crop)
    inside = torch.zeros(len(bounds), height, width)
    for index, (rows, columns) in enumerate(bounds):
        inside[index, rows, columns] = 1
    inside = inside.flatten(1).to(features.device, features.dtype)
    cells = features.permute(0, 2, 3, 1).flatten(1, 2)
    # The indicators are exact in half precision; the division is left to float32.
    rows, columns = bounds[0]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    pooled: Tensor = (inside @ cells).float() / area
    return pooled


class RegionGCN(nn.Module):
    """H' = ReLU(D^-1 (A + I) H W), layer after layer (Eq. 4), read out to one vector.

    Nodes (n, nodes, channels) become (n, dimension). All layers but the last keep the channels.
    Read out is the last node, token or global, which touches all others but one at most; the mean
    of the regions where they are alone. `last_activation` false leaves the last ReLU out.
    """

    adjacency: Tensor

    def __init__(
        self,
        channels: int,
        dimension: int,
        *,
        layers: int = 2,
        global_node: bool = True,
        token_node: bool = True,
        last_activation: bool = True,
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"layers is {layers}; a graph network needs at least 1")
        sizes = [channels] * layers + [dimension]
        self.layers = nn.ModuleList(
            nn.Linear(before, after, bias=False) for before, after in pairwise(sizes)
        )
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_uniform_(layer.weight)
        adjacency = region_adjacency(global_node=global_node, token_node=token_node)
        self.register_buffer("adjacency", adjacency, persistent=False)
        self.reads_last = global_node or token_node
        self.last_activation = last_activation

    def forward(self, nodes: Tensor) -> Tensor:
        """The read-out of `nodes` (n, nodes, channels), float32."""
        last = len(self.layers) - 1
        for depth, layer in enumerate(self.layers):
            # Of the last layer only the row that is read is worked out.
            rows = self.adjacency[-1:] if depth == last and self.reads_last else self.adjacency
            nodes = layer((rows @ nodes).float() / rows.sum(1, keepdim=True))
            if depth < last or self.last_activation:
                nodes = nodes.relu()
        return nodes.float().mean(1)
