"""What PGAN says of its method and its training, shown on this project's network and settings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_parts_selection import loop_selection

from reid_repro import models, plan
from reid_repro.parts.classes import ATTRIBUTES
from reid_repro.parts.network import Heads, build
from reid_repro.parts.selection import FILLED, select

from parts_world import detector, random_boxes


@pytest.mark.parametrize("boxes", [1, 4, 8, 10])
def test_every_image_has_d_boxes_by_confidence_whatever_their_class(boxes: int) -> None:
    """Section 3.2: as many boxes in each image, the most confident ones, cut to the image."""
    network = build(detector(), ATTRIBUTES)
    generator = torch.Generator().manual_seed(boxes)
    anchors = torch.from_numpy(random_boxes(np.random.default_rng(boxes), 24)) * network.size
    heads = Heads(
        torch.randn(3, 24, 22, generator=generator) * 2,
        torch.randn(3, 24, 4, generator=generator) * 3,
        anchors,
    )
    found = select(network, heads, boxes=boxes, overlap=0.45)
    assert found.boxes.shape == (3, boxes, 4)
    assert bool(((found.boxes >= 0) & (found.boxes <= 1)).all())
    assert bool((found.scores.diff(dim=1) <= 0).all())
    for image in range(3):
        wanted = loop_selection(network, heads, image, boxes, 0.45)
        assert found.labels[image].tolist() == [label for _, label, _ in wanted]
        expected = np.array([box for _, _, box in wanted])
        np.testing.assert_allclose(found.boxes[image].numpy(), expected, atol=1e-5)
    if boxes > 1:
        assert len(set(found.labels.flatten().tolist()) - {FILLED}) > 1


def test_no_gradient_reaches_the_detector() -> None:
    """Section 4.2: boxes are given; the network has no part that makes them, nor tells them why."""
    torch.manual_seed(0)
    network = models.build("pgan", 5, backbone="resnet10", width=8, parts=3, dimension=32)
    assert not any("reid_repro.parts" in type(module).__module__ for module in network.modules())
    corners = torch.rand(4, 3, 2, 2).sort(dim=2).values
    boxes = corners.flatten(2).requires_grad_()
    outputs = network.train()(torch.randn(4, 3, 64, 64), boxes)
    sum(feature.square().sum() for feature in outputs.features.values()).backward()
    assert boxes.grad is None
    assert all(parameter.grad is not None for parameter in network.backbone.parameters())


def test_settings_are_those_of_section_4_2() -> None:
    """Section 4.2, with the loss weight that Section 4.3.3 finds best."""
    run = plan.load({"scale": "paper"}).resolve("pgan/pgan/veri776/seed0")
    training, model = run.training, run.model.model_dump()
    assert (model["backbone"], model["weights"]) == ("resnet50", "imagenet")
    assert (model["attention"], model["parts"], model["dimension"]) == ("parts", 8, 512)
    assert set(model["optimised"]) == {"fusion", "global", "part"}
    assert (training.height, training.width) == (224, 224)
    assert (training.erasing, training.crop_padding) == (0.5, 0)
    assert training.flip > 0
    assert (training.optimizer, training.momentum, training.weight_decay) == ("adam", 0.9, 5e-4)
    assert (training.identities_per_batch, training.images_per_identity) == (16, 4)
    assert (training.learning_rate, training.gamma, training.schedule) == (1.75e-4, 0.5, "step")
    assert training.milestones == tuple(range(20, 130, 20))
    assert (training.epochs, training.identity_weight) == (130, 2)
