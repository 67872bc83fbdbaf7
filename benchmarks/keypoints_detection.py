"""What the joints' detection keeps of its network's own speed, and what more training brings.

    python benchmarks/keypoints_detection.py                    the demo network, on the CPU
    python benchmarks/keypoints_detection.py --size gpu         ResNet-101 at 512x256, on a GPU
    python benchmarks/keypoints_detection.py --training         PCK after the demo's training and
                                                                five times as much

Speed: detection from JPEG files to the table of joints (with every finished batch written to disk)
beside the bare forward pass: the same network, precision, batch size and scales on images that lie
on the device already. Both take turns in one process; reported are the best of each and the median
of the ratios of neighbours. The weights are random, which changes no time.

Training: the settings are those of the demo scale; scored are people and cameras that the network
has not seen, beside the mean pose of the images it has learnt from.
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

import pandas as pd
import torch
import yaml
from retrieval_machine import commit, describe, slug, versions

from reid_repro import datasets
from reid_repro.config import RenderedDataset
from reid_repro.datasets.images import ImageStore
from reid_repro.detectors import KeypointsDetector
from reid_repro.finished import FinishedBatches
from reid_repro.keypoints import detection
from reid_repro.keypoints.evaluation import evaluate, mean_pose
from reid_repro.keypoints.network import PoseNetwork, build, scaled
from reid_repro.keypoints.training import train

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("results")
UNSEEN = {"seed": 0, "train_identities": 4, "test_identities": 64, "cameras": 6}
GPU = {"network": "resnet101", "width": 16, "height": 512, "image_width": 256, "radius": 17.0}


def chosen(file: Path) -> tuple[KeypointsDetector, dict[str, Any]]:
    """The settings of a scale, and the rendered set that it trains on."""
    config = yaml.safe_load(file.read_text("utf-8"))
    settings = KeypointsDetector.model_validate(config["detectors"]["keypoints"])
    name = settings.data.dataset  # type: ignore[union-attr]
    facts = yaml.safe_load((ROOT / f"workflow/datasets/{name}.yaml").read_text("utf-8"))
    return settings, facts | config["datasets"].get(name, {})


def rendered(facts: dict[str, Any], folder: Path) -> tuple[ImageStore, pd.DataFrame, pd.DataFrame]:
    """The images of a rendered set, their joints, and their roles."""
    config = RenderedDataset.model_validate(facts)
    folder.mkdir(parents=True)
    dataset = datasets.index(folder.name, config, folder, workers=1, advance=lambda _: None)
    datasets.write(dataset, folder)
    annotations = pd.read_parquet(folder / "annotations.parquet")
    return ImageStore.open(folder), annotations, dataset.splits


def unseen(facts: dict[str, Any], folder: Path) -> tuple[ImageStore, pd.DataFrame, pd.DataFrame]:
    """People and cameras of another seed: 768 images that are not trained on."""
    return rendered(facts | UNSEEN | {"test_images_per_camera": 2}, folder / "unseen")


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def bare(
    network: PoseNetwork, settings: KeypointsDetector, device: torch.device, images: int
) -> Callable[[], float]:
    """A function that gives the seconds of the forward passes of so many images."""
    step = settings.detection.batch_size
    batches = {
        (count, scale): torch.randint(
            0, 256, (count, *scaled(settings, scale), 3), dtype=torch.uint8, device=device
        ).permute(0, 3, 1, 2)
        for count in {step, images % step} - {0}
        for scale in settings.detection.scales
    }
    counts = [step] * (images // step) + [images % step] * (images % step > 0)
    dtype = detection.autocast_type(settings)

    @torch.inference_mode()
    def run() -> float:
        began = time.perf_counter()
        for count in counts:
            for scale in settings.detection.scales:
                with torch.autocast(device.type, dtype, enabled=dtype is not None):
                    network(batches[count, scale])
        wait(device)
        return time.perf_counter() - began

    return run


def speed(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Images a second of detection and of the bare forward passes."""
    settings, facts = chosen(options.config)
    if options.size == "gpu":
        settings = KeypointsDetector.model_validate(
            settings.model_dump() | GPU | {"detection": {"batch_size": options.batch_size}}
        )
        facts = facts | {"height": 512, "width": 256}
    device = torch.device("cuda" if options.size == "gpu" else "cpu")
    store, _, _ = unseen(facts, folder)
    torch.manual_seed(0)
    network = build(settings).to(device).to(memory_format=torch.channels_last).eval()
    forward = bare(network, settings, device, len(store))
    whole, bound = [], []
    forward()
    for repeat in range(options.repeats + 1):  # the first warms up
        finished = FinishedBatches(folder / "kept", code=(), settings={"repeat": repeat})
        began = time.perf_counter()
        detection.detect("speed", network, store, settings, finished=finished, device=device)
        whole.append(time.perf_counter() - began)
        bound.append(forward())
    whole, bound = whole[1:], bound[1:]
    return {
        "images": len(store),
        "scales": settings.detection.scales,
        "input": [settings.height, settings.image_width],
        "batch_size": settings.detection.batch_size,
        "images_per_second": round(len(store) / min(whole), 1),
        "bare_images_per_second": round(len(store) / min(bound), 1),
        "ratio": round(min(bound) / min(whole), 3),
        "ratio_median": round(
            statistics.median(b / w for w, b in zip(whole, bound, strict=True)), 3
        ),
        "repeats": options.repeats,
    }


def learning(config: Path, folder: Path, factors: tuple[int, ...] = (1, 5)) -> dict[str, Any]:
    """PCK on unseen people after the demo's training, and after so many times as much."""
    settings, facts = chosen(config)
    store, joints, splits = rendered(facts, folder / "learnt")
    learnt = joints[joints["image"].isin(splits.loc[splits["role"] == "train", "image"])]
    others, truth, roles = unseen(facts, folder)
    tested = truth[truth["image"].isin(roles.loc[roles["role"] != "train", "image"])]
    prior = mean_pose(learnt, tested["image"])
    found: dict[str, Any] = {"images": int(learnt["image"].nunique())}
    for factor in factors:
        iterations = settings.training.iterations * factor
        recipe = settings.training.model_copy(update={"iterations": iterations})
        longer = settings.model_copy(update={"training": recipe})
        network, fitted = train(f"{factor} x", longer, store, learnt)
        detected = detection.detect("unseen", network, others, longer)
        scores, _ = evaluate(detected, tested, others.images, prior=prior)
        found[f"{factor}x"] = {
            "iterations": iterations,
            "training_seconds": round(fitted.wall_seconds, 1),
            "pck": round(scores["mean"], 4),
            "pck_visible": round(scores["mean_visible"], 4),
            "by_joint": {row["name"]: round(row["pck"], 4) for row in scores["joints"]},
        }
        found["mean_pose"] = round(scores["prior"], 4)
        print(json.dumps({f"{factor}x": found[f"{factor}x"]}), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=["demo", "gpu"], default="demo")
    parser.add_argument("--training", action="store_true")
    parser.add_argument("--config", type=Path, default=ROOT / "workflow/config/demo.yaml")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32, help="of --size gpu")
    options = parser.parse_args()
    if options.size == "gpu" and not torch.cuda.is_available():
        raise SystemExit("--size gpu needs a CUDA device, and torch finds none")
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        found = (
            learning(options.config, Path(name)) if options.training else speed(options, Path(name))
        )
    kind = "training" if options.training else options.size
    content = {
        "what": kind,
        "threads": options.threads,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": describe(),
        "versions": versions(),
        "settings": chosen(options.config)[0].model_dump(mode="json"),
        "found": found,
    }
    file = RESULTS / f"keypoints-{kind}-{slug(content['machine'])}.json"
    file.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    for key, value in found.items():
        print(f"{key:24} {value}")


if __name__ == "__main__":
    main()
