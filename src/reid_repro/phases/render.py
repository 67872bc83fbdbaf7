"""`reid-repro render`: a rendered set in a public folder layout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

from reid_repro.errors import UserError
from reid_repro.progress import add_task, progress
from reid_repro.rendering.export import export
from reid_repro.rendering.scene import Kind

SIZES = {"vehicle": (256, 256), "pedestrian": (256, 128)}
# Each layout with the kind that its own dataset shows.
LAYOUTS = {"market1501": "pedestrian", "veri776": "vehicle"}


def run(
    kind: str,
    out: Path,
    *,
    ids: int,
    cameras: int,
    images_per_camera: int,
    layout: str,
    size: tuple[int, int],
    seed: int,
    workers: int,
) -> str:
    """Write the set to `out` and say what was written.

    An empty kind means the layout's own, a size of 0 the kind's.
    """
    if layout not in LAYOUTS:
        raise UserError(f"layout '{layout}': expected {' or '.join(LAYOUTS)}")
    kind = kind or LAYOUTS[layout]
    if kind not in SIZES:
        raise UserError(f"kind '{kind}': expected {' or '.join(SIZES)}")
    height, width = (given or usual for given, usual in zip(size, SIZES[kind], strict=True))
    with progress() as display:
        task = add_task(display, f"{kind}s", ids * cameras * images_per_camera)
        try:
            summary = export(
                cast(Kind, kind),
                out,
                ids=ids,
                cameras=cameras,
                images_per_camera=images_per_camera,
                layout=cast(Literal["market1501", "veri776"], layout),
                size=(height, width),
                seed=seed,
                workers=workers,
                progress=lambda count: display.advance(task, count),
            )
        except ValueError as error:
            raise UserError(str(error)) from None
    return f"{out}: {summary}"
