"""VRIC (Kanaci, Zhu & Gong, Vehicle Re-Identification in Context, GCPR 2018).

`{train,probe,gallery}_images/` and `vric_{train,probe,gallery}.txt`, a line an image:
`name vehicle camera`. Every vehicle of the test has one probe and one gallery image.
"""

from __future__ import annotations

from reid_repro.dataset_config import VricDataset
from reid_repro.datasets.base import Dataset
from reid_repro.datasets.folders import assemble, require
from reid_repro.datasets.vehicle_lists import ImageList, image_rows, parse, tables, unique

FILES = {"train": "train", "query": "probe", "gallery": "gallery"}
LINE = r"(?i)^(?P<image>[^\s/\\]+\.jpe?g)\s+(?P<vehicle>\d{1,9})\s+(?P<camera>\d{1,4})$"
FORM = "name.jpg vehicle camera"


def load(name: str, config: VricDataset) -> Dataset:
    """Index the three lists; UserError names a wrong file and line, or what is missing."""
    lists = []
    for role, word in FILES.items():
        require(name, config, f"{word}_images")
        file = require(name, config, f"vric_{word}.txt")
        lines = parse(file, LINE, FORM)
        unique(file, lines["image"])
        rows = image_rows(f"{word}_images/" + lines["image"], lines["vehicle"], lines["camera"])
        lists.append(ImageList("train" if role == "train" else "test", role, file, rows))
    images, splits = tables(name, lists)
    return assemble(
        name,
        config,
        images,
        splits,
        folders=[f"{word}_images" for word in FILES.values()],
        listed=[each.file for each in lists],
    )
