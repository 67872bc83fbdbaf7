"""Small real inputs that several tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent


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
