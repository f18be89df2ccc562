"""One request to a receiver over HTTP: bounded in time and size, never redirected.

The bounds are those of the metrics' store: a receiver that never ends its answer must not hold up
a push, and one that answers with too much must not fill the memory.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from accounting.deadline import DeadlineTransport
from notebooks_settings.proxies import proxy_of
from ssm.errors import CertificateError, Refused, Unavailable

_ENCODINGS = frozenset({"", "identity"})
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a request may go.

    Attributes:
        timeout_seconds: for the receiver to say something.
        total_seconds: for a request as a whole.
        most_bytes: of an answer.
    """

    timeout_seconds: float = 30.0
    total_seconds: float = 120.0
    most_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said.

    Attributes:
        status: HTTP's.
        content: the body.
    """

    status: int
    content: bytes

    @property
    def is_good(self) -> bool:
        """Whether it did what it was asked to."""
        return httpx.codes.is_success(self.status)


class Exchange:
    """Asks one receiver.

    Args:
        base: its address, to which paths are added.
        bounds: of each request.
        ca_file: certificate authorities; None for those of the system.
    """

    def __init__(self, base: str, bounds: Bounds, ca_file: Path | None = None) -> None:
        self._base = base
        self._bounds = bounds
        self._ca_file = ca_file
        self._client: httpx.Client | None = None
        self._context: ssl.SSLContext | None = None

    @property
    def place(self) -> str:
        """The address without what may be secret in it, for people."""
        parts = urlsplit(self._base)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def ask(
        self, method: str, path: str = "", headers: Mapping[str, str] | None = None, **what: Any
    ) -> Answer:
        """One request, and its whole answer.

        Args:
            method: HTTP's.
            path: behind the base.
            headers: of the request.
            what: ``json``, ``data``, ``params`` or ``auth``, as httpx takes them.

        Raises:
            CertificateError: the certificate authorities cannot be read.
            Refused: it points elsewhere.
            Unavailable: there is no whole answer in time. The receiver may have done what it was
                asked to.
        """
        client, transport = self._opened()
        transport.begin(self._bounds.total_seconds)
        # An answer that is not compressed cannot grow in memory.
        shown = {"Accept-Encoding": "identity", "Accept": "application/json", **(headers or {})}
        try:
            with client.stream(method, self._base + path, headers=shown, **what) as response:
                content = self._read(response)
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as exc:
            # Its own text may repeat the address with what is in its query.
            raise Unavailable(
                f"{self.place} gave no whole answer: {type(exc).__name__}",
                "It is tried again; see the network, proxies and certificates on the way.",
            ) from exc
        if response.is_redirect:
            target = response.headers.get("location", "").partition("?")[0][:_SHOWN]
            raise Refused(
                f"{self.place} answered {response.status_code}: it points to {target}",
                "Set the receiver's own address; redirects are not followed.",
            )
        return Answer(response.status_code, content)

    def _read(self, response: httpx.Response) -> bytes:
        if response.headers.get("content-encoding", "").strip().lower() not in _ENCODINGS:
            raise Unavailable(
                f"{self.place} gave an answer that is encoded though nobody asked for it",
                "See the proxies on the way.",
            )
        content = bytearray()
        for piece in response.iter_bytes():
            content += piece
            if len(content) > self._bounds.most_bytes:
                raise Unavailable(
                    f"{self.place} gave an answer of more than {self._bounds.most_bytes:,} bytes",
                    "See whether this is the receiver's address.",
                )
        return bytes(content)

    def _opened(self) -> tuple[httpx.Client, DeadlineTransport]:
        if self._client is None:
            if self._context is None:  # reading the authorities takes longer than a request
                self._context = self._tls()
            self._transport = DeadlineTransport(self._context, proxy_of(self._base))
            self._client = httpx.Client(
                timeout=self._bounds.timeout_seconds, transport=self._transport, trust_env=False
            )
        return self._client, self._transport

    def _tls(self) -> ssl.SSLContext:
        try:
            if self._ca_file is None:
                return httpx.create_ssl_context()
            return ssl.create_default_context(cafile=str(self._ca_file))
        except OSError as exc:  # ssl.SSLError is one
            raise CertificateError(
                f"{self._ca_file} cannot be used: {exc.strerror or 'no certificates in it'}",
                "Give a PEM file with the certificate authorities of the receiver.",
            ) from exc

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None
