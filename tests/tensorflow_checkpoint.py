"""Writes TensorFlow V2 checkpoints, from the description of their format alone.

The index is a LevelDB table (blocks of entries with shared prefixes, restart points, a trailer with
a masked CRC32C each, an index block, a footer); its values are protocol buffers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

import google_crc32c
import numpy as np
import pyarrow as pa

DATA_TYPES = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int64": 9, "float16": 19}


def masked(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17) % 2**32) + 0xA282EAD8) % 2**32


def number(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all bytes but the last have their highest bit set."""
    groups = []
    while True:
        value, low = divmod(value, 128)
        groups.append(low)
        if not value:
            return bytes([low | 128 for low in groups[:-1]] + groups[-1:])


def field(name: int, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return number(name * 8 + 2) + number(len(value)) + value
    return number(name * 8) + number(value)


def shape_message(shape: Iterable[int]) -> bytes:
    return b"".join(field(2, field(1, size) if size else b"") for size in shape)


def entry(
    array: np.ndarray, shard: int, offset: int, *, crc: int | None = None, dtype: int | None = None
) -> bytes:
    data = array.tobytes()
    message = field(1, DATA_TYPES[array.dtype.name] if dtype is None else dtype)
    message += field(2, shape_message(array.shape))
    message += field(3, shard) if shard else b""
    message += field(4, offset) if offset else b""
    message += field(5, len(data)) if data else b""
    return message + b"\x35" + struct.pack("<I", masked(data) if crc is None else crc)


def header(shards: int, endianness: int = 0) -> bytes:
    version = field(3, field(1, 1))
    return field(1, shards) + (field(2, endianness) if endianness else b"") + version


def shared_bytes(a: bytes, b: bytes) -> int:
    """How many bytes both begin with."""
    length = min(len(a), len(b))
    return next((at for at in range(length) if a[at] != b[at]), length)


def block(pairs: Iterable[tuple[bytes, bytes]], restart_interval: int) -> bytes:
    content, restarts, before = b"", [], b""
    for count, (key, value) in enumerate(pairs):
        if count % restart_interval == 0:
            restarts.append(len(content))
            before = b""
        shared = shared_bytes(before, key)
        content += number(shared) + number(len(key) - shared) + number(len(value))
        content += key[shared:] + value
        before = key
    restarts = restarts or [0]
    return content + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def table(
    pairs: Mapping[bytes, bytes],
    *,
    a_block: int = 7,
    restart_interval: int = 3,
    compressed: bool = False,
) -> bytes:
    """The file: blocks of `a_block` entries each, in ascending order of keys."""
    file = b""

    def append(content: bytes) -> bytes:
        """The block's handle."""
        nonlocal file
        if compressed:
            content = pa.compress(content, codec="snappy", asbytes=True)
        place = number(len(file)) + number(len(content))
        checked = content + (b"\1" if compressed else b"\0")
        file += checked + struct.pack("<I", masked(checked))
        return place

    index = []
    ordered = sorted(pairs.items())
    for _, group in groupby(enumerate(ordered), key=lambda pair: pair[0] // a_block):
        members = [pair for _, pair in group]
        # A key from the last one of the block on, below the first one of the next.
        index.append((members[-1][0] + b"\0", append(block(members, restart_interval))))
    meta = append(block([], 1))
    places = meta + append(block(index, 1))
    return file + places.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def write(
    prefix: Path,
    tensors: Mapping[str, np.ndarray],
    *,
    shards: int = 1,
    endianness: int = 0,
    compressed: bool = False,
    overlaid: bool = False,
    changed: Mapping[str, bytes] | None = None,
) -> None:
    """A checkpoint whose tensors lie in the shards by turns, in the order given.

    `overlaid` writes tensors that are windows of one array: number k begins at the array's value k,
    and the file holds the array once. `changed` replaces entries of the index.
    """
    data = [b""] * shards
    pairs = {b"": header(shards, endianness)}
    for count, (name, array) in enumerate(tensors.items()):
        shard = count % shards
        if overlaid:
            pairs[name.encode()] = entry(array, 0, count * array.itemsize)
            data[0] += array.tobytes()[len(data[0]) - count * array.itemsize :]
        else:
            pairs[name.encode()] = entry(array, shard, len(data[shard]))
            data[shard] += array.tobytes()
    for name, message in (changed or {}).items():
        pairs[name.encode()] = message
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(pairs, compressed=compressed))
    for shard, content in enumerate(data):
        name = f"{prefix.name}.data-{shard:05d}-of-{shards:05d}"
        prefix.with_name(name).write_bytes(content)
