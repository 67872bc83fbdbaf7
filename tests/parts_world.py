"""What the tests of the part detector share: drawn vehicles, small settings, boxes and a loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from reid_repro import datasets
from reid_repro.config import RenderedDataset
from reid_repro.datasets.images import ImageStore
from reid_repro.detectors import PartsDetector
from reid_repro.files import read_parquet


def write_vehicles(folder: Path, train: int, test: int, side: int = 128) -> None:
    """`train` and `test` vehicles in two cameras, as an indexed dataset."""
    config = RenderedDataset(
        source="rendered",
        subject="vehicle",
        train_identities=train,
        test_identities=test,
        cameras=2,
        train_images_per_camera=2,
        test_images_per_camera=2,
        height=side,
        width=side,
    )
    datasets.write(datasets.index("tiny", config, folder), folder)


class Vehicles:
    """The images of a folder, their boxes, and which rows train and test."""

    def __init__(self, folder: Path) -> None:
        self.store = ImageStore.open(folder)
        self.annotations: pd.DataFrame = read_parquet(folder / "annotations.parquet")
        splits = read_parquet(folder / "splits.parquet")
        training = (splits["role"] == "train").to_numpy()
        rows = splits["image"].to_numpy()
        self.train: np.ndarray = rows[training]
        self.test: np.ndarray = rows[~training]

    def boxes(self, rows: np.ndarray) -> pd.DataFrame:
        return self.annotations[self.annotations["image"].isin(rows)]


def detector(*, size: int = 64, width: int = 8, **training: Any) -> PartsDetector:
    """A small detector in float32, which every machine computes alike."""
    plain = {"iterations": 6, "batch_size": 4, "learning_rate": 1e-3, "precision": "32-true"}
    return PartsDetector.model_validate(
        {
            "data": {"source": "weights", "file": "weights.safetensors"},
            "network": "small",
            "size": size,
            "width": width,
            "training": plain | training,
        }
    )


def random_boxes(rng: np.random.Generator, *shape: int) -> np.ndarray:
    corner, side = rng.uniform(0, 0.8, (*shape, 2)), rng.uniform(0.02, 0.4, (*shape, 2))
    return np.concatenate([corner, np.minimum(corner + side, 1)], axis=-1).astype(np.float32)


def loop_iou(a: Tensor, b: Tensor) -> float:
    width = max(0.0, min(float(a[2]), float(b[2])) - max(float(a[0]), float(b[0])))
    height = max(0.0, min(float(a[3]), float(b[3])) - max(float(a[1]), float(b[1])))
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (a, b)]
    return width * height / (sum(areas) - width * height)
