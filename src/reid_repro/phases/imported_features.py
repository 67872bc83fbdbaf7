"""Descriptors that were made elsewhere, in place of a training: `datasets.NAME.features`.

Two NumPy files a subset, one row a query or gallery image in the order of the dataset's splits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.dataset_config import FeatureFiles
from reid_repro.errors import UserError

FloatArray = npt.NDArray[np.float32]


def take_over(files: FeatureFiles, rows: pd.DataFrame, key: str) -> FloatArray:
    """(n, d) float32 descriptors of length 1 of the images `rows` of a subset, in their order.

    `rows` has a column `role`; `key` is where the configuration names the files.

    Raises:
        UserError: a file that is missing, damaged, of another form or number of rows, or holds a
            row without a direction.
    """
    found = {role: _read(getattr(files, role), f"{key}.{role}") for role in ("query", "gallery")}
    query, gallery = found["query"], found["gallery"]
    if query.shape[1] != gallery.shape[1]:
        raise UserError(
            f"{key}: queries of {query.shape[1]} dimensions and a gallery of {gallery.shape[1]}; "
            "both have to come from one network"
        )
    features = np.empty((len(rows), query.shape[1]), np.float32)
    for role, part in found.items():
        places = np.flatnonzero(rows["role"].to_numpy() == role)
        if len(part) != len(places):
            raise UserError(
                f"{key}.{role}: {getattr(files, role)} has {len(part):,} rows and the dataset "
                f"{len(places):,} images; write one row an image, in the order of splits.parquet"
            )
        features[places] = part
    return features


def _read(file: Path, key: str) -> FloatArray:
    """(n, d) rows of length 1."""
    try:
        found = np.load(file, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{key}: {file}: no such file") from None
    except (OSError, ValueError, EOFError):
        raise UserError(f"{key}: {file}: not a readable .npy file of numbers") from None
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind != "f":
        form = f"{found.dtype} of shape {found.shape}" if isinstance(found, np.ndarray) else "more"
        raise UserError(f"{key}: {file}: expected floating-point (rows, dimensions), found {form}")
    rows = found.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    wrong = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(wrong):
        raise UserError(f"{key}: {file}: row {wrong[0]} is not finite or zero; it has no direction")
    return np.asarray(rows / lengths[:, None], np.float32)
