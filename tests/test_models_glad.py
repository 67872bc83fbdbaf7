"""GLAD: its trunk against torchvision's, its equations against literal loops, every option."""

from __future__ import annotations

import copy
import inspect
import itertools
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from reid_repro import models
from reid_repro.errors import UserError
from reid_repro.models.glad import GLAD, STREAMS, StreamHead
from reid_repro.models.layers.googlenet import LAYOUTS, SMALLEST, GoogLeNet, load_weights
from reid_repro.models.layers.regions import STANDARD, crop, region_boxes
from reid_repro.models.layers.stream_norm import StreamNorm2d, split_statistics
from reid_repro.models.outputs import Outputs
from reid_repro.networks import GLADNetwork, Stream

SMALL: dict[str, Any] = {"backbone": "googlenet_small", "width": 8, "maps": 16}
VARIANTS: dict[str, dict[str, Any]] = {
    "shared": {},
    "not shared": {"shared": False},
    "no norm": {"feature_norm": False},
    "kernel 3": {"kernel": 3},
    "one set of statistics": {"own_statistics": False},
    "pose": {"image": "pose"},
    "baseline": {"streams": ("global",)},
    "bodies": {"streams": ("lower", "upper")},
}


def small(classes: int = 5, **options: Any) -> GLAD:
    torch.manual_seed(0)
    network = models.build("glad", classes, **(SMALL | options))
    assert isinstance(network, GLAD)
    return network


def people(count: int, size: tuple[int, int] = (128, 64), seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise as images, and upright figures, one of them with missing joints."""
    generator = torch.Generator().manual_seed(seed)
    keypoints = torch.ones(count, 14, 3)
    noise = 0.03 * torch.randn(count, 14, 2, generator=generator)
    keypoints[..., :2] = torch.tensor(STANDARD) + noise
    keypoints[0, [2, 8, 13], 2] = 0
    return torch.randn(count, 3, *size, generator=generator), keypoints


def trained(network: GLAD) -> GLAD:
    """With running statistics that are not the first ones, in evaluation mode."""
    network.train()
    with torch.no_grad():
        for seed in range(3):
            network(*people(6, seed=seed))
    return network.eval()


# The trunk.


def peer_googlenet() -> torchvision.models.GoogLeNet:
    """torchvision's GoogLeNet with statistics under which its features do not die out."""
    torch.manual_seed(1)
    peer = torchvision.models.googlenet(
        weights=None, init_weights=False, aux_logits=True, transform_input=True
    )
    for module in peer.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.05, 0.15)
    return peer.eval()


@pytest.mark.parametrize("size", [(64, 64), (97, 51)])
def test_the_trunk_is_torchvisions(size: tuple[int, int], tmp_path: Path) -> None:
    peer = peer_googlenet()
    torch.save(peer.state_dict(), tmp_path / "weights.pt")
    trunk = GoogLeNet().eval()
    load_weights(trunk, str(tmp_path / "weights.pt"))
    peer, trunk = peer.double(), trunk.double()
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    with torch.inference_mode():
        features = trunk(images).mean((2, 3))
        assert float(features.std()) > 0.01
        torch.testing.assert_close(peer.fc(features), peer(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("inception5b.branch1.conv.weight"), "branch1.conv.weight' is mis"),
        (lambda state: state.update(extra=torch.zeros(1)), "'extra' is unexpected"),
        (lambda state: state.update({"conv1.bn.bias": torch.zeros(3)}), "bias' has shape (3,)"),
    ],
)
def test_weights_that_do_not_fit_name_the_key(change: Any, words: str, tmp_path: Path) -> None:
    trunk = GoogLeNet(layout="googlenet_small", width=8)
    state = dict(trunk.state_dict())
    change(state)
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(UserError) as caught:
        small(weights=str(tmp_path / "weights.pt"))
    assert words in str(caught.value)
    with pytest.raises(UserError, match="googlenet_small has no ImageNet weights"):
        load_weights(trunk, "imagenet")


@pytest.mark.parametrize("shared", [True, False])
def test_weights_come_to_every_trunk_and_its_statistics(shared: bool, tmp_path: Path) -> None:
    source = trained(small(streams=("global",))).trunks["shared"]
    torch.save(source.state_dict(), tmp_path / "weights.pt")
    network = small(weights=str(tmp_path / "weights.pt"), shared=shared)
    expected = source.state_dict()
    for trunk in network.trunks.values():
        for key, value in trunk.state_dict().items():
            own = key.replace(".norm.", ".")
            for other, name in (("means", "running_mean"), ("variances", "running_var")):
                if own.endswith(f".{other}"):
                    own = own.removesuffix(other) + name
                    assert value.shape == (2, *expected[own].shape)
            torch.testing.assert_close(value, expected[own].expand_as(value))
        keys = {key.replace(".norm.", ".") for key in trunk.state_dict()}
        assert expected.keys() <= keys
        assert (expected.keys() == keys) is not shared


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sizes_of_the_map_and_the_smallest_image(layout: str) -> None:
    trunk = GoogLeNet(layout=layout, width=8).eval()
    channels, stride = trunk.out_channels, 32 if layout == "googlenet" else 16
    for height, width in ((128, 64), (64, 192)):
        size = (channels, height // stride, width // stride)
        assert trunk(torch.zeros(1, 3, height, width)).shape[1:] == size
    heads = {"googlenet": ((96, 96), (3, 3)), "googlenet_small": ((24, 24), (1, 1))}
    image, cells = heads[layout]
    assert trunk(torch.zeros(1, 3, *image)).shape[2:] == cells
    assert trunk(torch.zeros(1, 3, SMALLEST, SMALLEST)).shape[2:] == (1, 1)
    with pytest.raises(ValueError, match=f"14x40 pixels; each side needs at least {SMALLEST}"):
        trunk(torch.zeros(1, 3, SMALLEST - 1, 40))


def test_parameters_and_shapes_at_the_papers_scale() -> None:
    with torch.device("meta"):
        images, keypoints = torch.empty(2, 3, 512, 256), torch.empty(2, 14, 3)
        network = models.build("glad", 751)
        outputs = network(images, keypoints)
        assert tuple(outputs.features) == STREAMS
        assert {tuple(feature.shape) for feature in outputs.features.values()} == {(2, 1024)}
        assert {tuple(scores.shape) for scores in outputs.logits.values()} == {(2, 751)}
        assert network.eval()(images, keypoints).shape == (2, 4096)
        assert models.build("glad", 751, image="pose")(images, keypoints).logits.keys() == set(
            STREAMS
        )
        trunk = sum(p.numel() for p in GoogLeNet().parameters())
        head = 1024 * 1024 + 2 * 1024 + 1024 * 751 + 751
        for shared, trunks in ((True, 1), (False, 4)):
            network = models.build("glad", 751, shared=shared)
            count = sum(p.numel() for p in network.parameters())
            assert count == trunks * trunk + 4 * head
    peer = torchvision.models.GoogLeNet_Weights.IMAGENET1K_V1.meta["num_params"]
    assert trunk == peer - 1000 * 1024 - 1000  # its classifier; auxiliary heads are not counted


# The head: Eq. 4 and the descriptor.


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("norm", [True, False])
def test_scores_are_pooled_confidence_maps(kernel: int, norm: bool) -> None:
    torch.manual_seed(2)
    head = StreamHead(4, 3, maps=6, kernel=kernel, norm=norm)
    nn.init.normal_(head.confidence.weight)
    nn.init.normal_(head.confidence.bias)
    head.eval()
    trunk_map = torch.randn(2, 4, 3, 2)
    with torch.no_grad():
        maps = functional.relu(head.norm(head.feature(trunk_map)))
        confidence = head.confidence(maps)
        descriptor = head(trunk_map)
        scores = head.scores(descriptor)
    assert maps.shape == (2, 6, 3, 2)
    for image, scored in itertools.product(range(2), range(3)):
        total = 0.0
        for x, y in itertools.product(range(2), range(3)):
            total += float(confidence[image, scored, y, x])
        assert float(scores[image, scored]) == pytest.approx(total / 6, rel=1e-4, abs=1e-6)
    torch.testing.assert_close(descriptor, maps.mean((2, 3)))


@pytest.mark.parametrize("normalise", [True, False])
def test_the_descriptor_is_that_of_the_streams_side_by_side(normalise: bool) -> None:
    streams: tuple[Stream, ...] = ("upper", "global", "lower", "head")
    network = trained(small(streams=streams, normalise=normalise))
    images, keypoints = people(3, seed=9)
    boxes = region_boxes(keypoints, 128, 64)
    sizes = {"head": (24, 24), "upper": (56, 64), "lower": (56, 64)}
    blocks = []
    with torch.no_grad():
        for stream in streams:
            seen = images
            if stream != "global":
                at = list(sizes).index(stream)
                seen = crop(images, boxes[:, at : at + 1], sizes[stream])[:, 0]
            network.selected.stream = {"global": 0, "head": 1}.get(stream, 2)
            block = network.heads[stream](network.trunks["shared"](seen))
            blocks.append(block / block.norm(dim=1, keepdim=True) if normalise else block)
        got = network(images, keypoints)
    torch.testing.assert_close(got, torch.cat(blocks, dim=1), rtol=1e-4, atol=1e-5)
    assert network.dimension == got.shape[1] == 64
    if normalise:
        torch.testing.assert_close(got.norm(dim=1), torch.full((3,), 2.0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_gives_every_parameter_a_gradient(variant: str) -> None:
    network = small(**VARIANTS[variant]).train()
    outputs = network(*people(4))
    assert isinstance(outputs, Outputs)
    assert tuple(outputs.features) == tuple(outputs.logits) == network.streams
    labels = torch.tensor([0, 1, 2, 4])
    for name in network.streams:
        assert outputs.features[name].shape == (4, 16)
        assert outputs.features[name].dtype == torch.float32
    losses = [functional.cross_entropy(scores, labels) for scores in outputs.logits.values()]
    sum(losses, start=torch.zeros(())).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0 or "bias" in name, name


@pytest.mark.parametrize("variant", ["shared", "not shared", "pose", "baseline"])
def test_a_test_image_is_described_the_same_in_any_batch(variant: str) -> None:
    network = trained(small(**VARIANTS[variant]))
    images, keypoints = people(4, (96, 56), seed=3)
    with torch.inference_mode():
        together = network(images, keypoints)
        torch.testing.assert_close(network(images, keypoints), together, rtol=0, atol=0)
        order = torch.tensor([2, 0, 3, 1])
        permuted = network(images[order], keypoints[order])
        torch.testing.assert_close(permuted, together[order], rtol=1e-4, atol=1e-5)
        for row in range(4):
            alone = network(images[row : row + 1], keypoints[row : row + 1])
            torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-5)


def test_memory_format_and_half_precision_change_little() -> None:
    network = trained(small())
    images, keypoints = people(4, seed=5)
    with torch.inference_mode():
        expected = network(images, keypoints)
        last = network.to(memory_format=torch.channels_last)
        channels_last = images.to(memory_format=torch.channels_last)
        torch.testing.assert_close(last(channels_last, keypoints), expected, rtol=1e-3, atol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            half = last(channels_last, keypoints)
    assert half.dtype == torch.float32
    assert float(functional.cosine_similarity(half, expected).min()) > 0.99


def test_upper_and_lower_body_pass_as_one_batch() -> None:
    network = small().train()
    seen: list[tuple[int, ...]] = []
    network.trunks["shared"].register_forward_pre_hook(
        lambda _, inputs: seen.append(tuple(inputs[0].shape))
    )
    network(*people(3))
    assert seen == [(3, 3, 128, 64), (3, 3, 24, 24), (6, 3, 56, 64)]


# Statistics by stream.


def test_split_statistics_are_those_of_the_streams_own_batches() -> None:
    torch.manual_seed(4)
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    alone = [copy.deepcopy(network) for _ in range(2)]
    selected = split_statistics(network, 2)
    split = network[1]
    assert isinstance(split, StreamNorm2d)
    assert [name for name, _ in network.named_parameters()][-1] == "1.norm.bias"
    batches = [torch.randn(5, 2, 4, 4) * (1 + 3 * s) + s for s in range(2)]
    for stream, batch in enumerate(batches):
        selected.stream = stream
        torch.testing.assert_close(network(batch), alone[stream](batch))
    network.eval()
    for stream, batch in enumerate(batches):
        selected.stream = stream
        torch.testing.assert_close(network(batch), alone[stream].eval()(batch))
    with pytest.raises(ValueError, match="without running statistics"):
        split_statistics(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)), 2)


def test_what_synchronises_normalisations_finds_those_of_the_streams() -> None:
    network = trained(small())
    images, keypoints = people(3, seed=2)
    with torch.inference_mode():
        expected = network(images, keypoints)
        keys = list(network.state_dict())
        converted = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        torch.testing.assert_close(converted(images, keypoints), expected)
    assert list(converted.state_dict()) == keys
    norms = [m for m in converted.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert {type(norm) for norm in norms} == {nn.SyncBatchNorm}
    assert len(norms) == 3 + 2 * 6 + 4  # the stem, two inception blocks, a head a stream


def test_own_statistics_describe_as_in_training() -> None:
    """With momentum 1 a test batch that repeats a training batch is normalised as that was."""
    gaps = []
    for own in (True, False):
        network = small(own_statistics=own)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        images, keypoints = people(12, (192, 96))
        with torch.no_grad():
            features = network.train()(images, keypoints).features
            described = network.eval()(images, keypoints).split(16, dim=1)
        gaps.append(
            max(
                float((functional.normalize(features[stream]) - block).abs().max())
                for stream, block in zip(STREAMS, described, strict=True)
            )
        )
    assert gaps[0] < 0.1 < 0.3 < gaps[1]


# Options.


@pytest.mark.parametrize(
    "option",
    [
        {"streams": ("global", "head")},
        {"shared": False},
        {"maps": 24},
        {"kernel": 3},
        {"feature_norm": False},
        {"own_statistics": False},
        {"normalise": False},
        {"overlap": 0.1},
        {"image": "pose"},
        {"width": 12},
        {"backbone": "googlenet"},
    ],
    ids=str,
)
def test_every_option_changes_the_descriptor(option: dict[str, Any]) -> None:
    images, keypoints = people(2, seed=6)
    with torch.no_grad():
        plain = trained(small())(images, keypoints)
        other = trained(small(**option))(images, keypoints)
    assert plain.shape != other.shape or not torch.allclose(plain, other, atol=1e-4)


def test_the_configuration_mirrors_the_constructor() -> None:
    parameters = inspect.signature(GLAD).parameters
    mirrored = {n: f.default for n, f in GLADNetwork.model_fields.items() if n != "name"}
    own = {n: p.default for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert mirrored == own
    kinds, hints = get_type_hints(GLADNetwork), get_type_hints(GLAD.__init__)
    assert {name: kinds[name] for name in own} == {name: hints[name] for name in own}
    assert get_args(Stream) == STREAMS


def test_keypoints_are_asked_for_where_they_are_used() -> None:
    images, keypoints = people(2)
    assert small(streams=("global",))(images).features.keys() == {"global"}
    for options in ({}, {"streams": ("head",)}, {"streams": ("global",), "image": "pose"}):
        with pytest.raises(ValueError, match=r"keypoints must be of shape \(2, 14, 3\)"):
            small(**options)(images)
        with pytest.raises(ValueError, match=r"got shape \(2, 13, 3\)"):
            small(**options)(images, keypoints[:, 1:])
    with pytest.raises(ValueError, match="each side needs at least 15"):
        small()(torch.zeros(2, 3, 64, 32), keypoints)  # a head of 12 x 12 pixels


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backbone": "resnet50"}, "backbone 'resnet50' is unknown; known: googlenet"),
        ({"streams": ()}, "each at most once"),
        ({"streams": ("head", "head")}, "each at most once"),
        ({"streams": ("feet",)}, "use some of global, head, upper, lower"),
        ({"kernel": 2}, "kernel is 2"),
        ({"image": "grey"}, "image is 'grey'"),
        ({"width": 4}, "width is 4"),
        ({"maps": 0}, "maps is 0"),
    ],
)
def test_options_that_no_network_has_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        small(**options)


@pytest.mark.parametrize("variant", ["shared", "pose"])
def test_sixteen_images_are_learnt_by_heart(variant: str) -> None:
    network = small(4, **VARIANTS[variant]).train()
    images, keypoints = people(16, seed=8)
    labels = torch.arange(16) % 4
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    history: list[float] = []
    while len(history) < 30 and min(history, default=1) > 0.1:
        outputs = network(images, keypoints)
        losses = [functional.cross_entropy(scores, labels) for scores in outputs.logits.values()]
        loss = torch.stack(losses).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(float(loss.detach()))
    assert history[0] == pytest.approx(4 * np.log(4), rel=0.1)
    assert history[-1] < 0.1
