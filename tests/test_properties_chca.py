"""What CHCA says of its method and its training, shown on this project's network and settings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from reid_repro import models, plan
from reid_repro.datasets.images import ImageStore
from reid_repro.models.layers.context import CHCM
from reid_repro.networks import needs
from reid_repro.training.batches import Batch
from reid_repro.training.loop import _labels


def test_the_module_adds_to_its_input() -> None:
    """Fig. 3: the map keeps its shape, and what is added scales with W_out alone (Eq. 5)."""
    torch.manual_seed(0)
    module = CHCM(8, levels=2, zero_output=False).double()
    features = torch.randn(2, 8, 8, 4, dtype=torch.float64)
    once = module(features)
    assert once.shape == features.shape
    with torch.no_grad():
        module.restore.weight *= 2
    torch.testing.assert_close(module(features) - features, 2 * (once - features))
    assert (once - features).abs().max() > 1e-3


def test_fewer_channels_cost_fewer_operations() -> None:
    """Section III-A: W_in and W_out pay, although they are operations of their own."""
    counts = []
    with torch.device("meta"):
        features = torch.empty(1, 256, 64, 64)
        for reduction in (1, 2, 4):
            with FlopCounterMode(display=False) as counter:
                CHCM(256, reduction=reduction)(features)
            counts.append(counter.get_total_flops())
    assert counts[0] > 1.5 * counts[1] > 2 * counts[2]


def test_the_last_two_stages_are_a_sixteenth_of_the_image() -> None:
    """Section IV-B, at 256 x 256 with the paper's network."""
    run = plan.load({"scale": "paper"}).resolve("chca/chca/veri776/seed0")
    with torch.device("meta"):
        options = run.model.model_dump(exclude={"name", "weights"})
        backbone = models.build("chca", 576, **options).backbone
        sides = {}
        for stage in (3, 4):
            layer = getattr(backbone, f"layer{stage}")
            layer.register_forward_hook(lambda *hook, at=stage: sides.update({at: hook[2].shape}))
        backbone(torch.empty(1, 3, run.training.height, run.training.width))
    assert [tuple(shape[-2:]) for shape in sides.values()] == [(16, 16), (16, 16)]


def test_training_is_given_identities_and_nothing_else() -> None:
    """Section I: no part, keypoint or viewpoint is annotated, at any scale and in any variant."""
    for scale in ("demo", "bench", "paper"):
        planned = plan.load({"scale": scale, "ablations": "all"})
        dataset = planned.datasets_of("chca")[0]
        for variant in planned.papers["chca"].variants:
            run = planned.resolve(f"chca/{variant}/{dataset}/seed0")
            assert (needs(run.model) or "none", run.places) == ("none", "none"), variant
    assert Batch._fields == ("images", "places", "labels")
    columns: dict[str, Any] = {
        "identity": [7, 7, 3, -1],
        "camera": [1, 2, 1, 1],
        "viewpoint": [0, 1, 2, 0],
    }
    store = cast(ImageStore, SimpleNamespace(images=pd.DataFrame(columns)))
    splits = pd.DataFrame({"role": "train", "image": [0, 1, 2, 3]})
    rows, labels = _labels(store, splits, "tiny")
    np.testing.assert_array_equal(rows, [0, 1, 2])
    np.testing.assert_array_equal(labels, [1, 1, 0])


def test_settings_are_those_of_sections_iii_and_iv() -> None:
    """Section IV-B, and what Section IV-D chooses: max pooling, three levels, all stages."""
    run = plan.load({"scale": "paper"}).resolve("chca/chca/veri776/seed0")
    training, model = run.training, run.model.model_dump()
    assert (model["backbone"], model["weights"], model["last_stride"]) == (
        "resnet50",
        "imagenet",
        1,
    )
    assert (training.height, training.width) == (256, 256)
    assert training.flip > 0
    assert training.erasing > 0
    assert training.crop_padding == 0  # flips and erasing only
    assert (training.optimizer, training.learning_rate) == ("sgd", 5e-3)
    assert training.warmup > 0
    assert (training.schedule, training.milestones, training.gamma) == ("step", (60, 100), 0.1)
    assert training.epochs is not None
    assert training.epochs > 100
    assert training.identities_per_batch * training.images_per_identity == 32
    assert (training.identity_loss, training.metric_loss) == ("cross_entropy", "triplet")
    assert (model["pooling"], model["levels"], model["stages"]) == ("max", 3, (1, 2, 3, 4))
