"""The phase that measures: from networks and features in files to values and sheets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from reid_repro import datasets, models
from reid_repro.datasets.images import ImageStore
from reid_repro.datasets.places import load as load_places
from reid_repro.datasets.places import true_keypoints, true_parts
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet, write_json, write_parquet
from reid_repro.measures import corners, gaps, recipes
from reid_repro.measures.part_attention import attention_of_queries
from reid_repro.measures.source import QUERIES, Source
from reid_repro.networks import needs
from reid_repro.phases import complexity, features, measures, metrics
from reid_repro.phases.models import load as load_network
from reid_repro.plan import Plan, load
from reid_repro.retrieval import evaluate
from reid_repro.training.augment import IMAGENET_MEAN, IMAGENET_STD
from reid_repro.training.features import extract

TINY = {
    "train_identities": 4,
    "test_identities": 8,
    "cameras": 3,
    "train_images_per_camera": 2,
    "test_images_per_camera": 2,
    "height": 128,
}
OVERRIDES: dict[str, Any] = {
    "papers": ["chca", "pgan", "ssrnet", "gnn", "glad"],
    "datasets": {
        "rendered-vehicles": TINY | {"width": 128},
        "rendered-pedestrians": TINY | {"width": 64},
    },
    "model": {"width": 8},
}
VEHICLES, PEDESTRIANS = "rendered-vehicles", "rendered-pedestrians"


@dataclass(frozen=True)
class Made:
    """A plan, and results with every run's network (random weights), features and ranking."""

    plan: Plan
    results: Path

    def frame(self, paper: str, dataset: str) -> pd.DataFrame:
        """The values, measured now if they are not there yet."""
        file = recipes.measures_file(self.results, paper, dataset)
        if not file.exists():
            measures.run(self.plan, paper, dataset, self.results, threads=1)
        return read_parquet(file)

    def values(self, paper: str, dataset: str) -> dict[tuple[str, ...], pd.Series]:
        """The values by figure and key, each by item."""
        frame = self.frame(paper, dataset)
        return {
            (str(figure), *json.loads(str(key))): part.set_index("item")["value"]
            for (figure, key), part in frame.groupby(["figure", "key"])
        }


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The phases set the number of threads for good."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    plan = load(OVERRIDES, workflow=Path(__file__).parent.parent / "workflow")
    results = tmp_path_factory.mktemp("measured") / "results"
    for dataset in (VEHICLES, PEDESTRIANS):
        folder = results / "data" / dataset
        datasets.write(datasets.index(dataset, plan.dataset(dataset), folder), folder)
        datasets.describe(plan.dataset(dataset), folder)
        notes = read_parquet(folder / "annotations.parquet")
        count = len(ImageStore.open(folder))
        vehicles = dataset == VEHICLES
        places = true_parts(notes, count) if vehicles else true_keypoints(notes)
        kind = "parts" if vehicles else "keypoints"
        write_parquet(results / kind / dataset / f"{kind}.parquet", places)
    for number, run in enumerate(plan.runs):
        resolved = plan.resolve(run)
        torch.manual_seed(number)
        options = resolved.model.model_dump(exclude={"name"}) | {"weights": "none"}
        network = models.build(resolved.model.name, TINY["train_identities"], **options)
        out = results / "models" / str(run)
        out.mkdir(parents=True)
        state = {key: value.contiguous() for key, value in network.state_dict().items()}
        save_file(state, out / "weights.safetensors")
        facts = resolved.model_dump(mode="json") | {"num_classes": TINY["train_identities"]}
        write_json(out / "run.json", facts)
        features.run(plan, str(run), "test", results, threads=1)
        if run.paper != "baseline":
            metrics.run(plan, str(run), "test", ["none"], results)
    seconds = {"single": 0.003, "coarse": 0.001, "fine": 0.002}
    entries = [{"of": "few_128", "dim": 128, "seconds": seconds}]
    write_json(results / "timings" / "glad" / "groups.json", {"shrink": 1, "entries": entries})
    return Made(plan, results)


def test_every_figure_is_measured_where_its_runs_are_planned(made: Made) -> None:
    assert {*recipes.measured(made.plan)} == {
        ("chca", VEHICLES),
        ("pgan", VEHICLES),
        ("ssrnet", VEHICLES),
        ("gnn", VEHICLES),
        ("gnn", PEDESTRIANS),
        ("glad", PEDESTRIANS),
    }
    found = made.values("pgan", VEHICLES)
    assert {key[0] for key in found} == {"Fig. 1", "Fig. 4", "Fig. 5", "A.2", "A.3", "cost"}
    facts = read_json(recipes.measures_file(made.results, "pgan", VEHICLES).with_suffix(".json"))
    assert facts["left_out"] == []
    assert facts["runs"] == [f"pgan/{v}/{VEHICLES}/seed0" for v in ("pgan", "uniform", "grid")]
    for entry in facts["measures"]:
        values = found[(entry["figure"], *entry["key"])]
        assert entry["value"] == pytest.approx(values.mean(), abs=1e-5)
        assert entry["items"] == len(values)
    made.frame("ssrnet", VEHICLES)
    facts = read_json(recipes.measures_file(made.results, "ssrnet", VEHICLES).with_suffix(".json"))
    assert [one["figure"] for one in facts["left_out"]] == ["lambda", "gap"]
    assert all("ablation" in one["reason"] for one in facts["left_out"])


def test_pairs_that_are_compared_have_the_same_items_and_identities(made: Made) -> None:
    for paper, dataset in recipes.measured(made.plan):
        frame = made.frame(paper, dataset)
        images = read_parquet(made.results / "data" / dataset / "images.parquet")
        known = frame[frame["item"] >= 0]
        assert (known["identity"] == images["identity"].to_numpy()[known["item"]]).all()
        assert np.isfinite(frame["value"]).all()
        for figure, part in frame[frame["item"] >= 0].groupby("figure"):
            last = part["key"].map(lambda key: json.loads(key)[-1])
            for quantity, same in part.groupby(last):
                items = [one["item"].tolist() for _, one in same.groupby("key")]
                assert all(one == items[0] for one in items), (paper, figure, quantity)


def test_attention_in_boxes_is_the_mass_that_a_loop_finds(made: Made) -> None:
    found = made.values("pgan", VEHICLES)["Fig. 4", "grid", "attention_in_boxes"]
    source = Source(made.plan, "pgan", VEHICLES, made.results)
    maps = attention_of_queries(source, "pgan/grid").maps
    notes = read_parquet(made.results / "data" / VEHICLES / "annotations.parquet")
    assert len(found) == len(source.queries) == min(QUERIES, 24)
    height, width = maps.shape[1:]
    fine = 16
    row = int(source.queries[7])
    own = notes.loc[notes["image"] == row, ["x0", "y0", "x1", "y1"]].to_numpy().tolist()
    inside = 0.0
    for cell_row, cell in product(range(height), range(width)):
        samples = 0
        for down, right in product(range(fine), range(fine)):
            y = (cell_row + (down + 0.5) / fine) / height
            x = (cell + (right + 0.5) / fine) / width
            samples += any(x0 < x < x1 and y0 < y < y1 for x0, y0, x1, y1 in own)
        inside += float(maps[7, cell_row, cell]) * samples / fine**2
    assert found[row] == pytest.approx(inside / float(maps[7].sum()), abs=1e-4)


def test_part_attention_lies_where_the_network_was_given_boxes(made: Made) -> None:
    found = made.values("pgan", VEHICLES)
    # The boxes here are the true ones: nothing lies outside of them but what cells round up, while
    # grid attention of random weights is spread over the whole image.
    inside = {key: found["Fig. 4", key, "attention_in_boxes"] for key in ("pgan", "grid")}
    assert (inside["pgan"] > inside["grid"]).mean() > 0.8
    assert (
        found["Fig. 1", "pgan", "attention_in_parts"]
        <= found["Fig. 4", "pgan", "attention_in_boxes"] + 1e-9
    ).all()
    assert (found["A.2", "D8", "covered_area"] <= found["A.2", "D10", "covered_area"]).all()


def test_right_answers_and_single_galleries_follow_the_rankings(made: Made) -> None:
    found = made.values("ssrnet", VEHICLES)
    rankings = {
        key: read_parquet(
            made.results / f"rankings/ssrnet/{variant}/{VEHICLES}/seed0/test/none.parquet"
        )
        for key, variant in (("ssr", "ssrnet"), ("gb", "global"))
    }
    gains = {}
    for query, part in rankings["ssr"].groupby("query"):
        assert found["Fig. 6", "ssr", "mean_correct_top10"][query] == part["match"].sum()
        other = rankings["gb"][rankings["gb"]["query"] == query]
        gains[query] = part.loc[part["rank"] <= 5, "match"].sum() - other["match"].sum()
    few, many = found["Fig. 6b", "ssr", "correct_top5"], found["Fig. 6b", "gb", "correct_top10"]
    assert few.index.tolist() == many.index.tolist() == [max(gains, key=lambda q: gains[q])]
    assert few.iloc[0] - many.iloc[0] == max(gains.values())
    shares = found["Fig. 5", "ssr", "R1_single_gallery"]
    assert ((shares * 10).round(4) % 1 == 0).all()
    assert 0 < shares.mean() < 1
    area = found["Fig. 3", "corners", "area_share"]
    assert area.nunique() == 1
    assert area.iloc[0] == pytest.approx(4 * 3 * 3 / 49)  # 7 x 7 cells, regions of 4: corners of 3
    assert found["robust", "ssr", "mAP_drop"].abs().max() <= 100


@pytest.mark.parametrize(("name", "metric"), [("ssrnet/ssrnet", "mAP"), ("glad/glad", "R1")])
def test_a_gap_is_that_of_two_evaluations(made: Made, name: str, metric: str) -> None:
    dataset = VEHICLES if name == "ssrnet/ssrnet" else PEDESTRIANS
    source = Source(made.plan, name.split("/")[0], dataset, made.results)
    found = gaps.gap(source, name, ("here", metric), "")
    images = source.store.images
    network, settings = load_network(f"{name}/{dataset}/seed0", made.results)
    kind, config = needs(settings.model), made.plan.config.features
    own = load_places(made.results, dataset, kind, settings.places, len(images))
    train = source.splits.query("role == 'train'")["image"].to_numpy()
    first = ~images.iloc[train].duplicated(["identity", "camera"]).to_numpy()
    values = []
    for query, gallery in (
        (train[first], train[~first]),
        (source.rows("query"), source.rows("gallery")),
    ):
        described = [
            extract(network, source.store, rows, settings.training, config, places=own)
            for rows in (query, gallery)
        ]
        labels = [images[label].to_numpy()[r] for label in ("identity", "camera")
                  for r in (query, gallery)]  # fmt: skip
        evaluation = evaluate(described[0], described[1], *labels)
        values.append(100 * (evaluation.mAP if metric == "mAP" else float(evaluation.cmc[0])))
    assert found.values.mean() == pytest.approx(values[0] - values[1], abs=1e-3)
    assert len(found.items) == len(found.identities) == 12 + 24


def test_regions_are_as_alike_to_the_whole_as_a_loop_finds(made: Made) -> None:
    source = Source(made.plan, "ssrnet", VEHICLES, made.results)
    rows = source.queries[:3]
    found = corners.region_cosines(source, "ssrnet/ssrnet", rows)
    network, settings = load_network(f"ssrnet/ssrnet/{VEHICLES}/seed0", made.results)
    wanted = settings.training.width, settings.training.height
    shown = [
        Image.fromarray(source.store[int(row)]).resize(wanted, Image.Resampling.BILINEAR)
        for row in rows
    ]
    pixels = np.stack([np.array(one) for one in shown]).transpose(0, 3, 1, 2) / 255
    mean, deviation = (np.array(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    images = torch.from_numpy((pixels - mean) / deviation).float()
    with torch.inference_mode():
        module = network.eval()
        attended, _ = module.attention(module.backbone(images))
    size, side = 4, 7  # cells: two thirds of the map, rounded down
    for image in range(3):
        whole = attended[image].mean(dim=(1, 2))
        cosines = []
        for top, left in ((0, 0), (0, 3), (1, 1), (3, 0), (3, 3)):
            part = attended[image, :, top : top + size, left : left + size].mean(dim=(1, 2))
            cosines.append(float(part @ whole / (part.norm() * whole.norm())))
        assert attended.shape[2:] == (side, side)
        assert found[image] == pytest.approx(np.mean(cosines), abs=1e-4)


def test_joints_and_costs_of_glad(made: Made) -> None:
    found = made.values("glad", PEDESTRIANS)
    notes = read_parquet(made.results / "data" / PEDESTRIANS / "annotations.parquet")
    wrists = true_keypoints(notes).query("joint in (6, 11)").groupby("image")["confidence"].mean()
    values = found["Fig. 3", "wrist", "mean_confidence"]
    assert len(values) == 48
    np.testing.assert_allclose(values, wrists[values.index])
    key = "theta=0.0020, dim=128"
    assert found["time", key, "fine_ms"].to_dict() == {-1: pytest.approx(2)}
    assert found["time", key, "coarse_ms"].to_dict() == {-1: pytest.approx(1)}
    costs = {key for key in found if key[0] == "cost"}
    parts, times = ("fine_parts", "coarse_parts"), ("ms", "with_network_ms")
    assert costs == {("cost", part, name) for part in parts for name in times}
    assert all(found[key].iloc[0] > 0 for key in costs)


@pytest.mark.parametrize(
    ("paper", "name", "columns"), [("chca", "activation", 3), ("pgan", "attention", 3),
                                   ("ssrnet", "attention", 2)]
)  # fmt: skip
def test_sheets_show_measured_queries_with_their_numbers(
    made: Made, paper: str, name: str, columns: int
) -> None:
    found = made.values(paper, VEHICLES)
    file = recipes.looks_folder(made.results, paper, VEHICLES) / f"{name}.json"
    facts = read_json(file)
    assert file.with_suffix(".webp").stat().st_size < 150_000
    assert len(facts["columns"]) == columns
    assert len({row["identity"] for row in facts["rows"]}) == len(facts["rows"]) == 5
    measured = {
        "chca": ("active area, with CHCM", ("Fig. 5", "chcm", "active_area")),
        "pgan": ("attention in parts, grid", ("Fig. 4", "grid", "attention_in_boxes")),
        "ssrnet": ("attention in the corners", ("Fig. 3", "corners", "attention_share")),
    }
    label, key = measured[paper]
    for row in facts["rows"]:
        assert row["numbers"][label] == pytest.approx(found[key][row["query"]], abs=1e-4)


def test_the_same_files_give_the_same_values_and_sheets(made: Made, tmp_path: Path) -> None:
    made.frame("chca", VEHICLES)
    for name in ("data", "models"):
        (tmp_path / name).symlink_to(made.results / name)
    measures.run(made.plan, "chca", VEHICLES, tmp_path, threads=1)
    first, again = (
        read_parquet(recipes.measures_file(folder, "chca", VEHICLES)).query("item >= 0")
        for folder in (made.results, tmp_path)
    )
    pd.testing.assert_frame_equal(first, again)
    for end in ("webp", "json"):
        one, other = (
            recipes.looks_folder(folder, "chca", VEHICLES) / f"activation.{end}"
            for folder in (made.results, tmp_path)
        )
        assert one.read_bytes() == other.read_bytes()


def test_what_is_read_is_what_the_rules_wait_for(made: Made) -> None:
    for paper, dataset in recipes.measured(made.plan):
        for name in recipes.files(made.plan, paper, dataset):
            assert (made.results.parent / name).is_file(), name
    assert f"results/parts/{VEHICLES}/parts.parquet" in recipes.files(made.plan, "pgan", VEHICLES)
    assert needs(made.plan.resolve(made.plan.runs[0]).model) == "none"


def test_a_paper_without_measures_says_so(made: Made) -> None:
    with pytest.raises(UserError, match="nothing is measured of paper 'chca' on dataset 'lorries'"):
        measures.run(made.plan, "chca", "lorries", made.results)


def test_a_main_variant_is_held_against_the_baseline(made: Made) -> None:
    pairs = {
        paper: recipes.compared(made.plan, paper, VEHICLES) for paper in ("chca", "pgan", "ssrnet")
    }
    assert pairs == {
        "chca": ("chca", "none"),
        "pgan": ("pgan", "grid"),
        "ssrnet": ("ssrnet", "global"),
    }
    assert recipes.compared(made.plan, "gnn", VEHICLES) is None


def test_the_networks_of_table_7(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(complexity, "BATCH", {"CPU": 1, "GPU": 1})
    monkeypatch.setattr(complexity, "REPEATS", {"CPU": 1, "GPU": 1})
    complexity.run(load({}), tmp_path, threads=1)
    facts = read_json(recipes.networks_file(tmp_path, "ssrnet"))
    entry = facts["networks"]["ssrnet/ssrnet"]
    assert (entry["height"], entry["width"], entry["options"]["backbone"]) == (256, 256, "resnet50")
    printed = {"ssrnet/global": (2.35e7, 8.11e9), "ssrnet/ssrnet": (3.45e7, 9.20e9)}
    for name, (parameters, flops) in printed.items():
        assert facts["networks"][name]["params"] == pytest.approx(parameters, rel=5e-3)
        assert facts["networks"][name]["flops"] == pytest.approx(flops, rel=5e-3)
        assert facts["networks"][name]["infer_s_per_img"] > 0
