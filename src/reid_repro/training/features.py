"""Descriptors of the test images: L2-normalised, queries first, then the gallery."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from reid_repro.config import FeatureConfig, TrainingConfig
from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.progress import add_task, progress
from reid_repro.training.data import ImageTensors, test_transform


def rows_of(images: pd.DataFrame, splits: pd.DataFrame, subset: str) -> pd.DataFrame:
    """The rows of a subset in the order of its features: image, identity, camera, role."""
    chosen = splits[(splits["subset"] == subset) & (splits["trial"] == splits["trial"].min())]
    if chosen.empty:
        known = ", ".join(sorted(set(splits["subset"]) - {"train"}))
        raise UserError(f"unknown subset '{subset}'; known: {known}")
    ordered = pd.concat([chosen[chosen["role"] == role] for role in ("query", "gallery")])
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
    description: str = "features",
) -> np.ndarray:
    """(n, d) float32 descriptors of the images `rows`, in that order, each of length 1.

    In float32 whatever the training's precision, so that rankings do not hang on rounding.
    Raises UserError if a descriptor is not finite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.allow_tf32 = False  # the default rounds convolutions to 10 bits
    model = model.to(device).to(memory_format=torch.channels_last).eval()
    images = ImageTensors(
        store, rows, rows, size=(training.height, training.width), transform=test_transform()
    )
    loader = DataLoader(images, batch_size=config.batch_size, num_workers=training.workers)
    found = []
    batches = iter(loader)  # workers start before the display's thread does: forking it is unsafe
    with progress() as display:
        task = add_task(display, description, len(loader))
        for batch, _ in batches:
            batch = batch.to(device, memory_format=torch.channels_last)
            descriptor = model(batch)
            if config.flip:
                descriptor = descriptor + model(batch.flip(3))
            found.append(functional.normalize(descriptor.float()).cpu().numpy())
            display.advance(task)
    features = np.concatenate(found)
    if not np.isfinite(features).all():
        raise UserError(f"{description}: a descriptor is not finite; the weights are damaged")
    return features
