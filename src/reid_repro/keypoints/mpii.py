"""People of the MPII Human Pose dataset (Andriluka et al. 2014), cut out, with their 14 joints.

Reads the released `mpii_human_pose_v1_u12_1.mat`: a MATLAB v5 struct `RELEASE` whose `annolist`
holds for each image its name and its people, each with a rough centre, a scale (height / 200 px)
and up to 16 points. Only training images have points. Nothing in the file is executed.

A crop has the aspect of the re-ID image that stands for it later. It is centred on the person's
marked joints, holds them all with `MARGIN` around, and is at least a person's height with margins
high: who is shown in part, or sits, does not become larger than who stands.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.io
from PIL import Image, UnidentifiedImageError
from scipy.io.matlab import MatReadError

from reid_repro.datasets.base import unreadable
from reid_repro.errors import UserError
from reid_repro.keypoints.joints import JOINTS, MPII_IDS

PIXELS_OF_SCALE = 200.0
MARGIN = 0.1  # of the person's height: the soles and the hair lie beyond the joints
OUTSIDE = (124, 117, 104)  # ImageNet's mean colour, where a crop leaves its photograph
# Whatever is wrong with a file's bytes, scipy meets it in one of these ways.
DAMAGED = (
    *(OSError, ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(NotImplementedError, MemoryError, OverflowError, zlib.error, MatReadError),
)
JOINT_OF = {raw: joint for joint, raw in enumerate(MPII_IDS)}


class Person(NamedTuple):
    """One annotated person. `joints` (14, 3): x, y in pixels and 0 or 1, visible; NaN: unmarked."""

    image: str
    scale: float
    centre: tuple[float, float]
    joints: npt.NDArray[np.float64]


class MpiiPeople:
    """Crops of people by row number, as an image store gives images.

    `images` has a row for each: image (the photograph's file), x0, y0, x1, y1 (the crop in its
    pixels, which may leave it), width, height (of the crop), scale (person's height / 200 px),
    centre_x, centre_y (NaN where not given). `annotations` is what training takes: image (row),
    joint (0..13), x, y (shares of the crop, NaN: not marked), visible. `skipped` counts people of
    training images without scale or joints.

    `people` "single" takes those that the release lists as standing apart from others, "all" takes
    everyone; `aspect` is the crops' width / height.
    """

    def __init__(
        self,
        annotations: Path,
        folder: Path,
        *,
        people: Literal["single", "all"] = "single",
        aspect: float = 0.5,
    ) -> None:
        found = [*_people(annotations, people)]
        kept = [person for person in found if person is not None]
        if not kept:
            raise UserError(f"{annotations}: no training image has a person with scale and joints")
        self.folder = folder
        self.skipped = len(found) - len(kept)
        boxes = np.array([crop_box(person, aspect) for person in kept], np.int64)
        self.images = _images(kept, boxes)
        self.annotations = _annotations(kept, boxes)
        self._check_files()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> npt.NDArray[np.uint8]:
        """The crop of a row, (height, width, 3) uint8 RGB."""
        name, *box = self.images.loc[row, ["image", "x0", "y0", "x1", "y1"]]
        file = self.folder / name
        try:
            with Image.open(file) as image:
                return cut(np.asarray(image.convert("RGB")), box)
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            raise unreadable(file, error) from None

    def _check_files(self) -> None:
        if not self.folder.is_dir():
            raise UserError(f"{self.folder}: no such folder; put the images of MPII there")
        names = self.images["image"].unique()
        there = {path.name for path in self.folder.iterdir()}
        missing = [name for name in names if name not in there]
        if missing:
            raise UserError(
                f"{self.folder}: {len(missing):,} of {len(names):,} images of MPII are missing, "
                f"the first is {missing[0]}; unpack the whole release there"
            )


def crop_box(person: Person, aspect: float) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 in whole pixels of the photograph, of width / height `aspect`."""
    marked = person.joints[~np.isnan(person.joints[:, 0]), :2]
    low, high = marked.min(axis=0), marked.max(axis=0)
    tall = person.scale * PIXELS_OF_SCALE
    needed = high - low + 2 * MARGIN * tall
    height = max(needed[1], needed[0] / aspect, (1 + 2 * MARGIN) * tall)
    half = np.array([height * aspect, height]) / 2
    middle = (low + high) / 2
    x0, y0 = np.floor(middle - half).astype(int)
    x1, y1 = np.ceil(middle + half).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def cut(image: npt.NDArray[np.uint8], box: list[int]) -> npt.NDArray[np.uint8]:
    """The box x0, y0, x1, y1 of an image (height, width, 3), `OUTSIDE` where it leaves it."""
    x0, y0, x1, y1 = box
    height, width = image.shape[:2]
    crop = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
    crop[:] = OUTSIDE
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if left < right and top < bottom:
        crop[top - y0 : bottom - y0, left - x0 : right - x0] = image[top:bottom, left:right]
    return crop


def _images(people: list[Person], boxes: npt.NDArray[np.int64]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": [person.image for person in people],
            **{name: boxes[:, number] for number, name in enumerate(("x0", "y0", "x1", "y1"))},
            "width": boxes[:, 2] - boxes[:, 0],
            "height": boxes[:, 3] - boxes[:, 1],
            "scale": [person.scale for person in people],
            "centre_x": [person.centre[0] for person in people],
            "centre_y": [person.centre[1] for person in people],
        }
    )


def _annotations(people: list[Person], boxes: npt.NDArray[np.int64]) -> pd.DataFrame:
    joints = np.stack([person.joints for person in people])
    places = (joints[..., :2] - boxes[:, None, :2]) / (boxes[:, None, 2:] - boxes[:, None, :2])
    return pd.DataFrame(
        {
            "image": np.repeat(np.arange(len(people), dtype=np.int32), JOINTS),
            "joint": np.tile(np.arange(JOINTS, dtype=np.int16), len(people)),
            "x": places[..., 0].ravel().astype(np.float32),
            "y": places[..., 1].ravel().astype(np.float32),
            "visible": joints[..., 2].ravel() > 0,  # of NaN, which is no mark, it is not
        }
    )


def _people(file: Path, people: str) -> Iterator[Person | None]:
    """Everyone asked for in training images; None for one without scale or joints."""
    release = _release(file)
    images = _records(release, "annolist")
    train = _values(release, "img_train")
    if not images or len(train) != len(images):
        raise UserError(
            f"{file}: RELEASE has {len(images):,} images in annolist but {len(train):,} marks in "
            "img_train; get mpii_human_pose_v1_u12_1.mat again"
        )
    single = _cells(release, "single_person")
    if people == "single" and len(single) != len(images):
        raise UserError(
            f"{file}: RELEASE lists single people of {len(single):,} images, not of "
            f"{len(images):,}; take people 'all'"
        )
    for number, record in enumerate(images):
        if not train[number]:
            continue
        rectangles = _records(record, "annorect")
        if people == "single":
            chosen = [int(index) - 1 for index in np.ravel(single[number])]  # MATLAB counts from 1
            rectangles = [rectangles[i] for i in chosen if 0 <= i < len(rectangles)]
        name = _image_name(file, record, number)
        for rectangle in rectangles:
            yield _person(file, name, rectangle)


def _release(file: Path) -> Any:
    try:
        with file.open("rb") as opened:
            content = scipy.io.loadmat(opened, struct_as_record=False, variable_names=["RELEASE"])
    except FileNotFoundError:
        raise UserError(
            f"{file}: no such file; it is mpii_human_pose_v1_u12_1.mat of the MPII release"
        ) from None
    except DAMAGED as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file}: not a readable MATLAB v5 file ({reason})") from None
    found = np.ravel(content.get("RELEASE", ()))
    if len(found) != 1 or not hasattr(found[0], "annolist"):
        raise UserError(f"{file}: no struct RELEASE with an annolist; is it the MPII release?")
    return found[0]


def _image_name(file: Path, record: Any, number: int) -> str:
    for image in _records(record, "image"):
        name = np.ravel(getattr(image, "name", ()))
        # A name with folders could lead out of the images' folder.
        if name.dtype.kind == "U" and len(name) == 1 and Path(name[0]).name == name[0] != "":
            return str(name[0])
    raise UserError(f"{file}: image {number + 1} of annolist has no file name")


def _person(file: Path, image: str, rectangle: Any) -> Person | None:
    scale = _number(rectangle, "scale")
    joints = np.full((JOINTS, 3), np.nan)
    for points in _records(rectangle, "annopoints"):
        for point in _records(points, "point"):
            place = _number(point, "x"), _number(point, "y")
            raw = _number(point, "id")
            if raw in JOINT_OF and np.isfinite(place).all():
                joints[JOINT_OF[int(raw)]] = *place, _visible(point)
    if not scale > 0 or np.isnan(joints[:, 0]).all():  # a missing scale is NaN
        return None
    if not np.isfinite(scale):
        raise UserError(f"{file}: a person of {image} has an infinite scale")
    centre = [*_records(rectangle, "objpos"), None][0]
    return Person(image, scale, (_number(centre, "x"), _number(centre, "y")), joints)


def _visible(point: Any) -> bool:
    """The mark is a number, a digit as text, or empty: the points of the head have none.

    Without a mark a point counts as visible.
    """
    mark = _number(point, "is_visible")
    return bool(np.isnan(mark) or mark > 0)


def _records(holder: Any, field: str) -> list[Any]:
    """The structs in a field; none where the field is missing or empty."""
    value = np.ravel(getattr(holder, field, ()))
    return [record for record in value if hasattr(record, "_fieldnames")]


def _cells(holder: Any, field: str) -> list[Any]:
    value = np.ravel(getattr(holder, field, ()))
    return list(value) if value.dtype == object else []


def _values(holder: Any, field: str) -> npt.NDArray[Any]:
    return np.ravel(getattr(holder, field, ()))


def _number(holder: Any, field: str) -> float:
    """A field's number, be it written as text; NaN where it is missing, empty or neither."""
    value = np.ravel(getattr(holder, field, ()))
    try:
        return float(value[0]) if len(value) else float("nan")
    except (TypeError, ValueError):
        return float("nan")
