"""The P x K sampler against what it promises, whatever the sizes of the identities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid_repro.errors import UserError
from reid_repro.training.sampler import IdentitySampler, UniformSampler


@given(
    sizes=st.lists(st.integers(1, 13), min_size=3, max_size=12),
    images=st.integers(2, 5),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 3),
)
def test_every_batch_is_p_by_k_and_every_image_is_seen(
    sizes: list[int], images: int, seed: int, epoch: int
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    sampler = IdentitySampler(labels, identities=3, images=images, seed=seed, epoch=epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    seen: set[int] = set()
    for batch in batches:
        found, counts = np.unique(labels[batch], return_counts=True)
        assert len(found) == 3
        assert (counts == images).all()
        for label in found:
            own = [position for position in batch if labels[position] == label]
            # Nothing is repeated within a group unless the identity has too few images.
            assert len(set(own)) == min(images, sizes[label])
        seen.update(batch)
    assert seen == set(range(len(labels)))
    assert list(sampler) == batches
    # No longer than needed: the sum of groups, or the identity that has most of them.
    groups = [-(-size // images) for size in sizes]
    assert len(batches) == max(-(-sum(groups) // 3), max(groups))


def test_another_seed_or_epoch_gives_another_order() -> None:
    labels = np.repeat(np.arange(8), 6)
    order = [
        list(IdentitySampler(labels, identities=4, images=2, seed=seed, epoch=epoch))
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    assert order[0] != order[1]
    assert order[0] != order[2]


def test_too_few_identities_are_refused() -> None:
    with pytest.raises(UserError, match="4 identities cannot be drawn from 3"):
        IdentitySampler(np.array([0, 1, 2]), identities=4, images=2, seed=0)


@given(
    count=st.integers(1, 40),
    size=st.integers(1, 12),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 3),
)
def test_uniform_batches_are_full_and_every_image_is_seen(
    count: int, size: int, seed: int, epoch: int
) -> None:
    sampler = UniformSampler(count, size=size, seed=seed, epoch=epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler) == -(-count // size)
    assert {len(batch) for batch in batches} == {size}
    order = [position for batch in batches for position in batch]
    assert sorted(order[:count]) == list(range(count))
    # What fills the last batch is the epoch's start, over and over.
    assert order[count:] == [order[n % count] for n in range(len(order) - count)]
    assert list(sampler) == batches


def test_uniform_order_changes_with_seed_and_epoch() -> None:
    orders = [
        list(UniformSampler(50, size=10, seed=seed, epoch=epoch))
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    assert orders[0] != orders[1] != orders[2] != orders[0]
