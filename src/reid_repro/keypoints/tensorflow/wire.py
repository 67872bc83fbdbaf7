"""The wire format of protocol buffers, as far as a checkpoint's index needs it.

A message is a sequence of fields: a varint key, `number << 3 | type`, then the value, of type 0
(varint), 1 (8 bytes), 2 (a length and so many bytes) or 5 (4 bytes, little endian).
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MOST_VARINT_BYTES = 10  # 64 bits in groups of seven


class MalformedError(ValueError):
    """Bytes that are not of the format; the message says in which way."""


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The unsigned varint of `data` at `at`, and where the next byte after it is."""
    value = 0
    for number in range(MOST_VARINT_BYTES):
        if at + number >= len(data):
            raise MalformedError("a number is cut off")
        byte = data[at + number]
        value |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            return value, at + number + 1
    raise MalformedError("a number is longer than 64 bits")


def signed(value: int) -> int:
    """A varint as int32 or int64: negative numbers stand as their 64-bit two's complement."""
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of every field in order: numbers unsigned, strings and messages as bytes."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = varint(message, at)
            yield number, value
            continue
        if kind == BYTES:
            length, at = varint(message, at)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise MalformedError(f"a field has the unknown wire type {kind}")
        if at + length > len(message):
            raise MalformedError("a field is cut off")
        content = message[at : at + length]
        yield number, content if kind == BYTES else int.from_bytes(content, "little")
        at += length


def number(value: int | bytes) -> int:
    """A field's value that must be a number."""
    if isinstance(value, bytes):
        raise MalformedError("a text stands where a number is expected")
    return value


def content(value: int | bytes) -> bytes:
    """A field's value that must be a string or a message."""
    if isinstance(value, int):
        raise MalformedError("a number stands where a message is expected")
    return value
