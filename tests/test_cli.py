"""The command line: one line for a mistake, a log of what was said, overrides from both sides."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from reid_repro.cli import app

RUN = "baseline/bnneck/rendered-vehicles/seed0"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data", "index", "veri777"], "unknown dataset 'veri777'"),
        (["data", "index", "market1501", "--config", "[1]"], "--config: expected YAML"),
        (["data", "index", "market1501", "--config", "a: ["], "--config: expected YAML"),
        (["data", "index", "market1501", "--config", "{speed: 3}"], "unknown key 'speed'"),
        (["train", "baseline/bnneck"], "expected PAPER/VARIANT/DATASET/seedN"),
        (["train", "baseline/pcb/rendered-vehicles/seed0"], "no variant 'pcb'"),
        (["train", RUN], "content.json: no such file"),
        (["features", RUN, "test"], "images.parquet: no such file"),
        (["data", "describe", "market1501"], "content.json: no such file"),
        (["metrics", RUN, "test", "gcn"], "unknown re-ranker 'gcn'; known: none, aqe"),
        (["metrics", RUN, "test", "none"], "test.npy: missing or damaged"),
        (["table", "baseline", "table9"], "no table 'table9'; known: retrieval"),
        (["table", "baseline", "retrieval"], "no such file; the phase before writes it"),
        (["table", "baselin", "retrieval"], "unknown paper 'baselin'; known: baseline"),
        (["table", "gnn", "table5"], "no such file; the phase before writes it"),
        (["table", "gnn", "table3"], "reranking.json: no such file; the phase before writes it"),
        (["sweep", "gcn", RUN, "test"], "unknown paper 'gcn'; known: baseline"),
        (["sweep", "gnn", RUN, "test"], "test.npy: missing or damaged"),
        (["parts", "rendered-pedestrians"], "shows no vehicles: it has no parts"),
        (["parts", "rendered-vehicles"], "content.json: no such file"),
        (["true-places", "keypoints", "market1501"], "has no true keypoints"),
        (["score-places", "keypoints", "market1501"], "true keypoints are not known"),
        (["detector", "parts"], "splits.parquet: no such file"),
        (["times", "gnn", "clock"], "no timing 'clock' of paper 'gnn'"),
        (["sweep-figure", "gnn", "figure1"], "no figure 'figure1'; known: figure2"),
        (["sweep-figure", "gnn", "figure2"], "figure2.csv: no such file"),
        (["summary"], "no such file; the phase before writes it"),
    ],
)
def test_a_mistake_is_one_line_and_status_one(
    repository: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = CliRunner().invoke(app, [*arguments, "--results", str(tmp_path)])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert words in done.stderr


def test_the_plan_lists_runs_and_takes_overrides_from_both_sides(repository: Path) -> None:
    assert RUN in CliRunner().invoke(app, ["plan", "--runs"]).stdout.splitlines()
    two = CliRunner().invoke(app, ["plan", "--runs", "--config", "seeds: [0, 1]"]).stdout
    environment = {"REID_REPRO_CONFIG": '{"seeds": [0, 1]}'}
    assert two == CliRunner().invoke(app, ["plan", "--runs"], env=environment).stdout
    one = CliRunner().invoke(app, ["plan", "--runs"]).stdout.splitlines()
    assert len(two.splitlines()) == 2 * len(one)


def test_what_is_said_is_in_the_log_too(repository: Path, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "x.log"
    arguments = ["data", "index", "veri777", "--results", str(tmp_path), "--log", str(log)]
    done = CliRunner().invoke(app, arguments)
    assert log.read_text() == done.stderr


def test_an_unexpected_error_leaves_its_traceback_in_the_log(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise ZeroDivisionError("not foreseen")

    monkeypatch.setattr("reid_repro.cli_options.planning.load", breaks)
    log = tmp_path / "x.log"
    arguments = ["data", "index", "market1501", "--results", str(tmp_path), "--log", str(log)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "ZeroDivisionError: not foreseen" in log.read_text()
    assert "Traceback" in log.read_text()
