"""The ARGO Messaging Service: log in with the host certificate, publish one message a call.

The real `argo-ams-library` makes every call, with three corrections, all through arguments it
hands on to `requests`:

- its constructor logs in without a time limit and without a choice of CA; it does not if it is
  given a token, so it gets a placeholder and the login is made with `do_get` on its own route;
- it loses the HTTP status of an answer whose body is not the error JSON it expects; a response
  hook notes the status, and the status decides;
- `requests` would follow a redirect and take the token along; redirects are not followed.

Every foreign exception ends here: see `ssm.errors` for what becomes of it.
"""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from argo_ams_library import AmsMessage, ArgoMessagingService
from cryptography.hazmat.primitives.hashes import SHA256

from ssm.certificate import HostCertificate
from ssm.errors import (
    CertificateError,
    Refused,
    Rejected,
    SsmError,
    TokenExpired,
    TooLarge,
    TransportError,
    Unavailable,
)

_BAD_REQUEST, _UNAUTHORIZED, _TOO_LARGE, _SERVER_ERROR = 400, 401, 413, 500
# The longest true answer has some hundred bytes.
_LONGEST_ID = 255
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")
_ANSWER_BYTES = 1_000_000
_CLIENT_ERRORS = range(400, 500)
# A later answer may be another one.
_PASSING = (408, 425, 429)
_LOGIN_REFUSED = (400, 401, 403, 404)

# Not a token; it only keeps the library's constructor from logging in by itself.
_NOT_LOGGED_IN = "-"

# The broker exports attributes without escaping them: a quote, a backslash or a control character
# makes the topic unreadable for every receiver.
_MESSAGE_ID = re.compile(r"[A-Za-z0-9._:/@+-]{1,128}")
_NAME = re.compile(r"[A-Za-z0-9._-]+")

# A broker's sentence may be repeated to the operator; anything with a long unbroken run in it may
# be a token or a piece of the message, and may not.
_SENTENCE = re.compile(r"(?!.*\S{33})[ -~]{1,200}")


@dataclass(frozen=True, kw_only=True)
class AmsSettings:
    """Where to publish.

    Args:
        host: bare host name, e.g. `msg.argo.grnet.gr`.
        project: e.g. `accounting`.
        topic: e.g. `eu-egi-cloud-accounting`.
        port: the API's port.
        authn_port: the port of the X.509 login.
        ca_file: CA certificates (a PEM file, or a hashed directory) that the broker's certificate
            is checked against; None for those of `requests` (and `REQUESTS_CA_BUNDLE`).
        connect_seconds: limit for connecting.
        timeout_seconds: limit for each wait for data.
        total_seconds: limit for a call from its begin to the end of the answer; one that goes on
            trickling in is cut off.
        max_bytes: most bytes of base64 data in one message. The broker's limits are 1,500,000
            bytes and, behind it, commonly 1 MiB for the message with its frame.
        suspect_bytes: above this many bytes of base64 data, a 500 is taken to mean "too large",
            because the broker may say so with it.

    Raises:
        ValueError: a name that cannot be part of the broker's addresses.
    """

    host: str
    project: str
    topic: str
    port: int = 443
    authn_port: int = 8443
    ca_file: Path | None = None
    connect_seconds: float = 10.0
    timeout_seconds: float = 30.0
    total_seconds: float = 120.0
    max_bytes: int = 1_000_000
    suspect_bytes: int = 500_000

    def __post_init__(self) -> None:
        for name in ("host", "project", "topic"):
            if not _NAME.fullmatch(getattr(self, name)):
                raise ValueError(f"{name} must be letters, digits, '.', '_' and '-' only")

    @property
    def destination(self) -> str:
        """The stable name of the destination: `ams://host/project/topic`."""
        port = "" if self.port == 443 else f":{self.port}"  # noqa: PLR2004 - HTTPS
        return f"ams://{self.host}{port}/{self.project}/{self.topic}"


@dataclass
class _Call:
    """One HTTP call: what it was for, and the status that came back, if any."""

    purpose: str
    total_seconds: float
    status: int | None = field(default=None, init=False)
    begun: float = field(default_factory=time.monotonic, init=False)

    def note(self, response: requests.Response, *_args: Any, **_options: Any) -> None:
        """Note the status, and read the answer up to a limit, which `requests` has not."""
        self.status = response.status_code
        pieces, size = [], 0
        while piece := response.raw.read1(_ANSWER_BYTES, decode_content=True):
            pieces.append(piece)
            size += len(piece)
            if size > _ANSWER_BYTES or time.monotonic() - self.begun > self.total_seconds:
                response.close()
                raise requests.exceptions.ReadTimeout("the answer does not end")
        # What `content` gives; there is no public way to hand it a body that was read already.
        response._content = b"".join(pieces)  # noqa: SLF001 - no public way


class AmsTransport:
    """Publishes signed messages; several threads may share one.

    Args:
        settings: where to.
        cert_path: the host certificate, PEM; read for every call.
        key_path: its key, PEM; read for every call.
        clock: tells the time (aware UTC) that certificates are checked against.
    """

    def __init__(
        self,
        settings: AmsSettings,
        cert_path: Path,
        key_path: Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings
        self._cert_path = cert_path
        self._key_path = key_path
        self._clock = clock
        self._lock = threading.Lock()
        self._service: ArgoMessagingService | None = None
        self._logged_in_with: bytes = b""

    def login(self) -> None:
        """Log in now, even if a token is at hand.

        Raises:
            CertificateError: the certificate or key cannot be used.
            Refused: the broker does not know the certificate's DN.
            Unavailable: no usable answer.
        """
        with self._lock:
            self._log_in(self._host())

    def publish(self, data: bytes, message_id: str) -> str:
        """Publish one message; log in first if needed, and once again on a 401.

        Args:
            data: the message; goes out as base64.
            message_id: goes out as the attribute `empaid`; letters, digits and `._:/@+-`.

        Returns:
            The broker's id of the message.

        Raises:
            CertificateError, Refused, TokenExpired, TooLarge, Unavailable.
        """
        size = self._require_sendable(data, message_id)
        service = self._session()
        try:
            return self._publish(service, data, message_id, size)
        except TokenExpired:
            service = self._session(stale=service)
        return self._publish(service, data, message_id, size)

    def close(self) -> None:
        """Forget the token. No connection outlives a call."""
        with self._lock:
            self._service = None

    def _session(self, stale: ArgoMessagingService | None = None) -> ArgoMessagingService:
        """A logged-in service: not the `stale` one, and not one of a replaced certificate."""
        host = self._host()
        with self._lock:
            known = self._logged_in_with == _fingerprint(host)
            if self._service is None or self._service is stale or not known:
                return self._log_in(host)
            return self._service

    def _host(self) -> HostCertificate:
        host = HostCertificate.load(self._cert_path, self._key_path)
        host.check(self._clock())
        return host

    def _log_in(self, host: HostCertificate) -> ArgoMessagingService:
        settings = self.settings
        self._service = None
        service = ArgoMessagingService(
            endpoint=f"{settings.host}:{settings.port}",
            token=_NOT_LOGGED_IN,
            project=settings.project,
        )
        url = service.routes["auth_x509"][1].format(settings.host, settings.authn_port)
        call = _Call(f"the login at {settings.host}:{settings.authn_port}", settings.total_seconds)
        options = self._options(call) | {"cert": (str(self._cert_path), str(self._key_path))}
        try:
            answer = service.do_get(url, "auth_x509", **options)
        except Exception as exc:  # noqa: BLE001 - the library lets anything out
            raise self._login_error(call, exc, host) from _without_secrets(exc)
        token = answer.get("token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token:
            raise _no_answer(call, "without a token")
        service.token = token
        self._service = service
        self._logged_in_with = _fingerprint(host)
        return service

    def _publish(
        self, service: ArgoMessagingService, data: bytes, message_id: str, size: int
    ) -> str:
        call = _Call(f"publishing to {self.settings.destination}", self.settings.total_seconds)
        message = AmsMessage(data=data, attributes={"empaid": message_id})
        try:
            answer = service.publish(self.settings.topic, message, retry=0, **self._options(call))
        except Exception as exc:  # noqa: BLE001 - the library lets anything out
            raise self._publish_error(call, exc, size) from _without_secrets(exc)
        match answer:
            case {"messageIds": [str() | int() as broker_id]}:
                # Only people read it: cut to what can be stored, without what cannot be shown.
                return _UNPRINTABLE.sub("?", str(broker_id)[:_LONGEST_ID])
            case _:
                raise _no_answer(call, "without a message id")

    def _options(self, call: _Call) -> dict[str, Any]:
        """What every call hands on to `requests`."""
        ca_file = self.settings.ca_file
        return {
            "timeout": (
                min(self.settings.connect_seconds, self.settings.timeout_seconds),
                self.settings.timeout_seconds,
            ),
            "verify": True if ca_file is None else str(ca_file),
            "allow_redirects": False,
            "hooks": {"response": call.note},
        }

    def _require_sendable(self, data: bytes, message_id: str) -> int:
        """The size of `data` as base64, if it and the id may go out."""
        if not _MESSAGE_ID.fullmatch(message_id):
            raise Refused(
                "The message's id has characters that would make the topic unreadable",
                "Use letters, digits and ._:/@+- only; this is a bug in the caller.",
            )
        size = (len(data) + 2) // 3 * 4
        if size > self.settings.max_bytes:
            raise TooLarge(
                f"The message has {size} bytes (base64), the limit is {self.settings.max_bytes}",
                "Put fewer records into one message.",
            )
        return size

    def _login_error(self, call: _Call, exc: Exception, host: HostCertificate) -> SsmError:
        is_cut = isinstance(exc.__context__, requests.exceptions.ConnectionError)  # TLS, too
        unfit = None if host.may_log_in and host.may_sign else host.unfit
        if is_cut and call.status is None and unfit:
            what = f"{call.purpose}: no TLS connection. {unfit.message}"
            return CertificateError(what, unfit.cure)
        if call.status not in _LOGIN_REFUSED:
            return _unavailable(call, exc, self.settings)
        return Refused(
            f"{call.purpose} was refused for {host.dn} (HTTP {call.status}{_said(exc)})",
            "Register exactly this DN as the host DN of the service endpoint in GOCDB; a new entry "
            "takes some hours to reach the broker. Check that no proxy takes the certificate away.",
        )

    def _publish_error(self, call: _Call, exc: Exception, size: int) -> TransportError:
        status = call.status
        if status == _UNAUTHORIZED:
            return TokenExpired(
                f"{call.purpose}: the token is not accepted (HTTP 401)",
                "It is tried again with a fresh login; if it stays, ask the broker's operators.",
            )
        suspect = size > self.settings.suspect_bytes
        if status == _TOO_LARGE or (status == _SERVER_ERROR and suspect):
            return TooLarge(
                f"{call.purpose}: {size} bytes (base64) were refused (HTTP {status})",
                "Put fewer records into one message.",
            )
        if status == _BAD_REQUEST:
            return Rejected(
                f"{call.purpose}: the broker rejects this message (HTTP 400{_said(exc)})",
                "Ask the broker's operators why; then send it again, or withdraw it, which builds "
                "its records anew.",
            )
        if status in _CLIENT_ERRORS and status not in _PASSING:
            return Refused(
                f"{call.purpose} was refused (HTTP {status}{_said(exc)})",
                f"Check the project {self.settings.project!r} and the topic "
                f"{self.settings.topic!r}, and that this host's DN is registered in GOCDB as the "
                "host DN of the service endpoint that may publish there.",
            )
        return _unavailable(call, exc, self.settings)


def _fingerprint(host: HostCertificate) -> bytes:
    return host.certificate.fingerprint(SHA256())


def _no_answer(call: _Call, lack: str) -> Unavailable:
    return Unavailable(
        f"{call.purpose}: the broker answered {lack}",
        "It is tried again; if it stays, check host and ports, and ask the broker's operators.",
    )


def _unavailable(call: _Call, exc: Exception, settings: AmsSettings) -> Unavailable:
    foreign = exc.__context__
    if call.status is not None and isinstance(foreign, requests.exceptions.Timeout):
        return Unavailable(
            f"{call.purpose}: an answer that does not end (HTTP {call.status})",
            "It is tried again; if it stays, check what stands between here and the broker.",
        )
    if call.status is not None:
        return Unavailable(
            f"{call.purpose} failed (HTTP {call.status}{_said(exc)})",
            "It is tried again; if it stays, ask the broker's operators.",
        )
    if isinstance(foreign, requests.exceptions.SSLError):
        return Unavailable(
            f"{call.purpose}: no trusted TLS connection",
            "Check that the CA file holds the CA of the broker's certificate, that the broker "
            "trusts the CA of the host certificate, and that the port is right.",
        )
    if isinstance(foreign, requests.exceptions.Timeout):
        limit = settings.timeout_seconds
        if isinstance(foreign, requests.exceptions.ConnectTimeout):
            limit = min(settings.connect_seconds, limit)
        return Unavailable(
            f"{call.purpose}: no answer within {limit:g} s",
            "It is tried again; if it stays, check the network, or raise the timeout.",
        )
    kind = type(foreign or exc).__name__
    return Unavailable(
        f"{call.purpose}: no connection, or no answer ({kind})",
        "It is tried again; if it stays, check host, ports, CA file, proxy and firewall.",
    )


def _said(exc: Exception) -> str:
    """The broker's own sentence, if it is one that may be repeated."""
    text = str(getattr(exc, "msg", "")).rpartition("]: ")[2]
    return f": {text}" if _SENTENCE.fullmatch(text) else ""


def _without_secrets(exc: Exception) -> Exception:
    """The same exception without the answer's text, which a traceback would print.

    The library puts the whole answer into its exceptions, and an answer may repeat the request.
    """
    if hasattr(exc, "msg"):
        exc.msg = _said(exc).removeprefix(": ") or "(text withheld)"
        exc.args = (exc.msg,)
    return exc
