"""Reads the accounting portal's open data, from the network or from a file."""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from accounting.config.service import PortalSettings
from accounting.deadline import DeadlineTransport
from accounting.errors import PortalError, SettingsError

_OK = 200


@dataclass(frozen=True, slots=True)
class Page:
    """The portal's data, not read yet.

    Attributes:
        content: as the portal sent it.
        source: where it came from, for people.
        read_at: when the portal said it, Unix seconds.
    """

    content: bytes
    source: str
    read_at: float


def of_file(path: Path) -> Page:
    """What somebody fetched before; the file's time tells when.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return Page(path.read_bytes(), path.name, math.floor(path.stat().st_mtime))
    except OSError as exc:
        raise SettingsError(
            f"--file: {path} cannot be read: {exc.strerror}",
            "give a file with the portal's /json or /csv",
        ) from exc


def fetched(portal: PortalSettings, now: float) -> Page:
    """What the portal says now.

    Raises:
        PortalError: it does not answer in time, or not as it should.
    """
    transport = DeadlineTransport(verify=True)
    transport.begin(portal.timeout)
    try:
        with (
            httpx.Client(transport=transport, follow_redirects=True) as client,
            client.stream("GET", portal.url, timeout=portal.timeout) as answer,
        ):
            if answer.status_code != _OK:
                raise _failed(portal, f"answers with {answer.status_code}")
            return Page(_content(answer, portal), _shown(portal.url), now)
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise _failed(portal, f"does not answer: {type(exc).__name__}") from exc


def _content(answer: httpx.Response, portal: PortalSettings) -> bytes:
    """All of it, up to the bound; a slow answer ends at the deadline."""
    content = bytearray()
    until = time.monotonic() + portal.timeout
    for piece in answer.iter_bytes():
        content += piece
        if len(content) > portal.most_bytes:
            raise _failed(portal, f"sends more than {portal.most_bytes:,} bytes")
        if time.monotonic() > until:
            raise _failed(portal, "does not end its answer in time")
    return bytes(content)


def _shown(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _failed(portal: PortalSettings, what: str) -> PortalError:
    return PortalError(
        f"the accounting portal at {_shown(portal.url)} {what}",
        "try again later, or fetch its data elsewhere and give 'reconcile' the --file",
    )
