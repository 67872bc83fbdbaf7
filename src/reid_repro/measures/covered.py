"""What the boxes of an image cover together (PGAN, appendix A.2)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from reid_repro.datasets.places import BOX, FILLED
from reid_repro.files import read_parquet
from reid_repro.measures.boxes import union_area
from reid_repro.measures.source import Measure, Source

COUNTS = (8, 10)


def of_boxes(source: Source) -> Iterator[Measure]:
    """The area of the first 8 and 10 boxes, of those that were detected; as far as they are kept.

    A box of the whole image, which only fills an image up, covers nothing here.
    """
    table = read_parquet(source.results / "parts" / source.dataset / "parts.parquet")
    queries = source.rows("query")
    table = table[table["image"].isin(queries)].sort_values(["image", "rank"], kind="stable")
    kept = int(table["rank"].max()) + 1
    boxes = np.array(table[BOX], np.float64).reshape(-1, kept, 4)
    images = table["image"].to_numpy(np.int64)[::kept]
    filled = (table["label"] == FILLED) | (table["score"] <= 0)
    boxes[filled.to_numpy().reshape(-1, kept)] = 0
    for count in COUNTS:
        if count <= kept:
            what = f"share of the image that the {count} surest detected boxes cover together"
            area = union_area(boxes[:, :count])
            yield source.of("A.2", (f"D{count}", "covered_area"), images, area, what)
