"""Phase `metrics`, many points at once: the same numbers as one ranking by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reid_repro import plan
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet, write_json, write_parquet
from reid_repro.ledger.tables import Reader
from reid_repro.paths import metrics_file, per_query_file, sweep_file
from reid_repro.phases import metrics, sweeps
from reid_repro.rows import points_of

RUN = plan.Run("baseline", "bnneck", "rendered-pedestrians", 0)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Noisy features of 10 identities by 3 cameras, and the facts of their dataset."""
    rng = np.random.default_rng(5)
    identity = np.concatenate([np.repeat(np.arange(1, 11), 2), np.repeat(np.arange(1, 11), 5)])
    features = rng.normal(size=(10, 8))[identity - 1] + rng.normal(size=(len(identity), 8))
    role = np.repeat(["query", "gallery"], [20, 50])
    camera = rng.integers(0, 3, len(identity))
    rows = pd.DataFrame(
        {"image": np.arange(len(identity)), "role": role, "identity": identity, "camera": camera}
    )
    file = tmp_path / "features" / str(RUN) / "test.npy"
    file.parent.mkdir(parents=True)
    np.save(file, features.astype(np.float32))
    write_parquet(file.with_suffix(".parquet"), rows)
    protocol = {
        "same_camera": "remove",
        "ap": "step",
        "single_gallery_shot": False,
        "repeats": 1,
    }
    write_json(tmp_path / "data" / RUN.dataset / "dataset.json", {"protocol": protocol})
    splits = rows[["role", "image"]].assign(subset="test", trial=0)
    write_parquet(tmp_path / "data" / RUN.dataset / "splits.parquet", splits)
    return tmp_path


def test_a_point_scores_as_the_same_re_ranker_by_itself(repository: Path, results: Path) -> None:
    planned = plan.load()
    sweeps.run(planned, "gnn", str(RUN), "test", results)
    content = read_json(sweep_file(results, "gnn", "components", RUN, "test"))
    assert list(content["points"]) == list(points_of(planned, "gnn", "components"))
    metrics.run(planned, str(RUN), "test", ["gnn"], results)
    alone = read_json(metrics_file(results, RUN, "test", "gnn"))
    full = content["points"]["full"]
    for key in ("mAP", "mINP", "cmc", "n_query", "n_valid", "protocol", "options"):
        assert full[key] == alone[key]
    total = sum(point["seconds"]["total"] for point in content["points"].values())
    assert content["seconds"]["total"] == pytest.approx(total)
    assert content["command"].endswith("test.json")

    read = Reader(results)
    of_sweep = read.ranking("gnn", RUN, "test", "components.full").per_query
    by_itself = read_parquet(per_query_file(metrics_file(results, RUN, "test", "gnn")))
    pd.testing.assert_frame_equal(of_sweep[by_itself.columns], by_itself)
    other = read.ranking("gnn", RUN, "test", "components.features")
    assert other.facts["mAP"] == pytest.approx(float(other.per_query["AP"].mean()), abs=1e-6)
    assert not other.per_query["AP"].equals(of_sweep["AP"])


def test_every_group_one_image_ranks_as_the_bare_distance(repository: Path, results: Path) -> None:
    overrides = {"rerankers": {"coarse_to_fine": {"options": {"groups": 50}}}}
    planned = plan.load(overrides)
    sweeps.run(planned, "glad", str(RUN), "test", results)
    metrics.run(planned, str(RUN), "test", ["none"], results)
    points = read_json(sweep_file(results, "glad", "coarse", RUN, "test"))["points"]
    bare = read_json(metrics_file(results, RUN, "test", "none"))
    assert points["all"]["cmc"] == bare["cmc"]
    assert points["all"]["mAP"] == pytest.approx(bare["mAP"], abs=1e-12)
    assert points["few_32"]["mAP"] <= points["few_32_rest"]["mAP"] + 1e-12


def test_an_unknown_paper_is_named(repository: Path, results: Path) -> None:
    with pytest.raises(UserError, match="unknown paper 'gcn'; known: baseline, chca"):
        sweeps.run(plan.load(), "gcn", str(RUN), "test", results)
