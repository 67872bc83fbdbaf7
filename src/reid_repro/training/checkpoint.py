"""Checkpoints that survive a kill and never resume a different training.

A checkpoint lies beside the pipeline's outputs, not among them, so that the workflow engine
leaves it alone when a job dies. Its name holds a hash of everything that decides the training;
with another configuration, other data or other code it is not found.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from reid_repro.files import whole

PACKAGE = Path(__file__).resolve().parent.parent
# The code that decides the weights of every training (rules/common.smk names the same).
CODE = (
    "models/__init__.py",
    "models/outputs.py",
    "models/layers/*.py",
    "training/*.py",
    "datasets/images.py",
    "datasets/places.py",
    "devices.py",
)


class Checkpoints:
    """The checkpoint of one training in a folder of its own.

    `code` are patterns of the files of the package that decide the weights, beside `CODE`.
    """

    def __init__(self, folder: Path, *, code: Iterable[str], settings: Mapping[str, Any]) -> None:
        key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for file in _files((*CODE, *code)):
            key.update(file.read_bytes())
        self.folder = folder
        self.file = folder / f"{key.hexdigest()[:16]}.pt"

    def save(self, state: dict[str, Any]) -> None:
        """Write `state` whole, replacing the epoch before."""
        with whole(self.file) as beside:
            torch.save(state, beside)

    def load(self) -> dict[str, Any] | None:
        """What was saved last, on the CPU; None where there is nothing of this very training.

        An unreadable file is named in a warning and set aside: losing an epoch's work is
        better than a run that cannot start.
        """
        if not self.file.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.file, map_location="cpu", weights_only=False)
        except Exception as error:  # torch.load raises many types for a damaged file
            aside = self.file.with_suffix(".damaged")
            self.file.replace(aside)
            print(
                f"warning: checkpoint {aside} cannot be read ({error}); starting over",
                file=sys.stderr,
            )
            return None
        return state


def clear(folder: Path) -> None:
    """Forget a run's checkpoint, and whatever earlier settings of it have left."""
    shutil.rmtree(folder, ignore_errors=True)


def _files(patterns: Iterable[str]) -> Iterable[Path]:
    return sorted({file for pattern in patterns for file in PACKAGE.glob(pattern)})
