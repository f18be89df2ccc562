"""Whose origin the pages are on, and so what a browser's session may do there.

A browser separates pages of different origins (scheme, host name, port). It does not separate pages
of one origin. Where notebooks share the host name with this service, a page in a notebook can open
our pages, read them and act in them, with the cookies of the person who views it. A service worker
can do so unseen. No header distinguishes such a request from one of ours. So on a shared origin a
session shows only its user's own usage, and starts nothing.
"""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request

from accounting.config import PREFIX, Settings
from accounting.errors import SettingsError
from accounting.guard.hub import hub_of, prefix_of

SHARED, OWN, USER_DOMAINS = "shared", "own", "user-domains"
_SETTING = f"{PREFIX}HUB__ORIGIN"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

CURE = (
    f"give the service a host name of its own and set {_SETTING}=own"
    " (docs/security.md says how), or send a token as a program does"
)


@dataclass(frozen=True)
class Origin:
    """What the settings say of the pages' origin.

    Attributes:
        kind: ``shared`` with notebooks, the service's ``own``, or the hub's with ``user-domains``.
        address: where the pages are, such as ``https://accounting.example.org``; empty if unknown.
    """

    kind: str
    address: str = ""

    def is_apart(self, request: Request) -> bool:
        """Whether no notebook can be of the origin that a browser asks at.

        False, too, if somebody reaches a service with its own host name by another name.
        """
        if self.kind == SHARED:
            return False
        return not self.address or request.headers.get("host", "").lower() == _host(self.address)

    def elsewhere(self, request: Request) -> str:
        """The service's own address, if a browser asks at another one; else empty text.

        The hub sends the browser there after the login: only there it has the login's cookie.
        """
        return "" if self.kind != OWN or self.is_apart(request) else self.address


def origin_of(settings: Settings) -> Origin:
    """What the settings say of the pages' origin.

    Without the hub's login and without a prefix the service has all of its address to itself.

    Raises:
        SettingsError: the settings contradict each other.
    """
    hub = settings.hub
    kind = hub.origin
    if kind == SHARED and not prefix_of(settings) and hub_of(settings) is None:
        return Origin(OWN)
    address = hub.callback_url or os.environ.get("JUPYTERHUB_PUBLIC_URL", "")
    parts = urlsplit(address)
    address = f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
    if kind == OWN and hub_of(settings) is not None:
        _require_two_hosts(address, hub.public_url or os.environ.get("JUPYTERHUB_PUBLIC_HUB_URL"))
    return Origin(kind, address)


def _require_two_hosts(own: str, hub: str | None) -> None:
    """Notebooks are where the hub is: the browsers' addresses of both must be known to differ."""
    if not own:
        raise SettingsError(
            f"{_SETTING}=own needs {PREFIX}HUB__CALLBACK_URL: where the service's host is",
            f"for example {PREFIX}HUB__CALLBACK_URL=https://accounting.example.org/oauth_callback",
        )
    if not hub:
        raise SettingsError(
            f"{_SETTING}=own needs {PREFIX}HUB__PUBLIC_URL: the hub's address as browsers see it",
            f"for example {PREFIX}HUB__PUBLIC_URL=https://hub.example.org/hub",
        )
    if urlsplit(own).hostname == urlsplit(hub).hostname:
        raise SettingsError(
            f"{_SETTING}=own, but the pages are on the hub's host name {urlsplit(hub).hostname}",
            "give the service another host name (another port is not enough: cookies are shared)",
        )


def _host(address: str) -> str:
    """The Host header of requests to an address."""
    parts = urlsplit(address.lower())
    return parts.netloc.removesuffix(_DEFAULT_PORTS.get(parts.scheme, ":"))
