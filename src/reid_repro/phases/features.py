"""Phase `features`: the descriptors of a subset's queries and gallery, and their row order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from reid_repro.datasets import places
from reid_repro.datasets.images import ImageStore
from reid_repro.files import read_parquet, whole, write_parquet
from reid_repro.networks import needs
from reid_repro.phases import models
from reid_repro.plan import Plan
from reid_repro.training.features import extract, rows_of


def run(plan: Plan, name: str, subset: str, results: Path, *, threads: int = 0) -> None:
    """Write `results/features/{name}/{subset}.npy` and `.parquet` (one row a feature)."""
    if threads:
        torch.set_num_threads(threads)
    network, settings = models.load(name, results)
    data = results / "data" / settings.dataset
    store = ImageStore.open(data)
    rows = rows_of(store.images, read_parquet(data / "splits.parquet"), subset)
    features = extract(
        network,
        store,
        rows["image"].to_numpy(),
        settings.training,
        plan.config.features,
        places=places.load(
            results, settings.dataset, needs(settings.model), settings.places, len(store)
        ),
        description=f"{name} {subset}",
    )
    out = results / "features" / name / f"{subset}.npy"
    with whole(out) as beside:
        np.save(beside, features)
    write_parquet(out.with_suffix(".parquet"), rows)
