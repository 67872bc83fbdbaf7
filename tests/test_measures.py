"""Measures on small tensors and tables, against naive loops."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from reid_repro.measures import (
    activation,
    boxes,
    corners,
    costs,
    first_ranks,
    gaps,
    neighbours,
    robustness,
    views,
)
from reid_repro.measures.source import LeftOutError
from reid_repro.models.outputs import Neck
from reid_repro.phases.inputs import Trial
from reid_repro.rendering import vehicles
from reid_repro.rendering.cameras import Shot

FINE = 64  # of the naive raster


def boxes_on_a_raster() -> st.SearchStrategy[list[tuple[float, float, float, float]]]:
    """Boxes with corners on a raster of FINE steps, also empty ones."""
    step = st.integers(0, FINE)
    corner = st.tuples(step, step, step, step)
    upright = corner.map(
        lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
    )
    shares = upright.map(lambda c: tuple(value / FINE for value in c))
    return st.lists(shares, min_size=1, max_size=5)


def painted(found: list[tuple[float, float, float, float]]) -> npt.NDArray[np.bool_]:
    raster = np.zeros((FINE, FINE), bool)
    for x0, y0, x1, y1 in found:
        for row, column in product(range(FINE), range(FINE)):
            inside = x0 * FINE <= column < x1 * FINE and y0 * FINE <= row < y1 * FINE
            raster[row, column] |= inside
    return raster


@settings(max_examples=25)
@given(boxes_on_a_raster())
def test_the_union_of_boxes_is_what_they_paint(
    found: list[tuple[float, float, float, float]],
) -> None:
    assert boxes.union_area(np.array([found]))[0] == pytest.approx(painted(found).mean())


@settings(max_examples=25)
@given(boxes_on_a_raster())
def test_a_cell_is_covered_as_far_as_it_is_painted(
    found: list[tuple[float, float, float, float]],
) -> None:
    # 4 cells of 16 samples: the raster of the sampling is that of the corners.
    cover = boxes.cell_cover(np.array(found), 4, 4)
    raster = painted(found)
    for row, column in product(range(4), range(4)):
        cell = raster[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        assert cover[row, column] == pytest.approx(cell.mean())


def test_areas_beyond_the_image_do_not_count_and_no_boxes_cover_nothing() -> None:
    assert boxes.union_area([[[-1, -1, 0.5, 0.5], [0.25, 0.25, 2, 0.5]]])[0] == pytest.approx(0.375)
    assert not boxes.cell_cover(np.empty((0, 4)), 3, 5).any()
    assert boxes.cell_cover(np.empty((0, 4)), 3, 5).shape == (3, 5)


def test_mass_is_shared_by_what_is_covered() -> None:
    rng = np.random.default_rng(0)
    maps, cover = rng.random((3, 4, 5)), rng.random((3, 4, 5))
    expected = [
        sum(m * c for m, c in zip(one.ravel(), part.ravel(), strict=True)) / one.sum()
        for one, part in zip(maps, cover, strict=True)
    ]
    np.testing.assert_allclose(boxes.share_inside(maps, cover), expected)
    assert np.isnan(boxes.share_inside(np.zeros((1, 2, 2)), np.ones((1, 2, 2)))).all()
    with pytest.raises(ValueError, match="negative"):
        boxes.share_inside(-maps, cover)


def test_an_activation_map_adds_up_to_its_logit() -> None:
    torch.manual_seed(0)
    neck = Neck(6, 5).eval()
    assert neck.norm.running_mean is not None
    assert neck.norm.running_var is not None
    with torch.no_grad():
        neck.norm.weight.uniform_(0.5, 2)
        neck.norm.running_mean.normal_()
        neck.norm.running_var.uniform_(0.5, 3)
        neck.classifier.weight.normal_()
        features = torch.rand(4, 6, 3, 2)
        maps = activation.activation(features, neck)
        logits = neck.classifier(neck(features.mean(dim=(2, 3))))
        for image in range(4):
            best = int(logits[image].argmax())
            scale = neck.norm.weight / (neck.norm.running_var + neck.norm.eps) ** 0.5
            for row, column in product(range(3), range(2)):
                cell = sum(
                    neck.classifier.weight[best, k] * scale[k] * features[image, k, row, column]
                    for k in range(6)
                )
                assert float(maps[image, row, column]) == pytest.approx(float(cell), abs=1e-5)
            # What the neck takes off every cell alike is the rest of the logit.
            offset = (neck.classifier.weight[best] * scale * neck.norm.running_mean).sum()
            assert float(maps[image].mean() - offset) == pytest.approx(
                float(logits[image, best]), abs=1e-4
            )


def test_active_is_half_of_the_maximum_and_nothing_without_a_positive_cell() -> None:
    maps = np.array([[[4.0, 2.0], [1.9, -9.0]], [[-1.0, -2.0], [-3.0, 0.0]]])
    np.testing.assert_allclose(activation.active_share(maps), [0.5, 0.0])


@pytest.mark.parametrize("crop", [0.4, 0.5, 2 / 3, 0.75])
def test_a_corner_belongs_to_one_corner_region_alone(crop: float) -> None:
    height, width = 8, 12
    high, wide = int(crop * height + 1e-9), int(crop * width + 1e-9)
    cells = corners.corner_cells(height, width, crop)
    for row, column in product(range(height), range(width)):
        tops = [row < high, row >= height - high]
        lefts = [column < wide, column >= width - wide]
        regions = sum(top and left for top in tops for left in lefts)
        assert cells[row, column] == (regions == 1)


@pytest.fixture(scope="module")
def ranking() -> pd.DataFrame:
    """Ten answers to each of seven queries."""
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "query": np.repeat(np.arange(7) * 3, 10),
            "rank": np.tile(np.arange(1, 11), 7),
            "image": rng.integers(100, 112, 70),
            "match": rng.random(70) < 0.4,
        }
    ).sample(frac=1, random_state=0)


@pytest.mark.parametrize("first", [1, 5, 10])
def test_right_answers_are_counted_up_to_a_rank(ranking: pd.DataFrame, first: int) -> None:
    queries, counts = first_ranks.right_answers(ranking, first)
    assert queries.tolist() == [0, 3, 6, 9, 12, 15, 18]
    for query, count in zip(queries, counts, strict=True):
        rows = ranking[ranking["query"] == query].to_dict("records")
        assert count == sum(row["match"] for row in rows if row["rank"] <= first)
    with pytest.raises(ValueError, match="10 ranks are kept, 11"):
        first_ranks.right_answers(ranking, 11)


def test_azimuths_are_those_that_were_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    original = vehicles.draw_shot

    def record(camera: Any, rng: Any) -> Shot:
        shot = original(camera, rng)
        drawn.append(shot.azimuth)
        return shot

    monkeypatch.setattr(vehicles, "draw_shot", record)
    renderer = vehicles.VehicleRenderer(seed=5, cameras=3)
    names = []
    for identity, camera, index in ((0, 0, 0), (4, 2, 1), (17, 1, 3)):
        renderer.render(identity, camera, index, (32, 32))
        names.append(f"{identity + 1:04d}_c{camera + 1}_{index:02d}.jpg")
    assert views.azimuths(names, seed=5, cameras=3).tolist() == drawn
    with pytest.raises(ValueError, match=r"'holiday\.jpg' is no rendered image"):
        views.azimuths(["holiday.jpg"], seed=5, cameras=3)


def test_sides_wrap_around() -> None:
    degrees = [0, 60, 61, 119, 120, 180, 240, 241, 299, 300, 359.9]
    expected = "front front side side rear rear rear side side front front"
    assert views.side(degrees).tolist() == expected.split()


def test_cross_view_recall_counts_front_views_of_other_cameras() -> None:
    rng = np.random.default_rng(0)
    tables = [
        pd.DataFrame(
            {
                "image": np.arange(start, start + 40),
                "identity": rng.integers(1, 4, 40),
                "camera": rng.integers(0, 4, 40),
                "side": rng.choice(["front", "side", "rear"], 40),
            }
        )
        for start in (0, 100)
    ]
    query, gallery = tables
    rows = []
    for one in query.itertuples():
        kept = gallery[~((gallery.identity == one.identity) & (gallery.camera == one.camera))]
        for rank, answer in enumerate(kept.sample(10, random_state=one.image).itertuples(), 1):
            match = answer.identity == one.identity
            rows.append({"query": one.image, "rank": rank, "image": answer.image, "match": match})
    found = views.cross_recall(pd.DataFrame(rows), query, gallery, first=5)
    expected = {}
    for one in query[query["side"] == "rear"].itertuples():
        wanted = [
            other.image
            for other in gallery.itertuples()
            if other.side == "front"
            and other.identity == one.identity
            and other.camera != one.camera
        ]
        hits = [r for r in rows if r["query"] == one.image and r["rank"] <= 5 and r["match"]]
        if wanted:
            right = sum(r["image"] in wanted for r in hits)
            expected[one.image] = right / min(5, len(wanted))
    assert len(expected) > 5
    assert found.to_dict() == pytest.approx(expected)
    assert found.nunique() > 2


def test_neighbourhoods_overlap_as_sets_do() -> None:
    rng = np.random.default_rng(1)
    others = np.stack([rng.permutation(12)[:5] for _ in range(6)])
    expected = [len({*a} & {*others[0]}) / len({*a} | {*others[0]}) for a in others.tolist()]
    np.testing.assert_allclose(neighbours.jaccard(others[0], others), expected)


@pytest.mark.parametrize("remove", [True, False])
def test_overlaps_are_of_near_right_and_near_wrong_answers(remove: bool) -> None:
    rng = np.random.default_rng(2)
    identity = np.array([1, 2, 3, 4, *np.repeat([1, 2, 3, 4], 5), -1, -1])
    camera = rng.integers(0, 2, len(identity))
    features = (rng.normal(size=(6, 4))[identity] + 0.9 * rng.normal(size=(26, 4))).astype("f4")
    rows = pd.DataFrame({"image": np.arange(26), "identity": identity, "camera": camera})
    trial = Trial(features[:4], features[4:], rows[:4], rows[4:])
    right, wrong = neighbours.overlaps_of(trial, 6, remove=remove)
    real = [i for i in range(26) if identity[i] >= 0]

    def nearest(image: int, among: list[int]) -> list[int]:
        gap = [float(((features[image] - features[other]) ** 2).sum()) for other in among]
        return [among[place] for place in np.argsort(gap, kind="stable")[:6]]

    def alike(a: int, b: int) -> float:
        one, other = {*nearest(a, real)}, {*nearest(b, real)}
        return len(one & other) / len(one | other)

    checked = 0
    for query in range(4):
        answers = nearest(query, [i for i in real if i >= 4])
        if remove:
            answers = [
                a
                for a in answers
                if not (identity[a] == identity[query] and camera[a] == camera[query])
            ]
        own = [alike(query, a) for a in answers if identity[a] == identity[query]]
        foreign = [alike(query, a) for a in answers if identity[a] != identity[query]]
        if not own or not foreign:
            assert np.isnan([right[query], wrong[query]]).all()
            continue
        checked += 1
        assert right[query] == pytest.approx(np.mean(own))
        assert wrong[query] == pytest.approx(np.mean(foreign))
    assert checked >= 2


def test_training_images_are_split_as_a_test_is() -> None:
    rows = pd.DataFrame(
        {
            "image": np.arange(14),
            "identity": [1, 1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4],
            "camera": [0, 0, 1, 1, 5, 5, 0, 1, 2, 2, 1, 2, 1, 0],
        }
    )
    query, gallery = gaps.split(rows, 3)
    # Identity 2 is seen by one camera alone.
    assert query["image"].tolist() == [0, 2, 6, 7, 8, 9, 10, 13]
    assert gallery["image"].tolist() == [1, 3, 11, 12]
    few, _ = gaps.split(rows, 2)
    assert few["identity"].nunique() == 2
    with pytest.raises(LeftOutError, match="two cameras"):
        gaps.split(rows[rows["identity"] == 2], 3)


def test_the_mean_of_all_items_is_the_gap_of_the_means() -> None:
    train, test = np.array([0.9, 0.8, 1.0]), np.array([0.2, 0.4])
    assert gaps.weighed(train, test).mean() == pytest.approx(train.mean() - test.mean())
    assert len(gaps.weighed(train, test)) == 5
    # A resample that draws more training items than there are does not move the gap.
    level = gaps.weighed(np.full(3, 0.9), np.full(2, 0.5))
    assert level == pytest.approx(np.full(5, 0.4))


def test_changes_keep_the_size_and_change_what_they_say() -> None:
    ramp = np.tile(np.arange(60, 120, dtype=np.uint8)[:, None], (1, 3)).reshape(1, 60, 3)
    image = Image.fromarray(np.repeat(ramp, 40, axis=0))
    for change in robustness.CHANGES.values():
        assert change(image).size == image.size
    kept = np.asarray(robustness.cropped(image))[20, :, 0]
    # What is cut off is as much left as right, and what is left reaches over the whole.
    assert kept[0] == pytest.approx(60 + 60 * (1 - robustness.KEPT) / 2, abs=1)
    assert kept[-1] == pytest.approx(119 - 60 * (1 - robustness.KEPT) / 2, abs=1)
    dark = np.asarray(robustness.darkened(image), float)
    assert dark.mean() == pytest.approx(robustness.LIGHT * np.asarray(image).mean(), abs=1)
    turned = np.asarray(robustness.rotated(image))
    assert tuple(turned[0, 0]) == robustness.GROUND
    assert abs(int(turned[20, 30, 0]) - 90) <= 2


def test_the_best_of_several_is_kept_and_works_take_turns() -> None:
    order: list[str] = []
    works = {name: (lambda name=name: order.append(name)) for name in ("a", "b")}
    seconds = costs.best_seconds(works, repeats=2)
    assert order == ["a", "b"] * (costs.WARM + 2)
    assert all(0 <= value < 1 for value in seconds.values())
