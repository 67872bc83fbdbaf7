"""How much of the network's own speed the training loop keeps, beside the peers' loops.

    python benchmarks/training.py --size demo             ResNet-10 of width 16, 128x128, on the CPU
    python benchmarks/training.py --size gpu              ResNet-50, 256x256, bf16, on a CUDA device
    python benchmarks/training.py --render                write docs/training.md from all results

The bound is the same network, loss and optimiser stepping on one batch that lies on the device,
in the plainest loop. Loop and bound take turns in one process, epoch by epoch; what is reported is
the best of each and the median of the ratios of neighbours. The images are JPEG files made for the
purpose; the first epoch, which decodes them, is reported by itself.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from retrieval_line import PeerMissingError
from retrieval_machine import commit, describe, load, slug, versions
from torch import Tensor
from training_peers import PEERS, Work
from training_report import PAGE, render

from reid_repro.config import TrainingConfig
from reid_repro.datasets.images import ImageStore
from reid_repro.devices import peak_memory_mib
from reid_repro.networks import BaselineNetwork
from reid_repro.plan import ResolvedRun
from reid_repro.training import schedule
from reid_repro.training.loop import Prepared, prepare
from reid_repro.training.losses import ReIDLoss

RESULTS = Path(__file__).with_name("results")
BATCH = 16, 4  # identities, images of each


class Size(NamedTuple):
    """What is trained: a baseline network on `images` square images of `side` pixels."""

    network: BaselineNetwork
    side: int
    images: int
    device: str


SIZES = {
    "demo": Size(BaselineNetwork(backbone="resnet10", width=16), 128, 1152, "cpu"),
    "gpu": Size(BaselineNetwork(backbone="resnet50"), 256, 6400, "cuda"),
}


def write_images(folder: Path, size: Size) -> tuple[ImageStore, pd.DataFrame]:
    """JPEG files as large as photographs of that side, six of each identity, all to train on."""
    rng = np.random.default_rng(0)
    names = [f"{number:05d}.jpg" for number in range(size.images)]
    for name in names:
        coarse = rng.integers(0, 256, (size.side // 8, size.side // 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((size.side, size.side), Image.Resampling.BICUBIC)
        image.save(folder / name, quality=90)
    identity = 1 + np.arange(size.images) // 6
    frame = pd.DataFrame({"image": names, "identity": identity})
    splits = pd.DataFrame({"role": "train", "image": np.arange(size.images)})
    return ImageStore(folder=folder, images=frame, root=folder), splits


def resident(ready: Prepared, config: TrainingConfig, side: int) -> Callable[[int], float]:
    """A function of a number of steps: seconds that the bare network takes for them."""
    device = ready.fabric.device
    model = copy.deepcopy(ready.model).train()
    optimizer = schedule.optimizer(model.parameters(), config)
    criterion = ReIDLoss(config)
    identities, images = BATCH
    batch = torch.randn(identities * images, 3, side, side, device=device)
    batch = batch.to(memory_format=torch.channels_last)
    labels = torch.arange(identities, device=device).repeat_interleave(images)
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=ready.precision == "bf16-mixed")

    def step() -> Tensor:
        with mixed:
            outputs = model(batch)
        loss = criterion(outputs, labels).total
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    def run(steps: int) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            step()
        wait(device)
        return time.perf_counter() - began

    run(3)
    return run


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def own_loop(
    run: ResolvedRun, size: Size, folder: Path, repeats: int
) -> tuple[dict[str, Any], Callable[[int], float]]:
    """The project's loop in turns with the bound, and that bound."""
    store, splits = write_images(folder, size)
    began = time.perf_counter()
    ready = prepare(run, store, splits)
    prepared = time.perf_counter() - began
    first = ready.epochs.run(0)
    peak = peak_memory_mib()
    bound = resident(ready, run.training, size.side)
    steps = ready.epochs.length(0)
    images = steps * BATCH[0] * BATCH[1]
    loops, bounds = [], []
    for repeat in range(repeats):
        loops.append(float(ready.epochs.run(repeat + 1)["seconds"] or 0))
        bounds.append(bound(steps))
    found = {
        "images_per_second": round(images / min(loops), 1),
        "bound_images_per_second": round(images / min(bounds), 1),
        "ratio": round(min(bounds) / min(loops), 3),
        "ratio_median": round(
            statistics.median(b / s for s, b in zip(loops, bounds, strict=True)), 3
        ),
        "first_epoch_images_per_second": first["images_per_second"],
        "startup_seconds": round(prepared, 2),
        "peak_memory_mib": peak,
        "precision": ready.precision,
        "epochs": repeats,
        "batches": steps,
    }
    return found, bound


def at_once(options: argparse.Namespace) -> dict[str, Any]:
    """One training on all cores against one on each core, in processes of their own."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    rates: dict[str, float] = {}
    for processes, threads in ((1, cores or 1), (cores or 1, 1)):
        command = [sys.executable, __file__, "--size", options.size, "--only-loop"]
        command += ["--threads", str(threads), "--repeats", str(options.repeats)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        started = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        said = [process.communicate()[0] for process in started]
        total = sum(json.loads(text.splitlines()[-1])["images_per_second"] for text in said)
        rates[f"{processes} x {threads}"] = round(total, 1)
    return rates


def peers(
    run: ResolvedRun, size: Size, folder: Path, bound: Callable[[int], float]
) -> dict[str, Any]:
    """The same files, network and batches through the peers' loops; or why not."""
    work = Work(
        files=[folder / f"{number:05d}.jpg" for number in range(size.images)],
        identities=(np.arange(size.images) // 6).tolist(),
        side=size.side,
        batch=BATCH,
        device=torch.device(size.device),
        network=run.model.model_dump(exclude={"name"}),
        bound=bound,
    )
    found: dict[str, Any] = {}
    for name, peer in PEERS.items():
        try:
            found[name] = peer(work)
        except PeerMissingError as error:
            found[name] = {"missing": str(error)}
        print(json.dumps({name: found[name]}), flush=True)
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one size."""
    size = SIZES[options.size]
    if size.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--size gpu needs a CUDA device, and torch finds none")
    torch.set_num_threads(options.threads)
    run = ResolvedRun(
        run=f"benchmark/{options.size}/made/seed0",
        scale="bench",
        seed=0,
        dataset="made",
        model=size.network,
        training=TrainingConfig(
            height=size.side,
            width=size.side,
            epochs=options.repeats + 1,
            identities_per_batch=BATCH[0],
            images_per_identity=BATCH[1],
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        before = load()
        loop, _ = own_loop(run, size, Path(folder), options.repeats)
        print(json.dumps(loop), flush=True)
        if options.only_loop:
            return loop
        plain = run.training.model_copy(update={"precision": "32-true"})
        single = run.model_copy(update={"training": plain})
        float32, bound = own_loop(single, size, Path(folder), options.repeats)
        print(json.dumps(float32), flush=True)
        others = peers(run, size, Path(folder), bound)
    return {
        "size": options.size,
        "network": f"{size.network.backbone}, width {size.network.width}",
        "side": size.side,
        "batch": BATCH[0] * BATCH[1],
        "images": size.images,
        "threads": options.threads,
        "machine": describe(),
        "versions": versions(),
        "commit": commit(),
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "load": before,
        "loop": loop,
        "loop_float32": float32,
        "peers": others,
        "at_once": at_once(options) if size.device == "cpu" else {},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="demo")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5, help="epochs that are measured")
    parser.add_argument("--only-loop", action="store_true", help="no peers, no file")
    parser.add_argument("--render", action="store_true", help="only write the page")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if not options.render:
        found = measure(options)
        if options.only_loop:
            return
        file = options.out / f"training-{options.size}-{slug(found['machine'])}.json"
        file.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if options.out == RESULTS:
        files = sorted(RESULTS.glob("training-*.json"))
        PAGE.write_text(render([json.loads(file.read_text("utf-8")) for file in files]), "utf-8")


if __name__ == "__main__":
    main()
