"""The embedded data are neither trivial nor hopeless: checked at the demo scale, by training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from reid_repro import datasets, models, plan
from reid_repro.datasets.images import ImageStore
from reid_repro.files import read_parquet
from reid_repro.plan import Plan, ResolvedRun, Run
from reid_repro.retrieval import evaluate
from reid_repro.retrieval.metrics import Evaluation
from reid_repro.training.features import extract, rows_of
from reid_repro.training.loop import train

pytestmark = pytest.mark.slow


def score(features: np.ndarray, rows: pd.DataFrame) -> Evaluation:
    query = (rows["role"] == "query").to_numpy()
    labels = [rows[name].to_numpy() for name in ("identity", "camera")]
    (query_ids, gallery_ids), (query_cameras, gallery_cameras) = (
        (values[query], values[~query]) for values in labels
    )
    return evaluate(
        features[query], features[~query], query_ids, gallery_ids, query_cameras, gallery_cameras
    )


def colour_histograms(store: ImageStore, rows: np.ndarray) -> np.ndarray:
    """Square roots of 8 x 8 x 8 RGB histograms: Euclidean on them is the Hellinger distance."""
    found = []
    for row in rows:
        pixels = store[int(row)].reshape(-1, 3)
        counts, _ = np.histogramdd(pixels, bins=(8, 8, 8), range=[(0, 256)] * 3)
        found.append(np.sqrt(counts.ravel() / len(pixels)))
    return np.stack(found).astype(np.float32)


def random_features(
    planned: Plan, run: ResolvedRun, store: ImageStore, rows: np.ndarray
) -> np.ndarray:
    torch.manual_seed(0)
    network = models.build(run.model.name, 10, **run.model.model_dump(exclude={"name"}))
    return extract(network, store, rows, run.training, planned.config.features)


@pytest.mark.parametrize("kind", ["vehicles", "pedestrians"])
def test_only_training_gets_far_and_not_too_far(
    repository: Path, tmp_path: Path, kind: str
) -> None:
    torch.set_num_threads(1)  # as the demo's jobs do; the sums differ with the number of threads
    planned = plan.load()
    name = f"rendered-{kind}"
    run = planned.resolve(Run("baseline", "bnneck", name, planned.config.seeds[0]))
    dataset = datasets.index(name, planned.dataset(name), tmp_path, workers=2)
    datasets.write(dataset, tmp_path)
    store, splits = ImageStore.open(tmp_path), read_parquet(tmp_path / "splits.parquet")
    rows = rows_of(store.images, splits, "test")
    images = rows["image"].to_numpy()
    trained = train(run, store, splits, data_hash="", checkpoints=tmp_path / "checkpoints")
    learned = score(
        extract(trained.model, store, images, run.training, planned.config.features), rows
    )
    colours = score(colour_histograms(store, images), rows)
    untrained = score(random_features(planned, run, store, images), rows)
    scores = {
        "trained": learned.mAP,
        "rank-1": learned.cmc[0],
        "colour histogram": colours.mAP,
        "random network": untrained.mAP,
    }
    print(scores)
    assert 0.35 <= learned.mAP <= 0.85, scores
    assert 0.30 <= learned.cmc[0] <= 0.95, scores
    assert max(colours.mAP, untrained.mAP) < 0.5 * learned.mAP, scores
