"""Training data in COCO format: a JSON file of boxes, a folder of images, a map of the categories.

The map is YAML: `categories`, each name of the file to a class of `classes.py`, or to null, which
drops it. Maps for public sets lie in `workflow/parts/`. The answer is what rendered sets give too:
boxes as shares of the image, one row a box.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from reid_repro.datasets.images import ImageStore
from reid_repro.datasets.places import BOX
from reid_repro.errors import UserError
from reid_repro.parts.classes import ATTRIBUTES

SLACK = 2.0  # pixels by which an annotator's box may leave its image; it is cut at the edge


def load(file: Path, images: Path, categories: Path) -> tuple[ImageStore, pd.DataFrame]:
    """The images that `file` lists, below the folder `images`, and their boxes.

    The frame has the columns image (row of the store), label, x0, y0, x1, y1 in 0..1, visibility
    (1: nobody noted it). Crowds are left out; an annotation without a box takes that of its
    polygons. Raises UserError for whatever is missing, broken or unknown, with its place.
    """
    content = _content(file)
    listed = _listed(file, content["images"], images)
    labels = _labels(file, content["categories"], read_map(categories), categories)
    rows = {number: row for row, number in enumerate(listed["id"])}
    found = []
    for number, note in enumerate(content["annotations"]):
        where = f"{file}: annotation {number}"
        if note.get("iscrowd"):
            continue
        if note.get("image_id") not in rows:
            raise UserError(f"{where}: image_id {note.get('image_id')} is no image of the file")
        if note.get("category_id") not in labels:
            raise UserError(
                f"{where}: category_id {note.get('category_id')} is no category of the file"
            )
        label = labels[note["category_id"]]
        if label is not None:
            row = rows[note["image_id"]]
            size = listed["width"][row], listed["height"][row]
            found.append((row, label, *_shares(where, note, size), 1.0))
    frame = pd.DataFrame(found, columns=["image", "label", *BOX, "visibility"])
    if frame.empty:
        raise UserError(f"{file}: no box is left; map a category to a class in {categories}")
    store = ImageStore(
        folder=images,
        images=pd.DataFrame({"image": listed["name"]}),
        root=images,
    )
    return store, frame.astype({"image": "int32"})


def read_map(file: Path) -> dict[str, str | None]:
    """The map of a YAML file: names of categories to classes, None for those to drop."""
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{file}: no such map of categories; some lie in workflow/parts") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file}: not a readable YAML file ({reason})") from None
    chosen = content.get("categories") if isinstance(content, Mapping) else None
    if not isinstance(chosen, Mapping) or not chosen:
        raise UserError(f"{file}: expected `categories:`, a map of names to classes")
    for name, label in chosen.items():
        if label is not None and label not in ATTRIBUTES:
            raise UserError(
                f"{file}: '{name}' is mapped to '{label}', which is no class; known: "
                f"{', '.join(ATTRIBUTES)}, or null"
            )
    return {str(name): label for name, label in chosen.items()}


def _content(file: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{file}: no such file of annotations") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{file}: not valid JSON ({error})") from None
    for key in ("images", "categories", "annotations"):
        part = content.get(key) if isinstance(content, dict) else None
        if not isinstance(part, list) or not all(isinstance(each, dict) for each in part):
            raise UserError(f"{file}: not in COCO format, `{key}` is no list of objects")
    return dict(content)


def _listed(file: Path, notes: list[dict[str, Any]], folder: Path) -> dict[str, list[Any]]:
    """id, name, width and height of the images, in the order of their names."""
    found: dict[str, list[Any]] = {"id": [], "name": [], "width": [], "height": []}
    for number, note in enumerate(notes):
        name, sides = note.get("file_name"), (note.get("width"), note.get("height"))
        if not isinstance(name, str) or not all(_is_length(side) for side in sides):
            raise UserError(f"{file}: image {number}: needs file_name, width and height")
    for note in sorted(notes, key=lambda each: str(each["file_name"])):
        if not (folder / note["file_name"]).is_file():
            raise UserError(f"{folder / note['file_name']}: missing, but {file} lists it")
        for key, value in zip(found, (note.get("id"), note["file_name"]), strict=False):
            found[key].append(value)
        found["width"].append(note["width"])
        found["height"].append(note["height"])
    if len(set(found["id"])) < len(found["id"]):
        raise UserError(f"{file}: two images have the same id")
    return found


def _labels(
    file: Path, notes: list[dict[str, Any]], chosen: Mapping[str, str | None], map_file: Path
) -> dict[Any, str | None]:
    """Class of every category of the file, by its id."""
    labels: dict[Any, str | None] = {}
    for note in notes:
        name = str(note.get("name"))
        if name not in chosen:
            raise UserError(
                f"{file}: category '{name}' is not in {map_file}; map it to a class, or to null"
            )
        labels[note.get("id")] = chosen[name]
    return labels


def _shares(where: str, note: Mapping[str, Any], size: tuple[float, float]) -> list[float]:
    """x0, y0, x1, y1 of an annotation as shares of its image of `size` (width, height)."""
    box = note.get("bbox") or _around(note.get("segmentation"))
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise UserError(f"{where}: bbox is not four numbers, and no polygon stands for it")
    corners = np.array([box[0], box[1], box[0] + box[2], box[1] + box[3]], float)
    limits = np.array([*size, *size], float)
    if (corners < -SLACK).any() or (corners > limits + SLACK).any():
        raise UserError(f"{where}: bbox {box} lies outside its image of {size[0]} x {size[1]}")
    cut = corners.clip(0, limits) / limits
    if not (cut[:2] < cut[2:]).all():
        raise UserError(f"{where}: bbox {box} is empty; mend or remove it")
    return [float(value) for value in cut]


def _around(polygons: Any) -> list[float] | None:
    """The box [x, y, width, height] around polygons [[x, y, x, y, ...], ...]."""
    if not isinstance(polygons, list):
        return None
    flat = [value for polygon in polygons if isinstance(polygon, list) for value in polygon]
    if not flat or len(flat) % 2 or not all(map(_is_number, flat)):
        return None
    points = np.array(flat, float).reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    return [float(value) for value in (*low, *(high - low))]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)


def _is_length(value: object) -> bool:
    return _is_number(value) and isinstance(value, int | float) and value > 0
