"""VeRi-776's tree: three folders, three name lists, labels in XML that is declared gb2312."""

from __future__ import annotations

from pathlib import Path

from conftest import write_image

TRAIN = (1, 4, 5)
TESTED = (2, 6)
COLOURS = ("yellow", "orange", "green", "gray", "red")
TYPES = ("sedan", "suv", "van")


def names(vehicles: tuple[int, ...]) -> list[str]:
    """Two photographs of each vehicle by each of two cameras."""
    return [
        f"{vehicle:04d}_c{camera:03d}_{1000 * vehicle + 10 * camera + number:08d}_{number}.jpg"
        for vehicle in vehicles
        for camera in (1, 19)
        for number in (0, 1)
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


def make(root: Path) -> None:
    """12 training images, 8 gallery images and the 4 queries among them; a vehicle no label has."""
    tested = names(TESTED)
    lists = {"train": names(TRAIN), "test": tested, "query": tested[::2]}
    for half, images in lists.items():
        for name in images:
            seed = int(name[10:18])  # a query is the same photograph as in the gallery
            write_image(root / f"image_{half}" / name, seed)
        (root / f"name_{half}.txt").write_text("\n".join(images) + "\n")
    label(root / "train_label.xml", [name for name in lists["train"] if name[:4] != "0005"])
    label(root / "test_label.xml", tested)
    for file, words in (("list_color.txt", COLOURS), ("list_type.txt", TYPES)):
        lines = [f"{number} {word}\n" for number, word in enumerate(words, start=1)]
        (root / file).write_text("".join(lines))
