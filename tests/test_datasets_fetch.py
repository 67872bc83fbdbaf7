"""Datasets fetched into their folders from a loopback server, or asked for in one line."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from reid_repro.dataset_config import DatasetFile, FolderDataset, MarketDataset
from reid_repro.datasets import fetch as module
from reid_repro.datasets.fetch import fetch, how, status
from reid_repro.datasets.unpack import temporary_folder
from reid_repro.errors import UserError

from archive_makers import contents, enciphered, tar, zipped
from fetch_server import Reply, Served, Server, serving

IMAGES = {f"set/{number}.jpg": bytes([number]) * 900 for number in range(20)}
LISTS = {"lists/train.txt": b"0.jpg\n", "lists/test.txt": b"1.jpg\n"}
WHOLE = {
    "images/0.jpg": IMAGES["set/0.jpg"],
    "lists/train.txt": b"0.jpg\n",
}
SECTIONS = Path(__file__).parent.parent / "workflow" / "datasets"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as running:
        running.files["/images.tgz"] = Served(tar(IMAGES, "w:gz"), etag='"one"')
        running.files["/lists.zip"] = Served(zipped(LISTS), etag='"one"')
        yield running


def dataset(root: Path, *archives: dict[str, Any], **options: Any) -> FolderDataset:
    facts = {
        "source": "market1501",
        "root": root,
        "homepage": "https://example.org/set",
        "access": "open",
        "archives": archives,
        "expected": ["images", "lists/train.txt"],
    }
    return MarketDataset.model_validate({**facts, **options})


@pytest.fixture
def opened(server: Server, tmp_path: Path) -> FolderDataset:
    """A dataset of two archives that anybody may download."""
    return dataset(
        tmp_path / "set",
        {"file": "images.tgz", "url": server.url("/images.tgz"), "into": "images", "strip": 1},
        {"file": "lists.zip", "url": server.url("/lists.zip"), "sha256": checksum(LISTS)},
    )


def checksum(files: dict[str, bytes]) -> str:
    return hashlib.sha256(zipped(files)).hexdigest()


quickly = partial(fetch, wait=lambda _: None, timeout=5.0, say=lambda _: None)


def asked(server: Server) -> list[int]:
    return [len(served.asked) for served in server.files.values()]


def refused(config: FolderDataset, **options: Any) -> str:
    """The one line that a fetch ends with."""
    with pytest.raises(UserError) as caught:
        quickly("set", config, **options)
    line = str(caught.value)
    assert line.startswith("dataset 'set': ")
    assert "\n" not in line
    return line


def held(config: FolderDataset) -> dict[str, bytes]:
    """What the root holds, but for archives, notes and locks."""
    names = {archive.file for archive in config.archives}
    return {
        name: content
        for name, content in contents(config.root).items()
        if name not in names and not name.startswith(".fetch")
    }


EVERYTHING = {
    **{f"images/{name.removeprefix('set/')}": content for name, content in IMAGES.items()},
    **LISTS,
}


def test_an_open_dataset_is_downloaded_checked_and_unpacked(
    server: Server, opened: FolderDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(opened) == "absent"
    assert how("set", opened) == (
        f"`reid-repro data fetch set` gets and unpacks images.tgz, lists.zip into {opened.root}"
    )
    fetch("set", opened)
    assert held(opened) == EVERYTHING
    assert status(opened) == "present"
    assert "unpacked 20 files" in capsys.readouterr().out
    quickly("set", opened)
    assert asked(server) == [1, 1]
    for archive in opened.archives:  # whoever needs the room
        (opened.root / archive.file).unlink()
    assert status(opened) == "present"
    quickly("set", opened)
    assert asked(server) == [1, 1]


def test_an_interrupted_download_goes_on(server: Server, opened: FolderDataset) -> None:
    images = server.files["/images.tgz"]
    images.script = [Reply(cut=200)]
    assert "run again to go on from byte 200" in refused(opened, attempts=1)
    assert status(opened) == "partial"
    quickly("set", opened, attempts=1)
    assert images.wanted == ["", "bytes=200-"]
    assert held(opened) == EVERYTHING


def test_a_fetch_goes_on_after_the_last_archive(server: Server, opened: FolderDataset) -> None:
    server.files["/lists.zip"].script = [Reply(404)]
    assert "answers 404" in refused(opened)
    assert status(opened) == "partial"
    assert how("set", opened).startswith("lists/train.txt missing; `reid-repro data fetch set`")
    (opened.root / "lists").mkdir()
    (opened.root / "lists" / "train.txt").write_bytes(b"")
    assert status(opened) == "partial"  # one of two archives is there
    quickly("set", opened)
    assert asked(server) == [1, 2]
    assert held(opened) == EVERYTHING


@pytest.mark.parametrize("leaves", [False, True])
def test_a_fetch_that_ends_while_files_moved_is_partial(
    server: Server, opened: FolderDataset, monkeypatch: pytest.MonkeyPatch, leaves: bool
) -> None:
    def killed(archive: Path, folder: Path, **_: Any) -> int:
        left = temporary_folder(archive, folder)
        left.mkdir(parents=True)
        (left / "19.jpg").write_bytes(b"half")
        (folder / "0.jpg").write_bytes(b"moved already")
        if not leaves:
            shutil.rmtree(left)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "unpack", killed)
        with pytest.raises(KeyboardInterrupt):
            quickly("set", opened)
    (opened.root / "lists").mkdir()
    (opened.root / "lists" / "train.txt").write_bytes(b"")
    assert status(opened) == "partial"
    quickly("set", opened)
    assert held(opened) == EVERYTHING
    assert asked(server) == [1, 1]


def test_what_is_gone_is_unpacked_again(server: Server, opened: FolderDataset) -> None:
    quickly("set", opened)
    shutil.rmtree(opened.root / "images")
    assert status(opened) == "partial"
    quickly("set", opened)
    assert asked(server) == [1, 1]
    shutil.rmtree(opened.root / "images")
    (opened.root / "images.tgz").unlink()
    quickly("set", opened)
    assert asked(server) == [2, 1]
    assert held(opened) == EVERYTHING


def test_a_note_that_is_not_whole_is_no_note(server: Server, opened: FolderDataset) -> None:
    quickly("set", opened)
    for text in ("", "[]", '{"bytes": 1}'):
        (opened.root / ".fetch" / "images.tgz.json").write_text(text)
        assert status(opened) == "partial"
        quickly("set", opened)
        assert status(opened) == "present"
    assert asked(server) == [1, 1]


def test_other_settings_unpack_anew(server: Server, opened: FolderDataset) -> None:
    quickly("set", opened)
    first, second = opened.archives
    moved = opened.model_copy(
        update={
            "archives": (first.model_copy(update={"into": "pictures"}), second),
            "expected": ("pictures",),
        }
    )
    quickly("set", moved)
    assert (opened.root / "pictures" / "0.jpg").exists()
    assert asked(server) == [1, 1]


def test_wrong_bytes_leave_nothing_unpacked(server: Server, opened: FolderDataset) -> None:
    server.files["/lists.zip"].content = zipped({"lists/train.txt": b"other"})
    line = refused(opened)
    assert f"expected {checksum(LISTS)}" in line
    assert not (opened.root / "lists").exists()
    assert status(opened) == "partial"


def test_a_damaged_archive_leaves_nothing_unpacked(server: Server, opened: FolderDataset) -> None:
    images = server.files["/images.tgz"]
    images.content = images.content[:-40]
    assert "images.tgz: damaged or not whole" in refused(opened)
    assert not (opened.root / "images").exists()


def test_archives_of_another_content_are_said(server: Server, opened: FolderDataset) -> None:
    other = opened.model_copy(update={"expected": ("images", "cam_a", "cam_b")})
    assert "they hold no cam_a, cam_b" in refused(other)
    assert status(other) == "partial"


def test_two_fetches_at_once_do_it_once(server: Server, opened: FolderDataset) -> None:
    names = ("set", "set-detected", "set-labelled")  # views of one folder
    threads = [threading.Thread(target=quickly, args=(name, opened)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked(server) == [1, 1]
    assert held(opened) == EVERYTHING


def test_a_form_is_pointed_to(tmp_path: Path) -> None:
    config = dataset(tmp_path / "set", access="form")
    line = refused(config)
    assert "fill in the form at https://example.org/set" in line
    assert f"so that {config.root} holds images, lists/train.txt" in line
    assert status(config) == "absent"
    assert not config.root.exists()


def test_archives_fetched_by_hand_are_checked_and_unpacked(tmp_path: Path) -> None:
    config = dataset(
        tmp_path / "set",
        {"file": "images.tgz", "into": "images", "strip": 1},
        {"file": "lists.zip", "sha256": checksum(LISTS)},
        access="form",
    )
    assert f"put images.tgz, lists.zip into {config.root}, then run" in refused(config)
    config.root.mkdir()
    (config.root / "images.tgz").write_bytes(tar(IMAGES, "w:gz"))
    assert status(config) == "partial"
    assert f"put lists.zip into {config.root}, then run" in refused(config)
    assert (config.root / "images" / "0.jpg").exists()
    (config.root / "lists.zip").write_bytes(zipped({"lists/train.txt": b"other"}))
    assert f"'lists.zip' has sha256 {checksum({'lists/train.txt': b'other'})}" in refused(config)
    assert (config.root / "lists.zip").exists()  # it is the user's
    assert not (config.root / "lists").exists()
    (config.root / "images.tgz").unlink()  # done with
    (config.root / "lists.zip").write_bytes(zipped(LISTS))
    assert how("set", config).endswith(f"gets and unpacks lists.zip into {config.root}")
    quickly("set", config)
    assert held(config) == EVERYTHING
    assert status(config) == "present"


def test_what_must_be_fetched_by_hand_is_said_before_a_download(
    server: Server, opened: FolderDataset
) -> None:
    first, second = opened.archives
    mixed = opened.model_copy(
        update={"access": "form", "archives": (first, second.model_copy(update={"url": ""}))}
    )
    assert "put lists.zip into" in refused(mixed)
    assert asked(server) == [0, 0]


def test_a_password_of_the_owners_opens(tmp_path: Path) -> None:
    archive = {"file": "set.zip", "password": "vehicle"}
    config = dataset(tmp_path, archive, access="form", expected=["list.txt"])
    (tmp_path / "set.zip").write_bytes(enciphered("list.txt", b"1.jpg", b"vehicle"))
    quickly("set", config)
    assert held(config) == {"list.txt": b"1.jpg"}
    (tmp_path / "list.txt").unlink()
    wrong = dataset(tmp_path, {**archive, "password": ""}, access="form", expected=["list.txt"])
    assert "needs a password" in refused(wrong)


def test_a_file_that_stays_packed_is_only_checked(server: Server, tmp_path: Path) -> None:
    archive = {"file": "lists.zip", "url": server.url("/lists.zip"), "unpack": False}
    config = dataset(tmp_path, archive, expected=["lists.zip"])
    quickly("set", config)
    assert status(config) == "present"
    assert {path.name for path in tmp_path.iterdir()} == {"lists.zip", ".fetch"}
    (tmp_path / "lists.zip").unlink()
    assert status(config) == "absent"
    quickly("set", config)
    assert asked(server) == [0, 2]


def test_a_copy_of_the_users_is_as_good(server: Server, opened: FolderDataset) -> None:
    for name, content in WHOLE.items():
        path = opened.root / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    assert status(opened) == "present"
    quickly("set", opened)
    assert asked(server) == [0, 0]
    (opened.root / "images" / "0.jpg").unlink()
    assert status(opened) == "partial"  # an empty folder holds no images
    assert how("set", opened).startswith("images missing; ")


def test_images_of_ones_own_are_where_they_are(tmp_path: Path) -> None:
    config = dataset(tmp_path / "set", access="own", expected=[])
    assert status(config) == "absent"
    assert f"put your images into {config.root}" in refused(config)
    config.root.mkdir()
    assert status(config) == "absent"
    (config.root / "1.jpg").write_bytes(b"1")
    assert status(config) == "present"
    quickly("set", config)


def test_without_expectations_an_archive_alone_is_not_the_dataset(tmp_path: Path) -> None:
    config = dataset(tmp_path, {"file": "a.zip"}, access="form", expected=[])
    (tmp_path / "a.zip").write_bytes(zipped(LISTS))
    assert status(config) == "partial"
    quickly("set", config)
    assert status(config) == "present"


def test_a_root_that_cannot_be_made_is_one_line(server: Server, opened: FolderDataset) -> None:
    opened.root.write_bytes(b"a file")
    assert status(opened) == "absent"
    assert "Not a directory" in refused(opened)


@pytest.mark.parametrize("file", sorted(SECTIONS.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_dataset_of_the_workflow_says_how_to_get_it(file: Path, tmp_path: Path) -> None:
    facts = yaml.safe_load(file.read_text("utf-8"))
    config = DatasetFile.model_validate({"dataset": facts}).dataset
    if not isinstance(config, FolderDataset):
        return
    config = config.model_copy(update={"root": tmp_path / "nowhere"})
    assert status(config) == "absent"
    line = how(file.stem, config)
    assert "\n" not in line
    assert str(config.root) in line
    assert config.access != "form" or config.homepage in line
    assert all(re.match("https?://|$", archive.url) for archive in config.archives)


def test_a_fetch_that_was_killed_goes_on(server: Server, opened: FolderDataset) -> None:
    """A process of its own, ended without a word while the server is silent."""
    images = server.files["/images.tgz"]
    images.script = [Reply(cut=300, stall=True)]
    program = (
        "import sys\n"
        "from reid_repro.dataset_config import MarketDataset\n"
        "from reid_repro.datasets.fetch import fetch\n"
        "fetch('set', MarketDataset.model_validate_json(sys.argv[1]))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, opened.model_dump_json()])
    part = opened.root / "images.tgz.part"
    until = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size == 300) and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.wait()
    quickly("set", opened)
    assert images.wanted == ["", "bytes=300-"]
    assert held(opened) == EVERYTHING
