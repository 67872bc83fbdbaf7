"""VehicleID's tree: one folder, a train list, three test lists, attributes by vehicle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from conftest import write_image

TRAIN = {10: 3, 11: 2, 12: 4}
# The lists are not nested: the large one lacks what the small one has.
TESTS = {
    "test_list_800": {20: 3, 21: 2},
    "test_list_1600": {20: 3, 22: 4, 23: 2},
    "test_list_2400": {22: 4, 23: 2, 24: 3, 25: 5},
}
UNLISTED = 31  # in the folder and in img2vid.txt, but in none of the four lists


def images(vehicles: dict[int, int]) -> list[tuple[str, int]]:
    """(name, vehicle) of so many photographs of each vehicle."""
    return [
        (f"{100 * vehicle + number:07d}", vehicle)
        for vehicle, count in vehicles.items()
        for number in range(count)
    ]


def make(
    root: Path,
    train: dict[int, int] | None = None,
    tests: dict[str, dict[int, int]] | None = None,
    image: Callable[[Path, int], object] = write_image,
) -> None:
    """Vehicles and how many images each has, by default 9 to train on and 19 to test.

    `image` writes one, by its path and number.
    """
    lists = {"train_list": train or TRAIN, **(tests or TESTS)}
    (root / "train_test_split").mkdir(parents=True)
    shown: dict[str, int] = {}
    for name, vehicles in lists.items():
        lines = images(vehicles)
        shown |= dict(lines)
        text = "".join(f"{photograph} {vehicle}\n" for photograph, vehicle in lines)
        (root / "train_test_split" / f"{name}.txt").write_text(text)
    shown |= dict(images({UNLISTED: 1}))
    (root / "image").mkdir()
    for name in shown:
        image(root / "image" / f"{name}.jpg", int(name))
    known = sorted(set(shown.values()))
    for name, pairs in {
        "img2vid": shown.items(),
        "color_attr": ((vehicle, vehicle % 7) for vehicle in known),
        "model_attr": ((vehicle, 10 * vehicle) for vehicle in known if vehicle % 2),
    }.items():
        (root / "attribute").mkdir(exist_ok=True)
        text = "".join(f"{key} {value}\n" for key, value in pairs)
        (root / "attribute" / f"{name}.txt").write_text(text)
