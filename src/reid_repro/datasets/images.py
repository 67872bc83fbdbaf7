"""Pixels by row number, whether packed (rendered sets) or in the user's own folder."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
from PIL import Image, UnidentifiedImageError

from reid_repro.datasets.base import unreadable
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet


class Images(Protocol):
    """Images by row number: each (height, width, 3) uint8 RGB."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> np.ndarray: ...


BOX = ["box_x0", "box_y0", "box_x1", "box_y1"]


class ImageStore:
    """The images of one indexed dataset: `store[row]` is (height, width, 3) uint8 RGB.

    A row with a box (columns `box_x0` to `box_y1`, in pixels; NaN for none) is cropped to it.
    """

    def __init__(self, *, folder: Path, images: pd.DataFrame, root: Path | None) -> None:
        self.images = images
        self._names = images["image"].tolist()
        self._root = root
        self._folder = folder
        self._packed: pa.ChunkedArray | None = None
        self._boxes = images[BOX].to_numpy(float) if set(BOX) <= set(images.columns) else None

    @classmethod
    def open(cls, folder: Path) -> ImageStore:
        """The store of `results/data/{dataset}`."""
        root = read_json(folder / "content.json")["root"]
        images = read_parquet(folder / "images.parquet")
        return cls(folder=folder, images=images, root=Path(root) if root else None)

    def __len__(self) -> int:
        return len(self._names)

    def sizes(self) -> np.ndarray:
        """(n, 2) width and height of every image, read from the files where the index has none.

        Headers alone are read, by several threads. Raises UserError for an unreadable image.
        """
        found: np.ndarray = self.images[["width", "height"]].to_numpy(np.int32, copy=True)
        unknown = np.flatnonzero((found <= 0).any(axis=1))
        if len(unknown):
            with ThreadPoolExecutor() as pool:
                found[unknown] = list(pool.map(self._size, unknown.tolist(), chunksize=64))
        return found

    def _size(self, row: int) -> tuple[int, int]:
        assert self._root is not None  # what is packed has its sizes
        path = self._root / self._names[row]
        try:
            with Image.open(path) as image:
                return (image.width, image.height)
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            raise unreadable(path, error) from None

    def __getitem__(self, row: int) -> np.ndarray:
        source = self._jpeg(row) if self._root is None else self._root / self._names[row]
        try:
            with Image.open(source) as image:
                return np.asarray(self._cropped(image.convert("RGB"), row))
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            named = (self._root or self._folder / "pixels.arrow") / self._names[row]
            raise unreadable(named, error) from None

    def _cropped(self, image: Image.Image, row: int) -> Image.Image:
        if self._boxes is None or np.isnan(self._boxes[row]).any():
            return image
        x0, y0, x1, y1 = self._boxes[row]
        left, top = max(0, round(x0)), max(0, round(y0))
        right, bottom = min(image.width, round(x1)), min(image.height, round(y1))
        if left >= right or top >= bottom:
            raise UserError(
                f"{self._names[row]}: its box {x0:g} {y0:g} {x1:g} {y1:g} holds no pixel of "
                f"{image.width} x {image.height}"
            )
        return image.crop((left, top, right, bottom))

    def _jpeg(self, row: int) -> io.BytesIO:
        if self._packed is None:
            file = self._folder / "pixels.arrow"
            try:
                self._packed = feather.read_table(file, memory_map=True)["jpeg"]
            except (OSError, pa.ArrowInvalid):
                raise UserError(f"{file}: missing or damaged; delete it and run again") from None
        return io.BytesIO(self._packed[row].as_py())

    def __getstate__(self) -> dict[str, object]:
        # A memory map does not travel to the worker processes of a data loader: each opens its own.
        return self.__dict__ | {"_packed": None}
