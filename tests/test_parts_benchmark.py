"""The benchmark of part detection measures the real thing, and its results name no place."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from parts_world import detector, write_vehicles

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import parts_detection


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> parts_detection.Drawn:
    folder = tmp_path_factory.mktemp("vehicles")
    write_vehicles(folder, train=4, test=4, side=64)
    return parts_detection.Drawn(folder)


def test_speed_is_measured_beside_the_bare_network(drawn: parts_detection.Drawn) -> None:
    found = parts_detection.speed(detector(), drawn, repeats=2)
    assert found["images"] == len(drawn.store)
    assert found["images_per_second"] > 0
    quotient = found["images_per_second"] / found["bound_images_per_second"]
    assert found["ratio"] == pytest.approx(quotient, rel=0.02, abs=1e-3)


def test_longer_training_is_trained_longer(drawn: parts_detection.Drawn) -> None:
    found = parts_detection.learning(detector(iterations=2), drawn, drawn, times=3)
    assert found["iterations"] == 6
    assert found["images"] == len(drawn.test)
    assert set(found["recall"]) == set(found["prior_recall"]) == {"4", "6", "8", "10"}


def test_results_are_committed_and_name_no_place_of_the_machine() -> None:
    files = sorted(parts_detection.RESULTS.glob("parts-*.json"))
    assert files, "no result is committed"
    for file in files:
        text = file.read_text("utf-8")
        run = json.loads(text)
        assert run["detection"]["ratio"] > 0
        assert run["machine"]["processor"]["model"]
        assert not re.search(r"/(home|root|work|tmp|usr)\b", text)
        if "learning" in run:
            once, more = run["learning"]
            assert more["iterations"] == 5 * once["iterations"]
            assert more["recall"]["8"] > once["recall"]["8"] >= once["prior_recall"]["8"] + 0.2
