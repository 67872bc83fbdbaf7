"""Oxford5k and Paris6k (Philbin et al. 2007, 2008): landmarks, query boxes, judged images.

The images lie below one folder, in Paris by landmark. For each query the ground truth has four
text files: `all_souls_1_query.txt` (image and box: `oxc1_all_souls_000013 136.5 34.1 648.5 955.7`,
without `oxc1_` in Paris) and `_good`, `_ok`, `_junk` (one image name a line).

All images are the gallery. The queries are further rows of the table with the same paths and their
boxes in `box_x0`, `box_y0`, `box_x1`, `box_y1` (pixels; NaN: the whole image). What counts are the
judgements, since an image may show one landmark well and another badly; the identity of a gallery
image is the landmark (from 1, by name) that it alone is good or ok for, else 0. As in the published
evaluation an image that is in several lists of a query is junk before good, good before ok. Neither
dataset has training images.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from reid_repro.dataset_config import LandmarksDataset
from reid_repro.datasets.base import UNKNOWN_CAMERA, Dataset
from reid_repro.datasets.folders import (
    assemble,
    files_below,
    no_duplicates,
    numbered_lines,
    require,
    some,
    split_rows,
)
from reid_repro.errors import UserError

PREFIX = "oxc1_"
QUERY = re.compile(r"^(.+)_(\d+)_query\.txt$")
JUDGEMENTS = ("ok", "good", "junk")  # a later one overrules
BOX = ("box_x0", "box_y0", "box_x1", "box_y1")

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Mention:
    """An image that a line of the ground truth names."""

    image: str
    file: Path
    line: int


@dataclass(frozen=True)
class Query:
    """One query: its landmark's name, its image and box, and what is judged for it."""

    landmark: str
    asked: Mention
    box: Box
    judged: dict[str, tuple[Mention, ...]]


def load(name: str, config: LandmarksDataset) -> Dataset:
    """Index images and ground truth; UserError names missing files, bad lines, unknown images."""
    require(name, config, config.images)
    queries, files = _queries(name, require(name, config, config.truth))
    places = _places(name, config)
    absent = _absent(queries, places, set(config.unreadable))
    if absent and not config.allow_partial:
        first = absent[0]
        others = some(sorted({mention.image for mention in absent}))
        raise UserError(
            f"dataset '{name}': {first.file}, line {first.line}: no image '{first.image}' below "
            f"{config.root / config.images} (missing: {others}); get the whole dataset, or go on "
            f"without with `--allow-partial` (datasets.{name}.allow_partial: true)"
        )
    asked = [query for query in queries if query.asked.image in places]
    if not asked:
        raise UserError(
            f"dataset '{name}': none of the {len(queries)} query images is below "
            f"{config.root / config.images}; get the whole dataset"
        )
    numbers = {
        landmark: number
        for number, landmark in enumerate(sorted({query.landmark for query in queries}), start=1)
    }
    images, judgements = _tables(asked, places, numbers)
    count = len(images) - len(asked)
    splits = pd.concat(
        [
            split_rows("test", "query", np.arange(count, len(images))),
            split_rows("test", "gallery", np.arange(count)),
        ]
    )
    dataset = assemble(
        name,
        config,
        images,
        splits,
        folders=(config.images,),
        listed=files,
        judgements=judgements,
        extra=False,  # the gallery is whatever lies there, but for the unreadable images
    )
    lost = dict.fromkeys(f"missing: {mention.image}" for mention in absent)
    return replace(dataset, left_out=(*dict.fromkeys(dataset.left_out), *lost))


def _places(name: str, config: LandmarksDataset) -> dict[str, str]:
    """Path of every readable image by its name without suffix, in the order of names."""
    unreadable = {PurePosixPath(file).stem for file in config.unreadable}
    places: dict[str, str] = {}
    for path in sorted(files_below(config.root, (config.images,))):
        stem = PurePosixPath(path).stem
        if stem in places:
            raise UserError(
                f"dataset '{name}': {places[stem]} and {path} have the same name; remove one: the "
                "ground truth cannot tell them apart"
            )
        if stem not in unreadable:
            places[stem] = path
    if not places:
        raise UserError(
            f"dataset '{name}': no images below {config.root / config.images}; "
            f"`reid-repro data fetch {name}` gets them or says where from"
        )
    return dict(sorted(places.items()))


def _queries(name: str, truth: Path) -> tuple[list[Query], list[Path]]:
    """All queries by landmark and number, and the files they come from."""
    found = []
    for file in truth.iterdir():
        match = QUERY.match(file.name)
        if match is not None:
            found.append((match[1], int(match[2]), file))
    if not found:
        raise UserError(
            f"dataset '{name}': {truth} holds no *_query.txt; unpack the ground truth there"
        )
    queries, files = [], []
    for landmark, _, file in sorted(found):
        asked, box = _question(file)
        judged = {}
        files.append(file)
        for judgement in JUDGEMENTS:
            listed = file.with_name(file.name.replace("_query.txt", f"_{judgement}.txt"))
            if not listed.is_file():
                raise UserError(
                    f"dataset '{name}': {listed} not found, but {file.name} is there; unpack the "
                    "ground truth anew"
                )
            judged[judgement] = _mentions(listed)
            files.append(listed)
        queries.append(Query(landmark, asked, box, judged))
    return queries, files


def _question(file: Path) -> tuple[Mention, Box]:
    """The image and the box of a query file."""
    lines = numbered_lines(file)
    if len(lines) != 1:
        raise UserError(f"{file}: {len(lines)} lines; a query file has one, `image x0 y0 x1 y1`")
    (at, line), *_ = lines
    image, *numbers = line.split()
    try:
        x0, y0, x1, y1 = (float(number) for number in numbers)
        good = all(map(math.isfinite, (x0, y0, x1, y1))) and x0 < x1 and y0 < y1
    except ValueError:
        good = False
    if not good:
        raise UserError(
            f"{file}, line {at}: '{line}' is no `image x0 y0 x1 y1` with x0 < x1 and y0 < y1; "
            "unpack the ground truth anew"
        )
    return Mention(image.removeprefix(PREFIX), file, at), (x0, y0, x1, y1)


def _mentions(file: Path) -> tuple[Mention, ...]:
    lines = numbered_lines(file)
    for number, line in lines:
        if len(line.split()) != 1:
            raise UserError(f"{file}, line {number}: '{line}' is no name of one image")
    no_duplicates(file, lines)
    return tuple(Mention(image, file, number) for number, image in lines)


def _absent(
    queries: Iterable[Query], places: dict[str, str], unreadable: set[str]
) -> list[Mention]:
    """What the ground truth names and the folder lacks, known damage aside."""
    known = places.keys() | {PurePosixPath(file).stem for file in unreadable}
    return [
        mention
        for query in queries
        for mention in (query.asked, *(each for some in query.judged.values() for each in some))
        if mention.image not in known
    ]


def _tables(
    queries: list[Query], places: dict[str, str], landmarks: dict[str, int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images (gallery, then queries) and the judgements, as row numbers of the images."""
    row = {image: number for number, image in enumerate(places)}
    seen: dict[int, set[int]] = {}
    judged = []
    for number, query in enumerate(queries, start=len(row)):
        verdicts = {
            row[mention.image]: judgement
            for judgement in JUDGEMENTS
            for mention in query.judged[judgement]
            if mention.image in row
        }
        for place, judgement in sorted(verdicts.items()):
            judged.append((number, place, judgement))
            if judgement != "junk":
                seen.setdefault(place, set()).add(landmarks[query.landmark])
    alone = {place: min(shown) for place, shown in seen.items() if len(shown) == 1}
    paths = list(places.values())
    images = pd.DataFrame(
        {
            "image": paths + [places[query.asked.image] for query in queries],
            "identity": [alone.get(place, 0) for place in range(len(paths))]
            + [landmarks[query.landmark] for query in queries],
            "camera": UNKNOWN_CAMERA,
        }
    )
    boxes = np.full((len(images), 4), np.nan, dtype=np.float32)
    boxes[len(paths) :] = np.array([query.box for query in queries]).reshape(-1, 4)
    images[list(BOX)] = boxes
    columns = pd.DataFrame(judged, columns=["query", "image", "judgement"])
    return images, columns.astype({"query": "int64", "image": "int64", "judgement": "string"})
