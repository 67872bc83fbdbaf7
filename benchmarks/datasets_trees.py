"""Stand-ins of the public datasets in their full size: real layout, names and lists, tiny files.

A tree holds as many images, identities and cameras as the official counts say (`shrunk` divides
them). Every image is a hard link to one of few files, so that VERI-Wild's 416,314 cost seconds and
next to no room. The layouts themselves are those of tests/standins; what these write in any size is
taken from there.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, count
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from standins import vehicleid, veri776, veriwild, viper, vric

Sizes = dict[str, dict[str, int]]
LINKS = 30_000  # of one file; ext4 allows 65,000
FEW_BYTES = b"\xff\xd8\xff\xd9"  # begins and ends like a JPEG: for what nobody opens
VEHICLEID_FOLDER = 221_763  # images in `image/`, those in none of the lists among them
UNIVERSITY_DRONE = 37_854 / 50_218  # the share of the training images that drones took
MARKET_JUNK, MARKET_DISTRACTORS = 3_819 / 19_732, 2_798 / 19_732  # shares of the test folder
CUHK03_PAIRS = (843, 440, 77, 58, 49)  # persons of the camera pairs
CUHK03_CROP = (80, 30)  # pixels of a crop: half the height and width of a usual one
CUHK03_TESTED = 100
LANDMARKS = {
    "oxford5k": (
        "all_souls ashmolean balliol bodleian christ_church cornmarket hertford keble magdalen "
        "pitt_rivers radcliffe_camera"
    ).split(),
    "paris6k": (
        "defense eiffel invalides louvre moulinrouge museedorsay notredame pantheon pompidou "
        "sacrecoeur triomphe"
    ).split(),
}


class Linked:
    """A function that makes an image file: a hard link to one of `content`, or a copy of it.

    The files linked to lie in `folder`, which must be on the file system of the images.
    """

    def __init__(self, folder: Path, content: bytes) -> None:
        self._folder, self._content = folder, content
        self._made = 0
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, path: Path, _: int = 0) -> None:
        source = self._folder / str(self._made // LINKS)
        if self._made % LINKS == 0:
            source.write_bytes(self._content)
        self._made += 1
        try:
            path.hardlink_to(source)
        except (OSError, NotImplementedError):  # a file system without links
            path.write_bytes(self._content)


def shrunk(official: Mapping[str, Mapping[str, int]], times: int) -> Sizes:
    """Counts for so many times fewer identities (two at least), with as many images of each."""
    sizes: Sizes = {}
    for role, counts in official.items():
        sizes[role] = dict(counts)
        if times > 1:
            identities = max(2, counts["identities"] // times)
            images = round(identities * counts["images"] / counts["identities"])
            sizes[role] |= {"identities": identities, "images": images}
    return sizes


def jpeg() -> bytes:
    """An image of Market-1501's size and about its length."""
    noise = np.random.default_rng(0).integers(0, 64, (128, 64, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).save(content, "JPEG", quality=75)
    return content.getvalue()


def build(name: str, root: Path, sizes: Sizes, unreadable: Sequence[str] = ()) -> None:
    """The tree of dataset `name` at `root`, a folder that does not exist yet.

    `unreadable` are the damaged images of a release, which its counts leave out.
    """
    content = jpeg() if name == "market1501" else FEW_BYTES  # the one whose images are opened
    image = Linked(root.with_name(f"{root.name}-linked"), content)
    root.mkdir(parents=True)
    if name in LANDMARKS:
        _landmarks(root, name, sizes, image, unreadable)
    else:
        WRITERS[name](root, sizes, image)


def spread(total: int, parts: int) -> list[int]:
    """`total` as a sum of so many numbers that differ by one at most, larger ones first."""
    return [total // parts + (part < total % parts) for part in range(parts)]


def _of(sizes: Sizes, role: str, first: int) -> dict[int, int]:
    """Identity, from `first` on, -> images of it in a role."""
    each = spread(sizes[role]["images"], sizes[role]["identities"])
    return dict(enumerate(each, start=first))


def _veri776(root: Path, sizes: Sizes, image: Linked) -> None:
    number = count()

    def names(vehicles: dict[int, int], cameras: int) -> list[str]:
        return [
            f"{vehicle:04d}_c{1 + place % cameras:03d}_{next(number):08d}_0.jpg"
            for vehicle, images in vehicles.items()
            for place in range(images)
        ]

    tested = 1 + sizes["train"]["identities"]
    gallery = names(_of(sizes, "gallery", tested), cameras=19)
    asked = _of(sizes, "query", tested)
    of_vehicle = {vehicle: [n for n in gallery if int(n[:4]) == vehicle] for vehicle in asked}
    lists = {
        "train": names(_of(sizes, "train", 1), cameras=sizes["train"].get("cameras", 20)),
        "query": [n for vehicle, images in asked.items() for n in of_vehicle[vehicle][:images]],
        "test": gallery,
    }
    for half, images in lists.items():
        (root / f"image_{half}").mkdir()
        for name in images:
            image(root / f"image_{half}" / name)
        (root / f"name_{half}.txt").write_text("\n".join(images) + "\n")
    veri776.label(root / "train_label.xml", lists["train"])
    veri776.label(root / "test_label.xml", gallery)


def _vehicleid(root: Path, sizes: Sizes, image: Linked) -> None:
    """The test lists overlap without being nested; `image/` also holds what is in no list."""
    tests, first = {}, 20_000
    for size, vehicles in {"small": 800, "medium": 1600, "large": 2400}.items():
        identities = sizes[f"{size}/gallery"]["identities"]
        images = sizes[f"{size}/query"]["images"] + sizes[f"{size}/gallery"]["images"]
        each = spread(images, identities)
        tests[f"test_list_{vehicles}"] = dict(enumerate(each, start=first))
        first += identities // 2
    train = _of(sizes, "train", 1)
    vehicleid.make(root, train, tests, image=image)
    listed = len(list((root / "image").iterdir()))
    whole = round(VEHICLEID_FOLDER * sizes["train"]["images"] / 113_346)
    for number in range(whole - listed):
        image(root / "image" / f"{9_000_000 + number}.jpg")


def _vric(root: Path, sizes: Sizes, image: Linked) -> None:
    camera = count()
    train = [
        (vehicle, [1 + next(camera) % 60 for _ in range(images)])
        for vehicle, images in _of(sizes, "train", 1).items()
    ]
    first = 1 + len(train)
    tested = [
        (vehicle, 1 + vehicle % 60, 1 + (vehicle + 7) % 60)
        for vehicle in _of(sizes, "query", first)
    ]
    vric.make(root, train, tested, image=image)


def _veriwild(root: Path, sizes: Sizes, image: Linked) -> None:
    """The smaller tests are the first vehicles of the larger ones."""
    first = 1 + sizes["train"]["identities"]
    tested: dict[int, int] = {}
    counts = {}
    for size, vehicles in veriwild_sizes().items():
        identities = sizes[f"{size}/gallery"]["identities"]
        images = sizes[f"{size}/query"]["images"] + sizes[f"{size}/gallery"]["images"]
        more = spread(images - sum(tested.values()), identities - len(tested))
        tested |= dict(enumerate(more, start=first + len(tested)))
        counts[vehicles] = identities
    veriwild.make(root, _of(sizes, "train", 1), tested, counts, image=image)


def veriwild_sizes() -> dict[str, int]:
    """The names and numbers of VERI-Wild's tests, small ones first."""
    return {"small": 3000, "medium": 5000, "large": 10_000}


def _market1501(root: Path, sizes: Sizes, image: Linked) -> None:
    number = count(1)
    whole = sizes["gallery"]["images"]
    junk, distractors = round(whole * MARKET_JUNK), round(whole * MARKET_DISTRACTORS)
    good = {"images": whole - junk - distractors, "identities": sizes["gallery"]["identities"]}
    first = 1 + sizes["train"]["identities"]
    folders = {
        "bounding_box_train": _of(sizes, "train", 1),
        "query": _of(sizes, "query", first),
        "bounding_box_test": {-1: junk, 0: distractors} | _of({"good": good}, "good", first),
    }
    for folder, people in folders.items():
        (root / folder).mkdir()
        for person, images in people.items():
            label = f"{person:04d}" if person >= 0 else "-1"
            for place in range(images):
                name = f"{label}_c{1 + place % 6}s1_{next(number):06d}_00.jpg"
                image(root / folder / name)


def _viper(root: Path, sizes: Sizes, _: Linked) -> None:
    viper.make(root, people=sizes["train"]["identities"] + sizes["query"]["identities"])


def _landmarks(
    root: Path, name: str, sizes: Sizes, image: Linked, unreadable: Sequence[str]
) -> None:
    """Half of the images show landmarks, of which each query's lists name a part."""
    landmarks = LANDMARKS[name][: sizes["gallery"]["identities"]]
    oxford = name == "oxford5k"
    prefix, stranger = ("", "oxford") if oxford else ("paris_", "general")
    whole = sizes["gallery"]["images"]
    shown = dict(zip(landmarks, spread(whole // 2, len(landmarks)), strict=True))
    for landmark, images in {**shown, stranger: whole - whole // 2}.items():
        folder = root / "images" / ("" if oxford else landmark)
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(images):  # numbers that no unreadable image of the release has
            image(folder / f"{prefix}{landmark}_{2000 + number:06d}.jpg")
    for file in unreadable:
        folder = root / "images" / file.split("_")[1]
        folder.mkdir(exist_ok=True)
        image(folder / file)
    truth = root / "gt_files"
    truth.mkdir()
    asked = spread(sizes["query"]["images"], len(landmarks))
    for (landmark, images), queries in zip(shown.items(), asked, strict=True):
        names = [f"{prefix}{landmark}_{2000 + number:06d}" for number in range(images)]
        for query in range(queries):
            line = f"{'oxc1_' * oxford}{names[query]} 1.5 2.0 20.25 28.0\n"
            (truth / f"{landmark}_{1 + query}_query.txt").write_text(line)
            for place, judgement in enumerate(("good", "ok", "junk")):
                text = "".join(f"{each}\n" for each in names[20 * place : 20 * place + 20])
                (truth / f"{landmark}_{1 + query}_{judgement}.txt").write_text(text)


def _university1652(root: Path, sizes: Sizes, image: Linked) -> None:
    """The five folders that are read, out of the release's eleven."""
    trained = sizes["train"]["identities"]
    drone = round(sizes["train"]["images"] * UNIVERSITY_DRONE)
    street = sizes["train"]["images"] - drone - trained
    folders: dict[str, tuple[int, Sequence[int], str]] = {
        "train/drone": (1000, spread(drone, trained), "image-{:02d}.jpeg"),
        "train/satellite": (1000, [1] * trained, "satellite-{:02d}.jpg"),
        "train/street": (1000, spread(street, trained), "{}.jpg"),
        "test/query_drone": (0, list(_of(sizes, "query", 0).values()), "image-{:02d}.jpeg"),
        "test/gallery_satellite": (0, [1] * sizes["gallery"]["images"], "satellite-{:02d}.jpg"),
    }
    for folder, (first, each, form) in folders.items():
        for building, images in enumerate(each, start=first):
            (root / folder / f"{building:04d}").mkdir(parents=True)
            for number in range(images):
                image(root / folder / f"{building:04d}" / form.format(1 + number))


def _cuhk03(root: Path, sizes: Sizes, _: Linked) -> None:
    """The labelled crops alone, smaller than real ones; of each person the first ones are there."""
    trained, tested = sizes["train"]["identities"], sizes["query"]["identities"]
    asked_and_answers = sizes["query"]["images"] + sizes["gallery"]["images"]
    crops = [*spread(sizes["train"]["images"], trained), *spread(asked_and_answers, tested)]
    people = _camera_pairs(len(crops))
    numbers = [(pair, 1 + place) for pair, n in enumerate(people, start=1) for place in range(n)]
    _crops_file(root / "cuhk-03.mat", people, crops, numbers[: -len(numbers) // 14 or None])
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


def _camera_pairs(people: int) -> list[int]:
    """Persons of each camera pair, in the proportions of the dataset."""
    ends = [round(people * end / sum(CUHK03_PAIRS)) for end in accumulate(CUHK03_PAIRS)]
    pairs = [end - before for before, end in zip([0, *ends], ends, strict=False)]
    return [pair for pair in pairs if pair]


def _crops_file(
    path: Path, people: Sequence[int], crops: Sequence[int], tested: Sequence[tuple[int, int]]
) -> None:
    """`cuhk-03.mat`: cells of references, as MATLAB v7.3 keeps them, axes reversed."""
    noise = np.random.default_rng(0).integers(0, 255, 1 << 20, dtype=np.uint8)
    size = 3 * CUHK03_CROP[0] * CUHK03_CROP[1]
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
                    crop = noise[start : start + size].reshape(3, CUHK03_CROP[1], CUHK03_CROP[0])
                    rows.append(keep(crop) if index < present else empty)
            pairs.append(keep(cell(rows, (pair, 10)).T))
        file.create_dataset("labeled", data=cell(pairs, (1, len(pairs))))
        rng = np.random.default_rng(1)
        sets = []
        for _ in range(20):
            chosen = rng.permutation(len(tested))[:CUHK03_TESTED]
            sets.append(keep(np.array(tested, dtype=np.float64)[chosen].T))
        file.create_dataset("testsets", data=cell(sets, (1, len(sets))))
    with path.open("r+b") as start_of_file:
        start_of_file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


WRITERS: dict[str, Callable[[Path, Sizes, Linked], None]] = {
    "veri776": _veri776,
    "vehicleid": _vehicleid,
    "vric": _vric,
    "veriwild": _veriwild,
    "market1501": _market1501,
    "cuhk03-labelled": _cuhk03,
    "viper": _viper,
    "university1652": _university1652,
}
