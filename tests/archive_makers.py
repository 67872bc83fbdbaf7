"""Archives made in memory, among them such as no friendly program makes."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

TARS = {"tar": "w:", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}


def tar(files: dict[str, bytes], mode: str = "w:", *others: tarfile.TarInfo) -> bytes:
    """A tar of some files, and of members that no data belong to."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for other in others:
            archive.addfile(other)
    return buffer.getvalue()


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)  # of a fixed time: the same files give the same bytes
            archive.writestr(info, content, method)
    return buffer.getvalue()


def packed(kind: str, files: dict[str, bytes]) -> bytes:
    return zipped(files) if kind == "zip" else tar(files, TARS[kind])


def enciphered(
    name: str, content: bytes, password: bytes, method: int = 0, *, later: bool = False
) -> bytes:
    """A zip of one file under the traditional cipher (APPNOTE.TXT 6.1).

    `later` is what streaming writers do: the checksum follows the data, the time proves passwords.
    """
    moment = 0x6C32 if later else 0

    def crc(key: int, byte: int) -> int:
        return zlib.crc32(bytes([byte]), key ^ 0xFFFFFFFF) ^ 0xFFFFFFFF

    keys = [0x12345678, 0x23456789, 0x34567890]

    def update(byte: int) -> None:
        keys[0] = crc(keys[0], byte)
        keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = crc(keys[2], keys[1] >> 24)

    for byte in password:
        update(byte)
    checksum = zlib.crc32(content)
    proof = moment >> 8 if later else checksum >> 24
    packer = zlib.compressobj(wbits=-15)
    stored = packer.compress(content) + packer.flush() if method == 8 else content
    body = bytearray()
    for byte in bytes(11) + bytes([proof]) + stored:
        key = keys[2] | 2
        body.append(byte ^ (key * (key ^ 1) >> 8 & 0xFF))
        update(byte)
    facts = struct.pack(
        "<HHHHHIIIHH",
        20,
        9 if later else 1,
        method,
        moment,
        33,
        checksum,
        len(body),
        len(content),
        len(name),
        0,
    )
    local = b"PK\x03\x04" + facts + name.encode() + body
    central = b"PK\x01\x02" + struct.pack("<H", 20) + facts + bytes(14) + name.encode()
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + end


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
