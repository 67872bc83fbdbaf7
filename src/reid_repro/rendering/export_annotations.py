"""Exact annotations beside an exported set: CSV for reading, COCO JSON for detectors.

Vehicles: `parts.csv` and `parts.json` (COCO object detection). Pedestrians: `joints.csv` and
`joints.json` (COCO keypoints: v = 2 visible, 1 hidden but inside the image, 0 outside it, with
x = y = 0 as COCO asks). CSV coordinates are shares of the image, COCO's are pixels.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reid_repro.rendering.pedestrians import BONES, JOINTS
from reid_repro.rendering.scene import PartBox
from reid_repro.rendering.vehicles import PART_CLASSES


@dataclass(frozen=True, slots=True)
class Annotated:
    """One written file: its path relative to the set, and what is known of it."""

    path: str
    parts: tuple[PartBox, ...]
    joints: np.ndarray | None


def write_parts(root: Path, images: Sequence[Annotated], size: tuple[int, int]) -> None:
    """`parts.csv` and `parts.json`; `size` = (height, width) in pixels."""
    _write_csv(
        root / "parts.csv",
        ("image", "label", "x0", "y0", "x1", "y1", "visibility"),
        (
            (image.path, p.label, *map(_short, (p.x0, p.y0, p.x1, p.y1, p.visibility)))
            for image in images
            for p in image.parts
        ),
    )
    height, width = size
    categories = {label: number for number, label in enumerate(PART_CLASSES, start=1)}
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(images, start=1):
        for part in image.parts:
            box = (
                part.x0 * width, part.y0 * height,
                (part.x1 - part.x0) * width, (part.y1 - part.y0) * height,
            )  # fmt: skip
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": categories[part.label],
                    "bbox": [round(v, 3) for v in box],
                    "area": round(box[2] * box[3], 3),
                    "iscrowd": 0,
                }
            )
    _write_coco(
        root / "parts.json",
        images,
        size,
        annotations,
        [{"id": number, "name": label} for label, number in categories.items()],
    )


def write_joints(root: Path, images: Sequence[Annotated], size: tuple[int, int]) -> None:
    """`joints.csv` and `joints.json`; `size` = (height, width) in pixels."""
    _write_csv(
        root / "joints.csv",
        ("image", "joint", "name", "x", "y", "visible"),
        (
            (image.path, row, JOINTS[row], _short(float(x)), _short(float(y)), int(visible))
            for image in images
            for row, (x, y, visible) in enumerate(_joints(image))
        ),
    )
    height, width = size
    annotations = []
    for number, image in enumerate(images, start=1):
        keypoints = [v for x, y, seen in _joints(image) for v in _keypoint(x, y, seen, size)]
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                # The image is the crop that a detector would have made: its own box.
                "bbox": [0, 0, width, height],
                "area": width * height,
                "iscrowd": 0,
                "keypoints": keypoints,
                "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
            }
        )
    person = {
        "id": 1,
        "name": "person",
        "keypoints": list(JOINTS),
        "skeleton": [[a + 1, b + 1] for a, b in BONES],
    }
    _write_coco(root / "joints.json", images, size, annotations, [person])


def write_attributes(root: Path, identities: Mapping[int, Mapping[str, str]]) -> None:
    """`attributes.csv`: one row an identity (numbered as in the file names)."""
    names = sorted({name for words in identities.values() for name in words})
    _write_csv(
        root / "attributes.csv",
        ("identity", *names),
        (
            (f"{identity + 1:04d}", *(words.get(name, "") for name in names))
            for identity, words in identities.items()
        ),
    )


def _joints(image: Annotated) -> np.ndarray:
    if image.joints is None:
        raise ValueError(f"{image.path}: a pedestrian without joints")
    return image.joints


def _keypoint(x: float, y: float, seen: float, size: tuple[int, int]) -> tuple[float, float, int]:
    if not (0 <= x < 1 and 0 <= y < 1):
        return 0, 0, 0
    return round(float(x) * size[1], 3), round(float(y) * size[0], 3), 2 if seen else 1


def _short(value: float) -> str:
    return f"{value:.6f}"


def _write_csv(path: Path, header: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_coco(
    path: Path,
    images: Sequence[Annotated],
    size: tuple[int, int],
    annotations: list[dict[str, Any]],
    categories: list[dict[str, Any]],
) -> None:
    content = {
        "images": [
            {"id": number, "file_name": image.path, "height": size[0], "width": size[1]}
            for number, image in enumerate(images, start=1)
        ],
        "annotations": annotations,
        "categories": categories,
    }
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")
