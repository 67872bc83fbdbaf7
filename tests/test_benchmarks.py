"""The retrieval benchmark: lines that work, fail, take too much; files and page made of them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from reid_repro.retrieval.simulation import SIZES

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import retrieval
import retrieval_report as report
from retrieval_cases import LINES
from retrieval_line import Line
from retrieval_runner import Limits, run_line
from retrieval_targets import TARGETS, Target, measured, verdict

FOLDER = Path(retrieval.__file__).parent

TRIALS = """
import time

import numpy as np
from retrieval_line import Line, PeerMissingError


def grow():
    kept = []
    while True:
        kept.append(np.ones(1 << 22))


def absent(features):
    raise PeerMissingError("peer is not installed: no such thing")


def broken():
    raise KeyError("a peer's own trouble\\nin /some/folder/of/a/peer/module.py")


runs = []


def slow_second_time():
    runs.append(1)
    time.sleep(120 * (len(runs) > 1))
    return {"mAP": 0.5}


def line(name, work):
    return Line(name, "Trials", lambda features: work, "peer", warm=False)


LINES = (
    line("asks for 143 GB", lambda: np.ones(143 * 10**9 // 8)),
    line("grows", grow),
    line("breaks", broken),
    line("sleeps", lambda: time.sleep(120)),
    line("sleeps the second time", slow_second_time),
    Line("absent", "Trials", absent, "peer", warm=False),
)
"""

LINES_THAT_RUN = """
from retrieval_line import Line
from retrieval_tasks import product, with_map

LINES = (
    Line("product q x g", "Bounds", product("fp32", wide=False), "bound"),
    Line("evaluate", "Own", with_map(None), beside="product q x g"),
    Line("needs a GPU", "Own", with_map(None), device="cuda"),
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    (folder / "trial_cases.py").write_text(TRIALS)
    (folder / "short_cases.py").write_text(LINES_THAT_RUN)
    return folder


@pytest.fixture(scope="module")
def trial(folder: Path) -> Callable[..., dict[str, Any]]:
    def run(name: str, *, seconds: float = 60) -> dict[str, Any]:
        limits = Limits(seconds=seconds, memory_bytes=500_000_000, repeat=2, budget=30)
        return run_line(
            name, module="trial_cases", folder=folder, size=None, threads=1, limits=limits
        )

    return run


def test_an_allocation_beyond_the_limit_is_a_row(trial: Callable[..., dict[str, Any]]) -> None:
    result = trial("asks for 143 GB")
    assert result["status"] == "out of memory"
    assert "133. GiB" in result["message"]


def test_growth_to_the_limit_is_a_row(trial: Callable[..., dict[str, Any]]) -> None:
    assert trial("grows")["status"] == "out of memory"


def test_an_error_is_a_row_without_folders(trial: Callable[..., dict[str, Any]]) -> None:
    result = trial("breaks")
    assert result["status"] == "failed"
    assert result["message"].startswith("KeyError")
    assert "in module.py" in result["message"]
    assert "/some/folder" not in result["message"]


def test_too_long_a_line_is_a_row(trial: Callable[..., dict[str, Any]]) -> None:
    result = trial("sleeps", seconds=0.3)
    assert result == {"status": "timed out", "message": "stopped after 0.3 s"}


def test_runs_before_a_limit_count(trial: Callable[..., dict[str, Any]]) -> None:
    result = trial("sleeps the second time", seconds=4)
    assert (result["status"], result["runs"]) == ("done", 1)
    assert result["stopped"] == "stopped after 4 s; the runs before it count"


def test_a_peer_that_is_not_there_is_a_row(trial: Callable[..., dict[str, Any]]) -> None:
    result = trial("absent")
    assert result["status"] == "not installed"
    assert result["message"] == "peer is not installed: no such thing"


def test_a_run_its_files_its_resumption_and_its_page(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--cases", "short_cases", "--folder", str(folder), "--out", str(folder / "results")]
    common += ["--size", "small", "--repeat", "2", "--threads", "1", "--memory-gb", "3"]
    retrieval.main([*common, "--only", "evaluate"])
    (path,) = (folder / "results").iterdir()
    assert str(path) in capsys.readouterr().out
    first = json.loads(path.read_text())
    assert list(first["lines"]) == ["evaluate"]
    assert first["counts"] == {"queries": 400, "gallery": 3000, "dim": 256}
    evaluated = first["lines"]["evaluate"]
    assert (evaluated["status"], evaluated["runs"]) == ("done", 2)
    assert evaluated["seconds"] > 0
    assert 0.7 < evaluated["facts"]["mAP"] < 0.9
    assert 1e8 < evaluated["start_bytes"] <= evaluated["peak_bytes"]

    retrieval.main([*common, "--resume"])
    run = json.loads(path.read_text())
    # The order of the list, not that in which they ran; and what was there is as it was.
    assert list(run["lines"]) == ["product q x g", "evaluate", "needs a GPU"]
    assert run["lines"]["evaluate"] == evaluated
    assert run["started"] == first["started"]

    page = folder / "page.md"
    retrieval.main([*common, "--render", "--page", str(page)])
    text = page.read_text()
    assert text == report.render(report.read_runs(folder / "results"))
    share = evaluated["seconds"] / run["lines"]["product q x g"]["seconds"]
    assert f"{report._figure(share)} x the time of product q x g" in text
    assert f"mAP {evaluated['facts']['mAP']:.4f}" in text
    if not torch.cuda.is_available():
        assert "| needs a GPU | no GPU here |" in text

    capsys.readouterr()
    retrieval.main([*common, "--list", "--skip", "product"])
    assert capsys.readouterr().out.split("\n") == ["evaluate", "needs a GPU", ""]


def test_results_of_other_machines_or_versions_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "retrieval-small-some.json"
    run: dict[str, Any] = {"size": "small", "counts": {}, "machine": {"cores": 2}, "threads": 2}
    run["versions"] = {"torch": "2", "faiss-cpu": "1"}
    path.write_text(json.dumps(run | {"versions": {"torch": "2"}, "lines": {"a": {}}}))
    assert retrieval.start(path, run, keep=False) == run
    # A peer that was installed since changes nothing about the lines that are there.
    assert retrieval.start(path, run, keep=True) == run | {"lines": {"a": {}}}
    path.write_text(json.dumps(run | {"threads": 1}))
    with pytest.raises(ValueError, match=r"threads 1, this run 2: their times do not compare"):
        retrieval.start(path, run, keep=True)
    path.write_text(json.dumps(run | {"versions": {"torch": "1"}}))
    with pytest.raises(ValueError, match=r"torch 1, this run 2: their times do not compare"):
        retrieval.start(path, run, keep=True)


def done(seconds: float, **more: Any) -> dict[str, Any]:
    return {"status": "done", "seconds": seconds, "peak_bytes": 2e9, "facts": {}, **more}


def test_targets_are_judged_by_the_fastest_that_ran() -> None:
    target = Target("market", "own", "faster", 40, 18, ("slow", "quick", "dead"))
    lines = {
        "own": done(0.5, facts={"seconds: propagation": 0.1}),
        "slow": done(30, facts={"seconds: propagation": 20.0}),
        "quick": done(10),
        "dead": {"status": "out of memory", "message": ""},
    }
    assert measured(target, lines) == (20, "quick")
    assert verdict(target, 20, target.units) == ">= 40 x: missed"
    assert verdict(target, 20, target.plain) == ">= 18 x: met"
    phase = Target("market", "own", "faster", 100, None, ("slow", "quick"), "propagation")
    assert measured(phase, lines) == (pytest.approx(200), "slow")
    assert verdict(phase, 200, phase.plain) == ""
    times = Target("market", "own", "times", 1.5, 1.5, ("quick",))
    assert measured(times, lines) == (0.05, "quick")
    assert verdict(times, 1.5, 1.5) == "< 1.5 x: missed"
    assert measured(Target("market", "own", "GB", 2, 2), lines) == (2, "")
    dead = Target("market", "own", "faster", 2, 2, ("dead", "absent"))
    assert measured(dead, lines) == (None, "dead: out of memory; absent: not run")
    assert verdict(dead, None, 2) == ">= 2 x: no figure"
    own = Target("market", "dead", "GB", 2, 2)
    assert measured(own, lines) == (None, "dead: out of memory")


def test_targets_and_lines_name_lines_that_exist() -> None:
    at: dict[str, Line] = {line.name: line for line in LINES}
    assert len(at) == len(LINES)
    for target in TARGETS:
        assert target.size in SIZES
        for name in (target.line, *target.against):
            assert target.size in at[name].sizes
    for line in LINES:
        assert line.beside is None or set(line.sizes) <= set(at[line.beside].sizes)
        assert set(line.sizes) <= set(SIZES)


def test_the_page_is_what_the_committed_results_say() -> None:
    runs = report.read_runs(FOLDER / "results")
    page = FOLDER.parent / "docs" / "benchmarks.md"
    assert page.read_text() == report.render(runs), (
        "docs/benchmarks.md is not what benchmarks/results say: run "
        "python benchmarks/retrieval.py --render"
    )
