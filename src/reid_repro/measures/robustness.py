"""What changed query images cost in average precision (SSR-Net, abstract).

The paper names no transformation and shows no experiment. Three small ones are fixed here; the
gallery stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageEnhance

from reid_repro.datasets.images import Images, ImageStore
from reid_repro.errors import UserError
from reid_repro.measures.forward import network
from reid_repro.measures.source import SEED, Measure, Rows, Source
from reid_repro.phases.inputs import FloatArray, Inputs
from reid_repro.training.features import extract

Pixels = npt.NDArray[np.uint8]
DEGREES, KEPT, LIGHT = 10.0, 0.85, 0.6
ASKED = 96  # queries: each passes each network once a change
KEYS = {"ssrnet/ssrnet": "ssr", "ssrnet/global": "gb"}
GROUND = (124, 116, 104)  # ImageNet's mean colour, which is 0 for the networks


def rotated(image: Image.Image) -> Image.Image:
    """Turned about its centre; what comes from outside has the mean colour."""
    return image.rotate(DEGREES, Image.Resampling.BILINEAR, fillcolor=GROUND)


def cropped(image: Image.Image) -> Image.Image:
    """Its middle, enlarged to the whole."""
    left, top = (round(side * (1 - KEPT) / 2) for side in image.size)
    box = left, top, image.width - left, image.height - top
    return image.resize(image.size, Image.Resampling.BILINEAR, box)


def darkened(image: Image.Image) -> Image.Image:
    """With less light."""
    return ImageEnhance.Brightness(image).enhance(LIGHT)


CHANGES: Final[dict[str, Callable[[Image.Image], Image.Image]]] = {
    f"turned by {DEGREES:g}°": rotated,
    f"cropped to {KEPT:.0%}": cropped,
    f"darkened to {LIGHT:.0%}": darkened,
}


class Changed(ImageStore):
    """The images of a store, each changed."""

    def __init__(self, store: Images, change: Callable[[Image.Image], Image.Image]) -> None:
        self._store, self._change = store, change

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, row: int) -> np.ndarray:
        return np.asarray(self._change(Image.fromarray(self._store[row])))


def drops(source: Source, name: str) -> tuple[Rows, npt.NDArray[np.float64]]:
    """The measured queries with a match, and the mean loss of AP by the changes of each."""
    inputs = Inputs.read(str(source.run(name)), source.subset, source.results)
    found = network(source, name)
    first = inputs.trials[0]
    rows = first.rows_of_query
    order = np.random.default_rng(SEED).permutation(source.queries)[:ASKED]
    chosen = np.flatnonzero(rows["image"].isin(order).to_numpy())
    asked = rows.iloc[chosen]

    def precision(query: FloatArray) -> pd.Series:
        judged = first.judgements
        if judged is not None:
            raise UserError(f"{source.dataset}: changed queries cannot be scored by judgements")
        trial = replace(first, query=query, rows_of_query=asked)
        evaluation = inputs.evaluate(trial, None)
        return pd.Series(evaluation.ap, asked["image"].to_numpy(np.int64)[evaluation.query])

    plain = precision(first.query[chosen])
    lost = []
    for change in CHANGES.values():
        features = extract(
            found.module,
            Changed(source.store, change),
            asked["image"].to_numpy(),
            found.settings.training,
            source.plan.config.features,
            description=f"{name} changed",
        )
        lost.append((plain - precision(features)).to_numpy())
    return plain.index.to_numpy(np.int64), np.mean(lost, axis=0)


def of_ssrnet(source: Source) -> Iterator[Measure]:
    """The loss of SSR-Net and of its global branch alone, in percent points."""
    what = f"AP lost, in percent points, mean over queries {', '.join(CHANGES)}"
    for name, key in KEYS.items():
        queries, values = drops(source, name)
        yield source.of("robust", (key, "mAP_drop"), queries, 100 * values, what)
