"""The members of zip and tar archives, read front to back and trusted in nothing.

The content decides what an archive is, not its name. Only files and folders are members; links,
devices and pipes are refused, and so is what is damaged, cut short or enciphered in a way that
Python does not read. Whether a name is safe is for `unpack` to judge.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from reid_repro.errors import UserError

__all__ = ["Member", "members", "shown"]

CHUNK = 1 << 20
LARGEST_HEADER = 1 << 24  # tarfile reads names of any length into memory; none is that long
AES = 99  # compression method that says: AES, the real method is noted elsewhere
ENCIPHERED, UTF8_NAME = 0x1, 0x800  # bits of a zip member's flags
MANGLED = (  # what zlib, bz2, lzma, tarfile and zipfile raise for bytes that make no sense
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,  # a version of the zip format that no reader knows
    OSError,
    OverflowError,
    RecursionError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
FOREIGN = {b"Rar!": "RAR", b"7z\xbc\xaf": "7-Zip"}
Opener = Callable[[Path], Any]  # a stream of bytes that can be read and sought in
COMPRESSED: dict[bytes, Opener] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}


@dataclass(frozen=True)
class Member:
    """A file or folder of an archive; `chunks` are its bytes, to be read before the next member."""

    name: str
    is_folder: bool
    chunks: Iterator[bytes]


def members(archive: Path, password: str = "", label: str = "") -> Iterator[Member]:
    """The members of a zip or tar (plain, gz, bz2, xz) archive in its own order.

    Raises UserError, which calls the archive `label`: it is missing, damaged or none, holds
    something else than files and folders, or needs another password.
    """
    label = label or str(archive)
    with _readable(label), archive.open("rb") as file:
        head = file.read(tarfile.BLOCKSIZE)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        yield from _zip_members(archive, password, label)
        return
    for magic, kind in FOREIGN.items():
        if head.startswith(magic):
            raise UserError(
                f"{label}: a {kind} archive, which cannot be read here; unpack it by hand beside "
                "the archive and remove the archive"
            )
    unpacker = next((some for magic, some in COMPRESSED.items() if head.startswith(magic)), None)
    if unpacker is None and not _is_tar(head):
        raise UserError(f"{label}: {_guess(head)}, no zip or tar archive; delete it, fetch it anew")
    yield from _tar_members(archive, unpacker or _plain, label)


def _plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def shown(name: str) -> str:
    """A member's name as a message can hold it: short, without control characters."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
    return text if len(text) <= 80 else f"{text[:77]}..."


@contextmanager
def _readable(label: str, hint: str = "") -> Iterator[None]:
    """Whatever the readers raise, as one line."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{label}: no such file; fetch it") from None
    except MANGLED as error:
        why = shown(str(error) or type(error).__name__)
        raise UserError(
            f"{label}: damaged or not whole ({why}){hint}; delete it, fetch it anew"
        ) from None


def _is_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _guess(head: bytes) -> str:
    if not head.strip(b"\0"):
        return "empty"
    return "a web page" if head.lstrip().lower().startswith((b"<!doc", b"<html")) else "unknown"


def _zip_members(archive: Path, password: str, label: str) -> Iterator[Member]:
    with _readable(label), zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            name = _zip_name(info)
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the zip is not of Unix
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _not_a_file(label, name)
            yield Member(
                name, name.endswith("/"), _zip_chunks(archive, file, info, password, label)
            )


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The member's name: UTF-8 where it is, flag or not; with the slashes of the format."""
    name = info.filename
    if not info.flag_bits & UTF8_NAME:
        with suppress(UnicodeError):  # else it is the code page that zipfile took it for
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _zip_chunks(
    archive: Path, file: zipfile.ZipFile, info: zipfile.ZipInfo, password: str, label: str
) -> Iterator[bytes]:
    is_enciphered = info.flag_bits & ENCIPHERED
    if is_enciphered and info.compress_type == AES:
        raise UserError(
            f"{label}: enciphered with AES, which cannot be read here; unpack it by hand (7z x) "
            "beside the archive and remove the archive"
        )
    if is_enciphered and not password:
        raise UserError(
            f"{label}: needs a password; its owners give it, set it as the archive's `password`"
        )
    hint = ", or the password is another" if is_enciphered else ""
    with _readable(label, hint):
        try:
            if is_enciphered:
                from reid_repro.datasets.zip_cipher import deciphered  # it brings a compiler

                yield from deciphered(archive, info, password)
                return
            with file.open(info) as source:
                while chunk := source.read(CHUNK):
                    yield chunk
        except RecursionError:
            raise
        except NotImplementedError as error:
            raise UserError(
                f"{label}: '{shown(info.filename)}' cannot be read here ({error}); unpack it by "
                "hand beside the archive and remove the archive"
            ) from None
        except RuntimeError:
            raise UserError(
                f"{label}: the password is wrong; correct the archive's `password`"
            ) from None


class _Stream:
    """The bytes of a tar, for tarfile, which would read headers of any length."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        """At most LARGEST_HEADER bytes, remembered as the `last` ones."""
        if not 0 <= size <= LARGEST_HEADER:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        self.last = self._raw.read(size)
        return self.last

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place of the uncompressed bytes."""
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        """The place in the uncompressed bytes."""
        return self._raw.tell()


def _tar_members(archive: Path, unpacker: Opener, label: str) -> Iterator[Member]:
    with _readable(label), unpacker(archive) as raw:
        stream = _Stream(raw)
        with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r:") as file:
            before = 0
            while (info := file.next()) is not None:
                if info.size < 0 or file.offset <= before:
                    raise tarfile.ReadError("a header leads backwards")
                before = file.offset
                if not (info.isreg() or info.isdir()):
                    raise _not_a_file(label, info.name)
                yield Member(info.name, info.isdir(), _tar_chunks(file, info, label))
                vars(file)["members"].clear()  # tarfile keeps all that it has seen
            if stream.last != bytes(tarfile.BLOCKSIZE):  # tarfile takes any nonsense for the end
                raise tarfile.ReadError("it does not end as a tar does")
        _read_to_the_end(stream)


def _tar_chunks(file: tarfile.TarFile, info: tarfile.TarInfo, label: str) -> Iterator[bytes]:
    with _readable(label):
        source = file.extractfile(info)
        while source is not None and (chunk := source.read(CHUNK)):
            yield chunk


def _read_to_the_end(stream: _Stream) -> None:
    """Read the padding behind the last member: what is compressed has its checksum there."""
    read = 0
    while stream.read(CHUNK):
        read += len(stream.last)
        if read > LARGEST_HEADER:
            raise tarfile.ReadError("much follows after its end")


def _not_a_file(label: str, name: str) -> UserError:
    return UserError(
        f"{label}: '{shown(name)}' is a link, device or pipe, not a file or folder; nothing was "
        "unpacked: is it the publisher's archive?"
    )
