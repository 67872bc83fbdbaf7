"""Datasets: one module a source; each gives images, splits, a protocol and a check."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from reid_repro import plan as _plan
from reid_repro.config import DatasetConfig, RenderedDataset
from reid_repro.dataset_config import MODULES
from reid_repro.datasets import rendered
from reid_repro.datasets.base import Dataset, differences
from reid_repro.errors import UserError
from reid_repro.files import read_json, write_json, write_parquet

__all__ = ["Dataset", "describe", "index", "load", "write"]

SHOWN = {"title", "subject", "homepage", "licence", "citation", "printed"}
LEFT_OUT = 100  # names of missing images that content.json keeps
# Where identities say what is right, nobody has judged anything.
NOBODY = pd.DataFrame({"query": [], "image": [], "judgement": []}).astype(
    {"query": "int64", "image": "int64", "judgement": "string"}
)


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
    """What a dataset holds: images.parquet, splits.parquet, judgements.parquet, content.json."""
    write_parquet(folder / "images.parquet", dataset.images)
    write_parquet(folder / "splits.parquet", dataset.splits)
    if dataset.root is not None:
        judged = dataset.judgements
        write_parquet(folder / "judgements.parquet", NOBODY if judged is None else judged)
    content = {
        "name": dataset.name,
        "source": dataset.config.source,
        "root": str(dataset.root) if dataset.root else None,
        "counts": dataset.counts(),
        "content_hash": dataset.content_hash,
        "left_out": list(dataset.left_out[:LEFT_OUT]),
        "n_left_out": len(dataset.left_out),
    }
    write_json(folder / "content.json", content)


def describe(config: DatasetConfig, folder: Path) -> dict[str, Any]:
    """Write dataset.json: the content with title, licence, protocol and official counts.

    Apart from `write`, so that a changed protocol scores anew without drawing or training anew.
    """
    content = read_json(folder / "content.json")
    facts = {
        **content,
        **config.model_dump(mode="json", include=SHOWN),
        "official": config.official,
        "differs": differences(content["name"], content["counts"], config.official),
        "protocol": config.protocol.model_dump(mode="json"),
        "seed": getattr(config, "seed", None),
    }
    write_json(folder / "dataset.json", facts)
    return facts
