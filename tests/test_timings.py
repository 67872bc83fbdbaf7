"""Times on simulated features: what is measured and written, on sizes made tiny."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from reid_repro import plan
from reid_repro.errors import UserError
from reid_repro.files import read_json
from reid_repro.ledger.times import time_table
from reid_repro.paper import SimulatedSize
from reid_repro.paths import timing_file
from reid_repro.phases import timings, timings_of_groups
from reid_repro.retrieval.groups import PCA, CoarseToFineIndex
from reid_repro.retrieval.simulation import SIZES, simulate
from reid_repro.rows import methods_of

SHRUNK = {"timings": {"shrink": 60}}


def test_the_configuration_knows_the_sizes_of_the_library() -> None:
    assert set(get_args(SimulatedSize)) == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("by", [1, 7, 1000])
def test_a_shrunk_size_can_be_simulated(name: str, by: int) -> None:
    size = timings.shrunk(SIZES[name], by)
    assert size.dim == SIZES[name].dim
    assert size.queries == max(2, SIZES[name].queries // by)
    if by == 1000:
        split = simulate(size)
        assert split.nodes.shape == (size.queries + size.gallery, size.dim)
    else:
        assert (size == SIZES[name]) == (by == 1)


def test_every_method_is_timed_at_every_size(repository: Path, tmp_path: Path) -> None:
    planned = plan.load(SHRUNK)
    timings.run(planned, "gnn", "reranking", tmp_path)
    content = read_json(timing_file(tmp_path, "gnn", "reranking"))
    assert content["shrink"] == 60
    assert content["sizes"]["market"]["gallery"] == sum(
        getattr(SIZES["market"], part) // 60 for part in ("matches", "distractors", "junk")
    )
    on_cpu = [entry for entry in content["entries"] if entry["platform"] == "CPU"]
    sizes = ("market", "veri", "oxford", "paris", "university")
    methods = ("aqe", "alpha_qe", "sca", "k_reciprocal", "gnn1", "gnn2")
    wanted = [(s, m) for s in sizes for m in methods if m != "gnn1" or s == "market"]
    assert [(e["size"], e["of"]) for e in on_cpu] == wanted
    for entry in on_cpu:
        phases = dict(entry["seconds"])
        total = phases.pop("total")
        assert 0 < sum(phases.values()) <= total + 1e-3
    veri = next(e for e in on_cpu if (e["size"], e["of"]) == ("veri", "gnn2"))
    assert veri["options"] == {"k1": 60, "k2": 10, "layers": 2}
    for table in ("table3", "table4"):
        frame = time_table(planned, "gnn", table, tmp_path)
        assert frame.loc[frame["platform"] == "CPU", "seconds"].notna().all()


def test_every_method_runs_before_the_clock_starts(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = []
    methods = {
        name: methods_of(plan.load(), "gnn", "reranking", name) for name in ("market", "veri")
    }
    monkeypatch.setattr(
        timings,
        "_timed",
        lambda ranking, query, gallery: run.append((ranking, len(query) + len(gallery))),
    )
    timings.warm_up(methods, ["cpu"])
    sizes = sorted({nodes for _, nodes in run})
    assert len(sizes) == 2
    assert sizes[0] < 300  # k1 and k2 fill more than an eighth of a GNN's rows: they become dense
    for ranking in methods["market"].values():
        assert any(before.method == ranking.method for before, _ in run)
    for before, nodes in run:
        assert all((before, other) in run for other in sizes if other != nodes)


def test_a_query_is_timed_at_every_point(repository: Path, tmp_path: Path) -> None:
    planned = plan.load(SHRUNK)
    timings.run(planned, "glad", "groups", tmp_path)
    entries = {e["of"]: e for e in read_json(timing_file(tmp_path, "glad", "groups"))["entries"]}
    gallery = timings.shrunk(SIZES["glad"], 60).gallery
    assert entries["all"]["groups"] == gallery
    assert entries["all"]["threshold"] == 0
    for entry in entries.values():
        assert abs(entry["groups"] - entry["wanted"]) <= 2
        assert 0 < entry["seconds"]["single"] < 60
        parts = entry["seconds"]["coarse"], entry["seconds"]["fine"]
        assert parts[0] > 0
        assert sum(parts) == pytest.approx(entry["seconds"]["single"], abs=1e-6)
        assert 0 < entry["reached"] <= gallery
    assert entries["few"]["wanted"] == 2558 // 60
    assert entries["few_128"]["dim"] == 128
    frame = time_table(planned, "glad", "table7_time", tmp_path)
    single = frame[frame["column"] == "single"]
    assert list(single["printed_seconds"]) == [
        0.368,
        0.267,
        0.176,
        0.101,
        0.05,
        0.031,
        0.069,
        0.061,
    ]
    assert single["seconds"].notna().all()


def test_an_index_with_another_projection_is_the_one_built_with_it() -> None:
    split = simulate(SIZES["small"])
    gallery, labels = split.gallery[:400], split.gallery_ids[:400]
    whole = timings_of_groups.ProjectedIndex(gallery, labels, dim=None, groups=7)
    for pca in (PCA(9).fit(gallery), None):
        built = CoarseToFineIndex(gallery, labels, dim=None, groups=7, pca=pca)
        index = whole.projected(pca)
        for query in split.query[:20]:
            wanted, found = built.search(query), index.search(query)
            np.testing.assert_array_equal(found.indices, wanted.indices)
            np.testing.assert_array_equal(found.distances, wanted.distances)
            # The groups that are ranked are those whose images are reached.
            groups = np.unique(labels)[index.rank_groups(query)]
            assert set(labels[found.indices]) == set(groups)
            assert found.reached == np.isin(labels, groups).sum()
    assert whole.pca is None


def test_a_narrowed_projection_is_the_one_fitted_to_fewer_dimensions() -> None:
    features = simulate(SIZES["small"]).gallery[:300, :40]
    wide, few = PCA(12).fit(features), PCA(5).fit(features)
    narrow = timings_of_groups.narrowed(wide, 5)
    np.testing.assert_allclose(narrow.variances, few.variances, rtol=1e-5)
    np.testing.assert_allclose(narrow.transform(features), few.transform(features), atol=1e-5)


def test_an_unknown_timing_is_named(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no timing 'clock' of paper 'gnn'"):
        timings.run(plan.load(), "gnn", "clock", tmp_path)
