"""The classes of the part detector: the 21 attributes that PGAN's detector was trained on.

Of them PGAN takes the 16 parts (appendix A.1, Table 4); the five kinds of vehicle fill the whole
image and say nothing of a part, so their boxes are dropped before any selection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from reid_repro.errors import UserError

PARTS: Final = (
    "annual service signs",
    "back mirror",
    "car light",
    "carrier",
    "car topwindow",
    "entry license",
    "hanging",
    "lay ornament",
    "light cover",
    "logo",
    "newer sign",
    "tissuebox",
    "plate",
    "safe belt",
    "wheel",
    "wind-shield glass",
)
# The second is printed "trunk" in A.1, where a truck is meant; "train" stands as it is printed.
VEHICLE_TYPES: Final = ("car", "truck", "tricycle", "train", "bus")
ATTRIBUTES: Final = PARTS + VEHICLE_TYPES


def classes_of(labels: Iterable[str], where: str) -> tuple[str, ...]:
    """What a detector of annotations with these `labels` tells apart: 16 classes, or all 21.

    Raises UserError for a label that is neither a part nor a kind of vehicle; `where` says in
    what file.
    """
    found = set(labels)
    unknown = sorted(found - set(ATTRIBUTES))
    if unknown:
        raise UserError(
            f"{where}: '{unknown[0]}' is no class of the part detector; known: "
            f"{', '.join(ATTRIBUTES)}"
        )
    return ATTRIBUTES if found & set(VEHICLE_TYPES) else PARTS
