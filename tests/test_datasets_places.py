"""Oxford5k, Paris6k and University-1652: tables, splits, judgements, and how damage is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from reid_repro import datasets
from reid_repro.dataset_config import LandmarksDataset, University1652Dataset
from reid_repro.datasets.base import Dataset
from reid_repro.errors import UserError
from reid_repro.retrieval.judgements import Judgements
from reid_repro.retrieval.metrics import evaluate_distances

from standins import landmarks, university1652


def rows(dataset: Dataset, role: str) -> npt.NDArray[np.int64]:
    return dataset.splits.loc[dataset.splits["role"] == role, "image"].to_numpy()


# ---------------------------------------------------------------------------- Oxford5k and Paris6k


def open_landmarks(root: Path, name: str = "oxford5k", **settings: Any) -> Dataset:
    config = LandmarksDataset.model_validate(
        {"source": "landmarks", "root": root, "subject": "place"} | settings
    )
    return datasets.index(name, config, root)


@pytest.fixture
def oxford(tmp_path: Path) -> Path:
    landmarks.make(tmp_path / "oxford")
    return tmp_path / "oxford"


@pytest.fixture
def paris(tmp_path: Path) -> Path:
    landmarks.make(tmp_path / "paris", "paris6k")
    return tmp_path / "paris"


def test_oxford_is_indexed(oxford: Path) -> None:
    dataset = open_landmarks(oxford)
    names = landmarks.image_names()
    images = dataset.images
    assert images["image"].tolist() == [f"images/{name}" for name in names] + [
        f"images/{name}_{number:06d}.jpg"
        for name, number in (("all_souls", 13), ("radcliffe_camera", 1))
        for _ in range(2)
    ]
    identity = dict(zip(names, images["identity"], strict=False))
    assert identity == {
        "all_souls_000013.jpg": 1,
        "all_souls_000026.jpg": 1,
        "all_souls_000040.jpg": 1,
        "all_souls_000051.jpg": 1,  # ok for one, junk for the other
        "all_souls_000060.jpg": 0,  # junk alone
        "oxford_000100.jpg": 0,
        "radcliffe_camera_000001.jpg": 2,
        "radcliffe_camera_000002.jpg": 2,
        "radcliffe_camera_000003.jpg": 0,  # ok for both
        "worcester_000200.jpg": 0,
    }
    assert images["identity"].tolist()[10:] == [1, 1, 2, 2]
    assert set(images["camera"]) == {-1}
    boxes = images[["box_x0", "box_y0", "box_x1", "box_y1"]]
    assert set(boxes.dtypes) == {np.dtype(np.float32)}
    assert boxes.iloc[:10].isna().all(axis=None)
    assert (
        boxes.iloc[10:].to_numpy().tolist()
        == [
            [1.5, 2.0, 21.25, 28.0],
            [1.5, 2.0, 22.25, 28.0],
        ]
        * 2
    )
    assert rows(dataset, "gallery").tolist() == list(range(10))
    assert rows(dataset, "query").tolist() == [10, 11, 12, 13]
    assert set(dataset.splits["subset"]) == {"test"}
    assert dataset.counts()["train"]["images"] == 0
    assert dataset.counts()["query"] == {"images": 4, "identities": 2, "cameras": 0}
    assert dataset.counts()["gallery"] == {"images": 10, "identities": 2, "cameras": 0}
    judgements = dataset.judgements
    assert judgements is not None
    assert judgements.to_numpy().tolist() == [
        *(
            [query, image, judgement]
            for query in (10, 11)
            for image, judgement in (
                (0, "good"),
                (1, "good"),
                (2, "good"),
                (3, "ok"),
                (4, "junk"),
                (8, "ok"),
            )
        ),
        [12, 6, "good"],
        [12, 7, "good"],
        [12, 8, "ok"],
        [13, 3, "junk"],
        [13, 6, "good"],
        [13, 7, "good"],
        [13, 8, "ok"],
    ]


def test_paris_lies_in_folders_and_leaves_damaged_images_out(paris: Path) -> None:
    dataset = open_landmarks(paris, "paris6k", unreadable=(landmarks.UNREADABLE,))
    paths = dataset.images["image"].tolist()
    assert paths == [
        "images/defense/paris_defense_000000.jpg",
        "images/defense/paris_defense_000001.jpg",
        "images/defense/paris_defense_000002.jpg",
        "images/eiffel/paris_eiffel_000010.jpg",
        "images/eiffel/paris_eiffel_000011.jpg",
        "images/eiffel/paris_eiffel_000012.jpg",
        "images/general/paris_general_000007.jpg",
        *["images/defense/paris_defense_000000.jpg"] * 2,
        *["images/eiffel/paris_eiffel_000010.jpg"] * 2,
    ]
    assert dataset.images["identity"].tolist() == [1, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]
    assert dataset.left_out == ()
    judgements = dataset.judgements
    assert judgements is not None
    # The damaged image is junk in the lists: it is in no table.
    assert len(judgements) == 4 * 3
    assert judgements.groupby("query")["judgement"].agg(list).tolist() == [
        ["good", "good", "ok"],
        ["good", "good", "ok"],
        ["good", "good", "junk"],
        ["good", "good", "junk"],
    ]


def test_junk_overrules_good_and_good_overrules_ok(oxford: Path) -> None:
    truth = oxford / "gt_files"
    (truth / "radcliffe_camera_1_junk.txt").write_text("radcliffe_camera_000002\n")
    (truth / "radcliffe_camera_1_ok.txt").write_text("radcliffe_camera_000001\n")
    judgements = open_landmarks(oxford).judgements
    assert judgements is not None
    first = judgements[judgements["query"] == 12]
    assert first[["image", "judgement"]].to_numpy().tolist() == [[6, "good"], [7, "junk"]]


def test_landmarks_are_scored_by_their_judgements(oxford: Path) -> None:
    dataset = open_landmarks(oxford)
    assert dataset.judgements is not None
    query, gallery = rows(dataset, "query"), rows(dataset, "gallery")
    judgements = Judgements.of(dataset.judgements, query, gallery)
    ids = dataset.images["identity"].to_numpy()
    distances = np.tile(np.arange(10, dtype=np.float32), (4, 1))
    got = evaluate_distances(
        distances, ids[query], ids[gallery], ap="trapezoid", judgements=judgements
    )
    # Radcliffe Camera's second query: its matches 6, 7, 8 after 0-5 without junk 3, so at 6, 7, 8.
    assert got.first_hit.tolist() == [1, 1, 7, 6]
    third = [(1 / 6 + 0 / 5) / 2, (2 / 7 + 1 / 6) / 2, (3 / 8 + 2 / 7) / 2]
    np.testing.assert_allclose(got.ap[3], np.mean(third))


def test_queries_are_ordered_by_number(oxford: Path) -> None:
    truth = oxford / "gt_files"
    for judgement in ("query", "good", "ok", "junk"):
        (truth / f"all_souls_2_{judgement}.txt").rename(truth / f"all_souls_10_{judgement}.txt")
    assert open_landmarks(oxford).images["box_x1"].tolist()[10:12] == [21.25, 22.25]


def test_the_same_landmarks_have_the_same_hash(oxford: Path) -> None:
    before = open_landmarks(oxford).content_hash
    assert open_landmarks(oxford).content_hash == before
    file = oxford / "gt_files" / "all_souls_1_query.txt"
    file.write_text(file.read_text().replace("28.0", "27.0"))
    assert open_landmarks(oxford).content_hash != before


def test_names_of_upper_case_are_read(oxford: Path) -> None:
    path = oxford / "images" / "all_souls_000013.jpg"
    path.rename(path.with_suffix(".JPG"))
    assert open_landmarks(oxford).images["image"].iloc[10] == "images/all_souls_000013.JPG"


def damage_truth(file: str, content: str | bytes) -> Any:
    def damage(root: Path) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        (root / "gt_files" / file).write_bytes(data)

    return damage


def remove(path: str) -> Any:
    def damage(root: Path) -> None:
        (root / path).unlink()

    return damage


def rename(path: str, to: str) -> Any:
    def damage(root: Path) -> None:
        (root / to).parent.mkdir(parents=True, exist_ok=True)
        (root / path).rename(root / to)

    return damage


QUERY_FILE = "all_souls_1_query.txt"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (rename("images", "pictures"), r"images not found; `reid-repro data fetch oxford5k`"),
        (rename("gt_files", "truth"), r"gt_files not found; `reid-repro data fetch oxford5k`"),
        (remove("gt_files/all_souls_2_ok.txt"), r"all_souls_2_ok\.txt not found, but all_souls_2"),
        (
            damage_truth(QUERY_FILE, "oxc1_all_souls_000013 1 2 3\n"),
            r"all_souls_1_query\.txt, line 1: 'oxc1_all_souls_000013 1 2 3' is no `image x0 y0 x1",
        ),
        (
            damage_truth(QUERY_FILE, "oxc1_all_souls_000013 1 2 x 4\n"),
            r"line 1: 'oxc1_all_souls_000013 1 2 x 4' is no `image",
        ),
        (
            damage_truth(QUERY_FILE, "oxc1_all_souls_000013 9 2 3 4\n"),
            r"with x0 < x1 and y0 < y1; unpack the ground truth anew",
        ),
        (damage_truth(QUERY_FILE, "oxc1_all_souls_000013 nan 2 3 4\n"), "is no `image"),
        (damage_truth(QUERY_FILE, ""), r"all_souls_1_query\.txt: 0 lines; a query file has one"),
        (
            damage_truth("all_souls_1_good.txt", "all_souls_000013\nall_souls_000099\n"),
            r"all_souls_1_good\.txt, line 2: no image 'all_souls_000099' below .*images",
        ),
        (
            damage_truth("all_souls_1_good.txt", "all_souls_000013\nall_souls_000013\n"),
            r"all_souls_1_good\.txt, line 2: 'all_souls_000013' stands in line 1 already",
        ),
        (
            damage_truth("all_souls_1_good.txt", "\nall_souls_000013\n\nall_souls_000013\n"),
            r"all_souls_1_good\.txt, line 4: 'all_souls_000013' stands in line 2 already",
        ),
        (
            damage_truth("all_souls_1_good.txt", "all_souls_000013 3\n"),
            r"all_souls_1_good\.txt, line 1: 'all_souls_000013 3' is no name of one image",
        ),
        (
            damage_truth("all_souls_1_good.txt", b"all_souls_000013\n\xff\xfe\n"),
            r"all_souls_1_good\.txt, line 2: not utf-8 text",
        ),
        (
            remove("images/all_souls_000013.jpg"),
            r"all_souls_1_query\.txt, line 1: no image 'all_souls_000013'",
        ),
        (
            lambda root: (root / "images/oxford_000100.jpg").write_bytes(b""),
            r"1 of 14 images are missing or empty, images/oxford_000100\.jpg \(empty\)",
        ),
        (
            lambda root: (root / "images/oxford_000100.png").write_bytes(b"x"),
            r"oxford_000100\.(jpg|png) and images/oxford_000100\.(jpg|png) have the same name",
        ),
    ],
)
def test_damaged_landmarks_are_named(oxford: Path, damage: Any, message: str) -> None:
    damage(oxford)
    with pytest.raises(UserError, match=message) as caught:
        open_landmarks(oxford)
    assert "\n" not in str(caught.value)


def test_landmarks_without_content(oxford: Path) -> None:
    for file in (oxford / "gt_files").iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"gt_files holds no \*_query\.txt"):
        open_landmarks(oxford)
    landmarks.make(oxford / "again")
    for file in (oxford / "again" / "images").iterdir():
        file.unlink()
    with pytest.raises(UserError, match="no images below"):
        open_landmarks(oxford / "again")


def test_part_of_the_landmarks(oxford: Path) -> None:
    (oxford / "images" / "all_souls_000013.jpg").unlink()  # asked twice, good twice
    (oxford / "images" / "radcliffe_camera_000002.jpg").write_bytes(b"")  # good twice
    dataset = open_landmarks(oxford, allow_partial=True)
    assert dataset.left_out == (
        "missing: images/radcliffe_camera_000002.jpg",
        "missing: all_souls_000013",
    )
    assert dataset.counts()["gallery"]["images"] == 8
    assert (
        dataset.images["image"].iloc[rows(dataset, "query")].tolist()
        == ["images/radcliffe_camera_000001.jpg"] * 2
    )
    assert set(dataset.images["identity"].iloc[rows(dataset, "query")]) == {2}  # as in a whole copy
    judgements = dataset.judgements
    assert judgements is not None
    shown = dataset.images["image"].str.removeprefix("images/")
    found = pd.DataFrame(
        {
            "image": shown.iloc[judgements["image"]].tolist(),
            "judgement": judgements["judgement"].tolist(),
        }
    )
    assert found.to_numpy().tolist() == [
        ["radcliffe_camera_000001.jpg", "good"],
        ["radcliffe_camera_000003.jpg", "ok"],
        ["all_souls_000051.jpg", "junk"],
        ["radcliffe_camera_000001.jpg", "good"],
        ["radcliffe_camera_000003.jpg", "ok"],
    ]


def test_a_partial_copy_without_any_query_is_told(oxford: Path) -> None:
    for name in ("all_souls_000013", "radcliffe_camera_000001"):
        (oxford / "images" / f"{name}.jpg").unlink()
    with pytest.raises(UserError, match="none of the 4 query images"):
        open_landmarks(oxford, allow_partial=True)


# --------------------------------------------------------------------------------- University-1652


def open_university(root: Path, **settings: Any) -> Dataset:
    config = University1652Dataset.model_validate(
        {"source": "university1652", "root": root, "subject": "place"} | settings
    )
    return datasets.index("university1652", config, root)


@pytest.fixture
def university(tmp_path: Path) -> Path:
    university1652.make(tmp_path / "university")
    return tmp_path / "university"


def test_university_is_indexed(university: Path) -> None:
    dataset = open_university(university)
    images = dataset.images
    listed = list(zip(images["image"], images["identity"], images["camera"], strict=True))
    assert listed == [
        *(
            (f"train/drone/{building:04d}/image-{number:02d}.jpeg", building + 1, 1)
            for building in (839, 840, 842)
            for number in (1, 2)
        ),
        *(
            (f"train/satellite/{building:04d}/{building:04d}.jpg", building + 1, 2)
            for building in (839, 840, 842)
        ),
        *(
            (f"train/street/{building:04d}/{number}.jpg", building + 1, 3)
            for building in (839, 840)
            for number in (1, 2)
        ),
        *(
            (f"test/query_drone/{building:04d}/image-{number:02d}.jpeg", building + 1, 1)
            for building in (0, 1)
            for number in (1, 2)
        ),
        ("test/gallery_satellite/0000/0000.jpg", 1, 2),
        ("test/gallery_satellite/0001/0001.jpg", 2, 2),
        ("test/gallery_satellite/1500/1500.jpg", 1501, 2),
    ]
    assert rows(dataset, "train").tolist() == list(range(13))
    assert rows(dataset, "query").tolist() == list(range(13, 17))
    assert rows(dataset, "gallery").tolist() == list(range(17, 20))
    assert dataset.counts() == {
        "train": {"images": 13, "identities": 3, "cameras": 3},
        "query": {"images": 4, "identities": 2, "cameras": 1},
        "gallery": {"images": 3, "identities": 3, "cameras": 1},
    }
    assert open_university(university).content_hash == dataset.content_hash


def test_university_with_a_query_that_nothing_answers(university: Path) -> None:
    (university / "test/gallery_satellite/0001/0001.jpg").unlink()
    dataset = open_university(
        university, official={"gallery": {"images": 3}, "query": {"images": 4}}
    )
    assert dataset.check() == ["university1652: gallery: 2 images, officially 3"]
    ids = dataset.images["identity"].to_numpy()
    query, gallery = rows(dataset, "query"), rows(dataset, "gallery")
    distances = np.ones((len(query), len(gallery)), dtype=np.float32)
    got = evaluate_distances(distances, ids[query], ids[gallery], ap="trapezoid")
    assert (got.n_query, got.n_valid) == (4, 2)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            rename("test/query_drone", "test/drone"),
            r"test/query_drone not found; `reid-repro data fetch university1652`",
        ),
        (
            rename("train/street/0839/1.jpg", "train/street/1.jpg"),
            r"train/street/1\.jpg lies in no building's folder; expected .* train/street/0839/",
        ),
        (
            rename("train/drone/0839", "train/drone/library"),
            r"train/drone/library/image-01\.jpeg lies in no building's folder",
        ),
        (
            rename("train/drone/0839", "train/drone/0001"),
            r"buildings of test/ are in train/ too: 0001 \(test/query_drone/0001/image-01\.jpeg\)",
        ),
        (
            lambda root: (root / "train/street/0840/2.jpg").write_bytes(b""),
            r"1 of 20 images are missing or empty, train/street/0840/2\.jpg \(empty\)",
        ),
    ],
)
def test_a_damaged_university_is_named(university: Path, damage: Any, message: str) -> None:
    damage(university)
    with pytest.raises(UserError, match=message) as caught:
        open_university(university)
    assert "\n" not in str(caught.value)


def test_part_of_the_university(university: Path) -> None:
    (university / "train/street/0840/2.jpg").write_bytes(b"")
    dataset = open_university(university, allow_partial=True)
    assert dataset.left_out == ("missing: train/street/0840/2.jpg",)
    assert dataset.counts()["train"]["images"] == 12


def test_an_empty_view_is_named(university: Path) -> None:
    for file in (university / "train/satellite").rglob("*.jpg"):
        file.unlink()
    with pytest.raises(UserError, match=r"no images below .*train/satellite"):
        open_university(university)
