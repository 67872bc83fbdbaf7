"""Archives, good and hostile: unpacked wholly inside their folder, or not at all."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reid_repro.datasets import unpack as module
from reid_repro.datasets.unpack import temporary_folder, unpack
from reid_repro.errors import UserError

from archive_makers import TARS, contents, enciphered, packed, tar, zipped

FILES = {
    "set/image_train/0001_c001.jpg": os.urandom(3000),
    "set/image_train/0002_c001.jpg": os.urandom(512),
    "set/name_train.txt": b"0001_c001.jpg\n0002_c001.jpg\n",
    "set/empty.txt": b"",
}


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def saved(content: bytes, name: str = "a.zip") -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return saved


def refused(archive: Path, **options: object) -> str:
    """The one line of an archive that is refused; nothing of it stays."""
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(UserError) as caught:
        unpack(archive, archive.parent / "out", **options)  # type: ignore[arg-type]
    assert sorted(archive.parent.rglob("*")) == before
    line = str(caught.value)
    assert line.startswith(str(archive))
    assert "\n" not in line
    return line


def refused_elsewhere(archive: Path, **options: object) -> str:
    """The same, of a copy in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        (copy := Path(folder) / archive.name).write_bytes(archive.read_bytes())
        return refused(copy, **options)


@pytest.mark.parametrize("kind", ["zip", *TARS])
def test_every_kind_is_known_by_its_content(
    save: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    seen: list[int] = []
    archive = save(packed(kind, FILES), "archive")
    assert unpack(archive, tmp_path / "out", advance=seen.append) == 4
    assert contents(tmp_path / "out") == FILES
    assert seen == [1, 2, 3, 4]
    assert archive.exists()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_leading_folders_are_taken_off(
    save: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    archive = save(packed(kind, {**FILES, "README": b"beside the folder"}))
    assert unpack(archive, tmp_path / "out", strip=1) == 4
    assert contents(tmp_path / "out") == {
        name.removeprefix("set/"): content for name, content in FILES.items()
    }
    assert "nothing is left without 3" in refused_elsewhere(archive, strip=3)


def test_what_lies_in_the_folder_stays(save: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "out" / "set" / "image_train"
    folder.mkdir(parents=True)
    (folder / "own.jpg").write_bytes(b"own")
    (folder / "0001_c001.jpg").write_bytes(b"old")
    unpack(save(zipped(FILES)), tmp_path / "out")
    assert contents(tmp_path / "out") == {**FILES, "set/image_train/own.jpg": b"own"}
    archive = save(zipped({"set": b"a file"}))
    assert "is something else" in refused(archive)


def test_what_a_killed_start_left_is_removed(save: Callable[..., Path], tmp_path: Path) -> None:
    archive = save(tar(FILES), "a.tar")
    left = temporary_folder(archive, tmp_path / "out")
    left.mkdir(parents=True)
    (left / "half.jpg").write_bytes(b"half")
    unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES
    assert not left.exists()


@pytest.mark.parametrize("outer", ["zip", "tar"])
@pytest.mark.parametrize("inner", ["zip", "tar.gz"])
def test_archives_at_the_top_are_unpacked_too(
    save: Callable[..., Path], tmp_path: Path, outer: str, inner: str
) -> None:
    deep = packed("zip", {"c.jpg": b"c"})
    first = packed(inner, {"images/a.jpg": b"a", "deeper.zip": deep})
    files = {f"set/one.{inner}": first, "set/lists/b.zip": deep, "set/list.txt": b"list"}
    assert unpack(save(packed(outer, files)), tmp_path / "out", strip=1) == 4
    assert contents(tmp_path / "out") == {
        "images/a.jpg": b"a",
        "deeper.zip": deep,
        "lists/b.zip": deep,
        "list.txt": b"list",
    }


def test_a_bad_archive_in_a_good_one_leaves_nothing(save: Callable[..., Path]) -> None:
    archive = save(tar({"list.txt": b"list", "images.zip": zipped(FILES)[:-30]}), "a.tar")
    assert "(in it: images.zip): damaged" in refused(archive)


HOSTILE = ["../out.txt", "a/../../out.txt", "/etc/out.txt", "C:/out.txt", "..", "a/.."]


@pytest.mark.parametrize("name", [*HOSTILE, "..\\out.txt", "\\out.txt"])
def test_a_zip_that_leads_out_is_refused(save: Callable[..., Path], name: str) -> None:
    assert "leads out of the folder" in refused(save(zipped({"good.txt": b"", name: b"bad"})))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_tar_that_leads_out_is_refused(save: Callable[..., Path], name: str) -> None:
    archive = save(tar({"good.txt": b"", name: b"bad"}), "a.tar")
    assert "leads out of the folder" in refused(archive)
    assert "leads out of the folder" in refused(archive, strip=2)


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"],
)
@pytest.mark.parametrize("target", ["/etc", "..", "good.txt"])
def test_links_and_devices_are_refused(save: Callable[..., Path], kind: bytes, target: str) -> None:
    info = tarfile.TarInfo("set")
    info.type, info.linkname = kind, target
    archive = save(tar({"good.txt": b"good"}, "w:", info) + tar({"set/passwd": b""}), "a.tar")
    assert "'set' is a link, device or pipe" in refused(archive)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_link_in_a_zip_is_refused(save: Callable[..., Path], kind: int) -> None:
    info = zipfile.ZipInfo("set")
    info.external_attr = (kind | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, "/etc")
        archive.writestr("set/passwd", "")
    assert "'set' is a link, device or pipe" in refused(save(buffer.getvalue()))


@pytest.mark.parametrize("kind", ["zip", *TARS])
def test_limits_hold_while_writing(save: Callable[..., Path], kind: str) -> None:
    archive = save(packed(kind, FILES))
    assert "more than 3,500 bytes" in refused(archive, limit_bytes=3500)
    assert "more than 3 files" in refused(archive, limit_files=3)


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
@pytest.mark.parametrize("strip", [0, 1])
def test_a_bomb_is_stopped(
    save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, kind: str, strip: int
) -> None:
    monkeypatch.setattr(module, "RATIO_FROM", 1 << 16)
    archive = save(packed(kind, {"zeros": bytes(8 << 20)}))
    assert "too much for an archive of its size" in refused(archive, strip=strip)


def test_a_bomb_in_an_archive_is_stopped(
    save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RATIO_FROM", 1 << 16)
    inner = zipped({"zeros": bytes(8 << 20)})
    assert "too much" in refused(save(zipped({"a.zip": inner, "b.zip": inner})))


def test_a_bomb_of_folders_is_stopped(save: Callable[..., Path]) -> None:
    archive = save(zipped({f"{i}/": b"" for i in range(50)}))
    assert "more than 40 files and folders" in refused(archive, limit_files=40)


@pytest.mark.parametrize("files", [{"a": b"1", "./a": b"2"}, {"a": b"1", "a/b": b"2"}])
def test_one_place_twice_is_refused(save: Callable[..., Path], files: dict[str, bytes]) -> None:
    for kind in ("zip", "tar"):
        assert "twice" in refused(save(packed(kind, files)))


def test_a_name_that_no_disk_takes_is_refused(save: Callable[..., Path]) -> None:
    line = refused(save(zipped({"x" * 300: b""})))
    assert "cannot be written: File name too long" in line
    assert len(line) < 300


@pytest.mark.parametrize("kind", ["zip", *TARS])
@settings(max_examples=40)
@given(data=st.data())
def test_no_part_of_an_archive_passes_for_the_whole(kind: str, data: st.DataObject) -> None:
    whole = packed(kind, FILES)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with tempfile.TemporaryDirectory() as folder:
        archive, out = Path(folder) / "archive", Path(folder) / "out"
        archive.write_bytes(cut)
        try:
            unpack(archive, out)
        except UserError:
            assert sorted(Path(folder).iterdir()) == [archive]
        else:  # all that is missing is padding
            assert contents(out) == FILES


@pytest.mark.parametrize("kind", ["zip", *TARS])
@settings(max_examples=60)
@given(data=st.data())
def test_flipped_bytes_end_in_a_line_or_in_the_folder(kind: str, data: st.DataObject) -> None:
    whole = bytearray(packed(kind, FILES))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        archive, out = Path(folder) / "archive", Path(folder) / "out"
        archive.write_bytes(whole)
        try:
            unpack(archive, out)
        except UserError:
            assert not out.exists()
        assert {path.name for path in Path(folder).iterdir()} <= {"archive", "out"}


def test_a_damaged_header_in_the_middle_is_not_the_end(save: Callable[..., Path]) -> None:
    content = bytearray(tar({"a.jpg": b"a", "b.jpg": b"b"}))
    content[1024 + 150] ^= 1  # the checksum of the second header
    assert "does not end as a tar does" in refused(save(bytes(content), "a.tar"))


def test_a_damaged_checksum_of_gzip_is_noticed(save: Callable[..., Path]) -> None:
    content = bytearray(tar(FILES, "w:gz"))
    content[-6] ^= 1
    assert "CRC check failed" in refused(save(bytes(content), "a.tgz"))


@pytest.mark.parametrize("size", [-512, -1024, 1 << 40])
def test_a_header_that_lies_about_its_size_is_refused(save: Callable[..., Path], size: int) -> None:
    info = tarfile.TarInfo("a.jpg")
    info.size = size
    header = info.tobuf(tarfile.GNU_FORMAT)
    assert "damaged" in refused(save(header + bytes(1024), "a.tar"))
    info.type = tarfile.XHDTYPE
    header = info.tobuf(tarfile.GNU_FORMAT)
    assert "damaged" in refused(save(header + bytes(1024), "a.tar"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (bytes(5000), "empty"),
        (b"<!DOCTYPE html><title>Sign in</title>", "a web page"),
        (b"\xff\xd8\xff\xe0 a picture", "unknown, no zip or tar"),
        (b"Rar!\x1a\x07\x00", "a RAR archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
        (zlib.compress(b"")[:0] + b"\x1f\x8b" + bytes(50), "damaged"),
        (zipped({}), "it is empty"),
        (zipped({"folder/": b""}), "it is empty"),
    ],
)
def test_what_is_no_archive_is_said(save: Callable[..., Path], content: bytes, says: str) -> None:
    assert says in refused(save(content))


def test_an_archive_that_is_missing_is_said(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "a.zip")


def test_the_password_opens(save: Callable[..., Path], tmp_path: Path) -> None:
    archive = save(enciphered("a.jpg", FILES["set/name_train.txt"], b"secret"))
    assert "needs a password" in refused(archive)
    for wrong in range(40):  # one byte tells them apart at first, the checksum at last
        assert "password" in refused(archive, password=f"wrong {wrong}")
    unpack(archive, tmp_path / "out", password="secret")
    assert contents(tmp_path / "out") == {"a.jpg": FILES["set/name_train.txt"]}


def test_a_cipher_that_is_not_read_is_said(save: Callable[..., Path]) -> None:
    archive = save(enciphered("a.jpg", b"", b"secret", method=99))
    assert "AES" in refused(archive, password="secret")


def test_a_method_that_is_not_read_is_said(save: Callable[..., Path]) -> None:
    content = bytearray(zipped({"a.jpg": b"a"}, zipfile.ZIP_STORED))
    for magic, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(magic) + offset] = 9
    assert "'a.jpg' cannot be read here" in refused(save(bytes(content)))


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("图片.jpg".encode(), "图片.jpg"),
        (b"caf\x82.jpg", "café.jpg"),
        (b"images\\a.jpg", "images/a.jpg"),
    ],
)
def test_names_without_a_flag_are_read(
    save: Callable[..., Path], tmp_path: Path, raw: bytes, name: str
) -> None:
    content = zipped({"x" * len(raw): b"a"}).replace(b"x" * len(raw), raw)
    unpack(save(content), tmp_path / "out")
    assert contents(tmp_path / "out") == {name: b"a"}


def test_names_that_are_no_text_keep_their_bytes(save: Callable[..., Path], tmp_path: Path) -> None:
    unpack(save(tar({"caf\udce9.jpg": b"a"}), "a.tar"), tmp_path / "out")
    assert [os.fsencode(path.name) for path in (tmp_path / "out").iterdir()] == [b"caf\xe9.jpg"]
    archive = save(tar({"../caf\udce9\n.jpg": b"a"}), "b.tar")
    assert "'../caf\\udce9\\n.jpg' leads out" in refused_elsewhere(archive)


NAMES = st.lists(
    st.sampled_from(["..", ".", "", "a", "b c", "..a", "~", "é", "\\", "..\\", "C:", "\n", "x\0y"]),
    min_size=1,
    max_size=6,
).map(lambda parts: "/".join(parts) or "a")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=150)
@given(
    names=st.lists(NAMES, min_size=1, max_size=4, unique=True),
    kind=st.sampled_from(["zip", "tar"]),
    strip=st.integers(0, 2),
)
@example(names=["a/../../b"], kind="zip", strip=1)
def test_no_name_leads_out_of_the_folder(names: list[str], kind: str, strip: int) -> None:
    files = {name: name.encode() for name in names}
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Path(folder).resolve()
        archive, out = sandbox / "archive", sandbox / "deep" / "out"
        archive.write_bytes(packed(kind, files))
        try:
            unpack(archive, out, strip=strip)
        except UserError:
            assert not any(path.is_file() for path in (sandbox / "deep").rglob("*"))
        else:
            assert all(path.resolve().is_relative_to(out) for path in out.rglob("*"))
            assert set(contents(out).values()) <= set(files.values())
        assert {path.name for path in sandbox.iterdir()} <= {"archive", "deep"}
