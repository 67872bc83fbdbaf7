"""P x K batches: P identities, K images of each, every image at least once an epoch.

Corner cases: an identity whose number of images is no multiple of K has its last group filled
up from its own images (with repetition if it has fewer than K); the epoch's last batch is
filled up with groups of other identities, so that every batch is P x K; a batch never holds an
identity twice. So one dominant identity stretches the epoch: it has at least as many batches as
that identity has groups, and where this is more than all groups fill, the places beside it go to
groups of the others again and again. Reference: Hermans et al., In Defense of the Triplet Loss,
section 2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from reid_repro.errors import UserError


class IdentitySampler(Sampler[list[int]]):
    """Yields lists of P x K positions into `labels`; the order depends on (seed, epoch) alone."""

    def __init__(
        self, labels: np.ndarray, *, identities: int, images: int, seed: int, epoch: int = 0
    ) -> None:
        self._by_identity = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self._identities, self._images = identities, images
        self._seed, self.epoch = seed, epoch
        if len(self._by_identity) < identities:
            raise UserError(
                f"a batch of {identities} identities cannot be drawn from "
                f"{len(self._by_identity)}; lower training.identities_per_batch"
            )
        groups = [-(-len(positions) // images) for positions in self._by_identity]
        # No batch takes two groups of one identity, so the largest identity may set the length.
        self._batches = max(-(-sum(groups) // identities), max(groups))

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng((self._seed, self.epoch))
        waiting = [deque(self._groups(positions, rng)) for positions in self._by_identity]
        for _ in range(self._batches):
            chosen = self._choose(waiting, rng)
            batch = [
                waiting[identity].popleft()
                if waiting[identity]
                else self._groups(self._by_identity[identity], rng)[0]
                for identity in chosen
            ]
            yield [int(position) for position in np.concatenate(batch)]

    def _choose(self, waiting: list[deque[np.ndarray]], rng: np.random.Generator) -> np.ndarray:
        """The P identities with most groups left, ties at random: then all are used up in time."""
        left = np.array([len(groups) for groups in waiting])
        order = rng.permutation(len(left))
        return order[np.argsort(-left[order], kind="stable")][: self._identities]

    def _groups(self, positions: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        shuffled = rng.permutation(positions)
        missing = -len(shuffled) % self._images
        if missing:
            others = shuffled[: len(shuffled) - len(shuffled) % self._images]
            pool = others if len(others) >= missing else shuffled
            again = rng.choice(pool, missing, replace=len(pool) < missing)
            shuffled = np.concatenate([shuffled, again])
        return np.split(shuffled, len(shuffled) // self._images)


class UniformSampler(Sampler[list[int]]):
    """Batches of `size` positions out of `count`, shuffled, every one once an epoch.

    The last batch is filled up from the epoch's start, so that all have the same size.
    """

    def __init__(self, count: int, *, size: int, seed: int, epoch: int = 0) -> None:
        self._count, self._size = count, size
        self._seed, self.epoch = seed, epoch

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return -(-self._count // self._size)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng((self._seed, self.epoch))
        # np.resize repeats from the start, several times over where there are few images.
        order = np.resize(rng.permutation(self._count), len(self) * self._size)
        for batch in order.reshape(len(self), self._size):
            yield batch.tolist()
