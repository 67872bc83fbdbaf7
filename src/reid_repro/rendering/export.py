"""Writes a rendered set into a public folder layout, with its exact annotations beside it.

The set grows in a hidden sibling of its final folder and is renamed when it is complete, so a
folder under the final name is always whole. The bytes depend on the arguments alone, not on the
number of workers.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from reid_repro.rendering.export_annotations import (
    Annotated,
    write_attributes,
    write_joints,
    write_parts,
)
from reid_repro.rendering.export_layouts import (
    LAYOUTS,
    MAX_CAMERAS,
    MAX_IDS,
    Layout,
    Photograph,
    Role,
    make_folders,
    write_veri_lists,
)
from reid_repro.rendering.pedestrians import PedestrianRenderer
from reid_repro.rendering.scene import Kind, PartBox
from reid_repro.rendering.vehicles import VehicleRenderer

JPEG_QUALITY: Final = 95
GROUP_SIZE: Final = 4  # identities that share their colours
# Which attributes stand for VeRi-776's colour and type.
_LOOKS: Final[dict[Kind, tuple[str, str]]] = {
    "vehicle": ("colour", "body"),
    "pedestrian": ("upper", "legwear"),
}
_CHUNK: Final = 16  # photographs that a worker takes at a time


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written. Image counts are photographs: a VeRi-776 query counts once."""

    folder: Path
    train_ids: int
    test_ids: int
    cameras: int
    train_images: int
    query_images: int
    gallery_images: int

    def __str__(self) -> str:
        return (
            f"{self.train_images} training images of {self.train_ids} identities, "
            f"{self.query_images} queries and {self.gallery_images} gallery images of "
            f"{self.test_ids} other identities, {self.cameras} cameras"
        )


@dataclass(frozen=True, slots=True)
class _Task:
    kind: Kind
    seed: int
    cameras: int
    size: tuple[int, int]
    photograph: Photograph


@dataclass(frozen=True, slots=True)
class _Drawn:
    jpeg: bytes
    parts: tuple[PartBox, ...]
    joints: np.ndarray | None


def export(
    kind: Kind,
    out: Path,
    *,
    ids: int,
    cameras: int,
    images_per_camera: int,
    layout: Layout,
    size: tuple[int, int],
    seed: int,
    train_share: float = 0.5,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> ExportSummary:
    """Draw `ids` identities, `images_per_camera` times by each camera, into the folder `out`.

    About `train_share` of the identities train, in whole groups of look-alikes where there are
    enough; the others are tested, with the first photograph of each (identity, camera) as
    query. `size` = (height, width) in pixels. `progress` is called with the number of newly
    finished photographs. `workers` 0 means one a core; more than one starts fresh processes, so
    a script needs the usual `if __name__ == "__main__"`. Raises ValueError for arguments that
    make no set, and for an `out` that already holds something or cannot be made.
    """
    _check(kind, ids, cameras, images_per_camera, layout, size, seed, train_share, workers)
    photographs = _plan(ids, cameras, images_per_camera, train_share)
    tasks = [_Task(kind, seed, cameras, size, photograph) for photograph in photographs]
    with _whole_folder(Path(out)) as root:
        make_folders(layout, root)
        annotated: list[Annotated] = []
        drawings = _draw_all(tasks, workers or os.cpu_count() or 1)
        for photograph, drawn in zip(photographs, drawings, strict=True):
            for path in photograph.paths(layout):
                (root / path).write_bytes(drawn.jpeg)
                annotated.append(Annotated(path, drawn.parts, drawn.joints))
            if progress is not None:
                progress(1)
        (write_parts if kind == "vehicle" else write_joints)(root, annotated, size)
        renderer = _renderer(kind, seed, cameras)
        words = {identity: renderer.attributes(identity) for identity in range(ids)}
        write_attributes(root, words)
        if layout == "veri776":
            colour, form = _LOOKS[kind]
            looks = {identity: (w[colour], w[form]) for identity, w in words.items()}
            write_veri_lists(root, photographs, looks)
    return _summary(Path(out), photographs, cameras)


def _check(
    kind: Kind,
    ids: int,
    cameras: int,
    images_per_camera: int,
    layout: Layout,
    size: tuple[int, int],
    seed: int,
    train_share: float,
    workers: int,
) -> None:
    if kind not in _LOOKS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(_LOOKS)}")
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; it must be one of {', '.join(LAYOUTS)}")
    if not 2 <= ids <= MAX_IDS:
        raise ValueError(f"ids is {ids}; it must be 2 (one to train, one to test) to {MAX_IDS}")
    if not 2 <= cameras <= MAX_CAMERAS[layout]:
        raise ValueError(
            f"cameras is {cameras}; a query needs a match by another camera, and the layout "
            f"{layout} can name {MAX_CAMERAS[layout]}: choose 2 to {MAX_CAMERAS[layout]}"
        )
    if images_per_camera < 2:
        raise ValueError(
            f"images_per_camera is {images_per_camera}; it must be at least 2, a query and a "
            "gallery image"
        )
    if min(size) < 32:
        raise ValueError(f"size is {tuple(size)}; height and width must be at least 32 pixels")
    if seed < 0:
        raise ValueError(f"seed is {seed}; it must not be negative")
    if not 0 < train_share < 1:
        raise ValueError(f"train_share is {train_share}; it must lie between 0 and 1")
    if workers < 0:
        raise ValueError(f"workers is {workers}; give how many, or 0 for one a core")


def _plan(ids: int, cameras: int, images_per_camera: int, train_share: float) -> list[Photograph]:
    """Every photograph of the set, in the order of (identity, camera, index)."""
    trained = round(ids * train_share / GROUP_SIZE) * GROUP_SIZE
    if not 0 < trained < ids:  # too few identities for whole groups on both sides
        trained = min(max(1, round(ids * train_share)), ids - 1)

    def role(identity: int, index: int) -> Role:
        if identity < trained:
            return "train"
        return "query" if index == 0 else "gallery"

    return [
        Photograph(identity, camera, index, role(identity, index))
        for identity in range(ids)
        for camera in range(cameras)
        for index in range(images_per_camera)
    ]


def _summary(folder: Path, photographs: list[Photograph], cameras: int) -> ExportSummary:
    roles = [photograph.role for photograph in photographs]
    return ExportSummary(
        folder=folder,
        train_ids=len({p.identity for p in photographs if p.role == "train"}),
        test_ids=len({p.identity for p in photographs if p.role != "train"}),
        cameras=cameras,
        train_images=roles.count("train"),
        query_images=roles.count("query"),
        gallery_images=roles.count("gallery"),
    )


def _draw_all(tasks: list[_Task], workers: int) -> Iterator[_Drawn]:
    """Draw in order; several workers change the time it takes, not the result."""
    if workers == 1:
        yield from map(_draw, tasks)
        return
    # Fresh processes: forking would copy locks that a progress display's thread may hold.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            yield from pool.map(_draw, tasks, chunksize=_CHUNK)
        finally:
            pool.shutdown(cancel_futures=True)


def _draw(task: _Task) -> _Drawn:
    p = task.photograph
    rendered = _renderer(task.kind, task.seed, task.cameras).render(
        p.identity, p.camera, p.index, task.size
    )
    buffer = io.BytesIO()
    Image.fromarray(rendered.image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return _Drawn(buffer.getvalue(), rendered.parts, rendered.joints)


@lru_cache(maxsize=2)
def _renderer(kind: Kind, seed: int, cameras: int) -> VehicleRenderer | PedestrianRenderer:
    maker = VehicleRenderer if kind == "vehicle" else PedestrianRenderer
    return maker(seed=seed, cameras=cameras, group_size=GROUP_SIZE)


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """A hidden sibling of `out` to fill, which becomes `out` when all went well."""
    if out.name in ("", ".."):  # a rename cannot put anything in their place
        raise ValueError(f"{out} cannot be replaced by a set: name a new folder")
    beside = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ValueError(f"{out} already exists and is not an empty folder: name another one")
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
    except OSError as error:
        raise ValueError(
            f"{out.parent} cannot hold a new folder ({error.strerror}): name another place"
        ) from None
    try:
        yield beside
        beside.replace(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
