"""Requests over http and https: redirects that stay there, and troubles told apart.

`PassingError` is a trouble that may be gone a moment later; UserError is one that will not.
"""

from __future__ import annotations

import ssl
import string
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse, InvalidURL
from typing import cast
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from reid_repro.errors import UserError

REDIRECTS = 10  # more than any server needs
REDIRECTING = (301, 302, 303, 307, 308)
PASSING = (408, 425, 429)  # and all from 500 on
OUT_OF_RANGE = 416
ADVICE = {
    401: "access needs a login: see the dataset's home page",
    403: "access is refused: see the dataset's home page",
    404: "the file is not there any more: see the dataset's home page",
    410: "the file is not there any more: see the dataset's home page",
}


class PassingError(Exception):
    """A trouble that may pass; the server asks to wait `after` seconds."""

    def __init__(self, trouble: str, after: float = 0.0) -> None:
        super().__init__(trouble)
        self.after = after


class NoSuchRangeError(PassingError):
    """The file does not have the range that was asked for."""


def request(url: str, headers: dict[str, str], timeout: float) -> HTTPResponse:
    """The answer to a GET, of a status 2xx; NoSuchRangeError where the headers ask too much.

    `timeout` is in seconds, for every wait on the network. The usual proxy variables are heeded.
    """
    headers = {"User-Agent": "reid-repro", "Accept-Encoding": "identity", **headers}
    opener, first = _opener(), url
    for _ in range(REDIRECTS + 1):
        _check_scheme(first, url)
        try:
            answer = opener.open(Request(url, headers=headers), timeout=timeout)
            return cast(HTTPResponse, answer)
        except HTTPError as error:
            with error:
                if error.code == OUT_OF_RANGE and "Range" in headers:
                    raise NoSuchRangeError(
                        "the server has no such range: its file changed"
                    ) from None
                url = _redirected(url, error)
        except InvalidURL as error:
            raise UserError(f"{first}: {error}; correct the dataset's url") from None
        except URLError as error:
            raise _unreachable(first, error) from None
        except (HTTPException, OSError) as error:
            raise PassingError(f"no answer: {error or type(error).__name__}") from None
    raise UserError(f"{first}: the server redirects more than {REDIRECTS} times; correct the url")


def _opener() -> OpenerDirector:
    """http and https alone, with redirects left to `request`; urllib's own knows file and ftp."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        UnknownHandler(),
        HTTPHandler(),
        HTTPSHandler(),
        HTTPDefaultErrorHandler(),
        HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _check_scheme(first: str, url: str) -> None:
    scheme = urlsplit(url).scheme.lower()
    if scheme not in ("http", "https"):
        raise UserError(f"{first}: leads to '{url}'; only http and https are fetched")
    if scheme == "http" and urlsplit(first).scheme.lower() == "https":
        raise UserError(f"{first}: leads to '{url}', which is not encrypted; correct the url")


def _redirected(url: str, error: HTTPError) -> str:
    """Where the answer sends to; the error that it is, where it sends nowhere."""
    location = error.headers.get("Location", "")
    if error.code in REDIRECTING and location:
        # Servers send blanks and other bytes that no address may hold.
        return urljoin(url, quote(location, safe=string.punctuation))
    trouble = f"the server answers {error.code} {error.reason}".rstrip()
    if error.code in PASSING or error.code >= 500:
        raise PassingError(trouble, retry_after(error.headers.get("Retry-After", "")))
    advice = ADVICE.get(error.code, "correct the dataset's url")
    raise UserError(f"{url}: {trouble}; {advice}")


def _unreachable(url: str, error: URLError) -> Exception:
    if isinstance(error.reason, ssl.SSLCertVerificationError):
        return UserError(f"{url}: the server's certificate is not valid: {error.reason}")
    return PassingError(f"no connection: {error.reason}")


def retry_after(value: str, now: datetime | None = None) -> float:
    """The seconds of a Retry-After header, a number or a date; 0 where it is neither."""
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
