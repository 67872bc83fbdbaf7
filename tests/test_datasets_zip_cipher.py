"""The compiled cipher of zip archives against zipfile's own, and against damage."""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_repro.datasets import zip_cipher
from reid_repro.datasets.unpack import unpack
from reid_repro.datasets.zip_cipher import deciphered
from reid_repro.errors import UserError

from archive_makers import contents, enciphered

TEXT = b"0001_c001.jpg 1 1\n" * 400


def read(archive: Path, password: str) -> bytes:
    with zipfile.ZipFile(archive) as file:
        return b"".join(deciphered(archive, file.infolist()[0], password))


@settings(max_examples=40)
@given(
    content=st.binary(max_size=300) | st.just(TEXT),
    password=st.text(min_size=1, max_size=20),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    later=st.booleans(),
)
def test_it_reads_what_zipfile_reads(
    content: bytes, password: str, method: int, later: bool
) -> None:
    packed = enciphered("a.txt", content, password.encode(), method, later=later)
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        assert file.read("a.txt", password.encode()) == content
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "a.zip"
        archive.write_bytes(packed)
        assert read(archive, password) == content


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_keys_go_on_from_chunk_to_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: int
) -> None:
    monkeypatch.setattr(zip_cipher, "CHUNK", 7)
    archive = tmp_path / "a.zip"
    archive.write_bytes(enciphered("a.txt", TEXT, b"secret", method))
    assert read(archive, "secret") == TEXT


def test_a_wrong_password_never_gives_bytes_for_good(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(enciphered("a.txt", TEXT, b"secret", zipfile.ZIP_DEFLATED))
    raised = set()
    for number in range(1500):  # about six get past the one byte that proves a password
        with pytest.raises((RuntimeError, zipfile.BadZipFile, zlib.error)) as caught:
            read(archive, f"wrong {number}")
        raised.add(caught.type)
    assert RuntimeError in raised
    assert raised & {zipfile.BadZipFile, zlib.error}


@settings(max_examples=60)
@given(data=st.data(), method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_damage_ends_in_a_line(data: st.DataObject, method: int) -> None:
    packed = bytearray(enciphered("a.txt", TEXT, b"secret", method))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        archive, out = Path(folder) / "a.zip", Path(folder) / "out"
        archive.write_bytes(packed)
        try:
            unpack(archive, out, password="secret")
        except UserError:
            assert not out.exists()
        else:  # a name, a time, what no reader looks at: not the content
            assert list(contents(out).values()) == [TEXT]


def test_another_method_is_said(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(enciphered("a.txt", TEXT, b"secret", zipfile.ZIP_LZMA))
    with pytest.raises(UserError, match=r"'a.txt' cannot be read here \(compression method 14\)"):
        unpack(archive, tmp_path / "out", password="secret")


def test_a_version_of_the_format_that_no_reader_knows_ends_in_a_line(tmp_path: Path) -> None:
    packed = bytearray(enciphered("a.txt", TEXT, b"secret", zipfile.ZIP_STORED))
    packed[packed.index(b"PK\x01\x02") + 6] = 84  # of the directory's entry: needs version 8.4
    archive = tmp_path / "a.zip"
    archive.write_bytes(packed)
    with pytest.raises(UserError, match=r"a\.zip"):
        unpack(archive, tmp_path / "out", password="secret")
    assert not (tmp_path / "out").exists()
