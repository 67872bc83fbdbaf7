"""How fast parts are detected beside the bare network, and what more training brings.

    python benchmarks/parts_detection.py                       the demo scale's detector, on the CPU
    python benchmarks/parts_detection.py --network ssd300_vgg16 --only-speed        PGAN's detector

The bound is the same network's forward pass, in the same precision, on one batch that lies on the
device; detection reads JPEG files, selects boxes and keeps each batch on disk. Both take turns;
what is reported is the best of each, and the median of the ratios of neighbours. The other table is
recall@D and mAP on identities that nothing was trained on, after the recipe's training and after
five times its iterations, beside the fixed boxes that cover most of the training images' parts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from retrieval_machine import commit, describe, load, slug, versions

from reid_repro import datasets, plan
from reid_repro.datasets.images import ImageStore
from reid_repro.detectors import PartsDetector
from reid_repro.devices import best_precision
from reid_repro.files import read_parquet
from reid_repro.memory import keep_memory
from reid_repro.parts.classes import PARTS
from reid_repro.parts.coverage import fixed_boxes
from reid_repro.parts.detection import DTYPES, detect
from reid_repro.parts.evaluation import evaluate
from reid_repro.parts.network import PartsNetwork, build
from reid_repro.parts.training import train

RESULTS = Path(__file__).with_name("results")
TRAINED, TESTED = "rendered-parts", "rendered-vehicles"
TIMES = 1, 5  # the recipe's iterations


class Drawn:
    """A rendered dataset in a folder: its images, boxes, and the rows of both halves."""

    def __init__(self, folder: Path) -> None:
        self.store = ImageStore.open(folder)
        self.annotations: pd.DataFrame = read_parquet(folder / "annotations.parquet")
        splits = read_parquet(folder / "splits.parquet")
        training = splits["role"] == "train"
        self.train: np.ndarray = splits.loc[training, "image"].to_numpy()
        self.test: np.ndarray = splits.loc[~training, "image"].to_numpy()

    def learnt(self) -> pd.DataFrame:
        """The boxes of the half that is trained on."""
        return self.annotations[self.annotations["image"].isin(self.train)]


def draw(chosen: plan.Plan, name: str, folder: Path) -> Drawn:
    """The dataset `name` of the plan, drawn into `folder`."""
    datasets.write(datasets.index(name, chosen.dataset(name), folder), folder)
    return Drawn(folder)


def bare(network: PartsNetwork, batch: int, images: int) -> Callable[[], float]:
    """A function that gives the seconds of as many forward passes as `images` take."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    pixels = torch.randint(0, 256, (batch, network.size, network.size, 3), dtype=torch.uint8)
    pixels = pixels.to(device)
    dtype = DTYPES.get(best_precision())
    passes = max(1, images // batch)

    @torch.inference_mode()
    def run() -> float:
        began = time.perf_counter()
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            for _ in range(passes):
                network(pixels)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - began) / (passes * batch)

    return run


def speed(settings: PartsDetector, drawn: Drawn, repeats: int) -> dict[str, Any]:
    """Images a second of detection and of the bare network, in turns."""
    network = build(settings, PARTS)
    # Half a batch is what the network gets at a time.
    bound = bare(network, max(1, settings.detection.batch_size // 2), len(drawn.store))
    bound()  # the first pass chooses kernels
    ours, bounds = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            detect(network, drawn.store, settings.detection, folder=Path(folder), content="")
            ours.append((time.perf_counter() - began) / len(drawn.store))
        bounds.append(bound())
    ratios = [b / a for a, b in zip(ours, bounds, strict=True)]
    return {
        "images": len(drawn.store),
        "images_per_second": round(1 / min(ours), 1),
        "bound_images_per_second": round(1 / min(bounds), 1),
        "ratio": round(min(bounds) / min(ours), 3),
        "ratio_median": round(statistics.median(ratios), 3),
        "precision": best_precision(),
        "repeats": repeats,
    }


def learning(settings: PartsDetector, trained: Drawn, tested: Drawn, times: int) -> dict[str, Any]:
    """Scores on `tested` after `times` the recipe's iterations, and what they cost."""
    longer = {"iterations": times * settings.training.iterations}
    training = settings.training.model_copy(update=longer)
    settings = settings.model_copy(update={"training": training})
    torch.manual_seed(training.seed)
    network = build(settings, PARTS)
    wall, processor = time.perf_counter(), time.process_time()
    fitted = train(network, trained.store, trained.annotations, trained.train, settings)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    with tempfile.TemporaryDirectory() as folder:
        found = detect(network, tested.store, settings.detection, folder=Path(folder), content="")
    prior = fixed_boxes(trained.learnt(), settings.detection.boxes)
    scores = evaluate(found, tested.annotations, tested.test, prior=prior).summary
    kept = ("images", "recall", "prior_recall", "mAP50", "average_precision")
    return {
        "times": times,
        **longer,
        "seconds": round(wall, 1),
        "processor_seconds": round(processor, 1),
        "loss": round(float(fitted.history["loss"].iloc[-1]), 3),
        **{key: scores[key] for key in kept},
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures, printed as they come."""
    torch.set_num_threads(options.threads)
    chosen = plan.load({"scale": options.scale})
    settings = chosen.config.detectors.parts
    if options.network == "ssd300_vgg16":
        settings = settings.model_copy(update={"network": options.network, "size": 300})
    found: dict[str, Any] = {
        "scale": options.scale,
        "detector": settings.model_dump(mode="json", exclude={"data"}),
        "threads": options.threads,
        "machine": describe(),
        "versions": versions(),
        "commit": commit(),
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "load": load(),
    }
    with tempfile.TemporaryDirectory() as folder:
        tested = draw(chosen, TESTED, Path(folder) / TESTED)
        found["detection"] = speed(settings, tested, options.repeats)
        print(json.dumps(found["detection"]), flush=True)
        if options.only_speed:
            return found
        trained = draw(chosen, TRAINED, Path(folder) / TRAINED)
        found["learning"] = []
        for times in TIMES:
            found["learning"].append(learning(settings, trained, tested, times))
            print(json.dumps(found["learning"][-1]), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", choices=("demo", "bench"), default="demo")
    parser.add_argument("--network", choices=("small", "ssd300_vgg16"), default="small")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5, help="detections that are measured")
    parser.add_argument("--only-speed", action="store_true", help="nothing is trained")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    keep_memory()  # as the command line does
    found = measure(options)
    name = f"parts-{options.scale}-{options.network}-{slug(found['machine'])}.json"
    (options.out / name).write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
