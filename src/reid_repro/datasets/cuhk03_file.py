"""CUHK03's two kinds of MATLAB files: images and classic test sets, and the new division.

`cuhk-03.mat` is MATLAB v7.3, that is HDF5: cells `labeled` and `detected` of five camera pairs,
each a cell of persons x 10 crops (1-5 from the first view, 6-10 from the second, empty where there
are fewer), and `testsets`, twenty lists of (pair, person). It is read as data: references are
followed within the file, nothing is executed. Its crops are written once to
`images_labelled/1_001_1_01.png` (pair, person, view, index) with the list `images_labelled.json`
beside, after which the file itself is not needed; an interrupted extraction goes on where it was.

`cuhk03_new_protocol_config_labeled.mat` (Zhong et al. 2017) is MATLAB v5: `filelist` of such names,
`labels`, `camId`, and `train_idx`, `query_idx`, `gallery_idx`, which count from 1.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from reid_repro.dataset_config import Cuhk03Dataset
from reid_repro.datasets.folders import files_below, require
from reid_repro.errors import UserError
from reid_repro.files import read_json, write_json
from reid_repro.progress import add_task, progress

FILE = "cuhk-03.mat"
KEY = {"labelled": "labeled", "detected": "detected"}  # as MATLAB's files spell it
VIEWS, PER_VIEW = 2, 5
CROP = re.compile(r"^(\d)_(\d{3,4})_([12])_(\d{2})\.png$")
NEW_KEYS = ("filelist", "labels", "camId", "train_idx", "query_idx", "gallery_idx")
ROLES = ("train", "query", "gallery")

Testset = list[tuple[int, int]]


@dataclass(frozen=True)
class Crops:
    """What the file holds of one kind of crops.

    Attributes:
        bytes: length of the file, which tells another file from it.
        people: number of persons of each camera pair.
        images: file name of every crop by pair, person, view and index.
        testsets: the classic test sets, (pair, person) from 1.
    """

    bytes: int
    people: list[int]
    images: list[str]
    testsets: list[Testset]


@dataclass(frozen=True)
class Division:
    """The new division: names, the owners' labels, and places in them (from 0) by role."""

    names: list[str]
    labels: npt.NDArray[np.int64]
    roles: dict[str, npt.NDArray[np.int64]]


def folder_of(config: Cuhk03Dataset) -> str:
    """The folder of the crops, below the root."""
    return f"images_{config.crops}"


def list_of(config: Cuhk03Dataset) -> Path:
    """The list of the crops that the file holds."""
    return config.root / f"{folder_of(config)}.json"


def crops(name: str, config: Cuhk03Dataset) -> Crops:
    """The crops, extracted first where they are not; UserError for a damaged or other file."""
    listed, file = list_of(config), config.root / FILE
    if listed.exists():
        known = _known(name, listed)
        same = not file.exists() or file.stat().st_size == known.bytes
        if same and (not file.exists() or _all_lie(config, known)):
            return known
        if not same:  # crops of another file
            listed.unlink()
            for image in known.images:
                (config.root / folder_of(config) / image).unlink(missing_ok=True)
    return _extract(name, config, require(name, config, FILE))


def new_division(name: str, config: Cuhk03Dataset) -> Division:
    """The 767/700 division of these crops; UserError names a key that is missing or unsound."""
    file = require(name, config, f"cuhk03_new_protocol_config_{KEY[config.crops]}.mat")
    try:
        content = loadmat(str(file), variable_names=NEW_KEYS)
    except (
        *(OSError, EOFError, KeyError, ValueError, TypeError, IndexError, MemoryError),
        *(NotImplementedError, MatReadError, zlib.error, struct.error),
    ):
        raise UserError(
            f"dataset '{name}': {file}: not a whole MATLAB v5 file; fetch it anew"
        ) from None
    for key in NEW_KEYS:
        if key not in content:
            raise UserError(f"dataset '{name}': {file} has no '{key}'; is it the right file?")
    try:
        names = [str(np.ravel(cell)[0]) for cell in content["filelist"].ravel()]
        labels, _ = (_integers(content[key]) for key in ("labels", "camId"))
        roles = {role: _integers(content[f"{role}_idx"]) - 1 for role in ROLES}
    except (ValueError, TypeError, IndexError, AttributeError):
        raise UserError(
            f"dataset '{name}': {file}: {', '.join(NEW_KEYS)} are not as in the published file; "
            "fetch it anew"
        ) from None
    for key, length in (("labels", labels.size), ("camId", content["camId"].size)):
        if length != len(names):
            raise UserError(
                f"dataset '{name}': {file}: {length:,} {key} for {len(names):,} names of filelist"
            )
    for role, places in roles.items():
        if len(places) and not 0 <= places.min() <= places.max() < len(names):
            raise UserError(
                f"dataset '{name}': {file}: {role}_idx leaves filelist (1 to {len(names):,})"
            )
    return Division(names, labels, roles)


def _integers(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """A vector of whole numbers, of whatever type MATLAB stored them as."""
    flat = np.asarray(values).ravel()
    whole_numbers = flat.astype(np.int64)
    if not np.array_equal(whole_numbers, flat):
        raise ValueError("not whole numbers")
    return whole_numbers


def _known(name: str, listed: Path) -> Crops:
    try:
        content = read_json(listed)
        testsets = [[(pair, person) for pair, person in each] for each in content["testsets"]]
        return Crops(**{**content, "testsets": testsets})
    except (TypeError, KeyError, ValueError):
        raise UserError(
            f"dataset '{name}': {listed}: not a list of crops; delete it and run again"
        ) from None


def _all_lie(config: Cuhk03Dataset, known: Crops) -> bool:
    lying = _lying(config)
    return all(image in lying for image in known.images)


def _lying(config: Cuhk03Dataset) -> set[str]:
    """Names of the crops that are written, whole as all are."""
    folder = folder_of(config)
    if not (config.root / folder).is_dir():
        return set()
    found = files_below(config.root, (folder,))
    return {path.removeprefix(f"{folder}/") for path, size in found.items() if size}


def _extract(name: str, config: Cuhk03Dataset, path: Path) -> Crops:
    """Write every crop that is not there yet, then the list of all."""
    images: list[str] = []
    present = _lying(config)
    with _open(name, path) as file, progress() as display:
        people = [len(cells) for cells in _pairs(name, path, file, KEY[config.crops])]
        testsets = _testsets(name, path, file, people)
        total = sum(people) * VIEWS * PER_VIEW
        task = add_task(display, f"{config.crops} crops of CUHK03", total)
        for image, pixels in _pictures(name, path, file, KEY[config.crops], present):
            display.advance(task)
            if image is None:
                continue
            images.append(image)
            if pixels is not None:
                _write(config.root / folder_of(config) / image, pixels)
    found = Crops(path.stat().st_size, people, images, testsets)
    write_json(list_of(config), asdict(found))
    return found


def _write(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """A crop that appears whole or not at all.

    Half-written ones share one name: `files.whole` looks for those of killed writers at each file,
    which is dear in a folder of 14,000.
    """
    path.parent.mkdir(exist_ok=True)
    beside = path.with_name(f".crop.{os.getpid()}.part.png")
    try:
        Image.fromarray(pixels).save(beside, compress_level=1)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _open(name: str, path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        reason = "cut short" if "truncated" in str(error) else "no MATLAB v7.3 (HDF5) file"
        raise UserError(f"dataset '{name}': {path}: {reason}; fetch it anew") from None


def _cells(
    name: str, path: Path, file: h5py.File, key: str, reference: Any = None
) -> npt.NDArray[Any]:
    """A cell array of the file, (rows, columns) as in MATLAB; UserError names `key`."""
    problem = "is no cell array"
    try:
        if reference is None and key not in file:
            problem = "is missing"
        else:
            found = file[key if reference is None else reference]
            # h5py gives references as objects. MATLAB's order of axes is the reverse of HDF5's.
            if isinstance(found, h5py.Dataset) and h5py.check_ref_dtype(found.dtype):
                values: npt.NDArray[Any] = found[()].T
                if values.ndim == 2:
                    return values
    except (OSError, RuntimeError, KeyError, ValueError, TypeError):
        problem = "is damaged"
    raise UserError(
        f"dataset '{name}': {path}: '{key}' {problem}; it is another file or not whole: fetch it "
        "anew"
    )


def _pairs(name: str, path: Path, file: h5py.File, key: str) -> list[npt.NDArray[Any]]:
    """For each camera pair its references, (persons, 10)."""
    pairs = [
        _cells(name, path, file, key, reference)
        for reference in _cells(name, path, file, key).ravel()
    ]
    for number, cells in enumerate(pairs, start=1):
        if cells.shape[1] != VIEWS * PER_VIEW:
            raise UserError(
                f"dataset '{name}': {path}: '{key}' of camera pair {number} has {cells.shape[1]} "
                f"crops a person; expected {VIEWS * PER_VIEW}"
            )
    return pairs


def _pictures(
    name: str, path: Path, file: h5py.File, key: str, present: set[str]
) -> Iterator[tuple[str | None, npt.NDArray[np.uint8] | None]]:
    """Name (None: no crop in this cell) and pixels (None: written already) of all cells."""
    for pair, cells in enumerate(_pairs(name, path, file, key), start=1):
        for (person, index), reference in np.ndenumerate(cells):
            image = f"{pair}_{person + 1:03d}_{1 + index // PER_VIEW}_{index + 1:02d}.png"
            try:
                stored = file[reference]
                if stored.ndim < 3 or stored.size == 0:
                    yield None, None
                    continue
                pixels = None if image in present else np.ascontiguousarray(stored[()].T)
            except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError):
                raise UserError(
                    f"dataset '{name}': {path}: crop {image} of '{key}' is damaged; fetch the file "
                    "anew"
                ) from None
            if stored.shape[0] != 3 or stored.ndim != 3 or stored.dtype != np.uint8:
                raise UserError(
                    f"dataset '{name}': {path}: crop {image} of '{key}' is {stored.dtype} of shape "
                    f"{stored.shape[::-1]}; expected uint8 of (height, width, 3)"
                )
            yield image, pixels


def _testsets(name: str, path: Path, file: h5py.File, people: list[int]) -> list[Testset]:
    """The classic test sets; UserError for one that names persons who are not there."""
    testsets = []
    for number, reference in enumerate(_cells(name, path, file, "testsets").ravel()):
        try:
            values = _integers(file[reference][()].T).reshape(-1, 2)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError):
            values = np.zeros((1, 2), dtype=np.int64)
        chosen: Testset = [(int(pair), int(person)) for pair, person in values]
        if not all(
            1 <= pair <= len(people) and 1 <= person <= people[pair - 1] for pair, person in chosen
        ):
            raise UserError(
                f"dataset '{name}': {path}: set {number} of 'testsets' is no list of (camera pair, "
                "person) of the file; fetch it anew"
            )
        testsets.append(chosen)
    return testsets
