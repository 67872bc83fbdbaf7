"""Every variant of every paper trains and describes images, as the configuration asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from reid_repro import datasets, plan
from reid_repro.config import FeatureConfig, RenderedDataset
from reid_repro.datasets.images import ImageStore
from reid_repro.datasets.places import load
from reid_repro.files import read_parquet
from reid_repro.networks import needs
from reid_repro.phases import places
from reid_repro.plan import Run
from reid_repro.training.features import extract, rows_of
from reid_repro.training.loop import train

ROOT = Path(__file__).resolve().parent.parent
SMALL = {
    "ablations": "all",
    "model": {"width": 8, "maps": 8, "dimension": 16},
    "training": {
        "epochs": 1,
        "warmup": 0,
        "height": 128,
        "width": 128,
        "identities_per_batch": 4,
        "images_per_identity": 2,
        "precision": "32-true",
    },
}
PLANNED = plan.load(SMALL, workflow=ROOT / "workflow")
RUNS = [
    str(run)
    for run in PLANNED.runs
    if run.paper != "baseline" or run.dataset == "rendered-vehicles"
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four identities of either kind, with their true parts and keypoints."""
    folder = tmp_path_factory.mktemp("results")
    kinds = (("rendered-vehicles", "vehicle", 64), ("rendered-pedestrians", "pedestrian", 32))
    for name, subject, width in kinds:
        config = RenderedDataset(
            source="rendered",
            subject=subject,
            train_identities=4,
            group_size=2,
            test_identities=2,
            cameras=2,
            train_images_per_camera=2,
            test_images_per_camera=2,
            height=64,
            width=width,
        )
        data = folder / "data" / name
        data.mkdir(parents=True)
        datasets.write(datasets.index(name, config, data), data)
    places.run(PLANNED, "parts", "rendered-vehicles", folder)
    places.run(PLANNED, "keypoints", "rendered-pedestrians", folder)
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small on several threads mostly wait for them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", RUNS)
def test_every_variant_trains_and_describes(name: str, results: Path, tmp_path: Path) -> None:
    run = PLANNED.resolve(name)
    data = results / "data" / Run.parse(name).dataset
    store, splits = ImageStore.open(data), read_parquet(data / "splits.parquet")
    where = load(results, run.dataset, needs(run.model), "truth", len(store))
    trained = train(run, store, splits, data_hash="x", checkpoints=tmp_path, places=where)
    assert trained.history["loss"].notna().all()
    rows = rows_of(store.images, splits, "test")["image"].to_numpy()
    features = extract(
        trained.model, store, rows, run.training, FeatureConfig(batch_size=4), places=where
    )
    assert features.shape == (len(rows), trained.model.dimension)
    assert np.isfinite(features).all()
    assert np.ptp(features, axis=0).max() > 0
