"""Drawn galleries and judged pairs: what the phase `metrics` makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reid_repro import plan
from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet, write_json, write_parquet
from reid_repro.ledger.tables import summarise
from reid_repro.paths import metrics_file, per_query_file
from reid_repro.phases import metrics
from reid_repro.phases.inputs import Inputs
from reid_repro.retrieval.metrics import evaluate
from reid_repro.training.features import rows_of

RUN = plan.Run("baseline", "bnneck", "rendered-vehicles", 0)
PROTOCOL = {"same_camera": "keep", "ap": "step", "single_gallery_shot": False, "repeats": 1}
DRAWS = 4


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Ten identities of five images; in each trial one of each is the gallery."""
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(1, 11), 5)
    centres = rng.normal(size=(10, 6))
    images = pd.DataFrame({"image": [f"{n}.jpg" for n in range(50)], "identity": identity})
    images["camera"] = -1
    parts = []
    for trial in range(DRAWS):
        gallery = np.array([rng.choice(np.flatnonzero(identity == i)) for i in range(1, 11)])
        query = np.setdiff1d(np.arange(50), gallery)
        for role, chosen in (("query", query), ("gallery", gallery)):
            parts.append(pd.DataFrame({"trial": trial, "role": role, "image": chosen}))
    splits = pd.concat(parts, ignore_index=True).assign(subset="small")
    rows = rows_of(images, splits, "small")
    features = centres[rows["identity"] - 1] + 1.2 * rng.normal(size=(len(rows), 6))
    file = tmp_path / "features" / str(RUN) / "small.npy"
    file.parent.mkdir(parents=True)
    np.save(file, features.astype(np.float32))
    write_parquet(file.with_suffix(".parquet"), rows)
    data = tmp_path / "data" / RUN.dataset
    write_parquet(data / "splits.parquet", splits)
    write_json(data / "dataset.json", {"protocol": PROTOCOL})
    return tmp_path


def expected(world: Path) -> list[Any]:
    """Each trial by itself, its features picked by hand."""
    file = world / "features" / str(RUN) / "small.npy"
    features, rows = np.load(file), read_parquet(file.with_suffix(".parquet"))
    place = {image: number for number, image in enumerate(rows["image"])}
    splits = read_parquet(world / "data" / RUN.dataset / "splits.parquet")
    found = []
    for trial in range(DRAWS):
        sides = []
        for role in ("query", "gallery"):
            chosen = splits[(splits["trial"] == trial) & (splits["role"] == role)]["image"]
            at = [place[image] for image in chosen]
            sides.append((features[at], rows["identity"].to_numpy()[at]))
        (query, query_ids), (gallery, gallery_ids) = sides
        found.append(evaluate(query, gallery, query_ids, gallery_ids, same_camera="keep"))
    return found


def test_each_image_is_described_once(world: Path) -> None:
    rows = read_parquet(world / "features" / str(RUN) / "small.parquet")
    assert sorted(rows["image"]) == list(range(50))


@pytest.mark.parametrize("reranker", ["none", "aqe"])
def test_values_are_means_over_the_trials(world: Path, reranker: str) -> None:
    metrics.run(plan.load({}), str(RUN), "small", [reranker], world)
    file = metrics_file(world, RUN, "small", reranker)
    content, frame = read_json(file), read_parquet(per_query_file(file))
    assert content["trials"] == DRAWS
    assert content["n_gallery"] == 10
    assert sorted(frame["trial"].unique()) == list(range(DRAWS))
    assert len(frame) == 40 * DRAWS
    assert content["mAP"] == pytest.approx(frame["AP"].mean(), abs=1e-6)
    of_trial = frame.groupby("trial")["AP"].mean()
    assert content["mAP_sd"] == pytest.approx(of_trial.std(ddof=1), abs=1e-6)
    hits = (frame["first_hit"] <= 5).groupby(frame["trial"]).mean()
    assert content["cmc"][4] == pytest.approx(hits.mean())
    assert content["cmc_sd"][4] == pytest.approx(hits.std(ddof=1))
    cell = summarise([file], ("R5",), plan.load({}).config.statistics)[0]
    assert cell["value"] == pytest.approx(content["cmc"][4], abs=1e-6)
    assert cell["draw_sd"] == pytest.approx(content["cmc_sd"][4], abs=1e-6)
    if reranker == "none":
        single = [one.mAP for one in expected(world)]
        assert content["mAP"] == pytest.approx(np.mean(single))
        # One right answer a query: AP is the inverse of its rank.
        np.testing.assert_allclose(frame["AP"], 1 / frame["first_hit"], rtol=1e-6)


def test_features_of_other_splits_are_refused(world: Path) -> None:
    file = world / "data" / RUN.dataset / "splits.parquet"
    splits = read_parquet(file)
    splits.loc[0, "image"] = 77
    write_parquet(file, splits)
    with pytest.raises(UserError, match=r"small\.npy: made from other splits; delete it"):
        Inputs.read(str(RUN), "small", world)


def test_judgements_stand_in_for_identities(world: Path) -> None:
    data = world / "data" / RUN.dataset
    splits = read_parquet(data / "splits.parquet")
    write_parquet(data / "splits.parquet", splits[splits["trial"] == 0])
    gallery = splits[(splits["trial"] == 0) & (splits["role"] == "gallery")]["image"].to_numpy()
    queries = splits[(splits["trial"] == 0) & (splits["role"] == "query")]["image"].to_numpy()
    judged = pd.DataFrame(
        {"query": queries[0], "image": gallery[:3], "judgement": ["good", "ok", "junk"]}
    )
    write_parquet(data / "judgements.parquet", judged)
    metrics.run(plan.load({}), str(RUN), "small", ["none"], world)
    file = metrics_file(world, RUN, "small", "none")
    content, frame = read_json(file), read_parquet(per_query_file(file))
    assert (content["n_query"], content["n_valid"]) == (40, 1)
    features = np.load(world / "features" / str(RUN) / "small.npy")
    rows = read_parquet(world / "features" / str(RUN) / "small.parquet")["image"].tolist()
    others = [image for image in gallery if image != gallery[2]]
    distance = {
        image: np.linalg.norm(features[rows.index(image)] - features[rows.index(queries[0])])
        for image in others
    }
    order = sorted(others, key=lambda image: distance[image])
    ranks = sorted(order.index(image) + 1 for image in gallery[:2])
    assert frame["AP"].item() == pytest.approx((1 / ranks[0] + 2 / ranks[1]) / 2, abs=1e-6)
    assert frame["first_hit"].item() == ranks[0]
    shown = read_parquet(world / "rankings" / str(RUN) / "small" / "none.parquet")
    shown = shown[shown["query"] == queries[0]]
    assert shown["image"].tolist() == order  # all but the junk
    assert shown["match"].tolist() == [image in gallery[:2] for image in order]


def test_a_query_is_cropped_to_its_box(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    images = pd.DataFrame(
        {
            "image": ["a.png"] * 4,
            "box_x0": [np.nan, 2.0, -3.0, 40.0],
            "box_y0": [np.nan, 5.0, 0.0, 0.0],
            "box_x1": [np.nan, 12.4, 99.0, 50.0],
            "box_y1": [np.nan, 9.0, 99.0, 9.0],
        }
    )
    store = ImageStore(folder=tmp_path, images=images, root=tmp_path)
    np.testing.assert_array_equal(store[0], pixels)
    np.testing.assert_array_equal(store[1], pixels[5:9, 2:12])
    np.testing.assert_array_equal(store[2], pixels)
    with pytest.raises(UserError, match=r"a\.png: its box 40 0 50 9 holds no pixel of 30 x 20"):
        store[3]
