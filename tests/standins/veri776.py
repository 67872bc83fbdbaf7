"""VeRi-776's tree: three folders, three name lists, labels in XML that is declared gb2312."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from conftest import write_image

TRAIN = (1, 4, 5)
TESTED = (2, 6)
CAMERAS = (1, 19)
EACH = 2  # photographs of a vehicle by a camera
COLOURS = ("yellow", "orange", "green", "gray", "red")
TYPES = ("sedan", "suv", "van")


def names(vehicles: Sequence[int], cameras: Sequence[int] = CAMERAS, each: int = EACH) -> list[str]:
    """`each` photographs of each vehicle by each of the cameras."""
    return [
        f"{vehicle:04d}_c{camera:03d}_{1000 * vehicle + 10 * camera + number:08d}_{number}.jpg"
        for vehicle in vehicles
        for camera in cameras
        for number in range(each)
    ]


def label(file: Path, images: list[str]) -> None:
    """Labels as published; what is no photograph of a vehicle with a type has number 0."""
    items = "".join(
        f'<Item imageName="{name}" vehicleID="{name[:4]}" cameraID="{name[5:9]}" '
        f'colorID="{1 + int(name[:4]) % 5}" typeID="{int(name[:4]) % 4}"/>\n'
        for name in images
    )
    file.write_bytes(
        '<?xml version="1.0" encoding="gb2312"?>\n<!-- 车辆 -->\n'
        f'<TrainingImages Version="1.0"><Items number="{len(images)}">\n{items}'
        "</Items></TrainingImages>\n".encode("gb2312")
    )


def make(
    root: Path,
    train: Sequence[int] = TRAIN,
    tested: Sequence[int] = TESTED,
    cameras: Sequence[int] = CAMERAS,
    each: int = EACH,
    image: Callable[[Path, int], object] = write_image,
) -> None:
    """By default 12 training images, 8 gallery images and the 4 queries among them.

    The first photograph by each camera asks. No label knows vehicle 5. `image` writes one, by its
    path and a number.
    """
    gallery = names(tested, cameras, each)
    lists = {"train": names(train, cameras, each), "test": gallery, "query": gallery[::each]}
    for half, images in lists.items():
        (root / f"image_{half}").mkdir(parents=True)
        for name in images:
            seed = int(name[10:18])  # a query is the same photograph as in the gallery
            image(root / f"image_{half}" / name, seed)
        (root / f"name_{half}.txt").write_text("\n".join(images) + "\n")
    label(root / "train_label.xml", [name for name in lists["train"] if name[:4] != "0005"])
    label(root / "test_label.xml", gallery)
    for file, words in (("list_color.txt", COLOURS), ("list_type.txt", TYPES)):
        lines = [f"{number} {word}\n" for number, word in enumerate(words, start=1)]
        (root / file).write_text("".join(lines))
