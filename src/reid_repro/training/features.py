"""Descriptors of the test images: L2-normalised, queries first, then the gallery."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from reid_repro.config import FeatureConfig, TrainingConfig
from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.progress import add_task, progress
from reid_repro.training.augment import FloatArray, mirrored_places
from reid_repro.training.batches import Batches
from reid_repro.training.pixels import Pixels, decoding_threads


def rows_of(images: pd.DataFrame, splits: pd.DataFrame, subset: str) -> pd.DataFrame:
    """The images of a subset in the order of its features: image, identity, camera, role.

    Each stands there once, however many trials it is drawn for; the queries of the first trial come
    first. `role` is that in the first trial that has the image.
    """
    chosen = splits[splits["subset"] == subset]
    if chosen.empty:
        known = ", ".join(sorted(set(splits["subset"]) - {"train"}))
        raise UserError(f"unknown subset '{subset}'; known: {known}")
    ordered = pd.concat(
        [
            part[part["role"] == role]
            for _, part in chosen.groupby("trial")
            for role in ("query", "gallery")
        ]
    ).drop_duplicates("image")
    facts = images.iloc[ordered["image"].to_numpy()]
    return pd.DataFrame(
        {
            "image": ordered["image"].to_numpy(np.int32),
            "identity": facts["identity"].to_numpy(np.int32),
            "camera": facts["camera"].to_numpy(np.int16),
            "role": ordered["role"].to_numpy(),
        }
    )


@torch.inference_mode()
def extract(
    model: nn.Module,
    store: ImageStore,
    rows: np.ndarray,
    training: TrainingConfig,
    config: FeatureConfig,
    *,
    places: FloatArray | None = None,
    description: str = "features",
) -> np.ndarray:
    """(n, d) float32 descriptors of the images `rows`, in that order, each of length 1.

    `places` are the part boxes or keypoints of every image of the store, where the network needs
    them; with `config.flip` they are mirrored with the image. In float32 whatever the training's
    precision, so that rankings do not hang on rounding. Raises UserError if a descriptor is not
    finite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.allow_tf32 = False  # the default rounds convolutions to 10 bits
    model = model.to(device).to(memory_format=torch.channels_last).eval()
    size = (training.height, training.width)
    threads = decoding_threads(training.workers)
    pixels = Pixels(store, rows, size=size, threads=threads, keep=False)
    own = None if places is None else places[rows]
    batches = Batches(pixels, device=device, places=own)
    order = np.split(np.arange(len(rows)), range(config.batch_size, len(rows), config.batch_size))
    found = []
    with progress() as display:
        task = add_task(display, description, len(order))
        for batch in batches.test(order):
            descriptor = _descriptor(model, batch.images, batch.places)
            if config.flip:
                mirrored = None
                if batch.places is not None:
                    flipped = mirrored_places(batch.places.cpu().numpy())
                    mirrored = torch.from_numpy(flipped).to(device)
                descriptor = descriptor + _descriptor(model, batch.images.flip(3), mirrored)
            found.append(functional.normalize(descriptor.float()).cpu().numpy())
            display.advance(task)
    features = np.concatenate(found)
    if not np.isfinite(features).all():
        raise UserError(f"{description}: a descriptor is not finite; the weights are damaged")
    return features


def _descriptor(model: nn.Module, images: Tensor, places: Tensor | None) -> Tensor:
    descriptor: Tensor = model(images) if places is None else model(images, places)
    return descriptor
