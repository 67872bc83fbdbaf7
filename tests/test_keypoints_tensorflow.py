"""TensorFlow's checkpoints: what TensorFlow wrote, what the format allows, what is wrong."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reid_repro.errors import UserError
from reid_repro.keypoints.tensorflow import Checkpoint, read_checkpoint
from reid_repro.keypoints.tensorflow.table import read_table

import tensorflow_checkpoint as writer

# Written by TensorFlow 2.15 (`tf.raw_ops.SaveV2`), in base 85.
GENUINE_INDEX = (
    "000IE0U81b0RRONWo>YDc?bd$1`+@g0tf>jFg4iff}#Km4QFg`Vqt7wb97~J2niAZARs6RH4ID!4*&!eXklz-2on+r"
    "5&{SU5&{SUASfsZHObSJ4*((&a%FRFWprP5F<&t-F)w3pZgw#*LSb}cXijf(Z7*VFbYTbq5(E+g2m&A&C<rylUFJ0u"
    "2OD=~X=iA3a|i(v5E23i0TKcT0TKcT0ullU11K0ZS`+9!000000RR910FxqmPXGV_00961006-9p|Ah}19Jep0RR91"
    "00961006Z8ZKJ^f2+jcy00000000000000000000000000000000000000000039}fQuw`N81"
)
GENUINE_DATA = "001Ds006+h0002L0000#006*0001CB004kK006+haJLTt0000006YLd0Kx!7"
GENUINE = {
    "resnet_v1_101/conv1/weights": np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3) - 2.5,
    "resnet_v1_101/conv1/BatchNorm/beta": np.array([0.25, -1.5], np.float32),
    "global_step": np.array(1030000, np.int64),
    "half": np.array([[1, 2], [-3, 4]], np.float16),
    "empty": np.zeros((0, 3)),
}

Result = TypeVar("Result")


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return tmp_path / "snapshot-7"


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"a/weights": (3, 3, 2, 4), "a/biases": (4,), "b/weights": (1, 1, 4, 2), "step": ()}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def one_line(error: pytest.ExceptionInfo[UserError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def outcome(read: Callable[[], Result]) -> tuple[Result | None, str]:
    """What `read` gives, or the one line of its UserError."""
    try:
        return read(), ""
    except UserError as error:
        lines = str(error).splitlines()
    (line,) = lines
    return None, line


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


def test_a_checkpoint_that_tensorflow_wrote_is_read(prefix: Path) -> None:
    data = prefix.with_name("snapshot-7.data-00000-of-00001")
    prefix.with_name("snapshot-7.index").write_bytes(base64.b85decode(GENUINE_INDEX))
    data.write_bytes(base64.b85decode(GENUINE_DATA))
    assert_same(read_checkpoint(prefix), GENUINE)


def test_the_tests_write_the_bytes_that_tensorflow_writes(prefix: Path) -> None:
    """The writer is held to the genuine file: entry by entry, and the data."""
    genuine = prefix.with_name("genuine.index")
    genuine.write_bytes(base64.b85decode(GENUINE_INDEX))
    writer.write(prefix, GENUINE)
    assert read_table(prefix.with_name("snapshot-7.index")) == read_table(genuine)
    written = prefix.with_name("snapshot-7.data-00000-of-00001").read_bytes()
    assert written == base64.b85decode(GENUINE_DATA)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("shards", [1, 3])
def test_round_trip(
    prefix: Path, tensors: dict[str, np.ndarray], shards: int, compressed: bool
) -> None:
    writer.write(prefix, tensors, shards=shards, compressed=compressed)
    assert_same(read_checkpoint(prefix), tensors)


def test_tensors_are_listed_without_their_data_and_read_one_by_one(
    prefix: Path, tensors: dict[str, np.ndarray]
) -> None:
    writer.write(prefix, tensors, shards=2)
    data = sorted(prefix.parent.glob("*.data-*"))
    data[1].unlink()
    checkpoint = Checkpoint(prefix)
    assert list(checkpoint) == sorted(tensors)
    assert len(checkpoint) == 4
    assert checkpoint.entries["a/weights"].shape == (3, 3, 2, 4)
    found = checkpoint.read("a/weights")  # of shard 0
    assert np.array_equal(found, tensors["a/weights"])
    found += 1  # the caller's own copy
    assert np.array_equal(checkpoint.read("a/weights"), tensors["a/weights"])


KEYS = st.binary(min_size=1, max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    pairs=st.dictionaries(KEYS, st.binary(max_size=300), max_size=60),
    a_block=st.integers(1, 20),
    restart_interval=st.integers(1, 8),
    compressed=st.booleans(),
)
def test_any_table_is_read_as_it_was_written(
    tmp_path: Path,
    pairs: dict[bytes, bytes],
    a_block: int,
    restart_interval: int,
    compressed: bool,
) -> None:
    file = tmp_path / "table"
    content = writer.table(
        pairs, a_block=a_block, restart_interval=restart_interval, compressed=compressed
    )
    file.write_bytes(content)
    assert list(read_table(file).items()) == sorted(pairs.items())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_no_damage_to_an_index_goes_unnoticed(tmp_path: Path, data: st.DataObject) -> None:
    """One changed byte or a cut: a UserError in one line, or, in the padding, the same content."""
    pairs = {f"variable/{i}".encode(): bytes([i]) * 9 for i in range(20)}
    whole = writer.table(pairs)
    used = whole[:-8].rstrip(b"\0")  # zeros pad the footer before its magic number
    if data.draw(st.booleans(), label="cut"):
        content = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        place = data.draw(st.integers(0, len(whole) - 1))
        change = data.draw(st.integers(1, 255))
        content = whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :]
    file = tmp_path / "damaged.index"
    file.write_bytes(content)
    found, message = outcome(lambda: read_table(file))
    if found is None:
        assert message.startswith(f"{file}: not a whole TensorFlow checkpoint index: ")
    else:
        assert found == pairs
        assert content[:-8].rstrip(b"\0")[: len(used)] == used
        assert content[-8:] == whole[-8:]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(message=st.binary(max_size=40))
def test_any_bytes_as_an_entry_are_read_or_named(tmp_path: Path, message: bytes) -> None:
    prefix = tmp_path / "any"
    writer.write(prefix, {}, changed={"odd": message})
    found, reason = outcome(lambda: read_checkpoint(prefix))
    assert set(found) == {"odd"} if found is not None else "'odd'" in reason


def test_a_changed_byte_of_the_data_is_found_and_its_tensor_named(
    prefix: Path, tensors: dict[str, np.ndarray]
) -> None:
    writer.write(prefix, tensors)
    file = prefix.with_name("snapshot-7.data-00000-of-00001")
    content = bytearray(file.read_bytes())
    content[20] ^= 1
    file.write_bytes(content)
    assert np.array_equal(Checkpoint(prefix).read("a/biases"), tensors["a/biases"])
    with pytest.raises(UserError) as error:
        read_checkpoint(prefix)
    assert f"{file}: the CRC32C of 'a/weights' is wrong" in one_line(error)


def test_truncated_data_name_file_and_tensor(prefix: Path, tensors: dict[str, np.ndarray]) -> None:
    writer.write(prefix, tensors)
    file = prefix.with_name("snapshot-7.data-00000-of-00001")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError) as error:
        read_checkpoint(prefix)
    assert f"{file}: ends within 'step'" in one_line(error)


def test_a_missing_shard_is_named(prefix: Path, tensors: dict[str, np.ndarray]) -> None:
    writer.write(prefix, tensors, shards=2)
    file = prefix.with_name("snapshot-7.data-00001-of-00002")
    file.unlink()
    with pytest.raises(UserError) as error:
        read_checkpoint(prefix)
    assert f"{file}: no such file, and 'a/biases' lies in it" in one_line(error)


def test_a_missing_index_says_what_a_prefix_is(prefix: Path) -> None:
    with pytest.raises(UserError) as error:
        read_checkpoint(prefix)
    assert "snapshot-7.index: no such file" in one_line(error)


def test_big_endian_data_are_refused(prefix: Path, tensors: dict[str, np.ndarray]) -> None:
    writer.write(prefix, tensors, endianness=1)
    with pytest.raises(UserError, match=r"snapshot-7\.index: big-endian"):
        read_checkpoint(prefix)


ARRAY = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (writer.entry(ARRAY, 0, 0, dtype=7), "'odd' is of TensorFlow's type 7"),
        (writer.entry(ARRAY, 0, 0, dtype=14), "'odd' is of TensorFlow's type 14"),
        (writer.entry(ARRAY, 0, 0, dtype=2), "24 bytes, which do not fill shape (2, 3) of float64"),
        (writer.entry(ARRAY, 4, 0), "'odd' lies in shard 4 of 1"),
        (writer.entry(ARRAY, 0, 0) + writer.field(7, b""), "'odd' is partitioned into slices"),
        (writer.entry(ARRAY, 0, 0) + writer.field(4, 2**64 - 8), "'odd' has a negative size"),
        (writer.entry(ARRAY, 0, 0)[:-1], "entry 'odd' is damaged: a field is cut off"),
        (writer.field(2, 7), "entry 'odd' is damaged: a number stands where"),
    ],
)
def test_an_entry_that_cannot_be_read_is_named(prefix: Path, message: bytes, reason: str) -> None:
    writer.write(prefix, {}, changed={"odd": message})
    with pytest.raises(UserError) as error:
        read_checkpoint(prefix)
    assert reason in one_line(error)
    assert "snapshot-7.index" in one_line(error)


def test_a_name_that_is_not_there_is_an_error(prefix: Path, tensors: dict[str, np.ndarray]) -> None:
    writer.write(prefix, tensors)
    with pytest.raises(UserError, match="no variable 'c/weights' in this checkpoint"):
        Checkpoint(prefix).read("c/weights")


def test_a_table_without_header_is_no_checkpoint(prefix: Path) -> None:
    prefix.with_name("snapshot-7.index").write_bytes(writer.table({b"a": b""}))
    with pytest.raises(UserError, match="no header"):
        Checkpoint(prefix)
