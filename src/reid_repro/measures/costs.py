"""What parts of the networks cost in time, measured with the networks of this scale.

CHCA: strided convolutions against max pooling. PGAN: an iteration with Refine and without. GLAD:
ten fine body parts against three coarse ones; coarse against fine retrieval. On the GPU where there
is one, else on one thread; warm, the best of several, with random weights, on which no time
depends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from reid_repro import models
from reid_repro.files import read_json
from reid_repro.measures.source import LeftOutError, Measure, Source, single
from reid_repro.models.layers.pose_image import pose_image
from reid_repro.models.layers.regions import (
    REGIONS,
    STANDARD,
    crop,
    crop_rows,
    region_boxes,
    region_size,
)
from reid_repro.models.outputs import Neck, Outputs
from reid_repro.models.pgan import PGAN
from reid_repro.paper import GroupsTiming
from reid_repro.plan import ResolvedRun

BATCH, REPEATS, WARM = 8, 15, 2
# Table 7 prints thresholds; here a point is known by the number of groups that came of it.
THETAS = {None: "0.0000", 13509: "0.0010", 8509: "0.0015", 2558: "0.0020"}


@contextmanager
def one_thread() -> Iterator[None]:
    """One CPU thread, so that a time does not hang on how many are free."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def best_seconds(
    works: dict[str, Callable[[], object]], repeats: int = REPEATS
) -> dict[str, float]:
    """The least seconds of each work; they take turns, so that a busy moment hits all alike."""
    least = dict.fromkeys(works, float("inf"))
    for number in range(WARM + repeats):
        for name, work in works.items():
            _wait()
            began = time.perf_counter()
            work()
            _wait()
            if number >= WARM:
                least[name] = min(least[name], time.perf_counter() - began)
    return least


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _resolved(source: Source, variant: str) -> ResolvedRun:
    if variant not in source.plan.papers[source.paper].variants:
        raise LeftOutError(f"there is no variant {source.paper}/{variant}")
    return source.plan.resolve(source.run(f"{source.paper}/{variant}"))


def _built(resolved: ResolvedRun, classes: int = 2, **options: object) -> nn.Module:
    known = resolved.model.model_dump(exclude={"name"}) | {"weights": "none"} | options
    torch.manual_seed(0)
    built = models.build(resolved.model.name, classes, **known).to(_device())
    return built.to(memory_format=torch.channels_last)


def _images(resolved: ResolvedRun) -> Tensor:
    height, width = resolved.training.height, resolved.training.width
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, height, width, generator=generator)
    return images.to(_device()).to(memory_format=torch.channels_last)


def downsampling(source: Source) -> Iterator[Measure]:
    """CHCA, Section IV-D: an image's descriptor with strided convolutions and with max pooling."""
    resolved = _resolved(source, "strided")
    images = _images(resolved)
    networks = {
        key: _built(resolved, pooling=pooling).eval()
        for key, pooling in {"strided": "strided", "MP": "max"}.items()
    }

    def run(network: nn.Module) -> Callable[[], object]:
        return lambda: network(images)

    with one_thread(), torch.inference_mode():
        seconds = best_seconds({key: run(network) for key, network in networks.items()})
    for key, value in seconds.items():
        what = f"milliseconds an image at {images.shape[2]} x {images.shape[3]}, {_where()}"
        yield single("cost", (key, "time_ms"), 1000 * value / BATCH, what)


def _where() -> str:
    place = "GPU" if torch.cuda.is_available() else "CPU, one thread"
    return f"batch of {BATCH}, {place}"


class Pooled(nn.Module):
    """Global average pooling in the place of a Refine."""

    def forward(self, features: Tensor) -> Tensor:
        """(n, c, h, w) to (n, c)."""
        return features.mean(dim=(2, 3), dtype=torch.float32)


def without_refine(network: PGAN, classes: int) -> PGAN:
    """The same network, its maps pooled as they are: the fused feature has twice the channels."""
    for name in list(network.refine):
        network.refine[name] = Pooled()
    channels = network.backbone.out_channels * (1 if network.attention == "none" else 2)
    network.neck = Neck(channels, classes).to(_device())
    return network


def refinement(source: Source) -> Iterator[Measure]:
    """PGAN, Section 3.4: an iteration of the training with Refine, and without."""
    resolved = _resolved(source, "pgan")
    train = source.splits.loc[source.splits["role"] == "train", "image"].to_numpy()
    classes = max(2, int(source.store.images["identity"].iloc[train].nunique()))
    images = _images(resolved)
    labels = torch.arange(BATCH, device=images.device) % classes
    corner = torch.linspace(0, 0.6, 10, device=images.device)
    boxes = torch.stack([corner, corner, corner + 0.3, corner + 0.3], dim=1).expand(BATCH, -1, -1)
    works = {}
    for key in ("refine", "no_refine"):
        network = _built(resolved, classes).train()
        assert isinstance(network, PGAN)
        if key == "no_refine":
            network = without_refine(network, classes)
        works[key] = _iteration(network, images, boxes, labels)
    with one_thread():
        seconds = best_seconds(works, repeats=5)
    for key, value in seconds.items():
        what = f"seconds an iteration (forward, losses, backward, Adam), {_where()}"
        yield single("cost", (key, "s_per_iter"), value, what)


def _iteration(
    network: PGAN, images: Tensor, boxes: Tensor, labels: Tensor
) -> Callable[[], object]:
    optimizer = torch.optim.Adam(network.parameters(), foreach=True)

    def iterate() -> None:
        outputs = network(images, boxes)
        assert isinstance(outputs, Outputs)
        loss = torch.stack(
            [functional.cross_entropy(logits, labels) for logits in outputs.logits.values()]
            + [torch.cdist(each, each).amax(dim=1).mean() for each in outputs.features.values()]
        ).sum()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()

    return iterate


def body_parts(source: Source) -> Iterator[Measure]:
    """GLAD, Section 2.2: cutting ten fine parts out of an image, and three coarse ones.

    The joints are given to both. With the network: the same four streams on what was cut out.
    """
    coarse = _resolved(source, "glad")
    images = _images(coarse)
    figure = torch.tensor(STANDARD, device=images.device)
    joints = torch.cat([figure, torch.ones(len(figure), 1, device=images.device)], dim=1)
    keypoints = joints.expand(BATCH, -1, -1).contiguous()
    with one_thread(), torch.inference_mode():
        cut = best_seconds(
            {
                "fine_parts": lambda: pose_image(images, keypoints),
                "coarse_parts": lambda: three_regions(images, keypoints),
            }
        )
        whole = best_seconds(
            {
                "fine_parts": _with(_built(coarse, image="pose").eval(), images, keypoints),
                "coarse_parts": _with(_built(coarse).eval(), images, keypoints),
            }
        )
    size = f"{images.shape[2]} x {images.shape[3]}"
    for key in cut:
        what = f"milliseconds an image of {size} to cut the parts out by given joints, {_where()}"
        yield single("cost", (key, "ms"), 1000 * cut[key] / BATCH, what)
        what = f"milliseconds an image of {size} to its descriptor by given joints, {_where()}"
        yield single("cost", (key, "with_network_ms"), 1000 * whole[key] / BATCH, what)


def _with(network: nn.Module, images: Tensor, keypoints: Tensor) -> Callable[[], object]:
    return lambda: network(images, keypoints)


def three_regions(images: Tensor, keypoints: Tensor) -> list[Tensor]:
    """Head, upper and lower body of images, cut out as the network does."""
    height, width = images.shape[-2:]
    boxes = region_boxes(keypoints, height, width)
    head, upper, lower = (region_size(region, height, width) for region in REGIONS)
    assert upper == lower
    return [crop(images, boxes[:, :1], head), crop_rows(images, boxes[:, 1:], upper[0])]


def coarse_and_fine(source: Source) -> Iterator[Measure]:
    """GLAD, Section 6.6: a query's time among the groups, and among their images (Table 7)."""
    file = source.results / "timings" / source.paper / "groups.json"
    settings = source.plan.papers[source.paper].timings["groups"]
    if not isinstance(settings, GroupsTiming):
        raise LeftOutError("the times of the paper are not those of groups")
    facts = read_json(file)
    if facts["shrink"] != 1:
        raise LeftOutError(f"timed at 1/{facts['shrink']} of the printed sizes")
    for entry in facts["entries"]:
        point = settings.points.get(entry["of"])
        times = entry["seconds"]
        if point is None or point.groups not in THETAS or "coarse" not in times:
            continue
        key = f"theta={THETAS[point.groups]}, dim={entry['dim']}"
        for part, words in (("coarse", "to rank the groups"), ("fine", "to rank their images")):
            what = f"milliseconds of one query {words}, one thread, simulated features"
            yield single("time", (key, f"{part}_ms"), 1000 * times[part], what)
