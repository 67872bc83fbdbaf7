"""Phase `data`: a dataset becomes images.parquet, splits.parquet and dataset.json."""

from __future__ import annotations

from pathlib import Path

from reid_repro import datasets
from reid_repro.config import DatasetConfig, RenderedDataset
from reid_repro.dataset_config import FolderDataset
from reid_repro.datasets import Dataset
from reid_repro.errors import UserError
from reid_repro.plan import Plan
from reid_repro.progress import add_task, progress


def run(
    plan: Plan, name: str, results: Path, *, workers: int = 1, allow_partial: bool = False
) -> Dataset:
    """Index (or draw) dataset `name` into `results/data/{name}`."""
    config = settings_of(plan, name, allow_partial=allow_partial)
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


def settings_of(plan: Plan, name: str, *, allow_partial: bool) -> DatasetConfig:
    """A dataset's settings, the option of the command line among them."""
    config = plan.dataset(name)
    if allow_partial and isinstance(config, FolderDataset):
        return config.model_copy(update={"allow_partial": True})
    return config


def _check_matches(dataset: Dataset) -> None:
    """Hours of training are in vain where no query has a right answer: say so at once."""
    for role, counts in dataset.counts().items():
        trained = role != "train" or dataset.config.subject != "place"
        if counts["images"] == 0 and trained:
            raise UserError(f"dataset '{dataset.name}': no image has the role {role}")
    if dataset.judgements is not None:
        if not dataset.judgements["judgement"].isin(["good", "ok"]).any():
            raise UserError(f"dataset '{dataset.name}': no image is judged right for any query")
        return
    identity = dataset.images["identity"].to_numpy()
    for subset, part in dataset.splits.groupby("subset"):
        query, gallery = (
            set(identity[part.loc[part["role"] == role, "image"]]) for role in ("query", "gallery")
        )
        if subset != "train" and not {number for number in query & gallery if number > 0}:
            where = "" if subset == "test" else f", subset {subset}"
            raise UserError(
                f"dataset '{dataset.name}'{where}: no query's identity is in the gallery"
            )


def describe(plan: Plan, name: str, results: Path) -> list[str]:
    """Write dataset.json; how the counts differ from the official ones, as sentences."""
    facts = datasets.describe(plan.dataset(name), results / "data" / name)
    return list(facts["differs"])
