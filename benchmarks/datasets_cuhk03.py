"""CUHK03's files in full size: all persons and labelled crops, the crops smaller than real ones.

`cuhk-03.mat` is MATLAB v7.3, that is HDF5 whose cells are references; the new division is MATLAB v5
(`reid_repro.datasets.cuhk03_file`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, count
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import savemat

Sizes = dict[str, dict[str, int]]  # role -> images, identities, cameras
PAIRS = (843, 440, 77, 58, 49)  # persons of the camera pairs
CROP = (80, 30)  # pixels of a crop: half the height and width of a usual one
TESTED = 100  # persons of a classic test set


def spread(total: int, parts: int) -> list[int]:
    """`total` as a sum of so many numbers that differ by one at most, larger ones first."""
    return [total // parts + (part < total % parts) for part in range(parts)]


def make(root: Path, sizes: Sizes, _: object = None) -> None:
    """The labelled crops alone, smaller than real ones; of each person the first ones are there."""
    trained, tested = sizes["train"]["identities"], sizes["query"]["identities"]
    asked_and_answers = sizes["query"]["images"] + sizes["gallery"]["images"]
    crops = [*spread(sizes["train"]["images"], trained), *spread(asked_and_answers, tested)]
    people = camera_pairs(len(crops))
    numbers = [(pair, 1 + place) for pair, n in enumerate(people, start=1) for place in range(n)]
    _crops_file(root / "cuhk-03.mat", people, crops, numbers[: people[0]])
    names, labels, views = [], [], []
    roles: dict[str, list[int]] = {"train": [], "query": [], "gallery": []}
    for label, ((pair, person), images) in enumerate(zip(numbers, crops, strict=True), start=1):
        for index in range(images):
            view = 1 + index // 5
            asks = index in (0, 5)  # one image a view
            role = "train" if label <= trained else "query" if asks else "gallery"
            names.append(f"{pair}_{person:03d}_{view}_{1 + index:02d}.png")
            labels.append([float(label)])
            views.append([float(view)])
            roles[role].append(len(names))
    filelist = np.empty((len(names), 1), dtype=object)
    filelist[:, 0] = names
    content: dict[str, Any] = {"filelist": filelist, "labels": labels, "camId": views}
    for role, places in roles.items():
        content[f"{role}_idx"] = np.array(places, dtype=np.float64).reshape(-1, 1)
    savemat(root / "cuhk03_new_protocol_config_labeled.mat", content)


def camera_pairs(people: int) -> list[int]:
    """Persons of each camera pair, in the proportions of the dataset."""
    ends = [round(people * end / sum(PAIRS)) for end in accumulate(PAIRS)]
    pairs = [end - before for before, end in zip([0, *ends], ends, strict=False)]
    return [pair for pair in pairs if pair]


def _crops_file(
    path: Path, people: Sequence[int], crops: Sequence[int], tested: Sequence[tuple[int, int]]
) -> None:
    """`cuhk-03.mat`: cells of references, as MATLAB v7.3 keeps them, axes reversed."""
    noise = np.random.default_rng(0).integers(0, 255, 1 << 20, dtype=np.uint8)
    size = 3 * CROP[0] * CROP[1]
    with h5py.File(path, "w", userblock_size=512) as file:
        refs = file.create_group("#refs#")
        number = count()

        def keep(values: np.ndarray) -> h5py.Reference:
            return refs.create_dataset(f"r{next(number)}", data=values).ref

        def cell(references: Sequence[h5py.Reference], shape: tuple[int, int]) -> np.ndarray:
            values = np.empty(len(references), dtype=h5py.ref_dtype)
            for place, reference in enumerate(references):
                values[place] = reference
            return values.reshape(shape)

        empty = keep(np.zeros(2, np.uint64))
        persons = iter(crops)
        pairs = []
        for pair in people:
            rows = []
            for _ in range(pair):
                present = next(persons)
                for index in range(10):
                    start = 37 * next(number) % (len(noise) - size)
                    crop = noise[start : start + size].reshape(3, CROP[1], CROP[0])
                    rows.append(keep(crop) if index < present else empty)
            pairs.append(keep(cell(rows, (pair, 10)).T))
        file.create_dataset("labeled", data=cell(pairs, (1, len(pairs))))
        rng = np.random.default_rng(1)
        sets = []
        for _ in range(20):
            chosen = rng.permutation(len(tested))[:TESTED]
            sets.append(keep(np.array(tested, dtype=np.float64)[chosen].T))
        file.create_dataset("testsets", data=cell(sets, (1, len(sets))))
    with path.open("r+b") as start_of_file:
        start_of_file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
