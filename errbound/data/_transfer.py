"""From an address to a file: one request, with limits, and one kind of error."""

import http
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from errbound.errors import InputError

_SCHEMES = ("http", "https", "file")

Progress = Callable[[str, int, int | None], None]
"""Called with the address's last part, the bytes fetched and, if known, their number."""

_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.FileHandler,
    urllib.request.HTTPRedirectHandler,  # never to a file
    urllib.request.HTTPErrorProcessor,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.UnknownHandler,
)
_TIMEOUT = 30.0  # seconds without a byte
_LIMIT = 1 << 28  # bytes; the largest official archive has 170 million
_CHUNK = 1 << 18


class NotFound(Exception):
    """The address, which is the message, does not exist: 404, or no such file."""


def check_url(url: str) -> None:
    """Refuse what is no address of a known kind.

    Raises:
        InputError: If it is not.
    """
    try:
        known = urlsplit(url).scheme in _SCHEMES
    except ValueError:
        known = False
    if not known:
        raise InputError(f"--download {url!r}: give an address of {', '.join(_SCHEMES)}")


def last_part(url: str) -> str:
    """What follows the last slash of an address's path."""
    return urlsplit(url).path.rpartition("/")[2]


def open_url(url: str) -> Any:
    """The open answer: a file with ``headers``.

    Raises:
        NotFound: If the address does not exist.
        InputError: If it cannot be opened for another reason.
    """
    opener = urllib.request.OpenerDirector()
    for handler in _HANDLERS:
        opener.add_handler(handler())
    try:
        return opener.open(url, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.NOT_FOUND:
            raise NotFound(url) from None
        raise InputError(f"{url}: the server answers {error.code}: give another address") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, FileNotFoundError):
            raise NotFound(url) from None
        raise _failed(url, error.reason) from None
    except (OSError, ValueError, HTTPException) as error:
        raise _failed(url, error) from None


def receive(answer: Any, url: str, path: Path, progress: Progress) -> None:
    """Write the whole answer to a file.

    Raises:
        InputError: If the transfer fails, ends early or is too long.
        OSError: If the file cannot be written.
    """
    length = answer.headers.get("Content-Length", "")
    total = int(length) if length.isascii() and length.isdigit() else None
    done = 0
    with path.open("wb") as file:
        while chunk := _chunk(answer, url):
            done += len(chunk)
            if max(done, total or 0) > _LIMIT:
                raise InputError(f"{url}: is longer than {_LIMIT} bytes: give another address")
            file.write(chunk)
            progress(last_part(url), done, total)
    if total is not None and done != total:
        raise InputError(f"{url}: broke off after {done} of {total} bytes: try again")


def _chunk(answer: Any, url: str) -> bytes:
    try:
        return bytes(answer.read(_CHUNK))
    except (OSError, HTTPException) as error:
        raise _failed(url, error) from None


def _failed(url: str, error: object) -> InputError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return InputError(
        f"{url}: cannot be fetched ({' '.join(str(reason).split())}): check the address"
    )
