"""Matching, encoding and the multibox loss against torchvision's, which goes image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.detection._utils import BoxCoder, SSDMatcher
from torchvision.ops import box_iou

from reid_repro.parts import targets
from reid_repro.parts.classes import PARTS
from reid_repro.parts.network import Heads, build
from reid_repro.parts.samples import padded
from reid_repro.parts.targets import decode, encode, match, multibox_loss, pairwise_iou

from parts_world import detector, loop_iou, random_boxes


def random_truth(rng: np.random.Generator, images: int, most: int) -> targets.Truth:
    counts = rng.integers(0, most + 1, images)
    return padded(
        [random_boxes(rng, count) for count in counts],
        [rng.integers(1, 17, count) for count in counts],
    )


def test_overlaps_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(3)
    one, other = (torch.from_numpy(random_boxes(rng, 2, 5)) for _ in range(2))
    found = pairwise_iou(one, other)
    for image in range(2):
        for row in range(5):
            for column in range(5):
                wanted = loop_iou(one[image, row], other[image, column])
                assert float(found[image, row, column]) == pytest.approx(wanted, abs=1e-6)


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(0, 6), st.booleans())
def test_matching_is_torchvisions(seed: int, images: int, most: int, small_chunks: bool) -> None:
    rng = np.random.default_rng(seed)
    truth = random_truth(rng, images, most)
    anchors = torch.from_numpy(random_boxes(rng, 40))
    kept, targets.CPU_OVERLAPS = targets.CPU_OVERLAPS, 1 if small_chunks else 1 << 17
    try:
        found = match(truth, anchors, 0.45)
    finally:
        targets.CPU_OVERLAPS = kept
    matcher = SSDMatcher(0.45)
    for own, labels, row in zip(truth.boxes, truth.labels, found, strict=True):
        real = own[labels > 0]
        wanted = matcher(box_iou(real, anchors)) if len(real) else torch.full((40,), -1)
        # Below the threshold torchvision has -1 too, its BELOW_LOW_THRESHOLD.
        assert row.tolist() == wanted.tolist()


@given(st.integers(0, 10**6))
def test_encoding_is_torchvisions_and_decoding_its_inverse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes, anchors = (torch.from_numpy(random_boxes(rng, 12)) * 128 for _ in range(2))
    found, coder = encode(boxes, anchors), BoxCoder((10.0, 10.0, 5.0, 5.0))
    torch.testing.assert_close(found, coder.encode_single(boxes, anchors))
    torch.testing.assert_close(decode(found, anchors), boxes, rtol=1e-4, atol=1e-3)


def test_decoding_is_torchvisions_even_where_a_side_explodes() -> None:
    anchors = torch.from_numpy(random_boxes(np.random.default_rng(0), 8)) * 128
    offsets = torch.randn(8, 4) * 40
    wanted = BoxCoder((10.0, 10.0, 5.0, 5.0)).decode_single(offsets, anchors)
    torch.testing.assert_close(decode(offsets, anchors), wanted, rtol=1e-4, atol=1e-2)


@given(st.integers(0, 10**6), st.integers(0, 6))
def test_loss_and_gradient_are_torchvisions(seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    network = build(detector(), PARTS)
    anchors = torch.from_numpy(random_boxes(rng, 60)) * network.size
    truth = random_truth(rng, 3, most)
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 60, 17, generator=generator, requires_grad=True)
    offsets = torch.randn(3, 60, 4, generator=generator, requires_grad=True)
    found = multibox_loss(network, Heads(logits, offsets, anchors), truth)
    sum(found.values(), torch.zeros(())).backward()
    gradients = logits.grad, offsets.grad
    logits.grad = offsets.grad = None

    notes, matched = [], []
    for own, labels in zip(truth.boxes * network.size, truth.labels, strict=True):
        real = labels > 0
        notes.append({"boxes": own[real], "labels": labels[real]})
        overlap = box_iou(own[real], anchors)
        matched.append(
            network.ssd.proposal_matcher(overlap) if real.any() else torch.full((60,), -1)
        )
    outputs = {"cls_logits": logits, "bbox_regression": offsets}
    wanted = network.ssd.compute_loss(notes, outputs, [anchors] * 3, matched)
    sum(wanted.values(), torch.zeros(())).backward()
    torch.testing.assert_close(found["classification"], wanted["classification"])
    torch.testing.assert_close(found["offsets"], wanted["bbox_regression"])
    for ours, theirs in zip(gradients, (logits.grad, offsets.grad), strict=True):
        torch.testing.assert_close(ours, theirs)
