"""What a ranking is made from: the features of a run's subset, trial by trial, and the protocol.

Where a dataset draws galleries anew (VehicleID ten times), each draw is a trial. All are scored on
the same features; values are means over the trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet
from reid_repro.plan import Plan, Run
from reid_repro.retrieval import rerank
from reid_repro.retrieval.judgements import Judgements
from reid_repro.retrieval.metrics import Evaluation, evaluate

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Trial:
    """One gallery and its queries: features (n, d) with their rows of images.parquet."""

    query: FloatArray
    gallery: FloatArray
    rows_of_query: pd.DataFrame
    rows_of_gallery: pd.DataFrame
    judgements: Judgements | None = None


@dataclass(frozen=True)
class Inputs:
    """The features of one run's subset with their labels, and the protocol."""

    run: Run
    subset: str
    file: Path
    trials: tuple[Trial, ...]
    protocol: dict[str, Any]

    @classmethod
    def read(cls, name: str, subset: str, results: Path) -> Inputs:
        """From what the phases before wrote; UserError names a missing or damaged file."""
        run = Run.parse(name)
        file = results / "features" / name / f"{subset}.npy"
        try:
            features = np.load(file)
        except (OSError, ValueError, EOFError):
            raise UserError(f"{file}: missing or damaged; delete it and run again") from None
        rows = read_parquet(file.with_suffix(".parquet"))
        if len(rows) != len(features):
            raise UserError(f"{file}: {len(features)} rows, its row order has {len(rows)}")
        data = results / "data" / run.dataset
        splits = read_parquet(data / "splits.parquet")
        file_of_judgements = data / "judgements.parquet"
        judged = read_parquet(file_of_judgements) if file_of_judgements.exists() else None
        trials = _trials(
            features,
            rows,
            splits[splits["subset"] == subset],
            judged if judged is not None and len(judged) else None,
            file,
        )
        return cls(run, subset, file, trials, read_json(data / "dataset.json")["protocol"])

    def evaluate(self, trial: Trial, reranker: rerank.Reranker | None) -> Evaluation:
        """Rank and score; UserError names run and subset where that cannot be done."""
        query, gallery = trial.rows_of_query, trial.rows_of_gallery
        try:
            return evaluate(
                trial.query,
                trial.gallery,
                query["identity"].to_numpy(),
                gallery["identity"].to_numpy(),
                query["camera"].to_numpy(),
                gallery["camera"].to_numpy(),
                ap=self.protocol["ap"],
                same_camera=self.protocol["same_camera"],
                single_gallery_shot=self.protocol["single_gallery_shot"],
                repeats=self.protocol["repeats"],
                reranker=reranker,
                judgements=trial.judgements,
            )
        except ValueError as error:
            raise UserError(f"run {self.run}, subset {self.subset}: {error}") from error

    def per_query(self, evaluations: Sequence[Evaluation]) -> pd.DataFrame:
        """One row a valid query and trial: its image, identity, AP, rank of the first match.

        Over repeated draws AP and rank are means, and `hits` lists the share of the draws whose
        first match is at rank 1, 2 and so on or better (`ledger.tables.hit_share`). Of several
        trials the column `trial` holds the number.
        """
        frames = [
            _per_query(trial.rows_of_query.iloc[evaluation.query], evaluation)
            for trial, evaluation in zip(self.trials, evaluations, strict=True)
        ]
        if len(frames) > 1:
            frames = [frame.assign(trial=np.int16(number)) for number, frame in enumerate(frames)]
        return pd.concat(frames, ignore_index=True)

    def facts(self, plan: Plan) -> dict[str, Any]:
        """What every metrics file says of where its numbers hold."""
        repeats = self.protocol["repeats"] if self.protocol["single_gallery_shot"] else 1
        return {
            "run": str(self.run),
            "subset": self.subset,
            "scale": plan.config.scale,
            "dataset": self.run.dataset,
            "seed": self.run.seed,
            "trials": repeats * len(self.trials),
            "n_gallery": len(self.trials[0].gallery),
        }


def summed(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The summary of a ranking over its trials: means, and how far the trials lie apart.

    `mAP_sd` and `cmc_sd` are standard deviations over the trials (n - 1), where there are several;
    `n_query` and `n_valid` are those of one trial, the first.
    """
    found = evaluations[0].to_dict()
    if len(evaluations) == 1:
        return found
    aps = np.array([one.mAP for one in evaluations])
    length = min(len(one.cmc) for one in evaluations)
    curves = np.stack([one.cmc[:length] for one in evaluations])
    return found | {
        "mAP": float(aps.mean()),
        "mAP_sd": float(aps.std(ddof=1)),
        "mINP": float(np.mean([one.mINP for one in evaluations])),
        "cmc": curves.mean(axis=0).tolist(),
        "cmc_sd": curves.std(axis=0, ddof=1).tolist(),
    }


def _trials(
    features: FloatArray,
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    judgements: pd.DataFrame | None,
    file: Path,
) -> tuple[Trial, ...]:
    index = pd.Index(rows["image"].to_numpy())
    found = []
    for _, part in splits.groupby("trial"):
        query, gallery = (
            index.get_indexer(part.loc[part["role"] == role, "image"].to_numpy())
            for role in ("query", "gallery")
        )
        if min(query.min(initial=0), gallery.min(initial=0)) < 0:
            raise UserError(f"{file}: made from other splits; delete it and run again")
        of_query, of_gallery = rows.iloc[query], rows.iloc[gallery]
        judged = None
        if judgements is not None:
            judged = Judgements.of(judgements, of_query["image"], of_gallery["image"])
        found.append(
            Trial(_of(features, query), _of(features, gallery), of_query, of_gallery, judged)
        )
    return tuple(found)


def _of(features: FloatArray, places: npt.NDArray[np.intp]) -> FloatArray:
    """The features at `places`: a view where they lie in a row, as with a single trial."""
    if len(places) and np.array_equal(places, np.arange(places[0], places[0] + len(places))):
        return features[places[0] : places[0] + len(places)]
    return features[places]


def _per_query(valid: pd.DataFrame, evaluation: Evaluation) -> pd.DataFrame:
    single = evaluation.hits is None
    frame = pd.DataFrame(
        {
            "query": valid["image"].to_numpy(np.int32),
            "identity": valid["identity"].to_numpy(np.int32),
            "AP": evaluation.ap.astype(np.float32),
            "first_hit": evaluation.first_hit.astype(np.int32 if single else np.float32),
        }
    )
    if evaluation.hits is not None:
        frame["hits"] = list(evaluation.hits)
    return frame
