"""Phase `data`: a dataset becomes images.parquet, splits.parquet and dataset.json."""

from __future__ import annotations

from pathlib import Path

from reid_repro import datasets
from reid_repro.config import RenderedDataset
from reid_repro.datasets import Dataset
from reid_repro.errors import UserError
from reid_repro.plan import Plan
from reid_repro.progress import add_task, progress


def run(plan: Plan, name: str, results: Path, *, workers: int = 1) -> Dataset:
    """Index (or draw) dataset `name` into `results/data/{name}`."""
    config = plan.dataset(name)
    folder = results / "data" / name
    folder.mkdir(parents=True, exist_ok=True)
    with progress() as display:
        task = add_task(display, name, _images(config) if _drawn(config) else 1)
        dataset = datasets.index(
            name,
            config,
            folder,
            workers=workers,
            advance=lambda count: display.advance(task, count),
        )
    _check_roles(dataset)
    datasets.write(dataset, folder)
    return dataset


def _drawn(config: object) -> bool:
    return isinstance(config, RenderedDataset)


def _images(config: object) -> int:
    assert isinstance(config, RenderedDataset)
    train = config.train_identities * config.train_images_per_camera
    tested = config.test_identities * config.test_images_per_camera
    return config.cameras * (train + tested)


def _check_roles(dataset: Dataset) -> None:
    for role, counts in dataset.counts().items():
        if counts["images"] == 0:
            raise UserError(f"dataset '{dataset.name}': no image has the role {role}")
