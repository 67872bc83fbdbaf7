"""k-reciprocal encoding by torch operations: the steps of `k_reciprocal.py` for any device.

The neighbour lists come from the search through the host; after that nothing leaves the device
until a block of rows is returned. Sums over sparse entries are made repeatable without an order of
threads: sets are padded rows with one entry a column, a mean of codes sums a padded row of at most
k2 addends, and the scattered sums of the Jaccard distance are integers (weights are held in units
of 2^-40, far below float32's resolution of them).

The tests run these steps on the CPU against the compiled ones, and on a GPU where they find one;
their time on a GPU has not been measured.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid_repro.retrieval.distances import FeatureSpace
from reid_repro.retrieval.rerank.sparse_torch import pointers, spread
from reid_repro.retrieval.search import Neighbours

ELEMENTS = 1 << 24  # elements of the largest intermediate array of a step
UNIT = 2.0**-40  # of the weights in the scattered sums; a sum of codes is at most 2^40 units


class TensorCodes:
    """`reciprocal_codes.CompiledCodes` on tensors; see there for the steps and their order."""

    def __init__(self, found: Neighbours, device: torch.device) -> None:
        self._ranked = torch.from_numpy(found.indices).to(device)
        self._n = len(self._ranked)

    def find_sets(self, wide: int, half: int, *, expand: bool, at_least: bool) -> None:
        """R* of every node from the first `wide` ranks, and `half` ranks of its members."""
        n = self._n
        members = self._reciprocal(wide)
        candidate = self._reciprocal(half) if expand else members[:, :0]
        size = (candidate < n).sum(1)
        rows, columns = [], []
        step = max(1, ELEMENTS // (wide * (1 + candidate.shape[1])))
        for first in range(0, n, step):
            own = members[first : first + step].sort(1).values  # absent members are n, so last
            present = own < n
            other = own.clamp(max=n - 1)
            joining = candidate[other].flatten(1)  # (m, wide * half)
            place = torch.searchsorted(own, joining).clamp_(max=wide - 1)
            both = (own.gather(1, place) == joining) & (joining < n)
            shared = 3 * both.view(*own.shape, candidate.shape[1]).sum(2)
            needed = 2 * size[other]
            joins = present & ((shared >= needed) if at_least else (shared > needed))
            absent = ~joins.repeat_interleave(candidate.shape[1], 1)
            union = torch.cat([own, joining.masked_fill_(absent, n)], 1).sort(1).values
            fresh = union < n
            fresh[:, 1:] &= union[:, 1:] != union[:, :-1]
            row, place = fresh.nonzero(as_tuple=True)
            rows.append(row + first)
            columns.append(union[row, place])
        self._row, self._column = torch.cat(rows), torch.cat(columns)

    def _reciprocal(self, k: int) -> Tensor:
        """R(i, k) of Eq. 3 in order of rank, (n, k), n where a neighbour is not reciprocal."""
        ranked = self._ranked[:, :k]
        members = torch.empty_like(ranked)
        step = max(1, ELEMENTS // (k * k))
        for first in range(0, self._n, step):
            rows = slice(first, first + step)
            node = torch.arange(self._n, device=ranked.device)[rows]
            back = (ranked[ranked[rows]] == node[:, None, None]).any(2)
            members[rows] = ranked[rows].masked_fill(~back, self._n)
        return members

    def encode(self, space: FeatureSpace, scale: Tensor | None) -> None:
        """Weights exp(-squared distance / scale) over R*, each row summing to 1."""
        row = self._row
        squared = torch.empty(len(row), dtype=torch.float64, device=row.device)
        for first in range(0, len(row), ELEMENTS):
            part = slice(first, first + ELEMENTS)
            squared[part] = space.exact(row[part], self._column[part])
        count = torch.bincount(row, minlength=self._n)
        start = count.cumsum(0) - count
        place = torch.arange(len(row), device=row.device) - start[row]
        padded = squared.new_full((self._n, int(count.max())), torch.inf)
        padded[row, place] = squared
        if scale is not None:
            padded /= scale[:, None]
        # softmax subtracts the row's least distance, which changes no weight.
        weight = torch.softmax(-padded, 1)
        self._value = weight[row, place].float()

    def average(self, near: int) -> None:
        """Replace each node's code by the mean over its first `near` ranks."""
        n = self._n
        start = pointers(self._row, n)
        most = max(1, int((start[1:] - start[:-1]).max()))
        step = max(1, ELEMENTS // (near * most))
        rows, columns, values = [], [], []
        for first in range(0, n, step):
            ranked = self._ranked[first : first + step, :near]
            other = ranked.flatten()
            length = start[other + 1] - start[other]
            piece, entry = spread(start[other], length)
            key = (first + piece // near) * n + self._column[entry]
            key, order = key.sort(stable=True)  # addends of a sum stay in order of rank
            run, which, count = torch.unique_consecutive(
                key, return_inverse=True, return_counts=True
            )
            place = torch.arange(len(key), device=key.device) - (count.cumsum(0) - count)[which]
            addends = self._value.new_zeros((len(run), near), dtype=torch.float64)
            addends[which, place] = self._value[entry[order]].double()
            rows.append(run // n)
            columns.append(run % n)
            values.append((addends.sum(1) / near).float())
        self._row, self._column = torch.cat(rows), torch.cat(columns)
        self._value = torch.cat(values)

    def index(self, n_query: int) -> None:
        """Keep the queries' codes and the inverted index of the others; drop the rest."""
        value = (self._value.double() / UNIT).round_().long()
        of_query = self._row < n_query
        self._query_start = pointers(self._row[of_query], n_query)
        self._query_column, self._query_value = self._column[of_query], value[of_query]
        column, order = self._column[~of_query].sort(stable=True)
        self._start = pointers(column, self._n)
        self._entry = (self._row[~of_query] - n_query)[order]
        self._entry_value = value[~of_query][order]
        del self._ranked, self._row, self._column, self._value

    def blend(
        self, start: int, stop: int, squared: Tensor, weight: Tensor, share: float
    ) -> npt.NDArray[np.float32]:
        """share * Jaccard + weight * squared for queries start:stop, (m, g) on the host."""
        rows = squared.clamp_(min=0).mul_(weight.float()[:, None])
        if share > 0:
            common = self._common(start, stop, squared.shape[1]).double().mul_(UNIT).clamp_(max=1)
            rows += (1 - common.div_(2 - common)).mul_(share).float()
        out: npt.NDArray[np.float32] = rows.cpu().numpy()
        return out

    def _common(self, start: int, stop: int, n_gallery: int) -> Tensor:
        """Sum of the smaller of both codes over all columns, in units, (m, g) int64."""
        pointer = self._query_start[start : stop + 1]
        query = torch.arange(stop - start, device=pointer.device)
        query = query.repeat_interleave(pointer[1:] - pointer[:-1])
        own = slice(int(pointer[0]), int(pointer[-1])) if stop > start else slice(0, 0)
        column, value = self._query_column[own], self._query_value[own]
        first, length = self._start[column], self._start[column + 1] - self._start[column]
        ends = length.cumsum(0)
        common = value.new_zeros((stop - start) * n_gallery)
        total = int(ends[-1]) if len(ends) else 0
        for begin in range(0, total, ELEMENTS):
            place = torch.arange(begin, min(begin + ELEMENTS, total), device=value.device)
            piece = torch.searchsorted(ends, place, right=True)
            entry = place - ends[piece] + length[piece] + first[piece]
            least = torch.minimum(value[piece], self._entry_value[entry])
            common.index_add_(0, query[piece] * n_gallery + self._entry[entry], least)
        return common.view(stop - start, n_gallery)
