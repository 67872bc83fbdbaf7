"""Selection of D boxes against a loop over images, classes and boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reid_repro.errors import UserError
from reid_repro.parts.classes import ATTRIBUTES, PARTS, classes_of
from reid_repro.parts.network import Heads, PartsNetwork, build
from reid_repro.parts.selection import FILLED, select, suppress
from reid_repro.parts.targets import decode
from reid_repro.rendering.vehicles import PART_CLASSES

from parts_world import detector, loop_iou, random_boxes


@pytest.fixture(scope="module")
def network() -> PartsNetwork:
    return build(detector(), ATTRIBUTES)


def loop_selection(
    network: PartsNetwork, heads: Heads, image: int, boxes: int, overlap: float
) -> list[tuple[float, int, list[float]]]:
    """Every (default box, part) pair in the order of confidence, one after the other."""
    probability = heads.logits[image].softmax(dim=1)
    found = (decode(heads.offsets[image], heads.anchors) / network.size).clamp(0, 1)
    pairs = [
        (float(probability[box, 1 + number]), number, found[box])
        for box in range(len(found))
        for number, name in enumerate(network.classes)
        if name in PARTS
    ]
    pairs.sort(key=lambda pair: -pair[0])
    kept: list[tuple[float, int, torch.Tensor]] = []
    for pair in pairs:
        sides = pair[2][2:] - pair[2][:2]
        free = all(loop_iou(pair[2], other[2]) <= overlap for other in kept)
        if len(kept) < boxes and bool((sides >= 1e-3).all()) and free:
            kept.append(pair)
    answer = [(score, number, box.tolist()) for score, number, box in kept]
    return answer + [(0.0, FILLED, [0.0, 0.0, 1.0, 1.0])] * (boxes - len(answer))


@given(st.integers(0, 10**6), st.integers(1, 12), st.floats(0.1, 0.9))
def test_selection_is_that_of_a_loop(
    network: PartsNetwork, seed: int, boxes: int, overlap: float
) -> None:
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    anchors = torch.from_numpy(random_boxes(rng, 24)) * network.size
    heads = Heads(
        torch.randn(2, 24, 22, generator=generator) * 2,
        torch.randn(2, 24, 4, generator=generator) * 3,
        anchors,
    )
    found = select(network, heads, boxes=boxes, overlap=overlap)
    assert found.boxes.shape == (2, boxes, 4)
    for image in range(2):
        wanted = loop_selection(network, heads, image, boxes, overlap)
        assert found.labels[image].tolist() == [number for _, number, _ in wanted]
        assert found.scores[image].tolist() == pytest.approx([s for s, _, _ in wanted], abs=1e-6)
        np.testing.assert_allclose(
            found.boxes[image].numpy(), [box for _, _, box in wanted], atol=1e-5
        )


def test_an_image_with_fewer_boxes_is_filled_with_the_whole_image() -> None:
    found = torch.tensor([[[0.1, 0.1, 0.3, 0.3], [0.11, 0.1, 0.3, 0.3], [0.5, 0.5, 0.5, 0.9]]])
    scores, labels = torch.tensor([[0.4, 0.9, 0.8]]), torch.tensor([[3, 2, 5]])
    chosen = suppress(found, scores, labels, boxes=3, overlap=0.45)
    assert chosen.labels.tolist() == [[2, FILLED, FILLED]]
    assert chosen.scores.tolist() == [[pytest.approx(0.9), 0, 0]]
    assert chosen.boxes[0, 1].tolist() == [0, 0, 1, 1]


def test_kinds_of_vehicle_are_never_chosen(network: PartsNetwork) -> None:
    logits = torch.zeros(1, 30, 22)
    logits[..., 1 + ATTRIBUTES.index("truck")] = 20
    anchors = torch.from_numpy(random_boxes(np.random.default_rng(0), 30)) * network.size
    found = select(network, Heads(logits, torch.zeros(1, 30, 4), anchors), boxes=10, overlap=0.9)
    assert int(found.labels.max()) < len(PARTS)
    assert float(found.scores.max()) < 1e-6


def test_classes_are_those_of_the_renderer_and_kinds_make_them_21() -> None:
    assert PARTS == PART_CLASSES
    assert classes_of(["wheel", "plate"], "here") == PARTS
    assert classes_of(["wheel", "bus"], "here") == ATTRIBUTES
    with pytest.raises(UserError, match="here: 'door' is no class"):
        classes_of(["wheel", "door"], "here")
