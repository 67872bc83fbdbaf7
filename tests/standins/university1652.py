"""University-1652's tree: buildings below views, with the folders that are passed over."""

from __future__ import annotations

from pathlib import Path

from conftest import write_image

TRAIN, TEST, DISTRACTORS = (839, 840, 842), (0, 1), (1500,)


def make(root: Path, pictures: int = 2) -> None:
    """Three training and two test buildings with `pictures` a drone, one distractor."""
    folders = {
        "train/drone": (TRAIN, pictures),
        "train/satellite": (TRAIN, 1),
        "train/street": (TRAIN[:2], 2),  # not every building has a street picture
        "train/google": (TRAIN, 1),
        "test/query_drone": (TEST, pictures),
        "test/gallery_drone": (TEST + DISTRACTORS, pictures),
        "test/query_satellite": (TEST, 1),
        "test/gallery_satellite": (TEST + DISTRACTORS, 1),
        "test/query_street": (TEST, 1),
        "test/gallery_street": (TEST + DISTRACTORS, 1),
    }
    seed = 0
    for folder, (buildings, count) in folders.items():
        for building in buildings:
            for number in range(1, count + 1):
                file = _name(folder.rpartition("_")[2].rpartition("/")[2], building, number)
                write_image(root / folder / f"{building:04d}" / file, seed, size=(32, 32))
                seed += 1


def _name(view: str, building: int, number: int) -> str:
    if view == "satellite":
        return f"{building:04d}.jpg"
    return f"image-{number:02d}.jpeg" if view == "drone" else f"{number}.jpg"
