"""Part boxes of a whole dataset, batch by batch, each kept as soon as it is found.

A killed detection goes on with the first batch that is not there. The batches lie in a folder whose
name holds a hash of everything that decides them: weights, settings, the dataset's content, code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
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
from reid_repro.files import whole
from reid_repro.parts.network import PartsNetwork
from reid_repro.parts.selection import Selected, select
from reid_repro.parts.weights import digest
from reid_repro.progress import add_task, progress
from reid_repro.training.batches import prefetched
from reid_repro.training.pixels import Pixels, decoding_threads

CODE = ("network.py", "selection.py", "detection.py", "targets.py")
DTYPES: dict[str, torch.dtype] = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
# Columns of a stored batch, (images, boxes, 6).
SCORE, LABEL, CORNERS = 0, 1, slice(2, 6)

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
    with fewer boxes is filled up (see `selection.py`). `folder` keeps finished batches, for which
    `content` (the dataset's hash) stands in the key; the caller clears it once the answer is safe.
    `precision` is the device's best unless given. Raises UserError for an unreadable image, or
    weights whose answer is no finite number.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = precision or best_precision()
    kept = folder / key_of(network, settings, content, precision)
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    batches = np.split(
        np.arange(len(store)), range(settings.batch_size, len(store), settings.batch_size)
    )
    found = [_stored(kept / f"{number:06d}.npy") for number in range(len(batches))]
    missing = [number for number, answer in enumerate(found) if answer is None]
    pixels = _decoded(store, network.size, [batches[number] for number in missing], device)
    with progress() as display:
        task = add_task(display, name, len(batches))
        display.update(task, completed=len(batches) - len(missing))
        for number, images in zip(missing, pixels, strict=True):
            answer = detect_batch(
                network, images.to(device, non_blocking=True), settings, precision
            )
            if not np.isfinite(answer).all():
                raise UserError(f"{name}: a box is not finite; the weights are damaged")
            with whole(kept / f"{number:06d}.npy") as beside:
                np.save(beside, answer)
            found[number] = answer
            display.advance(task)
    return frame_of(np.concatenate([each for each in found if each is not None]), network.classes)


@torch.inference_mode()
def detect_batch(
    network: PartsNetwork, images: torch.Tensor, settings: PartsDetection, precision: Precision
) -> FloatArray:
    """(n, boxes, 6) of score, label number and corners, for (n, size, size, 3) uint8 images."""
    dtype = DTYPES.get(precision)
    with torch.autocast(images.device.type, dtype, enabled=dtype is not None):
        heads = network(images)
    chosen = select(network, heads, boxes=settings.boxes, overlap=settings.overlap)
    return _packed(chosen)


def key_of(
    network: PartsNetwork, settings: PartsDetection, content: str, precision: Precision
) -> str:
    """The name of what this detection finds: another one has another name."""
    facts = [digest(network), settings.model_dump(mode="json"), content, precision]
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for file in CODE:
        key.update(Path(__file__).with_name(file).read_bytes())
    return key.hexdigest()[:16]


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


def _stored(file: Path) -> FloatArray | None:
    """A batch that was found before; a damaged one counts as not found."""
    try:
        answer: FloatArray = np.load(file)
    except (OSError, ValueError, EOFError):
        return None
    return answer


def _decoded(
    store: ImageStore, size: int, batches: list[npt.NDArray[np.int64]], device: torch.device
) -> Iterator[torch.Tensor]:
    """The images of each batch, decoded ahead of the network."""
    rows = np.arange(len(store))
    pixels = Pixels(store, rows, size=(size, size), threads=decoding_threads(0), keep=False)

    def make() -> Iterator[torch.Tensor]:
        for batch in batches:
            images = torch.from_numpy(np.stack(pixels.images(batch)))
            yield images.pin_memory() if device.type == "cuda" else images

    return prefetched(make())
