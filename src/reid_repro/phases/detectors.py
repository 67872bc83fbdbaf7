"""Phases `parts` and `keypoints`: a detector is trained, or its weights are taken over.

Both write `results/detectors/{kind}`: weights.safetensors, history.csv, detector.json.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import nn

from reid_repro import devices
from reid_repro.datasets.images import Images, ImageStore
from reid_repro.detectors import (
    CocoSource,
    Kind,
    MpiiSource,
    RenderedSource,
    TensorFlowSource,
    WeightsSource,
)
from reid_repro.files import read_json, read_parquet, sha256, write_csv, write_json
from reid_repro.plan import Plan
from reid_repro.training.checkpoint import Checkpoints, clear

if TYPE_CHECKING:  # what only detects does not need what trains (two seconds a job)
    from reid_repro.training.fitting import Fitted


@dataclass(frozen=True)
class Made:
    """A network with its weights; `fitted` is None where these were taken over.

    `images` were trained on; `save` writes the weights whole.
    """

    network: nn.Module
    save: Callable[[Path], None]
    fitted: Fitted | None = None
    images: int = 0


def folder_of(results: Path, kind: Kind) -> Path:
    """Where a detector lies."""
    return results / "detectors" / kind


def run(plan: Plan, kind: Kind, results: Path, *, threads: int = 0) -> None:
    """Make the detector of `kind`; a killed training goes on from its last checkpoint."""
    if threads:
        torch.set_num_threads(threads)
    make = {"parts": _parts, "keypoints": _keypoints}[kind]
    checkpoints = results / "checkpoints" / "detectors" / kind
    made = make(plan, results, checkpoints)
    out = folder_of(results, kind)
    weights = out / "weights.safetensors"
    made.save(weights)
    write_csv(out / "history.csv", _history(made.fitted))
    settings = getattr(plan.config.detectors, kind)
    write_json(
        out / "detector.json",
        {
            "kind": kind,
            "scale": plan.config.scale,
            **settings.model_dump(mode="json", exclude={"detection"}),
            "parameters": sum(p.numel() for p in made.network.parameters()),
            "images": made.images,
            **_effort(made.fitted),
            "weights_digest": sha256(weights),
            "config_digest": plan.digest,
            **devices.commit(),
            "versions": devices.versions(),
            "machine": devices.machine(),
            "threads": torch.get_num_threads(),
            "peak_memory_mib": devices.peak_memory_mib(),
            "command": plan.command(f"results/detectors/{kind}/weights.safetensors"),
        },
    )
    clear(checkpoints)


def _history(fitted: Fitted | None) -> pd.DataFrame:
    from reid_repro.training.fitting import HISTORY

    return pd.DataFrame(columns=HISTORY) if fitted is None else fitted.history


def _effort(fitted: Fitted | None) -> dict[str, Any]:
    if fitted is None:
        return {"precision": None, "resumed": 0, "wall_seconds": 0.0}
    return {
        "precision": fitted.precision,
        "resumed": fitted.resumed,
        "wall_seconds": round(fitted.wall_seconds, 1),
    }


def _keeper(plan: Plan, kind: Kind, folder: Path, data: str) -> Checkpoints:
    """The checkpoint of this very training: of its settings, its data and its code."""
    settings = getattr(plan.config.detectors, kind).model_dump(mode="json", exclude={"detection"})
    return Checkpoints(folder, code=[f"{kind}/*.py"], settings=settings | {"content": data})


def _rendered(source: RenderedSource, results: Path) -> tuple[ImageStore, pd.DataFrame, Any, str]:
    """The store, its annotations, the rows to train on, and the hash of the content."""
    data = results / "data" / source.dataset
    splits = read_parquet(data / "splits.parquet")
    rows = splits.loc[splits["role"] == "train", "image"].to_numpy()
    content = read_json(data / "content.json")["content_hash"]
    return ImageStore.open(data), read_parquet(data / "annotations.parquet"), rows, content


def _parts(plan: Plan, results: Path, checkpoints: Path) -> Made:
    from reid_repro.parts import coco, weights
    from reid_repro.parts.classes import classes_of
    from reid_repro.parts.network import build
    from reid_repro.parts.training import train

    settings = plan.config.detectors.parts
    match settings.data:
        case WeightsSource(file=file):
            taken = weights.load(file, settings)
            return Made(taken, lambda out: weights.save(taken, settings, out))
        case CocoSource(annotations=file, images=folder, categories=categories):
            store, boxes = coco.load(file, folder, categories)
            rows, where, content = store.images.index.to_numpy(), str(file), sha256(file)
        case RenderedSource() as source:
            store, boxes, rows, content = _rendered(source, results)
            where = source.dataset
    torch.manual_seed(settings.training.seed)
    network = build(settings, classes_of(boxes["label"], where))
    keeper = _keeper(plan, "parts", checkpoints, content)
    fitted = train(network, store, boxes, rows, settings, keeper=keeper)
    return Made(network, lambda out: weights.save(network, settings, out), fitted, len(rows))


def _keypoints(plan: Plan, results: Path, checkpoints: Path) -> Made:
    from reid_repro.keypoints import mpii, released, weights
    from reid_repro.keypoints.training import train

    settings = plan.config.detectors.keypoints
    store: Images
    match settings.data:
        case WeightsSource(file=file):
            taken = weights.load(file, settings)
            return Made(taken, lambda out: weights.save(out, taken, settings))
        case TensorFlowSource(checkpoint=prefix):
            read = released.load(prefix, settings)
            return Made(read, lambda out: weights.save(out, read, settings))
        case MpiiSource(annotations=file, images=folder, people=people):
            aspect = settings.image_width / settings.height
            crops = mpii.MpiiPeople(file, folder, people=people, aspect=aspect)
            store, joints, content = crops, crops.annotations, sha256(file)
        case RenderedSource() as source:
            store, joints, rows, content = _rendered(source, results)
            joints = joints[joints["image"].isin(rows)]
    keeper = _keeper(plan, "keypoints", checkpoints, content)
    network, fitted = train("keypoints", settings, store, joints, keeper=keeper)
    images = int(joints["image"].nunique())
    return Made(network, lambda out: weights.save(out, network, settings), fitted, images)
