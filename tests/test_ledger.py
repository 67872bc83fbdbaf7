"""Intervals, tables, first ranks, locks: against literal loops and made-up cases."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_repro import locks
from reid_repro.config import StatisticsConfig
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet, whole, write_json, write_parquet
from reid_repro.ledger.statistics import identity_bootstrap
from reid_repro.ledger.tables import hit_share, summarise
from reid_repro.paths import per_query_file
from reid_repro.phases.rankings import FirstRanks


def test_the_bootstrap_covers_at_its_level() -> None:
    """Identities differ more than their queries: resampling queries alone would be too narrow."""
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        truth = rng.normal(0.5, 0.1, size=40)
        identities = np.repeat(np.arange(40), 6)
        values = truth[identities] + rng.normal(0, 0.05, size=240)
        low, high = identity_bootstrap(values, identities, resamples=300, seed=trial)
        covered += bool(low <= 0.5 <= high)
    assert 0.90 <= covered / 200 <= 1.0


def test_the_bootstrap_is_seeded_and_takes_columns() -> None:
    rng = np.random.default_rng(1)
    values, identities = rng.random((50, 3)), rng.integers(0, 9, 50)
    low, high = identity_bootstrap(values, identities, resamples=200, seed=4)
    again = identity_bootstrap(values, identities, resamples=200, seed=4)
    assert low.shape == (3,)
    assert (low < values.mean(0)).all()
    assert (values.mean(0) < high).all()
    np.testing.assert_array_equal(low, again[0])
    single = identity_bootstrap(values[:, 1], identities, resamples=200, seed=4)
    np.testing.assert_allclose([single[0], single[1]], [low[1], high[1]])


def test_the_bootstrap_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        identity_bootstrap(np.empty(0), np.empty(0))
    with pytest.raises(ValueError, match="same number"):
        identity_bootstrap(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="level"):
        identity_bootstrap(np.ones(3), np.ones(3), level=1.5)


def write_metrics(folder: Path, ap: list[float], first: list[int], queries: list[int]) -> Path:
    file = folder / "none.json"
    write_json(file, {"n_query": len(ap) + 1, "n_valid": len(ap)})
    frame = pd.DataFrame({"query": queries, "identity": [1, 1, 2, 3], "AP": ap, "first_hit": first})
    write_parquet(per_query_file(file), frame)
    return file


def test_a_cell_is_the_mean_over_seeds_with_their_spread(tmp_path: Path) -> None:
    files = [
        write_metrics(tmp_path / "a", [1.0, 0.5, 0.25, 0.25], [1, 1, 3, 9], [0, 1, 2, 3]),
        write_metrics(tmp_path / "b", [0.5, 0.5, 0.75, 0.25], [2, 1, 1, 6], [0, 1, 2, 3]),
    ]
    config = StatisticsConfig(resamples=200)
    cells = {cell["metric"]: cell for cell in summarise(files, ("mAP", "R1", "R5"), config)}
    assert cells["mAP"]["value"] == pytest.approx(0.5)
    assert cells["R1"]["value"] == pytest.approx((2 / 4 + 2 / 4) / 2)
    assert cells["R5"]["value"] == pytest.approx(3 / 4)
    assert cells["mAP"]["seed_sd"] == pytest.approx(0.0)
    assert cells["mAP"]["low"] <= 0.5 <= cells["mAP"]["high"]
    assert (cells["R1"]["n_query"], cells["R1"]["n_valid"]) == (5, 4)
    one = summarise(files[:1], ("mAP",), config)[0]
    assert one["seed_sd"] is None
    with pytest.raises(UserError, match="unknown metric 'rank1'"):
        summarise(files, ("rank1",), config)


def test_hits_of_repeated_draws_are_not_thresholds_of_their_mean_rank() -> None:
    draws = np.array([[1, 9], [2, 2], [1, 1]])  # ranks of the first match in two draws
    frame = pd.DataFrame({"first_hit": draws.mean(axis=1)})
    with pytest.raises(UserError, match="no column 'hits'"):
        hit_share(frame, 1)
    frame["hits"] = [np.float32([np.mean(row <= r) for r in range(1, 6)]) for row in draws]
    np.testing.assert_array_equal(hit_share(frame, [1, 2, 5]), [[0.5] * 3, [0, 1, 1], [1] * 3])
    with pytest.raises(UserError, match=r"R6: .* end at rank 5"):
        hit_share(frame, 6)
    single = pd.DataFrame({"first_hit": draws[:, 1]})
    np.testing.assert_array_equal(hit_share(single, [1, 2, 60]), [[0, 0, 1], [0, 1, 1], [1] * 3])


def test_seeds_with_other_queries_are_not_mixed(tmp_path: Path) -> None:
    files = [
        write_metrics(tmp_path / "a", [1.0] * 4, [1] * 4, [0, 1, 2, 3]),
        write_metrics(tmp_path / "b", [1.0] * 4, [1] * 4, [0, 1, 2, 4]),
    ]
    with pytest.raises(UserError, match="other queries"):
        summarise(files, ("mAP",), StatisticsConfig(resamples=100))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), remove=st.booleans(), shown=st.integers(1, 12))
def test_first_ranks_are_those_of_a_stable_sort(seed: int, remove: bool, shown: int) -> None:
    rng = np.random.default_rng(seed)
    query = pd.DataFrame(
        {"image": np.arange(4), "identity": rng.integers(1, 4, 4), "camera": rng.integers(-1, 2, 4)}
    )
    gallery = pd.DataFrame(
        {
            "image": np.arange(100, 115),
            "identity": rng.integers(-1, 4, 15),
            "camera": rng.integers(-1, 2, 15),
        }
    )
    distances = rng.integers(0, 5, (4, 15)).astype(np.float32)  # many ties
    first = FirstRanks(query, gallery, remove=remove, shown=shown)
    for number in (2, 0, 3, 1):
        first.add(number, np.arange(15), distances[number])
    expected = []
    for number, asked in query.iterrows():
        kept = []
        for column in sorted(range(15), key=lambda c: (distances[number, c], c)):
            entry = gallery.iloc[column]
            own = entry["identity"] == asked["identity"] and entry["camera"] == asked["camera"]
            if entry["identity"] < 0 or (remove and asked["camera"] >= 0 and own):
                continue
            kept.append(column)
        for rank, column in enumerate(kept[:shown], 1):
            entry = gallery.iloc[column]
            match = bool(entry["identity"] == asked["identity"])
            expected.append((number, rank, entry["image"], distances[number, column], match))
    table = first.table()
    assert list(table.itertuples(index=False, name=None)) == expected


class Mode(Enum):
    DEFAULT = 0
    REMOTE = 1


def locked(state: Path) -> Path:
    (state / "locks").mkdir(parents=True)
    lock = state / "locks" / "0.input.lock"
    lock.write_text("results/x")
    return lock


def dead_owner() -> dict[str, object]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    note = {
        "host": platform.node(),
        "pid": process.pid,
        "created": psutil.Process(process.pid).create_time(),
    }
    process.communicate(b"\n")
    return note


def living_owner() -> dict[str, object]:
    """The test runner's parent stands for another Snakemake at work."""
    parent = psutil.Process(os.getppid())
    return {"host": platform.node(), "pid": parent.pid, "created": parent.create_time()}


def test_the_locks_of_dead_owners_are_given_back(tmp_path: Path) -> None:
    lock = locked(tmp_path)
    write_json(tmp_path / "owners" / "1.json", dead_owner())
    assert locks.enter(Mode.REMOTE, tmp_path) == []
    assert locks.enter(Mode.DEFAULT, tmp_path) == [lock]
    assert not lock.exists()
    notes = list((tmp_path / "owners").iterdir())
    assert [read_json(note)["pid"] for note in notes] == [os.getpid()]


@pytest.mark.parametrize(
    "other",
    [
        living_owner,
        lambda: dead_owner() | {"host": "elsewhere"},
        lambda: {"host": platform.node()},  # a note that says too little
    ],
)
def test_one_owner_that_may_live_keeps_every_lock(
    tmp_path: Path, other: Callable[[], dict[str, object]]
) -> None:
    lock = locked(tmp_path)
    write_json(tmp_path / "owners" / "1.json", dead_owner())
    write_json(tmp_path / "owners" / "2.json", other())
    assert locks.enter(Mode.DEFAULT, tmp_path) == []
    assert lock.exists()
    assert (tmp_path / "owners" / "2.json").exists()
    assert not (tmp_path / "owners" / "1.json").exists()


def test_locks_that_nobody_noted_are_left_alone(tmp_path: Path) -> None:
    lock = locked(tmp_path)
    assert locks.enter(Mode.DEFAULT, tmp_path) == []
    assert lock.exists()


def test_a_number_used_again_by_another_process_is_not_the_owner(tmp_path: Path) -> None:
    lock = locked(tmp_path)
    note = living_owner() | {"created": 1.0}
    write_json(tmp_path / "owners" / "1.json", note)
    assert locks.enter(Mode.DEFAULT, tmp_path) == [lock]


def test_two_processes_never_do_the_same_job_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from reid_repro.locks import alone\n"
        "with alone('job', Path(sys.argv[1])):\n"
        "    print('in', flush=True); input()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as first:
        assert first.stdout.readline() == "in\n"
        with subprocess.Popen(command, text=True, **pipes) as second:
            assert second.stderr.readline().startswith("waiting for another process")
            first.kill()  # the lock goes with its process, however that ends
            assert second.stdout.readline() == "in\n"
            second.communicate("\n")
            assert second.returncode == 0


def test_what_a_killed_writer_left_is_swept_up(tmp_path: Path) -> None:
    dead, living = dead_owner()["pid"], os.getppid()
    left = tmp_path / f".a.{dead}.part.json"
    busy = tmp_path / f".a.{living}.part.json"
    for file in (left, busy):
        file.write_text("half")
    write_json(tmp_path / "a.json", {})
    assert sorted(tmp_path.iterdir()) == sorted([busy, tmp_path / "a.json"])


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_json(target, {"old": True})

    def dies_half_way() -> None:
        with whole(target) as beside:
            beside.write_text("half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        dies_half_way()
    assert json.loads(target.read_text()) == {"old": True}
    assert list(tmp_path.iterdir()) == [target]


def test_damaged_files_are_named(tmp_path: Path) -> None:
    for name, read in (("a.json", read_json), ("a.parquet", read_parquet)):
        file = tmp_path / name
        with pytest.raises(UserError, match="no such file"):
            read(file)
        file.write_bytes(b"{{{")
        with pytest.raises(UserError, match=name):
            read(file)
