"""The embedded datasets: drawn by `reid_repro.rendering`, pixels packed into one file.

The first `train_identities` train, the next `test_identities` are tested: no identity is in
both. Of each test identity the first photograph of every camera is a query, the others are
gallery.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
from PIL import Image

from reid_repro.config import RenderedDataset
from reid_repro.datasets.base import Dataset, images_frame, splits_of
from reid_repro.errors import UserError
from reid_repro.files import whole
from reid_repro.rendering.pedestrians import PedestrianRenderer
from reid_repro.rendering.scene import Rendered
from reid_repro.rendering.vehicles import VehicleRenderer

JPEG_QUALITY = 95


@dataclass(frozen=True)
class _Photograph:
    """What is to be drawn: identity counts from 0 here, from 1 in the tables."""

    identity: int
    camera: int
    index: int
    role: str

    @property
    def path(self) -> str:
        return f"{self.identity + 1:04d}_c{self.camera + 1}_{self.index:02d}.jpg"


def load(
    name: str,
    config: RenderedDataset,
    folder: Path,
    *,
    workers: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> Dataset:
    """Draw the set and write `pixels.arrow` and `annotations.parquet` into `folder`.

    `advance` is told of every image that is done. The bytes do not depend on `workers`.
    """
    _check_groups(name, config)
    photographs = list(_photographs(config))
    jpegs: list[bytes] = []
    drawn: list[Rendered] = []
    for jpeg, rendered in _draw_all(config, photographs, workers):
        jpegs.append(jpeg)
        drawn.append(rendered)
        advance(1)
    _write_pixels(folder / "pixels.arrow", jpegs)
    with whole(folder / "annotations.parquet") as beside:
        _annotations(drawn).to_parquet(beside, index=False, compression="zstd")
    images = images_frame(
        [photograph.path for photograph in photographs],
        [photograph.identity + 1 for photograph in photographs],
        [photograph.camera for photograph in photographs],
        [(config.width, config.height)] * len(photographs),
        **_columns([rendered.attributes for rendered in drawn]),
    )
    return Dataset(
        name=name,
        config=config,
        images=images,
        splits=splits_of([photograph.role for photograph in photographs]),
        content_hash=_hash(jpegs),
    )


def _check_groups(name: str, config: RenderedDataset) -> None:
    if config.train_identities % config.group_size or config.test_identities % config.group_size:
        raise UserError(
            f"dataset '{name}': train_identities and test_identities must be multiples of "
            f"group_size {config.group_size}, so that no group of look-alikes is torn apart"
        )


def _photographs(config: RenderedDataset) -> Iterator[_Photograph]:
    tested = range(config.train_identities, config.train_identities + config.test_identities)
    for identity in range(config.train_identities):
        for camera in range(config.cameras):
            for index in range(config.train_images_per_camera):
                yield _Photograph(identity, camera, index, "train")
    for role in ("query", "gallery"):
        for identity in tested:
            for camera in range(config.cameras):
                for index in range(config.test_images_per_camera):
                    if (index == 0) == (role == "query"):
                        yield _Photograph(identity, camera, index, role)


def _draw_all(
    config: RenderedDataset, photographs: list[_Photograph], workers: int
) -> Iterator[tuple[bytes, Rendered]]:
    tasks = [(config, photograph) for photograph in photographs]
    if workers <= 1:
        yield from map(_draw, tasks)
        return
    # Forking a process that has threads (a progress display, torch) can hang the child.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_draw, tasks, chunksize=32)


def _draw(task: tuple[RenderedDataset, _Photograph]) -> tuple[bytes, Rendered]:
    config, photograph = task
    renderer = _renderer(config.subject, config.seed, config.cameras, config.group_size)
    size = (config.height, config.width)
    rendered = renderer.render(photograph.identity, photograph.camera, photograph.index, size)
    buffer = io.BytesIO()
    Image.fromarray(rendered.image).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    attributes = renderer.attributes(photograph.identity)
    pixels = np.empty((0, 0, 3), dtype=np.uint8)  # the file has them; no need to send them twice
    return buffer.getvalue(), Rendered(pixels, rendered.parts, rendered.joints, attributes)


@lru_cache(maxsize=4)
def _renderer(
    subject: str, seed: int, cameras: int, group_size: int
) -> VehicleRenderer | PedestrianRenderer:
    kind = VehicleRenderer if subject == "vehicle" else PedestrianRenderer
    return kind(seed=seed, cameras=cameras, group_size=group_size)


def _annotations(drawn: list[Rendered]) -> pd.DataFrame:
    """Part boxes of vehicles (label, corners, visibility) or joints of pedestrians, by image.

    One table for all images: one for each takes a quarter of the time of drawing.
    """
    if drawn[0].joints is None:
        parts = [
            (row, part.label, part.x0, part.y0, part.x1, part.y1, part.visibility)
            for row, rendered in enumerate(drawn)
            for part in rendered.parts
        ]
        columns = ["image", "label", "x0", "y0", "x1", "y1", "visibility"]
        return pd.DataFrame(parts, columns=columns).astype({"image": "int32"})
    joints = [rendered.joints for rendered in drawn if rendered.joints is not None]
    places = np.concatenate(joints)
    return pd.DataFrame(
        {
            "image": np.repeat(np.arange(len(joints), dtype=np.int32), [len(of) for of in joints]),
            "joint": np.concatenate([np.arange(len(of), dtype=np.int8) for of in joints]),
            "x": places[:, 0],
            "y": places[:, 1],
            "visible": places[:, 2] > 0,
        }
    )


def _columns(attributes: list[dict[str, str]]) -> dict[str, Any]:
    names = sorted({name for row in attributes for name in row})
    return {name: [row.get(name, "") for row in attributes] for name in names}


def _write_pixels(path: Path, jpegs: list[bytes]) -> None:
    """Feather without compression: readers map it and touch only the images they want."""
    table = pa.table({"jpeg": pa.array(jpegs, type=pa.large_binary())})
    with whole(path) as beside:
        feather.write_feather(table, beside, compression="uncompressed")


def _hash(jpegs: list[bytes]) -> str:
    total = hashlib.sha256()
    for jpeg in jpegs:
        total.update(hashlib.sha256(jpeg).digest())
    return total.hexdigest()
