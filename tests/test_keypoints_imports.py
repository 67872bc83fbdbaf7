"""Points found elsewhere: Market-1501's published files, and a plain CSV."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reid_repro.datasets.places import load, places_file
from reid_repro.errors import UserError
from reid_repro.files import write_parquet
from reid_repro.keypoints.imports import keypoints_csv, published_points

TRAIN, QUERY = "bounding_box_train", "query"
# Not in the order of their names: rows of the table are rows of the frame all the same.
IMAGES = pd.DataFrame(
    {
        "image": [
            f"{TRAIN}/0007_c1s1_000001_01.jpg",
            f"{QUERY}/0003_c2s1_000004_00.jpg",
            f"{TRAIN}/-1_c1s1_000009_02.jpg",
            f"{TRAIN}/0002_c3s1_000001_01.jpg",
        ],
        "width": [64, 64, 32, 64],
        "height": [128, 128, 96, 128],
    }
)
# By name in ASCII, as MATLAB's `dir` lists a folder.
ORDER = {TRAIN: [2, 3, 0], QUERY: [1]}


def matlab(file: Path, columns: np.ndarray, name: str = "pp") -> Path:
    """A matrix of MATLAB, (rows, columns), in a v7.3 file: column after column."""
    with h5py.File(file, "w", userblock_size=512) as opened:
        opened.create_dataset(name, data=np.ascontiguousarray(columns.T))
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM"
    with file.open("r+b") as opened:
        opened.write(header)
    return file


def points(images: int, seed: int = 0) -> np.ndarray:
    """28 x `images`: x of 14 joints in 0..64, then y in 0..128."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(1, 64, (14, images)), rng.uniform(1, 128, (14, images))])


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {
        TRAIN: matlab(tmp_path / "train.mat", points(3)),
        QUERY: matlab(tmp_path / "query.mat", points(1, seed=1)),
    }


def failure(files: dict[str, Path], images: pd.DataFrame = IMAGES) -> str:
    with pytest.raises(UserError) as error:
        published_points(files, images)
    (line,) = str(error.value).splitlines()
    return line


def test_every_column_goes_to_the_image_of_its_place_by_name(files: dict[str, Path]) -> None:
    frame = published_points(files, IMAGES)
    assert frame.dtypes.astype(str).to_dict() == {
        "image": "int32",
        "joint": "int16",
        "x": "float32",
        "y": "float32",
        "confidence": "float32",
    }
    given = {TRAIN: points(3), QUERY: points(1, seed=1)}
    assert len(frame) == 4 * 14
    for _, row in frame.iterrows():
        folder = QUERY if row["image"] == 1 else TRAIN
        column = ORDER[folder].index(row["image"])
        joint = int(row["joint"])
        assert row["x"] == pytest.approx(given[folder][joint, column] / 64)
        assert row["y"] == pytest.approx(given[folder][14 + joint, column] / 128)
        assert row["confidence"] == 1


def test_the_frame_is_what_the_networks_read(files: dict[str, Path], tmp_path: Path) -> None:
    frame = published_points(files, IMAGES)
    write_parquet(places_file(tmp_path, "market", "keypoints", "detected"), frame)
    values = load(tmp_path, "market", "keypoints", "detected", len(IMAGES))
    assert values is not None
    assert values.shape == (4, 14, 3)
    assert np.array_equal(values[2, 5], frame.iloc[2 * 14 + 5][["x", "y", "confidence"]])


def test_missing_points_have_no_confidence(files: dict[str, Path]) -> None:
    columns = points(3)
    columns[4, 0] = np.nan  # x of joint 4
    columns[14 + 5, 0] = 0  # y of joint 5
    columns[[6, 14 + 6], 1] = -1
    columns[7, 2] = np.inf
    columns[8, 2] = 64.5  # right of the image
    matlab(files[TRAIN], columns)
    values = published_points(files, IMAGES)
    lacking = values[values["confidence"] == 0]
    expected = [(0, 7), (0, 8), (2, 4), (2, 5), (3, 6)]
    assert list(zip(lacking["image"], lacking["joint"], strict=True)) == expected
    assert np.isfinite(values[["x", "y"]].to_numpy()).all()


def test_images_of_another_size_have_their_own_pixels(files: dict[str, Path]) -> None:
    frame = published_points(files, IMAGES, size=(128, 256))
    expected = published_points(files, IMAGES)
    assert np.allclose(frame[["x", "y"]] * 2, expected[["x", "y"]])


def test_whole_numbers_are_read_too(files: dict[str, Path]) -> None:
    matlab(files[QUERY], np.full((28, 1), 16, np.uint8))
    frame = published_points(files, IMAGES)
    assert (frame.loc[frame["image"] == 1, "x"] == 0.25).all()
    assert (frame.loc[frame["image"] == 1, "y"] == 0.125).all()


def test_a_folder_without_a_file_is_named(files: dict[str, Path]) -> None:
    query = {QUERY: files[QUERY]}
    assert f"no file of points for the 3 images in '{TRAIN}'" in failure(query)


def test_another_number_of_images_is_named(files: dict[str, Path]) -> None:
    matlab(files[TRAIN], points(4))
    expected = f"points of 4 images, but the dataset has 3 in '{TRAIN}'"
    assert expected in failure(files)


def test_a_file_of_a_folder_that_is_not_there_is_named(files: dict[str, Path]) -> None:
    line = failure(files, IMAGES.iloc[[0, 2, 3]].reset_index(drop=True))
    assert f"{files[QUERY]}: points of 1 images, but the dataset has 0 in '{QUERY}'" in line


def test_another_shape_is_named_in_matlabs_order(files: dict[str, Path]) -> None:
    matlab(files[TRAIN], points(3).T)
    assert f"{files[TRAIN]}: 'pp' is 3 x 28 of float64" in failure(files)
    matlab(files[TRAIN], np.zeros((28, 3, 2)))
    assert "'pp' is 28 x 3 x 2 of float64" in failure(files)


def test_another_variable_is_named(files: dict[str, Path]) -> None:
    matlab(files[TRAIN], points(3), name="joints")
    assert f"{files[TRAIN]}: no variable 'pp'; found joints" in failure(files)


def test_points_in_other_pixels_are_noticed(files: dict[str, Path]) -> None:
    matlab(files[TRAIN], points(3) * 4)
    line = failure(files)
    assert "of 42 joints lie outside their images" in line
    assert "are the coordinates pixels of 64 x 128 images?" in line


def test_files_that_are_not_hdf5_are_named(files: dict[str, Path]) -> None:
    content = files[TRAIN].read_bytes()
    for damaged in (b"MATLAB 5.0 MAT-file", content[: len(content) // 2]):
        files[TRAIN].write_bytes(damaged)
        assert f"{files[TRAIN]}: not a readable MATLAB v7.3 (HDF5) file" in failure(files)
    files[TRAIN].unlink()
    assert f"{files[TRAIN]}: no such file" in failure(files)


HEADER = "image,joint,x,y,confidence"
FIRST, SECOND = IMAGES["image"][0], IMAGES["image"][1]


def written(folder: Path, *lines: str) -> Path:
    file = folder / "joints.csv"
    file.write_text("\n".join((HEADER, *lines)) + "\n", encoding="utf-8")
    return file


def test_a_csv_fills_every_image(tmp_path: Path) -> None:
    file = written(tmp_path, f"{SECOND},3,0.25,0.5,0.75", f"{FIRST}, 13 ,1,0,1e-1")
    frame = keypoints_csv(file, IMAGES)
    assert len(frame) == 4 * 14
    named = frame[frame["confidence"] > 0].reset_index(drop=True)
    assert named["image"].tolist() == [0, 1]
    assert named["joint"].tolist() == [13, 3]
    assert named[["x", "y", "confidence"]].to_numpy().tolist() == [
        [1, 0, pytest.approx(0.1)],
        [0.25, 0.5, 0.75],
    ]


def test_columns_in_any_order_and_further_ones(tmp_path: Path) -> None:
    file = tmp_path / "joints.csv"
    file.write_text(f"y,note,joint, image,confidence,x\n0.5,left,2,{FIRST},1,0.25\n\n")
    frame = keypoints_csv(file, IMAGES)
    (row,) = frame[frame["confidence"] > 0].to_dict("records")
    assert row == {"image": 0, "joint": 2, "x": 0.25, "y": 0.5, "confidence": 1}


def test_pixels_are_of_the_image_itself(tmp_path: Path) -> None:
    file = written(tmp_path, f"{FIRST},0,16,32,1", f"{IMAGES['image'][2]},0,16,32,1")
    frame = keypoints_csv(file, IMAGES, unit="pixels")
    found = frame[frame["confidence"] > 0][["x", "y"]].to_numpy()
    assert np.allclose(found, [[16 / 64, 32 / 128], [16 / 32, 32 / 96]])


def test_empty_and_outer_joints_have_no_confidence(tmp_path: Path) -> None:
    lines = [f"{FIRST},0,,0.5,1", f"{FIRST},1,0.5,,", f"{FIRST},2,-0.1,0.5,1"]
    inside = [f"{FIRST},{joint},0.5,0.5,0.9" for joint in range(3, 14)]
    frame = keypoints_csv(written(tmp_path, *lines, *inside), IMAGES)
    first = frame[frame["image"] == 0]
    assert (first["confidence"][:3] == 0).all()
    assert np.allclose(first["confidence"][3:], 0.9)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("query/other.jpg,0,0.5,0.5,1", "line 3: no image 'query/other.jpg' in the dataset"),
        (f"{FIRST},14,0.5,0.5,1", "line 3: no joint '14' from 0 to 13"),
        (f"{FIRST},nose,0.5,0.5,1", "line 3: no joint 'nose'"),
        (f"{FIRST},1.0,0.5,0.5,1", "line 3: no joint '1.0'"),
        (f"{FIRST},1,left,0.5,1", "line 3: x 'left' is no number"),
        (f"{FIRST},1,0.5,nan,1", "line 3: y 'nan' is no number"),
        (f"{FIRST},1,0.5,inf,1", "line 3: y 'inf' is no number"),
        (f"{FIRST},1,0.5,0.5,", "line 3: confidence '' is no number"),
        (f"{FIRST},1,0.5,0.5", "line 3: confidence '' is no number"),
        (f"{FIRST},1,0.5,0.5,-1", "line 3: a confidence below 0"),
        (f"{FIRST},0,0.5,0.5,1", f"line 3: joint 0 of '{FIRST}' stands twice"),
        (f"{FIRST},1,0.5,0.5,1,1", "Expected 5 fields in line 3, saw 6"),
        (f"\n{FIRST},1,left,0.5,1", "line 4: x 'left' is no number"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    file = written(tmp_path, f"{FIRST},0,0.5,0.5,1", line)
    with pytest.raises(UserError) as error:
        keypoints_csv(file, IMAGES)
    (message,) = str(error.value).splitlines()
    assert message.startswith(str(file))
    assert reason in message


def test_more_fields_than_the_header_names_from_the_first_line_on(tmp_path: Path) -> None:
    file = written(tmp_path, f"{FIRST},1,0.5,0.5,1,1")
    with pytest.raises(UserError, match="a line has more fields than the header names"):
        keypoints_csv(file, IMAGES)


def test_another_unit_is_noticed(tmp_path: Path) -> None:
    lines = [f"{FIRST},{joint},{20 + joint},{joint},1" for joint in range(14)]
    with pytest.raises(UserError, match=r"14 of 14 joints lie outside .* are the .* shares"):
        keypoints_csv(written(tmp_path, *lines), IMAGES)


def test_files_that_are_no_such_csv_are_named(tmp_path: Path) -> None:
    file = tmp_path / "joints.csv"
    with pytest.raises(UserError, match="no such file; expected a CSV of image,joint,x,y"):
        keypoints_csv(file, IMAGES)
    for content, reason in (
        (b"", "not a readable CSV"),
        (b"image,joint,x,y\n", "column 'confidence' is missing; found image, joint, x, y"),
        (b"\xff\xfe\x00image", "not a readable CSV"),
    ):
        file.write_bytes(content)
        with pytest.raises(UserError, match=reason):
            keypoints_csv(file, IMAGES)


JOINT = st.tuples(st.integers(0, 3), st.integers(0, 13))
PLACE = st.tuples(*[st.floats(0, 1, width=32)] * 3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(joints=st.dictionaries(JOINT, PLACE, max_size=56))
def test_what_is_written_is_read(
    tmp_path: Path, joints: dict[tuple[int, int], tuple[float, float, float]]
) -> None:
    lines = [
        f"{IMAGES['image'][image]},{joint},{x!r},{y!r},{confidence!r}"
        for (image, joint), (x, y, confidence) in joints.items()
    ]
    frame = keypoints_csv(written(tmp_path, *lines), IMAGES)
    found = frame[["x", "y", "confidence"]].to_numpy(np.float64).reshape(4, 14, 3)
    for image in range(4):
        for joint in range(14):
            expected = joints.get((image, joint), (0, 0, 0))
            assert tuple(found[image, joint]) == expected
