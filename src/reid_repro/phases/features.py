"""Phase `features`: the descriptors of a subset's queries and gallery, and their row order.

They come from a trained network, or are taken over from files of the user's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from reid_repro.datasets import places
from reid_repro.datasets.images import ImageStore
from reid_repro.files import read_parquet, whole, write_parquet
from reid_repro.networks import needs
from reid_repro.phases import models
from reid_repro.phases.imported_features import take_over
from reid_repro.plan import Plan, Run
from reid_repro.training.features import extract, rows_of


def run(plan: Plan, name: str, subset: str, results: Path, *, threads: int = 0) -> None:
    """Write `results/features/{name}/{subset}.npy` and `.parquet` (one row a feature)."""
    if threads:
        torch.set_num_threads(threads)
    named = Run.parse(name)
    data = results / "data" / named.dataset
    images, splits = (read_parquet(data / f"{part}.parquet") for part in ("images", "splits"))
    rows = rows_of(images, splits, subset)
    brought = plan.features_of(named)
    if brought:
        key = f"datasets.{named.dataset}.features.{named.paper}/{named.variant}.{subset}"
        features = take_over(brought[subset], rows, key)
    else:
        features = _extracted(plan, name, rows, subset, results)
    out = results / "features" / name / f"{subset}.npy"
    with whole(out) as beside:
        np.save(beside, features)
    write_parquet(out.with_suffix(".parquet"), rows)


def _extracted(
    plan: Plan, name: str, rows: pd.DataFrame, subset: str, results: Path
) -> npt.NDArray[np.float32]:
    """The descriptors of a trained network."""
    network, settings = models.load(name, results)
    store = ImageStore.open(results / "data" / settings.dataset)
    return extract(
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
