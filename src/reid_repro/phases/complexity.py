"""Phase `tables`: what SSR-Net and its global branch cost, with the paper's options (Table 7).

Parameters and multiply-accumulates come from shapes alone. The seconds an image are measured, with
random weights, on which they do not depend: warm, the median of a few batches.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from reid_repro import devices, models
from reid_repro.files import write_json
from reid_repro.measures.recipes import networks_file
from reid_repro.models.complexity import complexity
from reid_repro.plan import Plan, ResolvedRun, Run
from reid_repro.plan import load as load_plan

PAPER: Final = "ssrnet"
VARIANTS: Final = ("global", "ssrnet")
CLASSES = 576  # of VeRi-776; a test does without the classifiers
BATCH: Final = {"CPU": 2, "GPU": 64}
REPEATS: Final = {"CPU": 3, "GPU": 20}


def run(plan: Plan, results: Path, *, threads: int = 0) -> None:
    """Write `results/measures/ssrnet/networks.json`; the scale of `plan` changes nothing."""
    if threads:
        torch.set_num_threads(threads)
    paper_plan = load_plan({"scale": "paper"})
    platforms = {"CPU": "cpu"} | ({"GPU": "cuda"} if torch.cuda.is_available() else {})
    networks: dict[str, Any] = {}
    for variant in VARIANTS:
        dataset = paper_plan.datasets_of(PAPER)[0]
        resolved = paper_plan.resolve(Run(PAPER, variant, dataset, 0))
        networks[f"{PAPER}/{variant}"] = _entry(resolved, platforms)
    file = networks_file(results, PAPER)
    write_json(
        file,
        {
            "paper": PAPER,
            "settings": "those of the paper, whatever the scale",
            "weights": "random: no count and no time depends on them",
            "batch": {name: BATCH[name] for name in platforms},
            "repeats": {name: REPEATS[name] for name in platforms},
            "networks": networks,
            "threads": torch.get_num_threads(),
            "config_digest": paper_plan.digest,
            **devices.commit(),
            "versions": devices.versions(),
            "machine": devices.machine(),
            "command": plan.command(networks_file(Path("results"), PAPER).as_posix()),
        },
    )
    for name, entry in networks.items():
        print(
            f"{name}: {entry['params'] / 1e6:.1f} M parameters, {entry['flops'] / 1e9:.2f} G "
            f"multiply-accumulates, {entry['infer_s_per_img']:.4f} s an image on the "
            f"{entry['platform']}"
        )


def _entry(resolved: ResolvedRun, platforms: dict[str, str]) -> dict[str, Any]:
    options = resolved.model.model_dump(exclude={"name"}) | {"weights": "none"}
    size = resolved.training.height, resolved.training.width
    cost = complexity(resolved.model.name, options, num_classes=CLASSES, size=size)
    seconds = {
        name: _seconds(resolved, options, device, name) for name, device in platforms.items()
    }
    platform = "GPU" if "GPU" in seconds else "CPU"
    return {
        "params": cost.parameters,
        "flops": cost.macs,  # as the paper counts them: a multiply-accumulate is one
        "dimension": cost.dimension,
        "trained": cost.trained,
        "infer_s_per_img": seconds[platform],
        "platform": platform,
        "seconds": seconds,
        "height": size[0],
        "width": size[1],
        "network": resolved.model.name,
        "options": options,
    }


@torch.inference_mode()
def _seconds(resolved: ResolvedRun, options: dict[str, Any], device: str, platform: str) -> float:
    """Seconds an image, the median over batches of normalised noise."""
    torch.manual_seed(0)
    network = models.build(resolved.model.name, CLASSES, **options).eval()
    network = network.to(device).to(memory_format=torch.channels_last)
    count = BATCH[platform]
    images = torch.randn(count, 3, resolved.training.height, resolved.training.width)
    images = images.to(device).to(memory_format=torch.channels_last)
    times = []
    for _ in range(1 + REPEATS[platform]):
        _wait(device)
        began = time.perf_counter()
        network(images)
        _wait(device)
        times.append(time.perf_counter() - began)
    return float(np.median(times[1:])) / count


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
