"""VRIC's tree: three folders and three lists of `name vehicle camera`."""

from __future__ import annotations

from pathlib import Path

from conftest import write_image

TRAIN = ((1, (1, 2, 2)), (3, (5, 7)), (8, (1, 60)))
TESTED = ((2, 4, 9), (5, 60, 3), (9, 1, 2))  # vehicle, camera of the probe and of the gallery


def make(root: Path) -> None:
    """Seven training images of three vehicles, a probe and a gallery image of three others."""
    lists = {
        "train": [(vehicle, camera) for vehicle, cameras in TRAIN for camera in cameras],
        "probe": [(vehicle, camera) for vehicle, camera, _ in TESTED],
        "gallery": [(vehicle, camera) for vehicle, _, camera in TESTED],
    }
    for word, photographs in lists.items():
        lines = []
        for number, (vehicle, camera) in enumerate(photographs, start=1):
            name = f"{number:06d}.jpg"  # the same names in all three folders
            write_image(root / f"{word}_images" / name, 100 * vehicle + camera)
            lines.append(f"{name} {vehicle} {camera}\n")
        (root / f"vric_{word}.txt").write_text("".join(lines))
