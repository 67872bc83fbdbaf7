"""The tensors of a TensorFlow V2 checkpoint: `PREFIX.index` and `PREFIX.data-00000-of-0000N`.

The index maps each variable's name to a BundleEntryProto (dtype, shape, shard, offset, size,
masked CRC32C), and the empty name to a BundleHeaderProto (number of shards, byte order). A shard
holds the raw bytes of its tensors, in C order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid_repro.errors import UserError
from reid_repro.keypoints.tensorflow.table import masked_crc, read_table
from reid_repro.keypoints.tensorflow.wire import MalformedError, content, fields, number, signed

# TensorFlow's DataType; text, resources and what numpy lacks (bfloat16) cannot be read.
DTYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    8: "complex64",
    9: "int64",
    10: "bool",
    17: "uint16",
    18: "complex128",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
# Begins the key of one slice of a partitioned variable, beside the entry of the whole.
SLICE = b"\0"


@dataclass(frozen=True)
class Entry:
    """Where a tensor's bytes lie. `dtype` is TensorFlow's number of the type."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    sliced: bool


class Checkpoint:
    """A checkpoint's index; tensors are read one by one, as they are asked for."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.index = prefix.with_name(f"{prefix.name}.index")
        table = read_table(self.index)
        self._shards = self._header(table.pop(b"", None))
        self.entries = {
            self._name(key): self._entry(key, value)
            for key, value in table.items()
            if not key.startswith(SLICE)
        }

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def read(self, name: str) -> np.ndarray:
        """The tensor `name`, whose bytes have the CRC32C of the index; UserError otherwise."""
        if name not in self.entries:
            raise UserError(f"{self.index}: no variable '{name}' in this checkpoint")
        entry = self.entries[name]
        dtype = self._dtype(name, entry)
        shard = self._shard(name, entry)
        try:
            whole = entry.offset + entry.size <= shard.stat().st_size
            with shard.open("rb") as file:
                file.seek(entry.offset)
                data = file.read(entry.size) if whole else b""
        except FileNotFoundError:
            raise UserError(
                f"{shard}: no such file, and '{name}' lies in it; put it beside the index"
            ) from None
        except OSError as error:
            raise UserError(f"{shard}: '{name}' cannot be read ({error.strerror})") from None
        if not whole:
            raise UserError(
                f"{shard}: ends within '{name}', which takes bytes {entry.offset:,} to "
                f"{entry.offset + entry.size:,}; get the file again"
            )
        if masked_crc(data) != entry.crc:
            raise UserError(f"{shard}: the CRC32C of '{name}' is wrong; get the file again")
        # Bytes are read-only: a copy can be changed in place, as the reader of arrays expects.
        return np.frombuffer(data, dtype).reshape(entry.shape).copy()

    def _header(self, header: bytes | None) -> int:
        """The number of shards."""
        if header is None:
            raise UserError(f"{self.index}: no header; this is no index of a V2 checkpoint")
        shards, endianness = 0, 0
        try:
            for field, value in fields(header):
                if field == 1:
                    shards = number(value)
                elif field == 2:
                    endianness = number(value)
        except MalformedError as error:
            raise UserError(f"{self.index}: its header is damaged: {error}") from None
        if endianness:
            raise UserError(
                f"{self.index}: big-endian; write the checkpoint on a little-endian machine"
            )
        if shards < 1:
            raise UserError(f"{self.index}: the header names no shard; get the file again")
        return shards

    def _name(self, key: bytes) -> str:
        try:
            return key.decode()
        except UnicodeDecodeError:
            raise UserError(f"{self.index}: a variable's name is no text: {key!r}") from None

    def _entry(self, key: bytes, message: bytes) -> Entry:
        found: dict[int, int] = {}
        shape: tuple[int, ...] = ()
        sliced = False
        try:
            for field, value in fields(message):
                if field == 2:
                    shape = _shape(content(value))
                elif field == 7:
                    sliced = True
                else:
                    found[field] = signed(number(value))
        except MalformedError as error:
            raise UserError(
                f"{self.index}: entry '{self._name(key)}' is damaged: {error}"
            ) from None
        # Proto 3 omits what is zero.
        dtype, shard, offset, size, crc = (found.get(field, 0) for field in (1, 3, 4, 5, 6))
        return Entry(dtype, shape, shard, offset, size, crc, sliced)

    def _dtype(self, name: str, entry: Entry) -> np.dtype:
        """The tensor's type, once type, shape and size are known to fit."""
        if entry.dtype not in DTYPES:
            raise UserError(
                f"{self.index}: '{name}' is of TensorFlow's type {entry.dtype}, which is not "
                "read here; numbers of 8 to 64 bits are"
            )
        if entry.sliced:
            raise UserError(
                f"{self.index}: '{name}' is partitioned into slices, which are not read here; "
                "save it whole"
            )
        dtype = np.dtype(DTYPES[entry.dtype]).newbyteorder("<")
        if min(entry.shape, default=0) < 0 or entry.offset < 0 or entry.size < 0:
            raise UserError(f"{self.index}: '{name}' has a negative size or place")
        if math.prod(entry.shape) * dtype.itemsize != entry.size:
            raise UserError(
                f"{self.index}: '{name}' has {entry.size:,} bytes, which do not fill shape "
                f"{entry.shape} of {dtype.name}"
            )
        return dtype

    def _shard(self, name: str, entry: Entry) -> Path:
        if not 0 <= entry.shard < self._shards:
            raise UserError(
                f"{self.index}: '{name}' lies in shard {entry.shard} of {self._shards} from 0 on"
            )
        file = f"{self.prefix.name}.data-{entry.shard:05d}-of-{self._shards:05d}"
        return self.prefix.with_name(file)


def read_checkpoint(prefix: Path) -> dict[str, np.ndarray]:
    """Every variable of the checkpoint `prefix`, by name; UserError names file and tensor.

    `prefix` is what stands before `.index`. For a part of the variables, or their list alone, see
    `Checkpoint`.
    """
    checkpoint = Checkpoint(prefix)
    return {name: checkpoint.read(name) for name in checkpoint}


def _shape(message: bytes) -> tuple[int, ...]:
    """TensorShapeProto: field 2 repeats the dimensions, whose field 1 is the size."""
    sizes = []
    for field, dimension in fields(message):
        if field == 3 and number(dimension):
            raise MalformedError("the shape has an unknown rank")
        if field == 2:
            size = 0
            for part, value in fields(content(dimension)):
                if part == 1:
                    size = signed(number(value))
            sizes.append(size)
    return tuple(sizes)
