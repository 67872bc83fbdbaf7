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
    _check_matches(dataset)
    datasets.write(dataset, folder)
    return dataset


def _drawn(config: object) -> bool:
    return isinstance(config, RenderedDataset)


def _images(config: object) -> int:
    assert isinstance(config, RenderedDataset)
    train = config.train_identities * config.train_images_per_camera
    tested = config.test_identities * config.test_images_per_camera
    return config.cameras * (train + tested)


def _check_matches(dataset: Dataset) -> None:
    """Hours of training are in vain where no query has a right answer: say so at once."""
    for role, counts in dataset.counts().items():
        if counts["images"] == 0:
            raise UserError(f"dataset '{dataset.name}': no image has the role {role}")
    identity, role = dataset.images["identity"], dataset.splits["role"]
    seen = {
        name: set(identity.iloc[dataset.splits.loc[role == name, "image"]]) for name in set(role)
    }
    if not {number for number in seen["query"] & seen["gallery"] if number > 0}:
        raise UserError(f"dataset '{dataset.name}': no query's identity is in the gallery")


def describe(plan: Plan, name: str, results: Path) -> list[str]:
    """Write dataset.json; how the counts differ from the official ones, as sentences."""
    facts = datasets.describe(plan.dataset(name), results / "data" / name)
    return list(facts["differs"])
