"""Small real inputs that several tests share."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from reid_repro import datasets
from reid_repro.config import RenderedDataset

# Every program that a test starts would compile all it imports anew, half of its start-up, where
# the environment forbids to keep bytecode, as images for containers often do.
os.environ["PYTHONDONTWRITEBYTECODE"] = ""
# Threads that wait in a busy loop cost the other programs and tests of this machine their time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

settings.register_profile("unhurried", deadline=None)  # on a busy machine no time is an error
settings.load_profile("unhurried")

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers (`pytest -n 2 --dist loadfile`) the longest files go first."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """While tests import what they need nothing becomes garbage; later it is not looked through."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository's root as the working directory, where workflow/ is read from."""
    monkeypatch.chdir(ROOT)
    return ROOT


def write_image(path: Path, seed: int, size: tuple[int, int] = (24, 48)) -> None:
    """A small noisy JPEG of (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, quality=90)


def write_pedestrians(folder: Path, size: tuple[int, int] = (64, 32)) -> None:
    """Eight training and four test people of (height, width), drawn, as an indexed dataset."""
    config = RenderedDataset(
        source="rendered",
        subject="pedestrian",
        train_identities=8,
        test_identities=4,
        cameras=2,
        train_images_per_camera=2,
        test_images_per_camera=2,
        height=size[0],
        width=size[1],
    )
    datasets.write(datasets.index("tiny", config, folder), folder)


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """Four training and three test people in the Market-1501 layout, with junk and a distractor."""
    root = tmp_path / "market"
    seed = 0
    names = {
        "bounding_box_train": [(p, c, n) for p in (2, 7, 10, 11) for c in (1, 2) for n in (1, 2)],
        "query": [(p, c, 1) for p in (1, 3, 4) for c in (1, 2)],
        "bounding_box_test": [(p, c, n) for p in (1, 3, 4) for c in (1, 2) for n in (2, 3)]
        + [(-1, 1, 1), (-1, 2, 1), (0, 3, 1)],
    }
    for folder, people in names.items():
        for person, camera, number in people:
            stem = "-1" if person < 0 else f"{person:04d}"
            write_image(root / folder / f"{stem}_c{camera}s1_{number:06d}_00.jpg", seed)
            seed += 1
        (root / folder / "Thumbs.db").write_bytes(b"not an image")
    return root
