"""Datasets: one module a source; each gives images, splits, a protocol and a check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from reid_repro import plan as _plan
from reid_repro.config import CsvDataset, DatasetConfig, MarketDataset
from reid_repro.datasets import csv_list, market1501, rendered
from reid_repro.datasets.base import Dataset
from reid_repro.files import write_json, write_parquet

__all__ = ["Dataset", "index", "load", "write"]


def load(name: str, root: Path | None = None) -> Dataset:
    """A dataset of workflow/datasets by name, its folder at `root` if given.

    A rendered set is drawn into `root` (default `results/data/{name}`). Raises UserError for an
    unknown name or data that are not there.
    """
    config = _plan.load().dataset(name)
    folder = root or Path("results/data") / name
    if root is not None and "root" in type(config).model_fields:
        config = config.model_copy(update={"root": root})
    return index(name, config, folder)


def index(
    name: str,
    config: DatasetConfig,
    folder: Path,
    *,
    workers: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> Dataset:
    """Index a dataset by its settings; rendered pixels go into `folder`."""
    if isinstance(config, MarketDataset):
        return market1501.load(name, config)
    if isinstance(config, CsvDataset):
        return csv_list.load(name, config)
    return rendered.load(name, config, folder, workers=workers, advance=advance)


def write(dataset: Dataset, folder: Path) -> None:
    """The three files of the contract: images.parquet, splits.parquet, dataset.json."""
    write_parquet(folder / "images.parquet", dataset.images)
    write_parquet(folder / "splits.parquet", dataset.splits)
    write_json(folder / "dataset.json", _facts(dataset))


def _facts(dataset: Dataset) -> dict[str, Any]:
    config = dataset.config
    facts = config.model_dump(mode="json", include={"title", "subject", "source", "homepage"})
    return {
        "name": dataset.name,
        **facts,
        "licence": config.licence,
        "root": str(dataset.root) if dataset.root else None,
        "counts": dataset.counts(),
        "official": config.official,
        "differs": dataset.check(),
        "protocol": config.protocol.model_dump(mode="json"),
        "content_hash": dataset.content_hash,
        "seed": getattr(config, "seed", None),
    }
