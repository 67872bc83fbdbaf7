"""VERI-Wild's tree: a folder a vehicle, nested test lists of three sizes, `vehicle_info.txt`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from conftest import write_image

TRAIN = {1: 3, 2: 2, 7: 4}
TESTED = {11: 3, 12: 2, 13: 4, 14: 2}
SIZES = {3000: 2, 5000: 3, 10000: 4}  # the first so many of TESTED
HEADER = "id/image;Camera ID;Time;Model;Type;Color\n"


def photographs(vehicles: dict[int, int], first: int) -> list[str]:
    """`VVVVV/IIIIII` of so many photographs of each vehicle, numbered from `first` on."""
    owners = [vehicle for vehicle, count in vehicles.items() for _ in range(count)]
    return [f"{vehicle:05d}/{first + place:06d}" for place, vehicle in enumerate(owners)]


def make(
    root: Path,
    train: dict[int, int] | None = None,
    tested: dict[int, int] | None = None,
    sizes: dict[int, int] | None = None,
    image: Callable[[Path, int], object] = write_image,
) -> None:
    """Vehicles and how many images each has; `image` writes one, by its path and number.

    The first photograph of a tested vehicle is its query. By default 9 images train, 11 are tested.
    """
    tested = tested or TESTED
    halves = {"train": photographs(train or TRAIN, first=1)}
    halves["test"] = photographs(tested, first=1 + len(halves["train"]))
    lists = root / "train_test_split"
    lists.mkdir(parents=True)
    (lists / "train_list.txt").write_text("\n".join(halves["train"]) + "\n")
    for size, count in (sizes or SIZES).items():
        chosen = set(list(tested)[:count])
        rows: dict[str, list[str]] = {"_query": [], "": []}
        asked = set()
        for name in halves["test"]:
            vehicle = int(name[:5])
            if vehicle in chosen:
                rows["" if vehicle in asked else "_query"].append(name)
                asked.add(vehicle)
        for end, names in rows.items():
            (lists / f"test_{size}{end}.txt").write_text("\n".join(names) + "\n")
    lines = [HEADER]
    for number, name in enumerate(halves["train"] + halves["test"], start=1):
        path = root / "images" / f"{name}.jpg"
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
        image(path, number)
        when = f"2018-03-{1 + number % 30:02d} 10:01:57"
        model = "" if number % 5 == 0 else "Volkswagen/Sagitar"
        lines.append(f"{name};{1 + number % 174};{when};{model};SUV;white\n")
    (lists / "vehicle_info.txt").write_text("".join(lines))
