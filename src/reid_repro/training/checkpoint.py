"""Checkpoints that survive a kill and never resume a different training.

A checkpoint lies beside the pipeline's outputs, not among them, so that the workflow engine
leaves it alone when a job dies. Its name holds a hash of everything that decides the training;
with another configuration, other data or other code it is not found.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from reid_repro.files import whole

PACKAGE = Path(__file__).resolve().parent.parent
# The code that decides the weights of a training (rules/common.smk names the same).
CODE = ("models/**/*.py", "training/*.py", "datasets/images.py", "devices.py")


class Checkpoints:
    """The checkpoint of one training, in a folder of its own."""

    def __init__(self, folder: Path, *, settings: Mapping[str, Any]) -> None:
        key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for file in _code():
            key.update(file.read_bytes())
        self.folder = folder
        self.file = folder / f"{key.hexdigest()[:16]}.pt"

    def save(self, fabric: Fabric, state: dict[str, Any]) -> None:
        """Write `state` whole, replacing the epoch before."""
        with whole(self.file) as beside:
            fabric.save(beside, state)

    def load(self, fabric: Fabric, state: dict[str, Any]) -> bool:
        """Fill `state` in place; False where there is no checkpoint of this very training.

        An unreadable file is named in a warning and set aside: losing an epoch's work is
        better than a run that cannot start.
        """
        if not self.file.exists():
            return False
        try:
            # Read once beforehand: a half-readable file must not leave half-loaded state.
            torch.load(self.file, map_location="cpu", weights_only=False)
        except Exception as error:  # torch.load raises many types for a damaged file
            aside = self.file.with_suffix(".damaged")
            self.file.replace(aside)
            fabric.print(f"warning: checkpoint {aside} cannot be read ({error}); starting over")
            return False
        rest = fabric.load(self.file, state)
        state.update(rest)
        return True

    def clear(self) -> None:
        """Forget it, and whatever earlier settings of this run have left."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _code() -> Iterable[Path]:
    return sorted(file for pattern in CODE for file in PACKAGE.glob(pattern))
