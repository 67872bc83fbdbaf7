"""Zip members under the traditional cipher (APPNOTE.TXT 6.1), at a disk's pace.

Owners of datasets give passwords to archives of many gigabytes; zipfile deciphers a megabyte a
second, since it goes byte by byte in Python. Here that loop is compiled.
"""

from __future__ import annotations

import functools
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from reid_repro.retrieval.compiled import alone

Bytes = npt.NDArray[np.uint8]
Keys = npt.NDArray[np.uint32]

CHUNK = 1 << 20
HEADER = 12  # random bytes in front, the last of which tells most wrong passwords
LOCAL = struct.Struct("<4s22xHH")  # signature, length of the name, length of the extra field
DESCRIBED_LATER, STRONG = 0x8, 0x40  # bits of a member's flags


def deciphered(archive: Path, info: zipfile.ZipInfo, password: str) -> Iterator[bytes]:
    """The bytes of a stored or deflated member.

    Raises BadZipFile or zlib.error for damaged ones, RuntimeError for a wrong password (as far as
    it shows at once) and NotImplementedError for other methods, as zipfile does.
    """
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError(f"compression method {info.compress_type}")
    if info.flag_bits & STRONG:
        raise NotImplementedError("strong encryption")
    plain = _plain(archive, info, password)
    checksum = size = 0
    for chunk in plain if info.compress_type == zipfile.ZIP_STORED else _inflated(plain):
        checksum = zlib.crc32(chunk, checksum)
        size += len(chunk)
        yield chunk
    if (checksum, size) != (info.CRC, info.file_size):
        raise zipfile.BadZipFile(f"bad CRC-32 or length of '{info.filename}'")


def _plain(archive: Path, info: zipfile.ZipInfo, password: str) -> Iterator[bytes]:
    """The member's bytes as they were before the cipher."""
    with archive.open("rb") as file:
        file.seek(info.header_offset)
        signature, name, extra = LOCAL.unpack(file.read(LOCAL.size))
        if signature != b"PK\x03\x04":
            raise zipfile.BadZipFile(f"no member where '{info.filename}' should be")
        file.seek(name + extra, 1)
        keys = np.array(_keys(password), np.uint32)
        header = _decipher(file.read(HEADER), keys)
        later = info.flag_bits & DESCRIBED_LATER  # the checksum was not known: the time tells
        told = _dos_time(info) >> 8 if later else info.CRC >> 24
        if len(header) < HEADER or header[-1] != told:
            raise RuntimeError("bad password")
        left = info.compress_size - HEADER
        while left > 0:
            chunk = file.read(min(CHUNK, left))
            if not chunk:
                raise zipfile.BadZipFile(f"'{info.filename}' ends early")
            left -= len(chunk)
            yield _decipher(chunk, keys)


def _inflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Raw deflate streams, never more than a chunk at once in memory."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for chunk in chunks:
        waiting = chunk
        while waiting and not inflater.eof:
            yield inflater.decompress(waiting, CHUNK)
            waiting = inflater.unconsumed_tail
    yield inflater.flush()


def _dos_time(info: zipfile.ZipInfo) -> int:
    _, _, _, hour, minute, second = info.date_time
    return hour << 11 | minute << 5 | second // 2


@functools.lru_cache(maxsize=4)
def _keys(password: str) -> tuple[int, int, int]:
    """The three keys after the password."""
    first, second, third = 0x12345678, 0x23456789, 0x34567890
    for byte in password.encode():
        first = first >> 8 ^ int(TABLE[(first ^ byte) & 0xFF])
        second = ((second + (first & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        third = third >> 8 ^ int(TABLE[(third ^ second >> 24) & 0xFF])
    return first, second, third


def _decipher(data: bytes, keys: Keys) -> bytes:
    """The plain bytes; the keys go on."""
    plain = np.empty(len(data), np.uint8)
    _loop(np.frombuffer(data, np.uint8), keys, TABLE, plain)
    return plain.tobytes()


@alone
def _loop(data: Any, keys: Any, table: Any, plain: Any) -> None:
    first, second, third = keys[0], keys[1], keys[2]
    for i in range(len(data)):
        word = (third | np.uint32(2)) & np.uint32(0xFFFF)
        mask = (word * (word ^ np.uint32(1))) >> np.uint32(8)
        byte = data[i] ^ np.uint8(mask & np.uint32(0xFF))
        plain[i] = byte
        first = (first >> np.uint32(8)) ^ table[np.uint8(first ^ np.uint32(byte))]
        mixed = np.uint32(second + (first & np.uint32(0xFF)))
        second = np.uint32(mixed * np.uint32(134775813) + np.uint32(1))
        third = (third >> np.uint32(8)) ^ table[np.uint8(third ^ (second >> np.uint32(24)))]
    keys[0], keys[1], keys[2] = first, second, third


def _table() -> Keys:
    """CRC-32 of every byte, without the inversions before and after."""
    return np.array(
        [zlib.crc32(bytes([byte]), 0xFFFFFFFF) ^ 0xFFFFFFFF for byte in range(256)], np.uint32
    )


TABLE = _table()
