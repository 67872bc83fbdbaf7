"""The sorted string table of LevelDB, in which TensorFlow keeps the index of a checkpoint.

Layout: data blocks, a meta index block, an index block, a footer of 48 bytes with the places of
the latter two and a magic number. A block is a run of entries whose keys omit the prefix that they
share with the key before, a list of restart points (entries with whole keys), and behind it a
trailer: one byte for the compression and a masked CRC32C of block and byte. The index block holds,
for each data block, a key not below its last one and its place.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import pyarrow as pa

from reid_repro.errors import UserError
from reid_repro.keypoints.tensorflow.wire import MalformedError, varint

MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES = 48
TRAILER_BYTES = 5  # compression, CRC32C
PLAIN, SNAPPY = 0, 1
MASK_DELTA = 0xA282EAD8
# An index is some hundred kilobytes; a damaged length must not ask for all memory.
MOST_BLOCK_BYTES = 2**28


def masked_crc(data: bytes | memoryview) -> int:
    """The CRC32C of `data` as LevelDB and TensorFlow store it: rotated by 15 bits, plus a constant.

    The mask keeps the checksum of data that hold checksums themselves from degenerating.
    """
    crc = google_crc32c.value(data)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    masked: int = (rotated + MASK_DELTA) & 0xFFFFFFFF
    return masked


def read_table(path: Path) -> dict[bytes, bytes]:
    """All keys and values, in ascending order of keys; UserError names a file that is damaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; a checkpoint is named by what stands before '.index'"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return _table(data)
    except MalformedError as error:
        raise UserError(
            f"{path}: not a whole TensorFlow checkpoint index: {error}; get the file again"
        ) from None


def _table(data: bytes) -> dict[bytes, bytes]:
    if len(data) < FOOTER_BYTES:
        raise MalformedError(f"{len(data)} bytes, fewer than a footer's {FOOTER_BYTES}")
    footer = data[-FOOTER_BYTES:]
    if int.from_bytes(footer[-8:], "little") != MAGIC:
        raise MalformedError("the magic number at its end is missing")
    meta, at = _handle(footer, 0)
    index, _ = _handle(footer, at)
    _block(data, meta)  # it says nothing that is needed, but shows whether the file is whole
    table: dict[bytes, bytes] = {}
    last: bytes | None = None
    for _, place in _entries(_block(data, index)):
        handle, _ = _handle(place, 0)
        for key, value in _entries(_block(data, handle)):
            if last is not None and key <= last:
                raise MalformedError("its keys do not ascend")
            table[key] = value
            last = key
    return table


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """A block's (offset, size) without trailer, and where the next byte is."""
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return (offset, size), at


def _block(data: bytes, handle: tuple[int, int]) -> bytes:
    """The content of a block, checked against its CRC32C and decompressed."""
    offset, size = handle
    end = offset + size + TRAILER_BYTES
    if end > len(data) - FOOTER_BYTES:
        raise MalformedError(f"a block would end at byte {end:,} of {len(data):,}")
    expected = int.from_bytes(data[end - 4 : end], "little")
    if masked_crc(data[offset : end - 4]) != expected:
        raise MalformedError(f"the CRC32C of the block at byte {offset:,} is wrong")
    compression = data[end - TRAILER_BYTES]
    stored = data[offset : offset + size]
    if compression == PLAIN:
        return stored
    if compression == SNAPPY:
        return _unsnappy(stored)
    raise MalformedError(f"a block has the unknown compression {compression}")


def _unsnappy(stored: bytes) -> bytes:
    """Snappy's raw format begins with the length of the content, as a varint."""
    length, _ = varint(stored, 0)
    if length > MOST_BLOCK_BYTES:
        raise MalformedError(f"a block would hold {length:,} bytes")
    try:
        content: bytes = pa.Codec("snappy").decompress(stored, length, asbytes=True)
    except (pa.ArrowException, OSError):
        raise MalformedError("a block is not in Snappy's format") from None
    return content


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of every entry; the restart points, meant for searching, are passed over."""
    if len(block) < 4:
        raise MalformedError("a block is too short")
    (restarts,) = struct.unpack_from("<I", block, len(block) - 4)
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise MalformedError("a block is shorter than its restart points")
    at, key = 0, b""
    while at < end:
        shared, at = varint(block, at)
        fresh, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or at + fresh + length > end:
            raise MalformedError("an entry leaves its block")
        key = key[:shared] + block[at : at + fresh]
        at += fresh
        yield key, block[at : at + length]
        at += length
