"""Phase `metrics` on features in files: what it writes, what it times, what it refuses."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest

from reid_repro import plan
from reid_repro.config import StatisticsConfig
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet, write_json, write_parquet
from reid_repro.ledger.tables import hit_share, summarise
from reid_repro.paths import metrics_file, per_query_file
from reid_repro.phases import inputs, metrics
from reid_repro.phases.rankings import FirstRanks

RUN = plan.Run("baseline", "bnneck", "rendered-vehicles", 0)
N_QUERY = 24


def make_results(folder: Path, *, known: bool = True, **protocol: Any) -> Path:
    """Noisy features of 12 identities by 3 cameras, and the facts of their dataset."""
    rng = np.random.default_rng(2)
    identity = np.concatenate([np.repeat(np.arange(1, 13), 2), np.repeat(np.arange(1, 13), 6)])
    camera = rng.integers(0, 3, len(identity))
    features = rng.normal(size=(12, 8))[identity - 1] + 1.3 * rng.normal(size=(len(identity), 8))
    role = np.repeat(["query", "gallery"], [N_QUERY, len(identity) - N_QUERY])
    if not known:
        identity[role == "query"] += 100
    rows = pd.DataFrame(
        {"image": np.arange(len(identity)), "role": role, "identity": identity, "camera": camera}
    )
    file = folder / "features" / str(RUN) / "test.npy"
    file.parent.mkdir(parents=True)
    np.save(file, features.astype(np.float32))
    write_parquet(file.with_suffix(".parquet"), rows)
    facts = {"same_camera": "remove", "ap": "step", "single_gallery_shot": False, "repeats": 1}
    data = folder / "data" / RUN.dataset
    write_json(data / "dataset.json", {"protocol": facts | protocol})
    write_parquet(data / "splits.parquet", splits_of(role))
    return folder


def splits_of(role: np.ndarray, trial: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {"subset": "test", "trial": trial, "role": role, "image": np.arange(len(role))}
    )


def score(results: Path, reranker: str = "none", **overrides: Any) -> dict[str, Any]:
    metrics.run(plan.load(overrides), str(RUN), "test", [reranker], results)
    content: dict[str, Any] = read_json(metrics_file(results, RUN, "test", reranker))
    return content


@pytest.mark.parametrize("reranker", ["none", "aqe"])
@pytest.mark.parametrize("repeats", [1, 10])
def test_the_table_and_the_curve_are_the_cmc(tmp_path: Path, repeats: int, reranker: str) -> None:
    results = make_results(tmp_path, single_gallery_shot=True, repeats=repeats)
    content = score(results, reranker)
    assert content["trials"] == repeats
    file = metrics_file(results, RUN, "test", reranker)
    cells = summarise([file], ("R1", "R2", "R5", "R10"), StatisticsConfig(resamples=100))
    values = [cell["value"] for cell in cells]
    np.testing.assert_allclose(values, [content["cmc"][r - 1] for r in (1, 2, 5, 10)], atol=1e-6)
    frame = read_parquet(per_query_file(file))
    assert ("hits" in frame) == (repeats > 1)
    share = hit_share(frame, np.arange(1, 51))
    np.testing.assert_allclose(share.mean(axis=0), content["cmc"], atol=1e-7)
    assert frame["first_hit"].dtype == (np.float32 if repeats > 1 else np.int32)
    partial = (share > 0) & (share < 1)
    assert partial.any() == (repeats > 1)  # one draw answers each query with 0 or 1
    if repeats > 1:
        mean_rank = (frame["first_hit"].to_numpy() <= 1).mean()
        assert abs(mean_rank - content["cmc"][0]) > 0.05  # the case tells the two apart


def test_one_ranking_is_one_trial_and_says_how_to_make_it(tmp_path: Path) -> None:
    content = score(make_results(tmp_path), "aqe", training={"epochs": 3})
    file = metrics_file(tmp_path, RUN, "test", "aqe")
    assert content["trials"] == 1
    assert content["command"] == plan.load({"training": {"epochs": 3}}).command(file.as_posix())
    assert (content["n_query"], content["n_gallery"]) == (N_QUERY, 72)


class Slow:
    """A re-ranker on a clock of its own: 3 s to fit, 2 s a block of rows."""

    def __init__(self, clock: list[float]) -> None:
        self.timings: dict[str, float] = {}
        self._clock = clock

    def fit(self, query: Any, gallery: Any) -> Self:
        self._distances = np.asarray(np.random.default_rng(0).random((len(query), len(gallery))))
        self._spend("neighbours", 3)
        return self

    def distances(self, start: int, stop: int) -> np.ndarray:
        self._spend("distances", 2)
        return self._distances[start:stop]

    def _spend(self, phase: str, seconds: float) -> None:
        self._clock[0] += seconds
        self.timings[phase] = self.timings.get(phase, 0) + seconds


@pytest.mark.parametrize("reranker", ["none", "aqe"])
def test_recording_is_no_part_of_the_total(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reranker: str
) -> None:
    """A clock that only the re-ranker, the scoring (5 s) and the recording (100 s a query) move."""
    clock = [0.0]
    add, evaluate = FirstRanks.add, inputs.evaluate

    def slow_add(*arguments: Any) -> None:
        clock[0] += 100
        add(*arguments)

    def slow_evaluate(*arguments: Any, **options: Any) -> Any:
        clock[0] += 5
        return evaluate(*arguments, **options)

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(FirstRanks, "add", slow_add)
    monkeypatch.setattr(inputs, "evaluate", slow_evaluate)
    monkeypatch.setattr(metrics, "reranker_of", lambda settings, gallery: Slow(clock))
    seconds = score(make_results(tmp_path), reranker)["seconds"]
    phases: dict[str, float] = {"neighbours": 3, "distances": 2, "scoring": 5, "total": 10}
    if reranker == "none":
        phases = {"ranking and scoring": 5, "total": 5}
    assert seconds == phases | {"recording": 100 * N_QUERY}


def test_what_cannot_be_scored_is_one_line_with_run_and_subset(tmp_path: Path) -> None:
    results = make_results(tmp_path / "unknown", known=False)
    for reranker in ("none", "aqe"):
        with pytest.raises(UserError, match="no query has a match") as caught:
            score(results, reranker)
        assert str(caught.value).startswith(f"run {RUN}, subset test: ")
        assert "\n" not in str(caught.value)
    bad = make_results(tmp_path / "bad", repeats=4)
    with pytest.raises(UserError, match=f"^run {RUN}, subset test: repeats need single"):
        score(bad)
