"""How requests get to the metrics' store: credentials, certificates, proxies, redirects."""

import base64
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, urlencode, urljoin, urlsplit

import httpx
from urllib3 import BaseHTTPResponse, HTTPConnectionPool
from urllib3.exceptions import HTTPError

from accounting.errors import (
    SourceError,
    SourceGarbled,
    SourceRefused,
    SourceTooLarge,
    SourceTooSlow,
    SourceUnavailable,
)
from accounting.measure.source.pool import begin, is_over, pool_of
from accounting.measure.source.signing import Signing
from notebooks_settings.proxies import proxy_of

_SHOWN = 200
# A body with one of these grows by a factor of 1,000 at most, a piece at a time; one that is
# compressed twice, by the square of it.
_ENCODINGS = frozenset({"", "identity", "gzip", "deflate"})
_SETTING = "ACCOUNTING_PROMETHEUS__"
# Of a server that takes no POST, and of one that only knows GET at all; of a gateway whose routes
# are by method (404), and of one that wants JSON (415).
_NO_POST = frozenset({403, 404, 405, 415, 501})
# They keep method and body; the others keep a question only if it has no body.
_REDIRECTS = {"POST": frozenset({307, 308}), "GET": frozenset({301, 302, 307, 308})}
_MOST_REDIRECTS = 3
_PORTS = {"http": 80, "https": 443}
# A firewall or balancer on the way forgets a connection that nobody uses, without a word.
_IDLE_SECONDS = 30.0
_PIECE_BYTES = 64 * 1024

Params = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Access:
    """What a store wants to be shown. Files are read for every request, so they may be rotated.

    Attributes:
        token_file: a bearer token.
        user, password_file: basic authentication.
        headers: such as a tenant's ``X-Scope-OrgID``.
        header_files: headers whose values are secrets, by the files that hold them.
        parameters: added to every query's address, such as OpenShift's ``namespace``.
        ca_file: certificate authorities for https; None for those of the system.
        client_cert, client_key: our own certificate and its key, PEM.
        aws_region, aws_credentials_file, aws_profile: see ``Signing``.
    """

    token_file: Path | None = None
    user: str = ""
    password_file: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    header_files: Mapping[str, Path] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    aws_region: str = ""
    aws_credentials_file: Path | None = None
    aws_profile: str = "default"

    @property
    def signing(self) -> Signing | None:
        """Who signs for AWS; None if nobody does."""
        if not self.aws_region or self.aws_credentials_file is None:
            return None
        return Signing(self.aws_region, self.aws_credentials_file, self.aws_profile)

    def shown_headers(self) -> dict[str, str]:
        """The headers that prove who asks, as the files have them now.

        Raises:
            SourceRefused: a file cannot be read, or holds no line of text.
        """
        shown = dict(self.headers)
        for name, path in self.header_files.items():
            shown[name] = _secret(path, f"the header {name}", "HEADER_FILES")
        if self.token_file:
            token = _secret(self.token_file, "the token", "TOKEN_FILE")
            shown["Authorization"] = f"Bearer {token}"
        elif self.user and self.password_file:
            password = _secret(self.password_file, "the password", "PASSWORD_FILE", is_ascii=False)
            pair = base64.b64encode(f"{self.user}:{password}".encode()).decode()
            shown["Authorization"] = f"Basic {pair}"
        return shown

    def tls(self) -> ssl.SSLContext:
        """For https.

        Raises:
            OSError: a file cannot be used; ssl.SSLError is one.
        """
        if self.ca_file:
            context = ssl.create_default_context(cafile=str(self.ca_file))
        else:
            context = httpx.create_ssl_context()
        if self.client_cert:
            key = str(self.client_key) if self.client_key else None
            context.load_cert_chain(str(self.client_cert), key, password="")
        return context

    def stamp(self) -> tuple[int, ...]:
        """Changes when a certificate is renewed."""
        files = (self.ca_file, self.client_cert, self.client_key)
        return tuple(file.stat().st_mtime_ns if file and file.exists() else 0 for file in files)


def _secret(path: Path, what: str, setting: str, *, is_ascii: bool = True) -> str:
    try:
        text = path.read_text(encoding="ascii" if is_ascii else "utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no plain text"
        raise SourceRefused(
            f"{what} for Prometheus cannot be read: {why}: {path}",
            f"check {_SETTING}{setting} and the file's permissions",
        ) from exc
    if not text.isprintable() or not text:
        raise SourceRefused(
            f"{what} for Prometheus must be one line of text: {path}",
            f"put a valid one into the file that {_SETTING}{setting} names",
        )
    return text


class Connection:
    """Asks one store.

    Args:
        url: its base.
        access: what it wants to be shown.
        timeout_seconds: for each read; the whole answer must come in twice that time.
        most_bytes: of an answer, decompressed.

    Raises:
        OSError: a certificate cannot be used.
    """

    def __init__(
        self, url: str, access: Access, *, timeout_seconds: float, most_bytes: int
    ) -> None:
        self._url = url
        self._access = access
        self._timeout = timeout_seconds
        self._most_bytes = most_bytes
        self._method = "POST"
        self._proxy = proxy_of(url)
        self._stamp = access.stamp()
        self._context = self._tls()
        self._pool: HTTPConnectionPool | None = None
        self._asked_at = 0.0

    def _tls(self) -> ssl.SSLContext:
        """Plain HTTP needs none; reading all authorities for it would take 16 ms."""
        is_plain = not any((place or "").startswith("https:") for place in (self._url, self._proxy))
        if is_plain and not (self._access.ca_file or self._access.client_cert):
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
        return self._access.tls()

    def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            self._pool.close()

    def ask(self, path: str, params: Params) -> tuple[int, bytes]:
        """Status and body of an answer.

        Args:
            path: below the query API's base.
            params: the question.

        Raises:
            SourceError: there is no answer, or none that may be read.
        """
        self._renew()
        url = f"{self._url}/api/v1/{path}"
        # Compressing raw samples costs Prometheus as much again as finding them, and more than a
        # cluster's network needs to carry them.
        headers = {"Accept-Encoding": "identity", **self._access.shown_headers()}
        begin(2 * self._timeout)
        status, content = self._follow(self._method, url, params, headers)
        if self._method == "POST" and status in _NO_POST:
            # Read-only proxies refuse any POST; a permission that lacks is refused once more.
            again = self._follow("GET", url, params, headers)
            if again[0] == HTTPStatus.OK:
                self._method = "GET"
                return again
        return status, content

    def _renew(self) -> None:
        """A renewed certificate needs no restart; nobody waits for a forgotten connection."""
        asked_at, self._asked_at = self._asked_at, time.monotonic()
        stamp = self._access.stamp()
        if stamp != self._stamp:
            try:
                self._context = self._tls()
            except OSError:  # half of it is written: the old one goes on
                return
            self._stamp = stamp
        elif self._asked_at - asked_at < _IDLE_SECONDS:
            return
        # Not closed, as another thread may just have got it: it ends with its last question.
        self._pool = None

    def _follow(
        self, method: str, url: str, params: Params, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """Redirects within the same origin are followed: nothing is shown to anybody else."""
        for _ in range(_MOST_REDIRECTS):
            status, content, location = self._send(method, url, params, headers)
            if not location:
                break
            target = _target(self._url, url, location)
            is_same = _origin(target) == _origin(url) and "/api/v1/" in urlsplit(target).path
            if status not in _REDIRECTS[method] or not is_same:
                raise _redirected(self._url, status, target)
            url = target.partition("?")[0]
        return status, content

    def _send(
        self, method: str, url: str, params: Params, headers: Mapping[str, str]
    ) -> tuple[int, bytes, str]:
        """Status, body, and where a redirect points to."""
        in_url: Params = self._access.parameters
        body = None
        if method == "POST":
            body = urlencode(params, doseq=True)
            headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        else:
            in_url = {**in_url, **params}
        if in_url:
            url = f"{url}?{urlencode(in_url, doseq=True, quote_via=quote)}"
        try:
            if signing := self._access.signing:
                headers = {**headers, **signing.headers(method, url, headers, body)}
            with closing(self._sent(method, url, headers, body)) as response:
                content = self._read(response)
        except (HTTPError, ValueError) as exc:
            cause = _cause(exc)
            if isinstance(cause, TimeoutError):
                raise self._timed_out() from exc
            raise _unreachable(self._url, cause) from exc
        return response.status, content, response.get_redirect_location() or ""

    def _sent(
        self, method: str, url: str, headers: Mapping[str, str], body: str | None
    ) -> BaseHTTPResponse:
        if (pool := self._pool) is None:
            pool = self._pool = pool_of(self._url, self._context, self._proxy, self._timeout)
        # A proxy for plain HTTP wants the whole address, a server its own part of it.
        is_forwarded = self._proxy is not None and url.startswith("http:")
        return pool.urlopen(
            method,
            url if is_forwarded else "/" + url.split("/", 3)[3],
            body=body,
            headers=headers,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
        )

    def _timed_out(self) -> SourceError:
        if is_over():
            return SourceTooSlow(
                f"{self._url} did not give a whole answer within {2 * self._timeout:g} s",
                f"see the network and proxies on the way, or raise {_SETTING}TIMEOUT",
            )
        return SourceTooSlow(
            f"{self._url} did not answer within {self._timeout:g} s",
            f"see whether Prometheus is overloaded, or raise {_SETTING}TIMEOUT",
        )

    def _read(self, response: BaseHTTPResponse) -> bytes:
        """An answer's bytes.

        Raises:
            SourceTooLarge: there are more than may be.
            SourceGarbled: they are encoded in a way that nobody asked for.
        """
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding not in _ENCODINGS:
            raise SourceGarbled(
                f"{self._url} gave an answer that is encoded as {encoding[:_SHOWN]!r}",
                f"check what {_SETTING}URL points to, and the proxies on the way",
            )
        pieces, size = [], 0
        for piece in response.stream(_PIECE_BYTES, decode_content=True):
            size += len(piece)
            if size > self._most_bytes:
                raise SourceTooLarge(
                    f"{self._url} gave an answer of more than {self._most_bytes:,} bytes",
                    f"shorten ACCOUNTING_POLL__STEP, or raise {_SETTING}MOST_BYTES",
                )
            pieces.append(piece)
        return b"".join(pieces)


# What servers say that demand a certificate, by TLS 1.3, 1.2, and Go's before 1.21.
_NO_CERTIFICATE = ("certificate required", "handshake failure", "bad certificate")


def _unreachable(url: str, cause: BaseException) -> SourceUnavailable:
    said = str(cause)
    cure = f"check that Prometheus runs there and {_SETTING}URL points to it"
    if any(alert in said for alert in _NO_CERTIFICATE):
        cure = f"give a client certificate that it accepts in {_SETTING}CLIENT_CERT and …CLIENT_KEY"
    elif "CERTIFICATE_VERIFY_FAILED" in said:
        cure = f"give the certificate authority of Prometheus in {_SETTING}CA_FILE"
    return SourceUnavailable(f"{url} cannot be reached: {said[:_SHOWN]}", cure)


def _cause(exc: BaseException) -> BaseException:
    """What the network said: urllib3 wraps it, some of it twice."""
    inner = exc.__cause__ or next(iter(exc.args[-1:]), None)
    return _cause(inner) if isinstance(inner, BaseException) else exc


def _target(store: str, url: str, location: str) -> str:
    """Where a redirect points to; without credentials, which would go out in place of ours.

    Raises:
        SourceGarbled: it is no address.
    """
    try:
        target = urlsplit(urljoin(url, location))
        _origin(target.geturl())
    except ValueError as exc:
        raise SourceGarbled(
            f"{store} points to an address that is none",
            f"check what {_SETTING}URL points to, and the proxies on the way",
        ) from exc
    return target._replace(netloc=target.netloc.rpartition("@")[2]).geturl()


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _redirected(url: str, status: int, target: str) -> SourceRefused:
    """A redirect that is not followed; without what may be in its query."""
    place = target.partition("?")[0]
    base, is_api, _ = place.partition("/api/v1/")
    cure = f"set {_SETTING}URL to {base}" if is_api else "give the address behind the login"
    return SourceRefused(
        f"{url} answered {status}: it points to {place[:_SHOWN]}",
        f"{cure}, if that is the base of a Prometheus query API; see {_SETTING}URL",
    )
