"""What of a detection is done already, batch by batch, on disk.

Each batch is a small file that appears whole, in a folder whose name is a hash of everything that
decides the answers: with other weights, settings, images or code nothing is found there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from reid_repro.files import whole

PACKAGE = Path(__file__).resolve().parent


class FinishedBatches:
    """The finished batches of one detection.

    `settings` is all that decides the answers: the digest of the weights, the settings of network
    and detection, the content hash of the dataset. `code` are patterns of the package's files that
    decide them too.
    """

    def __init__(self, folder: Path, *, code: Iterable[str], settings: Mapping[str, Any]) -> None:
        key = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
        for file in sorted({file for pattern in code for file in PACKAGE.glob(pattern)}):
            key.update(file.read_bytes())
        self._all = folder
        self.folder = folder / key.hexdigest()[:16]

    def save(self, start: int, found: npt.NDArray[np.float32]) -> None:
        """Keep the answers of the images from row `start` on, (n, ...)."""
        with whole(self._file(start)) as beside, beside.open("wb") as file:
            np.save(file, found)

    def load(self, start: int, shape: tuple[int, ...]) -> npt.NDArray[np.float32] | None:
        """The answers from row `start` on; None unless they are there and of this shape.

        A file that cannot be read is as good as none: the batch is computed again.
        """
        try:
            found: npt.NDArray[np.float32] = np.load(self._file(start), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return found if found.shape == shape and found.dtype == np.float32 else None

    def clear(self) -> None:
        """Forget this detection, and whatever earlier ones have left in the folder."""
        shutil.rmtree(self._all, ignore_errors=True)

    def _file(self, start: int) -> Path:
        return self.folder / f"{start:08d}.npy"
