"""Downloads that survive cut connections and never pass off a broken file as a whole one.

What has come lies in `NAME.part` until it is whole and its checksum fits; `NAME.part.json` notes
which version of the file it belongs to (RFC 9110: ETag, Last-Modified), so that a later start asks
for the rest alone, and only of that version (Range, If-Range). A server that ignores ranges, or
has another version by now, starts it over. Passing troubles are tried again after growing waits;
an answer that will stay the same (404, 403) ends it at once.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from reid_repro.datasets.http_get import NoSuchRangeError, PassingError, request
from reid_repro.errors import UserError
from reid_repro.files import read_json, write_json
from reid_repro.locks import alone

STATE = ".fetch"  # the folder beside the files that holds locks and notes
CHUNK = 1 << 20
LONGEST_WAIT = 60.0  # seconds between two attempts, unless the server asks for more
LONGEST_ASKED = 600.0  # seconds that a server may ask to wait
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")

Advance = Callable[[int, int | None], None]


def _unseen(done: int, total: int | None) -> None:
    """Progress that nobody watches."""


def download(
    url: str,
    target: Path,
    *,
    sha256: str = "",
    md5: str = "",
    attempts: int = 6,
    timeout: float = 60.0,
    wait: Callable[[float], None] = time.sleep,
    advance: Advance = _unseen,
) -> Path:
    """The file at `url`, whole, as `target`; nothing is done where it lies there already.

    `sha256` or `md5` in lower-case hexadecimal are what it must have. After `attempts` failures in
    a row that brought no new byte it gives up, and leaves what came for the next start. A silence
    of `timeout` seconds is a failure; `wait` sleeps between attempts; `advance` is told the bytes
    that are there and those of the whole file, or None where the server does not say. Two
    downloads of one target wait for each other.

    Raises UserError: the server refuses or keeps failing, the checksum is wrong (the file is
    kept as `NAME.bad`), the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with alone(f"download {target.name}", target.parent / STATE):
        if target.exists():
            if not wrong_checksum(target, sha256=sha256, md5=md5):
                return target
            target.replace(_beside(target, ".bad"))
        part = _Part(url, target, checked=bool(sha256 or md5))
        for is_last in (False, True):
            _finish(part, attempts, timeout, wait, advance)
            wrong = wrong_checksum(part.path, sha256=sha256, md5=md5)
            if not wrong:
                return part.keep()
            if is_last or part.answers == 1:
                break
            part.discard()  # pieces of several answers: perhaps not of one version of the file
        bad = _beside(target, ".bad")
        part.path.replace(bad)
        part.discard()
        raise UserError(
            f"{url}: {wrong}; it is kept as {bad}: run again, and if it stays so, compare with the "
            "publisher's page"
        )


def wrong_checksum(path: Path, *, sha256: str = "", md5: str = "") -> str:
    """Which file has which checksum instead of which; empty where all that are given fit."""
    for name, expected in (("sha256", sha256), ("md5", md5)):
        if expected:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, name).hexdigest()
            if found != expected:
                file_name = path.name.removesuffix(".part")
                return f"'{file_name}' has {name} {found}, expected {expected}"
    return ""


class _Part:
    """What has come of a file, and the note of the version that it belongs to."""

    def __init__(self, url: str, target: Path, *, checked: bool) -> None:
        self.url, self.target = url, target
        self.path = _beside(target, ".part")
        self.answers = 0  # how many answers of the server its bytes come from
        self._note_file = _beside(target, ".part.json")
        self._checked = checked
        self._note = self._read_note()
        if self._note and self.size:
            self.answers = 2  # of an earlier start: who knows how many
        else:
            self.discard()

    def _read_note(self) -> dict[str, Any]:
        """The note, or nothing where it is of another address or was not written whole."""
        try:
            note = read_json(self._note_file)
        except UserError:
            return {}
        return note if isinstance(note, dict) and note.get("url") == self.url else {}

    @property
    def size(self) -> int:
        """The bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def total(self) -> int | None:
        """The bytes of the whole file, where the server said so."""
        total = self._note.get("total")
        return total if isinstance(total, int) else None

    def discard(self) -> None:
        """Forget what has come."""
        for file in (self.path, self._note_file):
            file.unlink(missing_ok=True)
        self._note, self.answers = {}, 0

    def keep(self) -> Path:
        """Put the whole file in its place."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(self.target)
        self.discard()
        return self.target

    def headers(self) -> dict[str, str]:
        """What asks for the rest; nothing where no one could say whether the rest would fit."""
        if not self.size:
            return {}
        etag, modified = (str(self._note.get(key, "")) for key in ("etag", "modified"))
        # A weak ETag promises the same meaning, not the same bytes.
        version = etag if etag and not etag.startswith("W/") else modified
        if version:
            return {"Range": f"bytes={self.size}-", "If-Range": version}
        return {"Range": f"bytes={self.size}-"} if self._checked else {}

    def begin(self, response: HTTPResponse) -> None:
        """Make ready for the bytes of an answer: go on where they go on, else start over."""
        version = {
            "etag": response.headers.get("ETag", ""),
            "modified": response.headers.get("Last-Modified", ""),
        }
        if response.status == 206:
            found = CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            total = int(found[3]) if found and found[3] != "*" else self.total
            known = {key: self._note.get(key) or value for key, value in version.items()}
            given = {key: value or known[key] for key, value in version.items()}
            if not found or int(found[1]) != self.size:
                trouble = "the server sent another range than asked for"
            elif known != given or (self.total is not None and total != self.total):
                trouble = "the file changed on the server"
            else:
                self._note["total"] = total
                self.answers += 1
                return
            self.discard()
            raise PassingError(trouble)
        self.discard()
        # The file first: an old note beside an empty file does no harm, the other order would.
        self.path.write_bytes(b"")
        self._note = {"url": self.url, **version, "total": response.length}
        write_json(self._note_file, self._note)
        self.answers = 1


def _finish(
    part: _Part,
    attempts: int,
    timeout: float,
    wait: Callable[[float], None],
    advance: Advance,
) -> None:
    """Bring the part to its full length."""
    failures, most = 0, part.size
    while part.total is None or part.size != part.total or not part.path.exists():
        try:
            _receive(part, timeout, advance)
            return
        except PassingError as passing:
            if isinstance(passing, NoSuchRangeError):
                part.discard()
            failures = 1 if part.size > most else failures + 1
            most = max(most, part.size)
            if passing.after > LONGEST_ASKED:
                raise UserError(
                    f"{part.url}: {passing}, and asks to wait {passing.after:.0f} s: run again then"
                ) from None
            if failures >= attempts:
                kept = f"; what came is kept: run again to go on from byte {part.size:,}"
                raise UserError(
                    f"{part.url}: {passing}; tried {failures} times{kept if part.size else ''}"
                ) from None
            wait(max(min(2.0 ** (failures - 1), LONGEST_WAIT), passing.after))


def _receive(part: _Part, timeout: float, advance: Advance) -> None:
    """One answer of the server, to its end; PassingError where that is not the file's."""
    asked = part.headers()
    with request(part.url, asked, timeout) as response:
        if response.status == 206 and not asked:
            raise PassingError("the server sent a range that nobody asked for")
        _refuse_page(part, response)
        part.begin(response)
        size, total = part.size, part.total
        if total is not None and total - size > (free := shutil.disk_usage(part.path.parent).free):
            raise UserError(
                f"{part.target}: {total - size:,} bytes are still to come, but the disk has room "
                f"for {free:,}: make room, then run again"
            )
        try:
            with part.path.open("ab") as file:
                while chunk := _read(response):
                    file.write(chunk)
                    size += len(chunk)
                    advance(size, total)
        except OSError as error:  # of the disk: those of the network are PassingErrors
            raise UserError(f"{part.path}: {error.strerror}; mend that, then run again") from None
    if total is not None and size < total:
        raise PassingError(f"the connection ended after {size:,} of {total:,} bytes")
    if total is not None and size > total:
        part.discard()
        raise PassingError(f"the server sent more than the {total:,} bytes of the file")


def _refuse_page(part: _Part, response: HTTPResponse) -> None:
    kind = response.headers.get_content_type()
    if kind == "text/html" and part.target.suffix.lower() not in (".html", ".htm"):
        raise UserError(
            f"{part.url}: a web page came instead of '{part.target.name}' (a form to fill in, or "
            f"the file has moved): open it in a browser and put the file into {part.target.parent}"
        )


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)  # what is there, so that a cut loses none of it
    except (HTTPException, OSError) as error:
        raise PassingError(f"the connection broke: {error or type(error).__name__}") from None


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(target.name + suffix)
