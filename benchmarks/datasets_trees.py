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
from itertools import count
from pathlib import Path

import datasets_cuhk03
import numpy as np
from datasets_cuhk03 import Sizes, spread
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from standins import vehicleid, veri776, veriwild, viper, vric

LINKS = 30_000  # of one file; ext4 allows 65,000
FEW_BYTES = b"\xff\xd8\xff\xd9"  # begins and ends like a JPEG: for what nobody opens
VEHICLEID_FOLDER = 221_763  # images in `image/`, those in none of the lists among them
UNIVERSITY_DRONE = 37_854 / 50_218  # the share of the training images that drones took
MARKET_JUNK, MARKET_DISTRACTORS = 3_819 / 19_732, 2_798 / 19_732  # shares of the test folder
LANDMARKS = {
    "oxford5k": "all_souls ashmolean balliol bodleian christ_church cornmarket hertford keble "
    "magdalen pitt_rivers radcliffe_camera",
    "paris6k": "defense eiffel invalides louvre moulinrouge museedorsay notredame pantheon "
    "pompidou sacrecoeur triomphe",
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
    landmarks = LANDMARKS[name].split()[: sizes["gallery"]["identities"]]
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


WRITERS: dict[str, Callable[[Path, Sizes, Linked], None]] = {
    "veri776": _veri776,
    "vehicleid": _vehicleid,
    "vric": _vric,
    "veriwild": _veriwild,
    "market1501": _market1501,
    "cuhk03-labelled": datasets_cuhk03.make,
    "viper": _viper,
    "university1652": _university1652,
}
