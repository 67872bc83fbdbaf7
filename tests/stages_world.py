"""What the two detectors leave behind, written to the file contracts over `reporting_world`.

On `cars` every box but the first covers a true part and one image has no detection at all; on
`people` the joints are the true ones, moved further the higher the image's row.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reid_repro.datasets.places import FILLED
from reid_repro.keypoints.joints import NAMES
from reid_repro.plan import Plan
from reid_repro.reporting.stage_sheets import keypoints_sheet, parts_sheet

from reporting_world import HOSTILE, LABELS, World, make_world

EMPTY = 5  # the image in which nothing was found
BOXES = 10
DETECTED = (("keypoints", "people"), ("parts", "cars"))
RECALL = {"4": 0.7123, "6": 0.6012, "8": 0.5234, "10": 0.4345}
PRIOR = {"4": 0.2222, "6": 0.1818, "8": 0.1515, "10": 0.1111}
PRECISION: dict[str, float | None] = {
    "front_window": 0.8765, "rear_light": 0.4321, "sign": None, "wheel": 0.9191
}  # fmt: skip


def make_stages(root: Path) -> World:
    """`make_world` whose cars and people were looked at by detectors."""
    world = make_world(root)
    world = replace(world, plan=with_detections(world.plan))
    for kind in ("parts", "keypoints"):
        write_detector(world.results, kind)
    write_parts(world.results)
    write_keypoints(world.results)
    parts_sheet(world.results, "cars", world.results / "figures/parts/cars.webp")
    keypoints_sheet(world.results, "people", world.results / "figures/keypoints/people.webp")
    return world


def with_detections(plan: Plan, detected: tuple[tuple[str, str], ...] = DETECTED) -> Plan:
    """The plan as if networks needed what was detected: the world's own are plain baselines."""
    changed = replace(plan)
    vars(changed)["detected"] = detected  # a cached property
    return changed


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


def made(**more: object) -> dict[str, Any]:
    """Provenance, as every results file has it."""
    return {
        "scale": "demo",
        "machine": {"cpu": f"Chip {HOSTILE}", "cores": 2, "memory_gib": 7.8, "gpu": None,
                    "os": "Linux x86_64"},
        "versions": {"python": "3.11.7"},
        "commit": "c0ffee" * 6 + "c0ff",
        "dirty": False,
        "config_digest": "0123456789ab",
        "weights_digest": "cd" * 32,
        "threads": 1,
    } | more  # fmt: skip


def write_detector(results: Path, kind: str) -> None:
    folder = results / "detectors" / kind
    size = {"size": 96} if kind == "parts" else {"height": 192, "image_width": 96}
    facts = made(
        kind=kind,
        network="small",
        width=32,
        parameters=1_234_567,
        data={"source": "rendered", "dataset": f"drawn-{kind}"},
        training={"iterations": 4321, "batch_size": 16, "learning_rate": 0.002},
        images=987,
        wall_seconds=47.25,
        resumed=1,
        precision="bf16-mixed",
        command=f"snakemake results/detectors/{kind}/weights.safetensors",
        **size,
    )
    write(folder / "detector.json", facts)
    iterations = np.arange(1, 6) * 100
    pd.DataFrame(
        {
            "iteration": iterations,
            "learning_rate": 0.2 / iterations,
            "loss": 300 / iterations,
            "first_part": 200 / iterations,
            "second_part": 100 / iterations,
            "images_per_second": 321.0,
            "seconds": 4.5,
        }
    ).to_csv(folder / "history.csv", index=False)


def write_parts(results: Path) -> None:
    truth = pd.read_parquet(results / "data/cars/annotations.parquet")
    images = int(truth["image"].max()) + 1
    frames = [_boxes(row, truth[truth["image"] == row]) for row in range(images)]
    folder = results / "parts/cars"
    folder.mkdir(parents=True)
    pd.concat(frames).to_parquet(folder / "parts.parquet", index=False)
    write(
        folder / "summary.json",
        made(
            dataset="cars",
            source="detector",
            images=images,
            boxes=BOXES,
            filled={"4": 1, "6": 13, "8": 57, "10": 64},
            labels={"wheel": 61, "sign": 1234},
            seconds=2.5,
            images_per_second=765.4,
            detection={"boxes": BOXES, "overlap": 0.45, "batch_size": 64},
            command="snakemake results/parts/cars/parts.parquet",
        ),
    )
    per_image = {str(row): 0.75 for row in range(images)} | {"5": 0.0, "8": 0.25, "9": None}
    write(
        folder / "evaluation.json",
        {
            "dataset": "cars",
            "images": images,
            "iou": 0.5,
            "mAP50": 0.7426,
            "average_precision": PRECISION,
            "n_truth": {"front_window": 64, "rear_light": 63, "sign": 0, "wheel": 60},
            "recall": RECALL,
            "prior_recall": PRIOR,
            "per_image": per_image,
        },
    )


def _boxes(row: int, parts: pd.DataFrame) -> pd.DataFrame:
    """A wrong box, three of the four true ones, and whole images up to `BOXES`."""
    found = parts.iloc[:3][["label", "x0", "y0", "x1", "y1"]]
    wrong = pd.DataFrame([{"label": "sign", "x0": 0.9, "y0": 0.9, "x1": 0.95, "y1": 0.95}])
    detected = pd.concat([wrong, found])[: 0 if row == EMPTY else None]
    whole = pd.DataFrame([{"label": FILLED, "x0": 0.0, "y0": 0.0, "x1": 1.0, "y1": 1.0}])
    frame = pd.concat([detected, *[whole] * (BOXES - len(detected))], ignore_index=True)
    score = np.linspace(0.95, 0.5, BOXES).astype(np.float32)
    return frame.assign(
        image=np.int32(row),
        rank=np.arange(BOXES, dtype=np.int16),
        score=np.where(frame["label"] == FILLED, 0, score),
    )


def write_keypoints(results: Path) -> None:
    truth = pd.read_parquet(results / "data/people/annotations.parquet")
    images = int(truth["image"].max()) + 1
    confidence = np.tile(np.linspace(0.95, 0.3, 14), images)
    confidence[14 * EMPTY + 2] = 0  # a hip
    folder = results / "keypoints/people"
    folder.mkdir(parents=True)
    pd.DataFrame(
        {
            "image": truth["image"].astype("int32"),
            "joint": truth["joint"].astype("int16"),
            "x": (truth["x"] + 0.002 * truth["image"]).clip(0, 1).astype("float32"),
            "y": truth["y"].astype("float32"),
            "confidence": confidence.astype("float32"),
        }
    ).to_parquet(folder / "keypoints.parquet", index=False)
    write(
        folder / "summary.json",
        made(
            dataset="people",
            source="detector",
            images=images,
            lacking=37,
            lacking_by_joint={name: 3 * joint for joint, name in enumerate(NAMES)},
            scales={"0.6": 11, "1.0": 53},
            seconds=3.5,
            images_per_second=210.9,
            detection={"least": 0.15, "scales": [0.6, 1.0], "batch_size": 32},
            command="snakemake results/keypoints/people/keypoints.parquet",
        ),
    )
    shares = {name: round(0.5 + joint / 40, 4) for joint, name in enumerate(NAMES)}
    write(
        folder / "evaluation.json",
        {
            "dataset": "people",
            "images": images,
            "threshold": 0.2,
            "reference": "the trunk",
            "pck": shares,
            "pck_visible": {name: share + 0.1 for name, share in shares.items()},
            "mean": 0.6789,
            "mean_visible": 0.7891,
            "n": dict.fromkeys(NAMES, 59),
            "prior": {"mean": 0.1357},
            "per_image": {str(row): 1 - row / 100 for row in range(images)},
        },
    )


def missed_labels(row: int, results: Path) -> list[str]:
    """The labels that no box of `_boxes` covers."""
    assert len(LABELS) == 4
    truth = pd.read_parquet(results / "data/cars/annotations.parquet")
    labels: list[str] = truth.loc[truth["image"] == row, "label"].tolist()
    return labels if row == EMPTY else labels[3:]
