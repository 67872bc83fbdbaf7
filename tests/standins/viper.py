"""VIPeR's tree: two folders of bitmaps, persons numbered from 0 with gaps."""

from __future__ import annotations

from pathlib import Path

from conftest import write_image

ANGLES = (0, 45, 90, 135, 180)


def make(root: Path, people: int = 8) -> None:
    """`people` persons of one 24 x 48 image a camera; every third number is not given."""
    for place in range(people):
        person = place + place // 2
        for camera, folder in enumerate(("cam_a", "cam_b")):
            angle = ANGLES[(place + camera) % len(ANGLES)]
            seed = 2 * place + camera
            write_image(root / folder / f"{person:03d}_{angle}.bmp", seed)
