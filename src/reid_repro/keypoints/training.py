"""Training of the pose network from images with known joints.

Batch number i is a function of i and the seed: which images, which are mirrored, how large the
network sees them, how their colours are changed. Pixels travel as bytes; what is computed from
them is computed on the device.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from reid_repro.datasets.images import Images
from reid_repro.detectors import KeypointsDetector
from reid_repro.keypoints.joints import MIRRORED, as_arrays
from reid_repro.keypoints.network import PoseMaps, PoseNetwork, build, scaled, shown
from reid_repro.keypoints.targets import losses, targets
from reid_repro.training.checkpoint import Checkpoints
from reid_repro.training.fitting import Fitted, fit, seed_of
from reid_repro.training.pixels import Pixels, decoding_threads

KEYS = "detectors.keypoints.training"
# The code that decides the weights, for `Checkpoints`.
CODE = (
    *(f"keypoints/{name}.py" for name in ("joints", "network", "slim", "targets", "training")),
    "detectors.py",
)
COLOUR = 0.2  # brightness, contrast and saturation change by up to this share


class Batch(NamedTuple):
    """Images at the settings' size, and what is to be done to them.

    `pixels` (n, height, width, 3) uint8; `joints` (n, 14, 2) in shares of the image and `present`
    (n, 14), both mirrored already where `flip` (n,) says that the pixels are to be; `colour`
    (n, 3), factors of brightness, contrast and saturation; `size` (height, width), how large the
    network sees them.
    """

    pixels: Tensor
    joints: Tensor
    present: Tensor
    flip: Tensor
    colour: Tensor
    size: tuple[int, int]


class Batches:
    """The batches of a training, by number.

    `joints` as `joints.as_arrays` takes it; its images are rows of `store`.
    """

    def __init__(self, settings: KeypointsDetector, store: Images, joints: pd.DataFrame) -> None:
        rows, self._joints, self._present = as_arrays(joints)
        self._settings, self._images = settings, len(rows)
        size = settings.height, settings.image_width
        self._pixels = Pixels(store, rows, size=size, threads=decoding_threads(0))

    def __call__(self, number: int) -> Batch:
        """Batch `number`, from 0."""
        training = self._settings.training
        chosen = self._chosen(number)
        rng = np.random.default_rng((training.seed, number))
        flip = rng.random(len(chosen)) < training.flip
        joints, present = self._joints[chosen], self._present[chosen]
        joints[flip], present[flip] = mirrored(joints[flip], present[flip])
        colour = rng.uniform(1 - COLOUR, 1 + COLOUR, (len(chosen), 3)).astype(np.float32)
        return Batch(
            torch.from_numpy(np.stack(self._pixels.images(chosen))),
            torch.from_numpy(joints),
            torch.from_numpy(present),
            torch.from_numpy(flip),
            torch.from_numpy(colour),
            scaled(self._settings, rng.uniform(*self._settings.jitter)),
        )

    def _chosen(self, number: int) -> npt.NDArray[np.int64]:
        """Positions of the batch's images: each once a pass, in an order drawn anew for each."""
        training = self._settings.training
        places = number * training.batch_size + np.arange(training.batch_size)
        passes = places // self._images
        order = {
            turn: np.random.default_rng((training.seed, turn, 1)).permutation(self._images)
            for turn in np.unique(passes)
        }
        return np.array(
            [order[turn][place % self._images] for turn, place in zip(passes, places, strict=True)]
        )


def train(
    name: str,
    settings: KeypointsDetector,
    store: Images,
    joints: pd.DataFrame,
    *,
    keeper: Checkpoints | None = None,
) -> tuple[PoseNetwork, Fitted]:
    """A trained network on the CPU, in evaluation mode, and how its training went.

    `joints` (image, joint, x, y: shares of the image) of rows of `store`. Raises UserError for a
    frame that does not have each joint of each image, an image that cannot be read, and a loss
    that is no finite number.
    """
    torch.manual_seed(seed_of(settings.training.seed, -1 % 2**32))
    network = build(settings)
    batches = Batches(settings, store, joints)

    def loss(runner: nn.Module, batch: Batch, device: torch.device) -> dict[str, Tensor]:
        return loss_of(runner, batch, device, settings)

    fitted = fit(name, network, batches, loss, settings.training, keeper=keeper, keys=KEYS)
    return network.cpu().eval(), fitted


def loss_of(
    runner: nn.Module, batch: Batch, device: torch.device, settings: KeypointsDetector
) -> dict[str, Tensor]:
    """The parts of the loss of one batch.

    The disc's radius is scaled with the image, as DeeperCut does it.
    """
    height, width = size = batch.size
    images = augmented(
        *(part.to(device, non_blocking=True) for part in (batch.pixels, batch.flip, batch.colour)),
        size=size,
    )
    maps: PoseMaps = runner(images)
    wanted = targets(
        (batch.joints * batch.joints.new_tensor((width, height))).to(device),
        batch.present.to(device),
        size,
        radius=settings.radius * height / settings.height,
        locref_scale=settings.locref_scale,
    )
    return losses(maps, wanted, locref_weight=settings.locref_weight)


def augmented(pixels: Tensor, flip: Tensor, colour: Tensor, *, size: tuple[int, int]) -> Tensor:
    """The images as the network sees them, (n, 3, *size) float32 in 0..255; arguments: `Batch`.

    Colours change by one matrix an image: towards or away from grey (saturation), then from the
    image's mean (contrast), all times brightness.
    """
    turned = torch.where(flip[:, None, None, None], pixels.flip(2), pixels)
    images = shown(turned, size).float()
    brightness, contrast, saturation = colour[..., None].unbind(1)  # (n, 1) each
    grey = torch.full((3, 3), 1 / 3, device=images.device)
    matrix = torch.lerp(grey, torch.eye(3, device=images.device), saturation[..., None])
    mean = images.mean(dim=(1, 2, 3))[:, None] * brightness
    shift = (mean * (1 - contrast)).expand(-1, 3)[..., None]
    flat = torch.baddbmm(shift, matrix * (brightness * contrast)[..., None], images.flatten(2))
    return flat.view_as(images).clamp_(0, 255)


def mirrored(
    joints: npt.NDArray[np.float32], present: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Joints (n, 14, 2) of mirrored images: the left ones are the right ones then."""
    order = list(MIRRORED)
    turned = joints[:, order].copy()
    turned[..., 0] = 1 - turned[..., 0]
    return turned, present[:, order]
