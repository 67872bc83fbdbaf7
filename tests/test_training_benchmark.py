"""The page of the training benchmark says what its files say; its measurements are real."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import training
import training_peers
from training_report import PAGE, render, verdict


def results() -> list[dict[str, Any]]:
    files = sorted(training.RESULTS.glob("training-*.json"))
    return [json.loads(file.read_text("utf-8")) for file in files]


def test_the_page_is_made_of_the_results() -> None:
    assert results(), "no result is committed"
    assert PAGE.read_text("utf-8") == render(results())


def test_results_name_the_machine_but_no_place_of_it() -> None:
    for run in results():
        text = json.dumps(run)
        assert run["machine"]["processor"]["model"]
        assert not re.search(r"/(home|root|work|tmp|usr)\b", text)
        assert "http" not in text


@pytest.mark.parametrize(("ratio", "words"), [(0.9, "met (0.900)"), (0.899, "missed (0.899)")])
def test_the_target_is_judged_by_the_ratio(ratio: float, words: str) -> None:
    assert verdict({"ratio": ratio}) == words


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[argparse.Namespace]:
    threads = torch.get_num_threads()
    size = training.SIZES["demo"]._replace(side=32, images=96)
    network = size.network.model_copy(update={"width": 8})
    monkeypatch.setitem(training.SIZES, "demo", size._replace(network=network))
    yield argparse.Namespace(size="demo", threads=1, repeats=2, only_loop=False)
    torch.set_num_threads(threads)


def absent(work: training_peers.Work) -> dict[str, Any]:
    raise training.PeerMissingError("peer is not installed: run this or that")


def test_a_measurement_has_all_that_the_page_shows(
    tiny: argparse.Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[training_peers.Work] = []

    def present(work: training_peers.Work) -> dict[str, Any]:
        seen.append(work)
        assert all(file.is_file() for file in work.files)
        seconds = work.bound(1)
        return {
            "images_per_second": 1.0,
            "bound_images_per_second": 2.0,
            "ratio": 0.5 if seconds > 0 else 0.0,
            "precision": "32-true",
        }

    monkeypatch.setattr(training, "PEERS", {"one": present, "two": absent})
    monkeypatch.setattr(training, "at_once", lambda options: {"1 x 2": 10.0, "2 x 1": 12.0})
    run = training.measure(tiny)
    assert len(seen) == 1
    loop = run["loop"]
    assert loop["batches"] * 64 >= 96
    assert loop["ratio"] == pytest.approx(
        loop["images_per_second"] / loop["bound_images_per_second"], rel=0.01
    )
    assert run["loop_float32"]["precision"] == "32-true"
    page = render([json.loads(json.dumps(run))])
    assert "| two | peer is not installed: run this or that |" in page
    assert "| one | 32-true | 1 | 2 | 0.500 |" in page
    assert "1 training of 2 threads: 10 images/s; 2 trainings of 1 thread: 12 images/s" in page


def test_without_a_gpu_its_size_is_refused(
    tiny: argparse.Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    tiny.size = "gpu"
    with pytest.raises(SystemExit, match="needs a CUDA device"):
        training.measure(tiny)
