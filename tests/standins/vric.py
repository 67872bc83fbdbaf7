"""VRIC's tree: three folders and three lists of `name vehicle camera`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from conftest import write_image

TRAIN = ((1, (1, 2, 2)), (3, (5, 7)), (8, (1, 60)))
TESTED = ((2, 4, 9), (5, 60, 3), (9, 1, 2))  # vehicle, camera of the probe and of the gallery


def make(
    root: Path,
    train: Sequence[tuple[int, Sequence[int]]] = TRAIN,
    tested: Sequence[tuple[int, int, int]] = TESTED,
    image: Callable[[Path, int], object] = write_image,
) -> None:
    """By default seven training images of three vehicles, a probe and a gallery image of three.

    `image` writes one, by its path and a number.
    """
    lists = {
        "train": [(vehicle, camera) for vehicle, cameras in train for camera in cameras],
        "probe": [(vehicle, camera) for vehicle, camera, _ in tested],
        "gallery": [(vehicle, camera) for vehicle, _, camera in tested],
    }
    for word, photographs in lists.items():
        lines = []
        (root / f"{word}_images").mkdir(parents=True)
        for number, (vehicle, camera) in enumerate(photographs, start=1):
            name = f"{number:06d}.jpg"  # the same names in all three folders
            image(root / f"{word}_images" / name, 100 * vehicle + camera)
            lines.append(f"{name} {vehicle} {camera}\n")
        (root / f"vric_{word}.txt").write_text("".join(lines))
