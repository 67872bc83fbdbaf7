"""Downloads against a server that cuts, lies, stalls, redirects and changes its files."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import threading
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_repro.datasets import download as module
from reid_repro.datasets.download import download
from reid_repro.datasets.http_get import retry_after
from reid_repro.errors import UserError

from fetch_server import Reply, Served, Server, serving

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()
OTHER = b"another version of the same length"[:30] * 400


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def waits() -> list[float]:
    return []


def serve(server: Server, *script: Reply, **options: Any) -> Served:
    """The file /a.zip, whose next replies are the script's."""
    served = Served(CONTENT, **{"etag": '"one"', **options}, script=list(script))
    server.files["/a.zip"] = served
    return served


@pytest.fixture
def fetch(server: Server, tmp_path: Path, waits: list[float]) -> Any:
    """The download of /a.zip to a.zip, whose waits are noted, not slept."""
    return partial(
        download, server.url("/a.zip"), tmp_path / "a.zip", wait=waits.append, timeout=5.0
    )


def left(folder: Path) -> set[str]:
    """The names in a folder, but for the one that holds the locks."""
    return {path.name for path in folder.iterdir()} - {".fetch"}


def refused(fetch: Any, **options: Any) -> str:
    """The one line that a download ends with."""
    with pytest.raises(UserError) as caught:
        fetch(**options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_comes_whole(server: Server, fetch: Any, tmp_path: Path, chunked: bool) -> None:
    serve(server, Reply(chunked=chunked))
    seen: list[tuple[int, int | None]] = []
    assert fetch(sha256=SHA256, md5=MD5, advance=lambda *now: seen.append(now)) == (
        tmp_path / "a.zip"
    )
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert left(tmp_path) == {"a.zip"}
    assert seen[-1] == (len(CONTENT), None if chunked else len(CONTENT))


def test_an_empty_file_is_a_file(server: Server, fetch: Any, tmp_path: Path) -> None:
    serve(server).content = b""
    fetch()
    assert (tmp_path / "a.zip").read_bytes() == b""


def test_cut_connections_go_on_where_they_ended(
    server: Server, fetch: Any, tmp_path: Path, waits: list[float]
) -> None:
    served = serve(server, Reply(cut=1000), Reply(cut=500), Reply(cut=0))
    fetch(sha256=SHA256)
    assert served.wanted == ["", "bytes=1000-", "bytes=1500-", "bytes=1500-"]
    assert served.asked[1]["If-Range"] == '"one"'
    assert waits == [1.0, 1.0, 2.0]  # growing only while nothing new comes
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_more_cuts_than_attempts_are_no_trouble_while_bytes_come(
    server: Server, fetch: Any, tmp_path: Path
) -> None:
    serve(server, *[Reply(cut=400)] * 20)
    fetch(attempts=2)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_later_start_asks_for_the_rest_alone(server: Server, fetch: Any, tmp_path: Path) -> None:
    served = serve(server, Reply(cut=3000), etag="", modified="Sun, 06 Nov 1994 08:49:37 GMT")
    line = refused(fetch, attempts=1)
    assert "ended after 3,000 of 10,240 bytes" in line
    assert "run again to go on from byte 3,000" in line
    assert left(tmp_path) == {"a.zip.part", "a.zip.part.json"}
    fetch(attempts=1)
    assert served.wanted == ["", "bytes=3000-"]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert left(tmp_path) == {"a.zip"}


def test_a_part_that_was_whole_already_is_not_asked_for_again(
    server: Server, fetch: Any, tmp_path: Path
) -> None:
    served = serve(server, Reply(cut=3000))
    refused(fetch, attempts=1)
    (tmp_path / "a.zip.part").write_bytes(CONTENT)
    fetch(sha256=SHA256)
    assert len(served.asked) == 1
    assert left(tmp_path) == {"a.zip"}


@pytest.mark.parametrize("changes", [{"ranges": False}, {"etag": 'W/"weak"'}, {"etag": ""}])
def test_without_ranges_or_a_sure_version_it_starts_over(
    server: Server, fetch: Any, tmp_path: Path, changes: dict[str, Any]
) -> None:
    served = serve(server, Reply(cut=1000), **changes)
    fetch()
    assert len(served.asked) == 2
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("always_range", [False, True])
def test_a_file_that_changed_meanwhile_is_not_pieced_together(
    server: Server, fetch: Any, tmp_path: Path, always_range: bool
) -> None:
    served = serve(server, Reply(cut=1000))
    refused(fetch, attempts=1)
    served.content, served.etag = OTHER, '"two"'
    served.script = [Reply(always_range=always_range)]
    fetch()
    assert (tmp_path / "a.zip").read_bytes() == OTHER


@pytest.mark.parametrize("given_range", ["bytes 5-10239/10240", "nonsense", "bytes 1000-1999/2000"])
def test_another_range_than_asked_for_starts_over(
    server: Server, fetch: Any, tmp_path: Path, given_range: str
) -> None:
    serve(server, Reply(cut=1000), Reply(headers={"Content-Range": given_range}))
    fetch()
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_pieces_of_two_versions_show_in_the_checksum_and_start_over(
    server: Server, fetch: Any, tmp_path: Path
) -> None:
    served = serve(server, Reply(cut=1000), etag="")
    served.content = OTHER[: len(CONTENT)]
    refused(fetch, attempts=1, sha256=SHA256)
    served.content = CONTENT
    fetch(sha256=SHA256)
    assert served.wanted == ["", "bytes=1000-", ""]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_starts_over(
    server: Server, fetch: Any, tmp_path: Path
) -> None:
    served = serve(server, Reply(cut=1000))
    refused(fetch, attempts=1)
    (tmp_path / "a.zip.part").write_bytes(CONTENT * 2)
    fetch()
    assert served.wanted == ["", "bytes=20480-", ""]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("note", ["", "[]", '{"url": "http://127.0.0.1/other.zip"}'])
def test_a_part_of_something_else_is_not_used(
    server: Server, fetch: Any, tmp_path: Path, note: str
) -> None:
    served = serve(server)
    (tmp_path / "a.zip.part").write_bytes(b"who knows")
    (tmp_path / "a.zip.part.json").write_text(note)
    fetch()
    assert served.wanted == [""]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_length_that_is_too_long_never_makes_a_file(
    server: Server, fetch: Any, tmp_path: Path, waits: list[float]
) -> None:
    serve(server, *[Reply(length=len(CONTENT) + 1)] * 9, ranges=False)
    assert "ended after 10,240 of 10,241 bytes; tried 3 times" in refused(fetch, attempts=3)
    assert waits == [1.0, 2.0]
    assert "a.zip" not in left(tmp_path)


def test_a_length_that_is_too_short_shows_in_the_checksum(
    server: Server, fetch: Any, tmp_path: Path
) -> None:
    serve(server, Reply(length=100))
    assert f"expected {SHA256}" in refused(fetch, sha256=SHA256)
    assert left(tmp_path) == {"a.zip.bad"}


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_wrong_bytes_are_kept_aside(server: Server, fetch: Any, tmp_path: Path, kind: str) -> None:
    served = serve(server)
    served.content = OTHER
    expected = {"sha256": SHA256, "md5": MD5}[kind]
    found = hashlib.new(kind, OTHER).hexdigest()
    line = refused(fetch, **{kind: expected})
    assert f"'a.zip' has {kind} {found}, expected {expected}" in line
    assert left(tmp_path) == {"a.zip.bad"}
    assert len(served.asked) == 1
    served.content = CONTENT
    fetch(**{kind: expected})
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_passing_troubles_are_tried_again(
    server: Server, fetch: Any, tmp_path: Path, waits: list[float]
) -> None:
    serve(server, Reply(500), Reply(503), Reply(429, headers={"Retry-After": "17"}), Reply(503))
    fetch()
    assert waits == [1.0, 2.0, 17.0, 8.0]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_server_that_asks_for_an_hour_is_not_waited_for(
    server: Server, fetch: Any, waits: list[float]
) -> None:
    serve(server, Reply(503, headers={"Retry-After": "3600"}))
    assert "asks to wait 3600 s" in refused(fetch)
    assert waits == []


@pytest.mark.parametrize(
    ("status", "says"),
    [(404, "not there any more"), (403, "refused"), (401, "login"), (400, "url")],
)
def test_what_will_not_change_ends_it_at_once(
    server: Server, fetch: Any, tmp_path: Path, waits: list[float], status: int, says: str
) -> None:
    served = serve(server, Reply(status))
    line = refused(fetch)
    assert f"answers {status}" in line
    assert says in line
    assert (len(served.asked), waits, left(tmp_path)) == (1, [], set())


def test_redirects_are_followed_and_keep_the_range(
    server: Server, fetch: Any, tmp_path: Path
) -> None:
    serve(server).script = [
        Reply(302, headers={"Location": "/there is"}),
        Reply(307, headers={"Location": server.url("/there%20is")}),
    ]
    there = Served(CONTENT, etag='"one"', script=[Reply(cut=10)])
    server.files["/there%20is"] = there
    fetch()
    assert there.wanted == ["", "bytes=10-"]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_endless_redirects_end(server: Server, fetch: Any) -> None:
    served = serve(server, *[Reply(301, headers={"Location": "/a.zip"})] * 50)
    assert "redirects more than 10 times" in refused(fetch)
    assert len(served.asked) == 11


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/a.zip", "data:text/plain,hello"]
)
def test_other_schemes_are_not_followed(
    server: Server, fetch: Any, tmp_path: Path, location: str
) -> None:
    serve(server, Reply(302, headers={"Location": location}))
    assert "only http and https" in refused(fetch)
    assert left(tmp_path) == set()


def test_other_schemes_are_not_asked(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(UserError, match="only http and https"):
        download((tmp_path / "secret").as_uri(), tmp_path / "a.zip")


def test_a_redirect_to_nowhere_is_an_error(server: Server, fetch: Any) -> None:
    serve(server, Reply(302))
    assert "answers 302" in refused(fetch)


def test_silence_is_cut_short(server: Server, fetch: Any, tmp_path: Path) -> None:
    served = serve(server, Reply(cut=100, stall=True))
    fetch(timeout=0.1)
    assert served.wanted == ["", "bytes=100-"]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_chunks_that_break_off_are_not_the_file(server: Server, fetch: Any, tmp_path: Path) -> None:
    serve(server, Reply(chunked=True, cut=300))
    fetch()
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_web_page_is_not_an_archive(server: Server, fetch: Any, tmp_path: Path) -> None:
    serve(server, kind="text/html; charset=utf-8")
    assert "a web page came instead of 'a.zip'" in refused(fetch)
    assert left(tmp_path) == set()


def test_nobody_there_is_tried_again(tmp_path: Path, waits: list[float]) -> None:
    with serving() as server:
        url = server.url("/a.zip")
    fetch = partial(download, url, tmp_path / "a.zip", wait=waits.append, attempts=3)
    assert "no connection" in refused(fetch)
    assert waits == [1.0, 2.0]


def test_what_is_there_is_not_fetched_again(server: Server, fetch: Any, tmp_path: Path) -> None:
    served = serve(server)
    (tmp_path / "a.zip").write_bytes(CONTENT)
    fetch(sha256=SHA256)
    fetch()
    assert served.asked == []
    (tmp_path / "a.zip").write_bytes(OTHER)
    fetch(sha256=SHA256)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert (tmp_path / "a.zip.bad").read_bytes() == OTHER


def test_two_at_once_fetch_once(server: Server, fetch: Any, tmp_path: Path) -> None:
    served = serve(server, Reply(cut=5000))
    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert served.wanted == ["", "bytes=5000-"]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_disk_without_room_is_found_before(
    server: Server, fetch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 0, 100))
    serve(server)
    assert "the disk has room for 100" in refused(fetch)
    assert "a.zip" not in left(tmp_path)


def test_the_note_says_which_version_the_part_is_of(
    server: Server, fetch: Any, tmp_path: Path
) -> None:
    serve(server, Reply(cut=3000))
    refused(fetch, attempts=1)
    assert json.loads((tmp_path / "a.zip.part.json").read_text()) == {
        "url": server.url("/a.zip"),
        "etag": '"one"',
        "modified": "",
        "total": len(CONTENT),
    }


@settings(max_examples=30)
@given(
    cuts=st.lists(st.integers(0, 4000), max_size=8),
    ranges=st.booleans(),
    version=st.sampled_from(["etag", "modified", "none"]),
    checked=st.booleans(),
)
def test_no_series_of_cuts_spoils_the_file(
    cuts: list[int], ranges: bool, version: str, checked: bool
) -> None:
    with serving() as server, tempfile.TemporaryDirectory() as folder:
        served = serve(server, *[Reply(cut=cut) for cut in cuts], etag="", ranges=ranges)
        if version != "none":
            setattr(served, version, '"one"' if version == "etag" else "Sun, 06 Nov 1994")
        target = Path(folder) / "a.zip"
        checks = {"sha256": SHA256} if checked else {}
        download(
            server.url("/a.zip"), target, attempts=10, wait=lambda _: None, timeout=5.0, **checks
        )
        assert target.read_bytes() == CONTENT
        assert left(Path(folder)) == {"a.zip"}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 37.0),
        ("Sun, 06 Nov 1994 08:48:00 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:37 -0000", 37.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float) -> None:
    assert retry_after(value, datetime(1994, 11, 6, 8, 49, 0, tzinfo=UTC)) == seconds


def test_the_range_header_is_read_as_a_whole_number_of_bytes() -> None:
    assert re.fullmatch(module.CONTENT_RANGE, "bytes 0-9/10")
    assert not re.match(module.CONTENT_RANGE, "bytes */10")
