"""Datasets: one module a source; each gives images, splits, a protocol and a check."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from reid_repro import plan as _plan
from reid_repro.config import DatasetConfig, RenderedDataset
from reid_repro.datasets import rendered
from reid_repro.datasets.base import Dataset, differences
from reid_repro.errors import UserError
from reid_repro.files import read_json, write_json, write_parquet

__all__ = ["Dataset", "describe", "index", "load", "write"]

# The module that reads each layout: `load(name, config)` gives a Dataset.
MODULES = {
    "market1501": "market1501",
    "csv": "csv_list",
    "veri776": "veri776",
    "vehicleid": "vehicleid",
    "vric": "vric",
    "veriwild": "veriwild",
    "cuhk03": "cuhk03",
    "viper": "viper",
    "landmarks": "landmarks",
    "university1652": "university1652",
}


def load(name: str, root: Path | None = None) -> Dataset:
    """A dataset of workflow/datasets by name, its folder at `root` if given.

    Called at the repository's root. A rendered set is drawn into the folder `root`. Raises
    UserError for an unknown name, data that are not there, or a rendered set without `root`.
    """
    config = _plan.load().dataset(name)
    if isinstance(config, RenderedDataset):
        if root is None:
            raise UserError(f"dataset '{name}' is rendered: name the folder to draw it into")
        return index(name, config, root)
    if root is not None:
        config = config.model_copy(update={"root": root})
    return index(name, config, config.root)


def index(
    name: str,
    config: DatasetConfig,
    folder: Path,
    *,
    workers: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> Dataset:
    """Index a dataset by its settings; rendered pixels go into `folder`."""
    if isinstance(config, RenderedDataset):
        return rendered.load(name, config, folder, workers=workers, advance=advance)
    module = import_module(f"reid_repro.datasets.{MODULES[config.source]}")
    dataset: Dataset = module.load(name, config)
    return dataset


def write(dataset: Dataset, folder: Path) -> None:
    """What a dataset holds: images.parquet, splits.parquet, content.json."""
    write_parquet(folder / "images.parquet", dataset.images)
    write_parquet(folder / "splits.parquet", dataset.splits)
    content = {
        "name": dataset.name,
        "source": dataset.config.source,
        "root": str(dataset.root) if dataset.root else None,
        "counts": dataset.counts(),
        "content_hash": dataset.content_hash,
    }
    write_json(folder / "content.json", content)


def describe(config: DatasetConfig, folder: Path) -> dict[str, Any]:
    """Write dataset.json: the content with title, licence, protocol and official counts.

    Apart from `write`, so that a changed protocol scores anew without drawing or training anew.
    """
    content = read_json(folder / "content.json")
    facts = {
        **content,
        **config.model_dump(mode="json", include={"title", "subject", "homepage", "licence"}),
        "official": config.official,
        "differs": differences(content["name"], content["counts"], config.official),
        "protocol": config.protocol.model_dump(mode="json"),
        "seed": getattr(config, "seed", None),
    }
    write_json(folder / "dataset.json", facts)
    return facts
