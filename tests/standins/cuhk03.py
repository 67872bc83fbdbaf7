"""CUHK03's files: a MATLAB v7.3 file of cells (HDF5) and the new division's MATLAB v5 files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from scipy.io import savemat

PEOPLE = (4, 3, 2, 1, 1)  # of the five camera pairs
TESTSETS, TESTED = 20, 3
SPELLED = {"labelled": "labeled", "detected": "detected"}


def make(root: Path) -> None:
    """Both kinds of crops of eleven persons, twenty test sets of three, both new divisions."""
    root.mkdir(parents=True, exist_ok=True)
    write_crops(root / "cuhk-03.mat")
    for kind, key in SPELLED.items():
        write_division(root / f"cuhk03_new_protocol_config_{key}.mat", kind)


def persons() -> list[tuple[int, int]]:
    """(pair, person) of all, from 1."""
    return [
        (pair, person)
        for pair, count in enumerate(PEOPLE, start=1)
        for person in range(1, count + 1)
    ]


def taken(kind: str, pair: int, person: int) -> list[int]:
    """Which of the ten crops a person has, from 0: two or three a view, one fewer detected."""
    first = 2 + (pair + person) % 2 - (kind == "detected" and person == 1)
    return [*range(first), *range(5, 7)]


def names(kind: str) -> list[str]:
    """File names of all crops."""
    return [
        f"{pair}_{person:03d}_{1 + index // 5}_{index + 1:02d}.png"
        for pair, person in persons()
        for index in taken(kind, pair, person)
    ]


def pixels(kind: str, pair: int, person: int, index: int) -> npt.NDArray[np.uint8]:
    """One crop, (height, width, 3), of sizes that differ."""
    rng = np.random.default_rng([kind == "detected", pair, person, index])
    return rng.integers(0, 255, (12 + index, 6 + person, 3), dtype=np.uint8)


def testset(number: int) -> list[tuple[int, int]]:
    """The persons of one classic test set."""
    order = np.random.default_rng(number).permutation(len(persons()))[:TESTED]
    return [persons()[place] for place in sorted(order)]


def write_crops(path: Path, leave_out: str = "") -> None:
    """`cuhk-03.mat`, without one of its variables if named."""
    with h5py.File(path, "w", userblock_size=512) as file:
        refs = file.create_group("#refs#")

        def keep(values: npt.NDArray[Any], kind: str, empty: bool = False) -> h5py.Reference:
            stored = refs.create_dataset(f"r{len(refs)}", data=values)
            stored.attrs["MATLAB_class"] = np.bytes_(kind)
            if empty:
                stored.attrs["MATLAB_empty"] = np.uint8(1)
            return stored.ref

        def cell(values: list[list[h5py.Reference]]) -> npt.NDArray[Any]:
            grid = np.empty((len(values[0]), len(values)), dtype=h5py.ref_dtype)
            for row, line in enumerate(values):
                for column, value in enumerate(line):
                    grid[column, row] = value  # MATLAB's axes, reversed
            return grid

        for kind, key in SPELLED.items():
            pairs = []
            for pair, count in enumerate(PEOPLE, start=1):
                rows = []
                for person in range(1, count + 1):
                    present = taken(kind, pair, person)
                    rows.append(
                        [
                            keep(pixels(kind, pair, person, index).T, "uint8")
                            if index in present
                            else keep(np.zeros(2, np.uint64), "double", empty=True)
                            for index in range(10)
                        ]
                    )
                pairs.append([keep(cell(rows), "cell")])
            if key != leave_out:
                file.create_dataset(key, data=cell(pairs).T.reshape(1, -1))
        sets = [
            [keep(np.array(testset(number), dtype=np.float64).T, "double")]
            for number in range(TESTSETS)
        ]
        if leave_out != "testsets":
            file.create_dataset("testsets", data=cell(sets).T.reshape(1, -1))
    with path.open("r+b") as start:
        start.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def new_roles(kind: str) -> dict[str, list[int]]:
    """Places in `names(kind)`: six persons to train on; of the others one image a view asks."""
    trained = {person for number, person in enumerate(persons()) if number % 2 == 0}
    roles: dict[str, list[int]] = {"train": [], "query": [], "gallery": []}
    for place, name in enumerate(names(kind)):
        pair, person, _, index = (int(part) for part in name.removesuffix(".png").split("_"))
        asks = index in (1, 6)
        role = "train" if (pair, person) in trained else "query" if asks else "gallery"
        roles[role].append(place)
    return roles


def write_division(path: Path, kind: str, **changes: Any) -> None:
    """`cuhk03_new_protocol_config_*.mat`; None for a variable leaves it out."""
    files = names(kind)
    number = {person: label for label, person in enumerate(persons(), start=1)}
    parts = [[int(part) for part in name.removesuffix(".png").split("_")] for name in files]
    filelist = np.empty((len(files), 1), dtype=object)
    filelist[:, 0] = files
    content: dict[str, Any] = {
        "filelist": filelist,
        "labels": np.array([[float(number[pair, person])] for pair, person, _, _ in parts]),
        "camId": np.array([[float(view)] for _, _, view, _ in parts]),
    }
    for role, places in new_roles(kind).items():
        content[f"{role}_idx"] = np.array(places, dtype=np.float64).reshape(-1, 1) + 1
    content |= changes
    savemat(path, {key: value for key, value in content.items() if value is not None})
