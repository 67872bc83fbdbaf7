"""Part boxes of a whole dataset, batch by batch, each kept as soon as it is found.

Of a batch one half is in the network while the boxes of the half before are selected and kept, so
that a killed detection loses one batch at most.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from reid_repro.datasets.images import ImageStore
from reid_repro.datasets.places import BOX
from reid_repro.datasets.places import FILLED as FILLED_LABEL
from reid_repro.detectors import PartsDetection
from reid_repro.devices import Precision, best_precision
from reid_repro.errors import UserError
from reid_repro.finished import FinishedBatches
from reid_repro.parts.network import Heads, PartsNetwork
from reid_repro.parts.selection import Selected, select
from reid_repro.parts.weights import digest
from reid_repro.progress import add_task, progress
from reid_repro.training.pixels import Pixels, spare_threads

# The code that decides what is detected, for the key of `FinishedBatches`.
CODE = tuple(f"parts/{name}.py" for name in ("network", "selection", "detection", "targets"))
DTYPES: dict[str, torch.dtype] = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
# Columns of a stored batch, (images, boxes, 6).
SCORE, LABEL, CORNERS = 0, 1, slice(2, 6)
COLUMNS = 6
AHEAD = 2  # halves of batches that are decoded beforehand

FloatArray = npt.NDArray[np.float32]


def detect(
    network: PartsNetwork,
    store: ImageStore,
    settings: PartsDetection,
    *,
    folder: Path,
    content: str,
    precision: Precision | None = None,
    name: str = "parts",
) -> pd.DataFrame:
    """`settings.boxes` boxes of every image of `store`, the most confident first.

    Columns: image int32, rank int16, label, score float32, x0, y0, x1, y1 float32 in 0..1; an image
    with fewer boxes is filled up (see `selection.py`). `folder` keeps what is found, for which
    `content` (the dataset's hash) stands in the key; the caller clears it once the answer is safe.
    `precision` is the device's best unless given. Raises UserError for an unreadable image, or
    weights whose answer is no finite number.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = precision or best_precision()
    finished = finished_of(folder, network, settings, content, precision)
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    step = max(1, settings.batch_size // 2)
    pieces = np.split(np.arange(len(store)), range(step, len(store), step))
    found = {
        int(piece[0]): finished.load(int(piece[0]), (len(piece), settings.boxes, COLUMNS))
        for piece in pieces
        if len(piece)
    }
    missing = [piece for piece in pieces if len(piece) and found[int(piece[0])] is None]
    size = network.size, network.size
    rows = np.arange(len(store))
    pixels = Pixels(store, rows, size=size, threads=spare_threads(), keep=False)

    def decoded(piece: npt.NDArray[np.int64]) -> torch.Tensor:
        images = torch.from_numpy(np.stack(pixels.images(piece)))
        return images.pin_memory() if device.type == "cuda" else images

    def finish(start: int, heads: Heads) -> FloatArray:
        answer = selected(network, heads, settings)
        if not np.isfinite(answer).all():
            raise UserError(f"{name}: a box is not finite; the weights are damaged")
        finished.save(start, answer)
        return answer

    # One thread beside the network, on a team of one: more would be in its way.
    with ThreadPoolExecutor(1, "boxes", torch.set_num_threads, (1,)) as beside, progress() as shown:
        task = add_task(shown, name, len(store))
        shown.update(task, completed=len(store) - sum(map(len, missing)))
        coming = deque(beside.submit(decoded, piece) for piece in missing[:AHEAD])
        waiting: tuple[int, Future[FloatArray]] | None = None
        for number, piece in enumerate(missing):
            images = coming.popleft().result()
            heads = read(network, images.to(device, non_blocking=True), precision)
            if waiting is not None:
                found[waiting[0]] = waiting[1].result()
            waiting = int(piece[0]), beside.submit(finish, int(piece[0]), heads)
            if number + AHEAD < len(missing):
                coming.append(beside.submit(decoded, missing[number + AHEAD]))
            shown.advance(task, len(piece))
        if waiting is not None:
            found[waiting[0]] = waiting[1].result()
    return frame_of(
        np.concatenate([each for each in found.values() if each is not None]), network.classes
    )


@torch.inference_mode()
def read(network: PartsNetwork, images: torch.Tensor, precision: Precision) -> Heads:
    """The network's answer for (n, size, size, 3) uint8 images."""
    dtype = DTYPES.get(precision)
    with torch.autocast(images.device.type, dtype, enabled=dtype is not None):
        heads: Heads = network(images)
    return heads


@torch.inference_mode()
def selected(network: PartsNetwork, heads: Heads, settings: PartsDetection) -> FloatArray:
    """(n, boxes, 6) of score, label number and corners."""
    return _packed(select(network, heads, boxes=settings.boxes, overlap=settings.overlap))


def finished_of(
    folder: Path,
    network: PartsNetwork,
    settings: PartsDetection,
    content: str,
    precision: Precision,
) -> FinishedBatches:
    """What this very detection has found before, below `folder`."""
    facts = {
        "weights": digest(network),
        "detection": settings.model_dump(mode="json"),
        "content": content,
        "precision": precision,
    }
    return FinishedBatches(folder, code=CODE, settings=facts)


def frame_of(answer: FloatArray, classes: tuple[str, ...]) -> pd.DataFrame:
    """The table of parts.parquet from (n, boxes, 6) answers."""
    images, boxes, _ = answer.shape
    rows = answer.reshape(-1, answer.shape[2])
    # The last name is taken by the number -1.
    names = np.array([*classes, FILLED_LABEL], dtype=object)
    columns = {
        "image": np.repeat(np.arange(images, dtype=np.int32), boxes),
        "rank": np.tile(np.arange(boxes, dtype=np.int16), images),
        "label": names[rows[:, LABEL].astype(np.int64)],
        "score": rows[:, SCORE],
    }
    corners = rows[:, CORNERS].T
    return pd.DataFrame(columns | dict(zip(BOX, corners, strict=True)))


def _packed(chosen: Selected) -> FloatArray:
    columns = [chosen.scores[..., None], chosen.labels[..., None].float(), chosen.boxes.float()]
    answer: FloatArray = torch.cat(columns, dim=-1).cpu().numpy()
    return answer
