"""PGAN's masks, part attention and fusion against literal loops, and the network around them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from torch import Tensor, nn
from torch.nn import functional

from reid_repro import models
from reid_repro.models.layers.masks import box_masks, masked_mean
from reid_repro.models.layers.part_attention import PartAttention, Refine
from reid_repro.models.pgan import PGAN

SMALL: dict[str, Any] = {"backbone": "resnet10", "width": 8, "parts": 3, "dimension": 32}
ATTENTIONS = ("parts", "uniform", "grid", "none")


def some_boxes(images: int, parts: int, seed: int = 0) -> Tensor:
    """Boxes (images, parts, 4) with x0 < x1 and y0 < y1."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(images, parts, 2, 2, generator=generator).sort(dim=2).values
    return corners.flatten(2)


def literal_mask(box: np.ndarray, height: int, width: int) -> np.ndarray:
    """Eq. 1 on one box, cell by cell."""
    x0, y0, x1, y1 = (min(1.0, max(0.0, float(side))) for side in box)
    own_row = min(height - 1, int((y0 + y1) / 2 * height))
    own_column = min(width - 1, int((x0 + x1) / 2 * width))
    mask = np.zeros((height, width))
    for row, column in np.ndindex(height, width):
        y, x = (row + 0.5) / height, (column + 0.5) / width
        down = y0 <= y <= y1 or row == own_row
        across = x0 <= x <= x1 or column == own_column
        mask[row, column] = down and across
    return mask


# Corners on and off the borders and centres of cells, inside and outside of the image.
CORNERS = st.integers(-16, 48).map(lambda i: i / 32) | st.floats(-0.5, 1.5, width=32)


@given(
    boxes=npst.arrays(np.float64, (2, 3, 4), elements=CORNERS),
    height=st.sampled_from([1, 2, 4, 7]),
    width=st.sampled_from([1, 3, 8]),
)
@settings(max_examples=60)
def test_masks_are_the_cells_whose_centre_lies_in_the_box(
    boxes: np.ndarray, height: int, width: int
) -> None:
    boxes = np.concatenate((boxes[..., :2], np.maximum(boxes[..., :2], boxes[..., 2:])), axis=-1)
    masks = box_masks(torch.from_numpy(boxes), height, width).numpy()
    for image, part in np.ndindex(2, 3):
        expected = literal_mask(boxes[image, part], height, width)
        np.testing.assert_array_equal(masks[image, part], expected)
        assert masks[image, part].any()


def test_a_mask_of_its_own_centre_only_where_the_box_is_smaller_than_a_cell() -> None:
    boxes = torch.tensor([[0.26, 0.51, 0.27, 0.52], [0, 0, 1, 1], [0.5, 0, 1, 0.5], [2, 2, 3, 3]])
    masks = box_masks(boxes[None], 4, 4)[0]
    assert masks[0].nonzero().tolist() == [[2, 1]]
    assert masks[1].sum() == 16
    assert masks[2].nonzero().tolist() == [[0, 2], [0, 3], [1, 2], [1, 3]]
    assert masks[3].nonzero().tolist() == [[3, 3]]


def test_mgap_divides_by_the_area_of_the_mask() -> None:
    torch.manual_seed(1)
    features, masks = torch.randn(2, 5, 4, 3), box_masks(some_boxes(2, 6), 4, 3)
    got = masked_mean(features, masks)
    for image, part in np.ndindex(2, 6):
        cells = [
            features[image, :, row, column]
            for row, column in np.ndindex(4, 3)
            if masks[image, part, row, column]
        ]
        torch.testing.assert_close(got[image, part], sum(cells) / len(cells))
    assert not torch.allclose(got, (features[:, None] * masks[:, :, None]).mean((3, 4)))


def literal_linear(layer: nn.Linear, vector: np.ndarray) -> np.ndarray:
    """Weight normalisation, row by row: w = g v / |v|."""
    gains = layer.parametrizations.weight.original0.detach().numpy()
    directions = layer.parametrizations.weight.original1.detach().numpy()
    rows = [g * v / np.linalg.norm(v) for g, v in zip(gains, directions, strict=True)]
    bias = np.zeros(len(rows)) if layer.bias is None else layer.bias.detach().numpy()
    return np.array([row @ vector + b for row, b in zip(rows, bias, strict=True)])


def literal_psi(module: PartAttention, part: np.ndarray) -> float:
    """psi of one pooled part: WN linear, layer normalisation, ReLU, WN linear, channel mean."""
    hidden = literal_linear(module.hidden, part)
    centred = (hidden - hidden.mean()) / np.sqrt(hidden.var() + module.norm.eps)
    scaled = centred * module.norm.weight.detach().numpy() + module.norm.bias.detach().numpy()
    return float(np.mean(literal_linear(module.back, np.maximum(scaled, 0))))


def shaken(module: nn.Module) -> nn.Module:
    """The same module with no parameter left at a special value such as one or zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_the_part_attention_is_equation_4(temperature: float) -> None:
    torch.manual_seed(2)
    module = shaken(PartAttention(16, reduction=4, temperature=temperature))
    parts = torch.randn(3, 5, 16)
    got = module(parts).detach().numpy()
    for image in range(3):
        scores = [literal_psi(module, part) / temperature for part in parts[image].numpy()]
        weights = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(got[image], weights, rtol=1e-4)
    np.testing.assert_allclose(got.sum(1), 1, rtol=1e-5)
    assert got.min() >= 0


def test_the_temperature_sharpens_without_changing_the_order() -> None:
    torch.manual_seed(3)
    sharp = shaken(PartAttention(16, temperature=0.1))
    soft = PartAttention(16, temperature=1)
    soft.load_state_dict(sharp.state_dict())
    parts = torch.randn(4, 6, 16)
    assert (sharp(parts).max(1).values > soft(parts).max(1).values).all()
    assert torch.equal(sharp(parts).argsort(1), soft(parts).argsort(1))


@pytest.mark.parametrize("attention", ["parts", "uniform", "grid"])
def test_the_part_map_is_equation_3(attention: str) -> None:
    """F_p = sum_i w_i F_i + F_g with the masked maps F_i written out (Eq. 2)."""
    torch.manual_seed(4)
    network = models.build("pgan", 5, attention=attention, **SMALL).eval()
    images, boxes = torch.randn(2, 3, 64, 96), some_boxes(2, 3)
    maps: dict[str, Tensor] = {}
    network.refine["fusion"].register_forward_pre_hook(
        lambda _, inputs: maps.update(fusion=inputs[0])
    )
    with torch.inference_mode():
        network(images, boxes)
        of_global = network.backbone(images)
        height, width = of_global.shape[-2:]
        if attention == "grid":
            masks = torch.eye(height * width).view(-1, height, width).expand(2, -1, -1, -1)
        else:
            masks = box_masks(boxes, height, width)
        masked = of_global[:, None] * masks[:, :, None]
        parts = masked.sum((3, 4)) / masks.sum((2, 3))[..., None]
        weights = (
            torch.full(masks.shape[:2], 1 / 3)
            if attention == "uniform"
            else network.part_attention(parts)
        )
        of_parts = (weights[:, :, None, None, None] * masked).sum(1) + of_global
        attended = (weights[:, :, None, None] * masks).sum(1, keepdim=True)
        torch.testing.assert_close(network.attend(of_global, boxes), attended)
    torch.testing.assert_close(maps["fusion"], torch.cat((of_global, of_parts), 1))


def literal_refine(module: Refine, features: Tensor) -> Tensor:
    """Excitation and pre-activation bottleneck with every convolution on the map, then pooling."""
    gates = module.excitation
    squeezed = functional.conv2d(
        features.mean((2, 3), keepdim=True), gates.fc1.weight, gates.fc1.bias
    )
    excited = functional.conv2d(squeezed.relu(), gates.fc2.weight, gates.fc2.bias).sigmoid()
    active = module.norm1(features * excited).relu()
    inner = module.norm2(functional.conv2d(active, module.conv1.weight)).relu()
    inner = module.norm3(functional.conv2d(inner, module.conv2.weight, padding=1)).relu()
    last = functional.conv2d(inner, module.conv3.weight[:, :, None, None])
    shortcut = functional.conv2d(active, module.shortcut.weight[:, :, None, None])
    return (last + shortcut).mean((2, 3))


def test_refining_is_excitation_bottleneck_and_pooling() -> None:
    torch.manual_seed(5)
    module = shaken(Refine(16, 24)).eval()
    for norm in (module.norm1, module.norm2, module.norm3):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    features = torch.randn(3, 16, 6, 5)
    torch.testing.assert_close(module(features), literal_refine(module, features))


@pytest.mark.parametrize("optimised", [("fusion",), ("global", "fusion"), ("fusion", "part"),
                                       ("fusion", "global", "part")])  # fmt: skip
def test_the_metric_loss_sees_the_features_chosen(optimised: tuple[str, ...]) -> None:
    """Table 1: the neck and the classifier stand on the fused feature only (Section 3.5)."""
    network = models.build("pgan", 5, optimised=optimised, **SMALL).train()
    outputs = network(torch.randn(4, 3, 32, 64), some_boxes(4, 3))
    sizes = {"fusion": 32, "global": 16, "part": 16}
    assert list(outputs.features) == [name for name in sizes if name in optimised]
    for name, feature in outputs.features.items():
        assert feature.shape == (4, sizes[name])
        assert feature.dtype == torch.float32
    assert {name: logits.shape for name, logits in outputs.logits.items()} == {"fusion": (4, 5)}
    normalised = functional.batch_norm(outputs.features["fusion"], None, None, training=True)
    expected = normalised @ network.neck.classifier.weight.T
    torch.testing.assert_close(outputs.logits["fusion"], expected)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_descriptor_is_the_fused_feature_after_the_neck(attention: str) -> None:
    torch.manual_seed(6)
    network = models.build("pgan", 5, attention=attention, **SMALL).eval()
    images, boxes = torch.randn(2, 3, 64, 32), some_boxes(2, 3)
    pooled: list[Tensor] = []
    network.refine["fusion"].register_forward_hook(lambda *hook: pooled.append(hook[-1]))
    descriptor = network(images, boxes)
    assert descriptor.shape == (2, network.dimension) == (2, 32)
    torch.testing.assert_close(descriptor, network.neck(pooled[0]))


def test_only_the_most_confident_boxes_count_and_grids_need_none() -> None:
    torch.manual_seed(7)
    images, boxes = torch.randn(2, 3, 64, 64), some_boxes(2, 5)
    changed = boxes.clone()
    changed[:, 3:] = 0.5
    network = models.build("pgan", 5, **SMALL).eval()
    torch.testing.assert_close(network(images, changed), network(images, boxes), rtol=0, atol=0)
    changed[:, 2] = torch.tensor([0.1, 0.1, 0.9, 0.9])
    assert not torch.allclose(network(images, changed), network(images, boxes))
    for attention in ("grid", "none"):
        blind = models.build("pgan", 5, attention=attention, **SMALL).eval()
        torch.testing.assert_close(blind(images), blind(images, boxes), rtol=0, atol=0)


def refine_parameters(channels: int, dimension: int) -> int:
    squeezed, bottleneck = channels // 8, dimension // 4
    excitation = 2 * channels * squeezed + squeezed + channels
    norms = 2 * channels + 4 * bottleneck
    return (
        excitation
        + norms
        + (channels + 9 * bottleneck + dimension) * bottleneck
        + channels * dimension
    )


@pytest.mark.parametrize(
    ("attention", "dimension"),
    [("parts", 256), ("parts", 512), ("uniform", 512), ("grid", 1024), ("none", 512)],
)
def test_shapes_and_counts_at_the_papers_scale(attention: str, dimension: int) -> None:
    with torch.device("meta"):
        network = models.build("pgan", 576, attention=attention, dimension=dimension)
        images, boxes = torch.empty(2, 3, 224, 224), torch.empty(2, 8, 4)
        features = network.backbone(images)
        assert features.shape == (2, 2048, 14, 14)
        outputs = network.train()(images, boxes)
        assert network.eval()(images, boxes).shape == (2, dimension)
        if attention != "none":
            assert network.attend(features, boxes).shape == (2, 1, 14, 14)
    names = ["fusion"] if attention == "none" else ["fusion", "global", "part"]
    assert list(outputs.features) == names
    counts = {
        name: sum(parameter.numel() for parameter in module.parameters())
        for name, module in network.named_children()
    }
    fused = 2048 if attention == "none" else 4096
    expected = {
        "backbone": 23_508_032,  # torchvision's ResNet-50 without its classifier
        "neck": 2 * dimension + 576 * dimension,
        "refine": refine_parameters(fused, dimension)
        + (len(names) - 1) * refine_parameters(2048, dimension // 2),
    }
    if attention in ("parts", "grid"):
        hidden = 512
        expected["part_attention"] = 2 * 2048 * hidden + 4 * hidden + 2048
    assert counts == expected


VARIANTS: list[dict[str, Any]] = [
    {},
    {"attention": "uniform"},
    {"attention": "grid"},
    {"attention": "none"},
    {"optimised": ("fusion",)},
    {"optimised": ("fusion", "global")},
    {"optimised": ("fusion", "part")},
    {"parts": 2},
    {"dimension": 16},
    {"temperature": 1.0},
    {"reduction": 2},
    {"se_reduction": 4},
    {"last_stride": 2},
]


def loss_of(network: nn.Module, images: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy plus the batch-hard triplet of each optimised feature (Eq. 5, lambda = 1)."""
    outputs = network(images, boxes)
    miner, triplet = BatchHardMiner(), TripletMarginLoss(margin=0.3)
    total = sum(functional.cross_entropy(logits, labels) for logits in outputs.logits.values())
    for feature in outputs.features.values():
        total = total + triplet(feature, labels, miner(feature, labels))
    return total


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_a_gradient_reaches_every_parameter(options: dict[str, Any]) -> None:
    torch.manual_seed(8)
    network = models.build("pgan", 4, **SMALL | options).train()
    loss_of(network, torch.randn(8, 3, 64, 64), some_boxes(8, 3), torch.arange(8) // 2).backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    "options", [one for one in VARIANTS[1:] if "optimised" not in one], ids=str
)
def test_every_option_changes_the_descriptor(options: dict[str, Any]) -> None:
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(9))
    pair = []
    for chosen in ({}, options):
        torch.manual_seed(9)
        network = models.build("pgan", 4, **SMALL | chosen).eval()
        pair.append(network(images, some_boxes(2, 3)))
    assert pair[0].shape != pair[1].shape or not torch.allclose(*pair, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_evaluation_is_deterministic_and_looks_at_one_image_at_a_time(attention: str) -> None:
    torch.manual_seed(10)
    network = models.build("pgan", 4, attention=attention, **SMALL).eval()
    images, boxes = torch.randn(5, 3, 64, 64), some_boxes(5, 3)
    with torch.inference_mode():
        together = network(images, boxes)
        torch.testing.assert_close(network(images, boxes), together, rtol=0, atol=0)
        alone = torch.cat([network(images[[i]], boxes[[i]]) for i in range(5)])
        order = torch.tensor([3, 0, 4, 2, 1])
        shuffled = network(images[order], boxes[order])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shuffled, together[order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_half_precision_and_channels_last_stay_near_full_precision(attention: str) -> None:
    torch.manual_seed(11)
    network = models.build("pgan", 4, attention=attention, **SMALL).train()
    images, boxes = torch.randn(8, 3, 64, 64), some_boxes(8, 3)
    exact = network(images, boxes).features
    network = network.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(images.to(memory_format=torch.channels_last), boxes).features
    for name, feature in half.items():
        assert feature.dtype == torch.float32
        assert functional.cosine_similarity(feature, exact[name]).min() > 0.99


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_sixteen_images_are_learnt_by_heart(attention: str) -> None:
    torch.manual_seed(12)
    network = models.build("pgan", 4, attention=attention, **SMALL).train()
    images, boxes, labels = torch.randn(16, 3, 48, 48), some_boxes(16, 3), torch.arange(16) // 4
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    start = loss_of(network, images, boxes, labels).item()
    for _ in range(50):
        optimizer.zero_grad()
        loss_of(network, images, boxes, labels).backward()
        optimizer.step()
    assert loss_of(network, images, boxes, labels).item() < 0.02 * start


def test_the_part_attention_can_learn_to_find_a_part() -> None:
    """One part of four, anywhere among them, has a mark that the rest lack; unseen ones follow."""
    torch.manual_seed(13)
    module, mark = PartAttention(16), torch.randn(16)
    marked = torch.randint(0, 4, (128,))
    parts = torch.randn(128, 4, 16) + 2 * mark * functional.one_hot(marked, 4)[..., None]
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        functional.nll_loss(module(parts[:64]).log(), marked[:64]).backward()
        optimizer.step()
    assert (module(parts[64:]).argmax(1) == marked[64:]).float().mean() > 0.9


def test_mistakes_are_named() -> None:
    images, boxes = torch.randn(2, 3, 32, 32), some_boxes(2, 3)
    network = models.build("pgan", 4, **SMALL)
    with pytest.raises(ValueError, match=r"needs part boxes of shape \(2, at least 3, 4\)"):
        network(images)
    for wrong in (boxes[:1], boxes[:, :2], boxes[..., :3], boxes[0]):
        with pytest.raises(ValueError, match=r"boxes have shape .* not \(2, at least 3, 4\)"):
            network(images, wrong)
    with pytest.raises(ValueError, match="has no attention map"):
        models.build("pgan", 4, attention="none", **SMALL).attend(torch.zeros(1, 64, 2, 2))
    with pytest.raises(ValueError, match="attention 'self' is unknown"):
        PGAN(4, attention="self")
    with pytest.raises(ValueError, match="parts is 0"):
        PGAN(4, parts=0)
    with pytest.raises(ValueError, match="dimension is 33"):
        PGAN(4, dimension=33)
    for optimised in (("global",), ("fusion", "fusion"), ("fusion", "token")):
        with pytest.raises(ValueError, match="'fusion' and any of 'global', 'part', none twice"):
            PGAN(4, optimised=optimised)
    with pytest.raises(ValueError, match="leaves 1 in the part attention"):
        PartAttention(8, reduction=8)
    with pytest.raises(ValueError, match="se_reduction 32 leaves 0"):
        Refine(16, 32, se_reduction=32)
