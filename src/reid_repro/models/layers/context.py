"""Cascaded Hierarchical Context Module of CHCA (Section III, Eqs. 1-9, Algorithm 1).

A map is embedded into fewer channels and pooled to a pyramid, coarse to fine. Each level then
attends to the context of the level above it, the last time the embedded map itself, and what comes
out is added to the map. With one level this is a non-local block whose keys are down-sampled.

The paper's softmax runs over each row of a (keys x queries) matrix, so over the queries; the usual
one runs over the keys. Large matrices are not kept: behind the first stage at 256 x 256 pixels
the last one has four million entries an image.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Entries of the attention matrices in work at once: what a CPU core's cache holds, and enough
# to fill a GPU.
ENTRIES = {"cpu": 2**19}
ENTRIES_OF_A_GPU = 2**26
KEPT = 2**24  # entries of all matrices of a module that the backward pass may find in memory


class CHCM(nn.Module):
    """(n, `channels`, h, w) to the same shape: Y = W_out(X_final) + X (Eq. 5).

    `reduction` is C / C', `levels` the paper's n. `softmax_over` says what each row of weights sums
    to one over, `scaled` divides scores by sqrt(C') (Eq. 6 does, Eq. 8 does not), `shared_key` uses
    one W_phi at every level. With `zero_output` the module starts as the identity. `too_small`
    decides about maps whose height or width the coarsest level does not divide: an error, or
    sizes rounded down to no less than 1 (`clamp`; not with strided convolutions). `place` names
    the module in errors. Raises ValueError for options out of their range.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 2,
        levels: int = 3,
        pooling: Literal["max", "average", "strided"] = "max",
        softmax_over: Literal["queries", "keys"] = "queries",
        scaled: bool = False,
        shared_key: bool = True,
        zero_output: bool = True,
        too_small: Literal["error", "clamp"] = "error",
        place: str = "CHCM",
    ) -> None:
        super().__init__()
        if reduction < 1 or channels % reduction:
            raise ValueError(
                f"{place}: {channels} channels cannot be divided by reduction {reduction}"
            )
        if levels < 1:
            raise ValueError(f"{place}: levels is {levels}; it must be at least 1")
        for value, known in (
            (pooling, ("max", "average", "strided")),
            (softmax_over, ("queries", "keys")),
            (too_small, ("error", "clamp")),
        ):
            if value not in known:
                raise ValueError(f"{place}: option '{value}' is unknown; known: {', '.join(known)}")
        if pooling == "strided" and too_small == "clamp":
            raise ValueError(f"{place}: strided convolutions need maps that fit; too_small='error'")
        embedded = channels // reduction
        self.levels = levels
        self.pooling = pooling
        self.softmax_over = softmax_over
        self.scale = embedded**-0.5 if scaled else 1.0
        self.too_small = too_small
        self.place = place
        # The 1x1 convolutions, as matrices over the channels (the paper's word), without bias.
        self.reduce = nn.Linear(channels, embedded, bias=False)  # W_in
        self.keys = nn.ModuleList(  # W_phi
            nn.Linear(embedded, embedded, bias=False) for _ in range(1 if shared_key else levels)
        )
        self.restore = nn.Linear(embedded, channels, bias=False)  # W_out
        if zero_output:
            nn.init.zeros_(self.restore.weight)
        self.strided = nn.ModuleList(  # channel by channel, as pooling is
            nn.Conv2d(embedded, embedded, window, stride=window, groups=embedded, bias=False)
            for window in (self._windows() if pooling == "strided" else ())
        )

    def forward(self, features: Tensor) -> Tensor:
        """Raises ValueError for a map that a level does not fit."""
        embedded = self.reduce(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # Eq. 1
        pyramid = [*self._pyramid(embedded), embedded]
        context = _tokens(pyramid[0])  # Eq. 9: X_1 is its own context
        for level, queries in enumerate(pyramid[1:]):
            keys = self.keys[level % len(self.keys)](context)  # Eq. 7
            context = self._attend(_tokens(queries), keys, context)  # Eqs. 8 and 9
        added: Tensor = self.restore(context).mT.reshape(features.shape)  # Eq. 5
        return features + added

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        if self.softmax_over == "queries":
            return spread(queries, keys * self.scale if self.scale != 1 else keys, values)
        query, key, value = (tokens.unsqueeze(1) for tokens in (queries, keys, values))
        attended = functional.scaled_dot_product_attention(query, key, value, scale=self.scale)
        return attended.squeeze(1)

    def _windows(self) -> list[int]:
        """H / N_i of the levels, coarse to fine (Eq. 3)."""
        return [2 ** (self.levels - level) for level in range(self.levels)]

    def _pyramid(self, embedded: Tensor) -> list[Tensor]:
        """X_1 to X_n, coarse to fine (Eq. 2)."""
        height, width = embedded.shape[-2:]
        sizes = pyramid_sizes(height, width, self.levels, self.too_small, self.place)
        if self.pooling == "strided":
            return [pool(embedded) for pool in self.strided]
        pool, adapt = (
            (functional.max_pool2d, functional.adaptive_max_pool2d)
            if self.pooling == "max"
            else (functional.avg_pool2d, functional.adaptive_avg_pool2d)
        )
        pyramid: list[Tensor] = []
        finer = embedded
        for window, size in zip(self._windows()[::-1], sizes[::-1], strict=True):
            # Halving the level below gives what the whole window on X' gives, for less.
            fits = height % window == 0 and width % window == 0
            finer = pool(finer, 2) if fits else adapt(embedded, size)
            pyramid.append(finer)
        return pyramid[::-1]


def pyramid_sizes(
    height: int, width: int, levels: int, too_small: str = "error", place: str = "CHCM"
) -> list[tuple[int, int]]:
    """N_i = H / 2^(n-i+1) of both sides, for i = 1..n (Eq. 3).

    Raises ValueError where one is not a whole number, unless `too_small` is `clamp`: then it is
    rounded down, but never below 1.
    """
    sizes = []
    for level in range(1, levels + 1):
        window = 2 ** (levels - level + 1)
        if too_small != "clamp" and (height % window or width % window):
            raise ValueError(
                f"{place}: level {level} of {levels} pools {window} x {window} cells, which does "
                f"not divide a map of {height} x {width}; take fewer levels, another image size, "
                "or too_small='clamp'"
            )
        sizes.append((max(1, height // window), max(1, width // window)))
    return sizes


def _tokens(features: Tensor) -> Tensor:
    """(n, c, h, w) to (n, h w, c), a view where the channels lie last in memory."""
    return features.flatten(2).mT


def spread(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention whose weights sum to one over the queries, for each key (Eq. 8 as printed).

    `queries` (n, q, c), `keys` and `values` (n, k, c), of one type, give (n, q, c): the sum over
    keys of softmax_q(key . query) times the value. The softmax is computed in float32, also on
    half-precision scores. Of large (k, q) matrices none outlives the call: the backward pass
    computes them again, a few images at a time. No second derivatives.
    """
    attended: Tensor = _Spread.apply(queries, keys, values)
    return attended


class _Spread(torch.autograd.Function):
    """O = W^T V with W = softmax over q of K Q^T.

    W is kept for the backward pass where it is small; else memory grows with n (q + k) c only.
    """

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        attended = torch.empty_like(queries, memory_format=torch.contiguous_format)
        kept = len(queries) * queries.shape[1] * keys.shape[1] <= KEPT
        found = []
        for part in _parts(queries, keys):
            weights = _weights(queries[part], keys[part])
            attended[part] = torch.bmm(values[part].mT, weights).mT
            if kept:
                found.append(weights)
        ctx.save_for_backward(queries, keys, values, *found)
        return attended

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        queries, keys, values, *found = ctx.saved_tensors
        of_queries, of_keys, of_values = map(torch.empty_like, (queries, keys, values))
        for number, part in enumerate(_parts(queries, keys)):
            q, k, v = queries[part], keys[part], values[part]
            # The few channels as rows: so the products run several times faster on a CPU.
            g = gradient[part].mT.contiguous()
            weights = found[number] if found else _weights(q, k)
            value_gradient = torch.bmm(g, weights.mT).mT
            # dS = W * (V dO^T - rowsum(W * V dO^T)), and that row sum is V . dV, key by key: one
            # more channel of the product, against -1.
            wide = torch.promote_types(v.dtype, torch.float32)
            mean = (v.to(wide) * value_gradient.to(wide)).sum(-1, keepdim=True).to(v.dtype)
            minus = g.new_full((len(g), 1, g.shape[2]), -1)
            scores = torch.bmm(torch.cat([v, mean], 2), torch.cat([g, minus], 1)).mul_(weights)
            of_values[part] = value_gradient
            of_keys[part] = torch.bmm(q.mT, scores.mT).mT
            of_queries[part] = torch.bmm(k.mT, scores).mT
        return of_queries, of_keys, of_values


def _weights(queries: Tensor, keys: Tensor) -> Tensor:
    scores = torch.bmm(keys, queries.mT)
    # Naming the type keeps autocast from widening the result; inside, the sums are float32.
    return scores.softmax(-1, dtype=scores.dtype)


def _parts(queries: Tensor, keys: Tensor) -> list[slice]:
    """Groups of images whose attention matrices are in work at once."""
    entries = ENTRIES.get(queries.device.type, ENTRIES_OF_A_GPU)
    images = max(1, entries // (queries.shape[1] * keys.shape[1]))
    return [slice(start, start + images) for start in range(0, len(queries), images)]
