"""A stand-in for the ARGO Messaging Service: real HTTPS on two loopback ports, faults on request.

It speaks the service's wire as far as senders and receivers of one topic use it: X.509 login,
publish, pull, acknowledge, the error JSON, token expiry, size limits. For demonstrations and
tests; it stores everything it is sent in memory.
"""

import json
import re
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography import x509

from ssm.certificate import distinguished_name
from ssm.testing.authority import Authority
from ssm.testing.broker import ApiError, Broker, StoredMessage
from ssm.testing.fault import Fault, FaultPlan, Operation, Planned

_LOGIN = re.compile(r"/v1/service-types/ams/hosts/([^/:]+):authx509")
_PUBLISH = re.compile(r"/v1/projects/([^/:]+)/topics/([^/:]+):publish")
_SUBSCRIPTION = re.compile(r"/v1/projects/([^/:]+)/subscriptions/([^/:]+):(pull|acknowledge)")

# How long a pull with returnImmediately=false waits for a first message.
_PULL_WAIT_SECONDS = 1.0


class AmsStandin:
    """A broker with one project, one topic and its subscriptions. A context manager.

    Args:
        authority: issues the server's certificate, and is the CA that clients must come from.
        project: the project's name.
        topic: the topic's name.
        subscriptions: their names.
        registered: the DNs (OpenSSL's old form) that may log in; None for all of the authority.
        host: a name or address of this machine; also the host that clients log in to.
        port: the API's port; 0 for a free one.
        authn_port: the login's port; 0 for a free one.
        token_seconds: how long a token lives; None for ever.
        producer_limit: see `Broker`.
        log_limit: see `Broker`.
        ack_seconds: see `Broker`.
        journal: see `Broker`; messages of an earlier run are there again.
    """

    def __init__(
        self,
        authority: Authority,
        *,
        project: str = "accounting",
        topic: str = "eu-egi-cloud-accounting",
        subscriptions: Sequence[str] = ("receiver",),
        registered: Iterable[str] | None = None,
        host: str = "localhost",
        port: int = 0,
        authn_port: int = 0,
        token_seconds: float | None = None,
        producer_limit: int = 1_500_000,
        log_limit: int = 1_048_576,
        ack_seconds: float = 10.0,
        journal: Path | None = None,
    ) -> None:
        self.host = host
        self.registered = None if registered is None else set(registered)
        self.broker = Broker(
            project,
            topic,
            subscriptions,
            producer_limit=producer_limit,
            log_limit=log_limit,
            ack_seconds=ack_seconds,
            journal=journal,
        )
        self.faults = FaultPlan()
        self.stopping = threading.Event()
        self._token_seconds = token_seconds
        self._tokens: dict[str, float] = {}
        self._calls: list[Operation] = []
        self._lock = threading.Lock()
        cert, key = authority.issue(host, key="ec", san=("localhost", "127.0.0.1"), client=False)
        api = _tls(cert, key)
        authn = _tls(cert, key)
        authn.verify_mode = ssl.CERT_OPTIONAL
        authn.load_verify_locations(authority.ca_file)
        self._api = _Server(self, port, api)
        try:
            self._authn = _Server(self, authn_port, authn)
        except OSError:
            self._api.server_close()
            raise

    @property
    def port(self) -> int:
        """The API's port."""
        return int(self._api.server_address[1])

    @property
    def authn_port(self) -> int:
        """The login's port."""
        return int(self._authn.server_address[1])

    @property
    def log(self) -> tuple[StoredMessage, ...]:
        """All messages ever stored, oldest first."""
        return self.broker.log

    @property
    def calls(self) -> tuple[Operation, ...]:
        """The operations called so far, in order, failed ones included."""
        with self._lock:
            return tuple(self._calls)

    @property
    def busy(self) -> bool:
        """Whether a connection is open that was accepted."""
        return self._api.busy or self._authn.busy

    def fail(
        self,
        fault: Fault | int,
        *,
        calls: int = 1,
        on: Operation = "publish",
        status: int = 500,
        seconds: float = 0.0,
    ) -> None:
        """Let the next `calls` calls of `on` go wrong.

        Args:
            fault: the kind; a number is that status with the broker's error JSON.
            calls: how many calls.
            on: the operation, or "any".
            status: the status of kinds that have one.
            seconds: the time of kinds that have one.
        """
        if isinstance(fault, Fault):
            planned = Planned(fault, status, seconds)
        else:
            planned = Planned(Fault.STATUS, fault)
        self.faults.add(planned, calls=calls, on=on)

    def expire_tokens(self) -> None:
        """From now on every token given so far is answered with 401."""
        with self._lock:
            self._tokens.clear()

    def new_token(self) -> str:
        """A token that the API accepts until it expires."""
        token = secrets.token_hex(32)
        life = float("inf") if self._token_seconds is None else self._token_seconds
        with self._lock:
            self._tokens[token] = time.monotonic() + life
        return token

    def accepts(self, token: str) -> bool:
        """Whether the API takes this token now."""
        with self._lock:
            return time.monotonic() < self._tokens.get(token, 0.0)

    def called(self, operation: Operation) -> None:
        """Note a call."""
        with self._lock:
            self._calls.append(operation)

    def start(self) -> None:
        """Serve, in threads of this process."""
        self._api.start()
        self._authn.start()

    def stop(self) -> None:
        """Cut all connections, end all threads, free the ports."""
        self.stopping.set()
        self._api.stop()
        self._authn.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _tls(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


class _Server(ThreadingHTTPServer):
    """One HTTPS port; handshakes happen in the connection's own thread."""

    daemon_threads = False  # joined when the server is closed
    request_queue_size = 128

    def __init__(self, standin: AmsStandin, port: int, context: ssl.SSLContext) -> None:
        self.standin = standin
        self._context = context
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        super().__init__(("127.0.0.1", port), _Handler)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        with self._open_lock:
            for connection in self._open:
                _cut(connection)
        self.server_close()

    @property
    def busy(self) -> bool:
        """Whether a connection is open that was accepted."""
        with self._open_lock:
            return bool(self._open)

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        plain, address = self.socket.accept()
        connection = self._context.wrap_socket(
            plain, server_side=True, do_handshake_on_connect=False
        )
        with self._open_lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        _cut(request)
        request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that refuse our certificate or hang up are what is tested."""


def _cut(connection: socket.socket) -> None:
    """End a connection under a thread that may be reading it."""
    try:
        # The plain socket's method: that of a TLS socket is not safe from another thread.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return  # the other side was faster


class _Handler(BaseHTTPRequestHandler):
    """One connection, kept alive over several calls."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece
    disable_nagle_algorithm = True  # else an answer waits 40 ms behind the TLS session tickets
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Keep quiet on standard error."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        operation = _operation(self.path)
        self.server.standin.called(operation)
        planned = self.server.standin.faults.take(operation)
        if planned is None:
            self._answer(*self._carry_out(body))
            return
        match planned.kind:
            case Fault.SLOW:
                self.server.standin.stopping.wait(planned.seconds)
                self._answer(*self._carry_out(body))
            case Fault.TRICKLE:
                self._trickle(planned.seconds, *self._carry_out(body))
            case Fault.DROP_ANSWER:
                self._carry_out(body)
                self._hang_up()
            case Fault.HANG | Fault.CLOSE:
                self.server.standin.stopping.wait(planned.seconds)
                self._hang_up()
            case _:
                self._answer(*_wrong_answer(planned, self._request_text(body)))

    def _carry_out(self, body: bytes) -> tuple[int, bytes]:
        try:
            return HTTPStatus.OK, json.dumps(self._result(body)).encode()
        except ApiError as error:
            return error.code, json.dumps(error.body()).encode()

    def _result(self, body: bytes) -> Any:
        if login := _LOGIN.fullmatch(self.path):
            return {"token": self._login(login[1])}
        broker = self.server.standin.broker
        if not self.server.standin.accepts(self.headers.get("x-api-key") or ""):
            raise ApiError(401, "Unauthorized")
        if topic := _PUBLISH.fullmatch(self.path):
            if topic.groups() != (broker.project, broker.topic):
                raise ApiError(404, "Topic doesn't exist")
            messages = _json(body).get("messages") or []
            return {"messageIds": broker.publish(messages, datetime.now(UTC))}
        if subscription := _SUBSCRIPTION.fullmatch(self.path):
            if subscription[1] != broker.project:
                raise ApiError(404, "ProjectUUID doesn't exist")
            return self._consume(broker, subscription[2], subscription[3], _json(body))
        raise ApiError(404, "Not found")

    def _consume(self, broker: Broker, name: str, verb: str, wish: dict[str, Any]) -> Any:
        if verb == "acknowledge":
            broker.acknowledge(name, wish.get("ackIds") or [], datetime.now(UTC))
            return {}
        wait = 0.0 if wish.get("returnImmediately") == "true" else _PULL_WAIT_SECONDS
        try:
            most = int(wish.get("maxMessages") or 1)
        except ValueError as exc:
            raise ApiError(400, "Invalid Pull Parameters") from exc
        return {"receivedMessages": broker.pull(name, most, wait)}

    def _login(self, host: str) -> str:
        standin = self.server.standin
        if not isinstance(self.connection, ssl.SSLSocket):
            raise TypeError("a connection without TLS")
        der = self.connection.getpeercert(binary_form=True)
        if not der:
            raise ApiError(400, "No certificate provided")
        if host != standin.host:
            raise ApiError(404, "Host was not found")
        dn = distinguished_name(x509.load_der_x509_certificate(der))
        if standin.registered is not None and dn not in standin.registered:
            raise ApiError(404, "Binding was not found")
        return standin.new_token()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if status // 100 == 3:  # noqa: PLR2004 - redirections
            self.send_header("Location", "/v1/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def _trickle(self, seconds: float, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for byte in body:
            self.wfile.flush()
            self.wfile.write(bytes([byte]))
            if self.server.standin.stopping.wait(seconds):
                break
        self.wfile.flush()

    def _hang_up(self) -> None:
        self.close_connection = True
        _cut(self.connection)

    def _request_text(self, body: bytes) -> str:
        return f"{self.requestline}\n{self.headers}\n{body.decode(errors='replace')}"


def _operation(path: str) -> Operation:
    if _LOGIN.fullmatch(path):
        return "login"
    if path.endswith(":pull"):
        return "pull"
    return "acknowledge" if path.endswith(":acknowledge") else "publish"


def _wrong_answer(planned: Planned, request: str) -> tuple[int, bytes]:
    page = f"<html><body><h1>{planned.status}</h1>The server could not answer.</body></html>"
    match planned.kind:
        case Fault.EMPTY_OK:
            return HTTPStatus.OK, b""
        case Fault.EMPTY_ERROR:
            return planned.status, b""
        case Fault.ODD_JSON:
            return planned.status, b'{"error": "something else"}'
        case Fault.HTML:
            return planned.status, page.encode()
        case Fault.ECHO:
            return planned.status, json.dumps({"error": {"message": request}}).encode()
        case _:
            text = HTTPStatus(planned.status).phrase
            return planned.status, json.dumps(ApiError(planned.status, text).body()).encode()


def _json(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError as exc:
        raise ApiError(400, "Invalid JSON") from exc
    if not isinstance(parsed, dict):
        raise ApiError(400, "Invalid JSON")
    return parsed
