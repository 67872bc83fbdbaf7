"""How much better a network ranks what it was trained on (SSR-Net 4.4, GLAD 6.3).

As many training identities as are tested, drawn with a fixed seed: of each the first image by every
camera asks, the others answer, scored as the test is. The value of an item is set so that the mean
over all items is the mean over training queries less that over test queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.datasets import places
from reid_repro.errors import UserError
from reid_repro.measures.forward import network
from reid_repro.measures.source import SEED, LeftOutError, Measure, Source
from reid_repro.networks import needs
from reid_repro.phases.inputs import Inputs, Trial
from reid_repro.retrieval.metrics import Evaluation
from reid_repro.training.features import extract

Floats = npt.NDArray[np.float64]


def split(rows: pd.DataFrame, identities: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Queries and gallery among training images (image, identity, camera).

    Raises LeftOutError where no identity is seen by two cameras.
    """
    cameras = rows.groupby("identity")["camera"].nunique()
    known = cameras.index[cameras > 1].to_numpy()
    if not len(known):
        raise LeftOutError("no training identity is seen by two cameras")
    chosen = np.random.default_rng(SEED).choice(known, min(identities, len(known)), replace=False)
    rows = rows[rows["identity"].isin(chosen)]
    first = ~rows.duplicated(["identity", "camera"])
    return rows[first], rows[~first]


def weighed(train: Floats, test: Floats) -> Floats:
    """Values of all items, train then test, whose mean is mean(train) - mean(test).

    They are centred on it, so that a resample that draws more items of one side does not move it.
    """
    count = len(train) + len(test)
    gap = train.mean() - test.mean()
    above = (train - train.mean()) * count / len(train)
    below = (test - test.mean()) * count / len(test)
    return np.concatenate([gap + above, gap - below])


def _train_trial(source: Source, name: str, identities: int) -> Trial:
    found = network(source, name)
    splits = source.splits
    images = splits.loc[splits["role"] == "train", "image"].drop_duplicates().to_numpy(np.int64)
    table = source.store.images.iloc[images][["identity", "camera"]].assign(image=images)
    query, gallery = split(table, identities)
    rows = np.concatenate([query["image"], gallery["image"]])
    own = places.load(
        source.results,
        source.dataset,
        needs(found.settings.model),
        found.settings.places,
        len(source.store),
    )
    features = extract(
        found.module,
        source.store,
        rows,
        found.settings.training,
        source.plan.config.features,
        places=own,
        description=f"{name} on training images",
    )
    return Trial(features[: len(query)], features[len(query) :], query, gallery)


def gap(source: Source, name: str, key: tuple[str, str], what: str) -> Measure:
    """The gap of one network: how far mAP or R1 (`key[1]`) falls from training to test identities.

    Raises LeftOutError where the training images cannot be ranked as a test is.
    """
    inputs = Inputs.read(str(source.run(name)), source.subset, source.results)
    test = inputs.trials[0]
    identities = int(test.rows_of_query["identity"].nunique())
    items, values = [], []
    for trial in (_train_trial(source, name, identities), test):
        try:
            evaluation = inputs.evaluate(trial, None)
        except UserError as error:
            raise LeftOutError(str(error)) from None
        items.append(trial.rows_of_query["image"].to_numpy(np.int64)[evaluation.query])
        values.append(100 * _of_queries(evaluation, key[1]))
    return source.of("gap", key, np.concatenate(items), weighed(values[0], values[1]), what)


def _of_queries(evaluation: Evaluation, metric: str) -> Floats:
    found: Floats = evaluation.ap
    if metric == "R1" and evaluation.hits is not None:
        found = evaluation.hits[:, 0].astype(np.float64)
    elif metric == "R1":
        found = (evaluation.first_hit == 1).astype(np.float64)
    return found


def _gaps(source: Source, keys: Mapping[str, tuple[str, str]]) -> Iterator[Measure]:
    for name, key in keys.items():
        what = f"{key[1]} on training identities less {key[1]} on test identities, percent points"
        yield gap(source, name, key, what)


def of_ssrnet(source: Source) -> Iterator[Measure]:
    """SSR-Net, Section 4.4: two layers of the graph and three."""
    return _gaps(source, {"ssrnet/ssrnet": ("l2", "mAP"), "ssrnet/l3": ("l3", "mAP")})


def of_glad(source: Source) -> Iterator[Measure]:
    """GLAD, Section 6.3: shared layers and separate ones."""
    return _gaps(source, {"glad/glad": ("W/S", "R1"), "glad/separate": ("WO/S", "R1")})
