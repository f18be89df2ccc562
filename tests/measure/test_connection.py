"""How a store wants to be asked (cases.md, 15 to 18): a real one demands, a small one refuses."""

import json
import os
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from urllib3 import HTTPConnectionPool

from accounting.config import load
from accounting.doctor.examination import examine
from accounting.doctor.finding import Finding
from accounting.errors import SettingsError, SourceError, SourceRefused, SourceUnavailable
from accounting.measure.source import connection, pool
from accounting.measure.source.connection import Access
from accounting.measure.source.prometheus import Source
from accounting.simulation.stores.engines import free_port, stop
from accounting.simulation.stores.programs import find_program
from accounting.wiring.source import source_of
from notebooks_settings.proxies import proxy_of
from ssm.testing.authority import Authority, Issued
from tests.private import secret

AT = 1762000000
NOTHING = json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}}).encode()
# Of "geheim", by bcrypt with 16 rounds.
HASHED = "$2b$04$FPCfwdKeWI6i9UyU5pSMFeqNOdHbVqO2ZDe.QkbCXX22B10slNA1W"

Asked = list[tuple[str, str, dict[str, str], dict[str, str]]]
Rule = Callable[[str, str, dict[str, str]], tuple[int, dict[str, str]]]
"""(method, path, headers) → (status, headers of the answer)"""


@contextmanager
def store(rule: Rule, refusal: bytes = b"") -> Iterator[tuple[str, Asked]]:
    """Answers what it is told to, and remembers (method, path, parameters, headers)."""
    asked: Asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            self._reply("POST", body)

        def do_GET(self) -> None:
            self._reply("GET", "")

        def _reply(self, method: str, body: str) -> None:
            parts = urlsplit(self.path)
            params = parse_qs(parts.query) | parse_qs(body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            plain = {name: values[0] for name, values in params.items()}
            asked.append((method, parts.path, plain, headers))
            status, more = rule(method, parts.path, headers)
            content = NOTHING if status == 200 else refusal
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        thread = Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}", asked
        finally:
            running.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [403, 404, 405, 415, 501])
def test_a_store_that_takes_no_post_is_asked_by_get_from_then_on(status: int) -> None:
    with (
        store(lambda method, *_: (200 if method == "GET" else status, {})) as (url, asked),
        Source(url) as source,
    ):
        assert source.vector("up", AT) == []
        assert source.vector("down", AT) == []
    assert [(method, params["query"]) for method, _, params, _ in asked] == [
        ("POST", "up"),
        ("GET", "up"),
        ("GET", "down"),
    ]


def test_a_permission_that_lacks_is_refused_as_before() -> None:
    with (
        store(lambda *_: (403, {})) as (url, asked),
        Source(url) as source,
        pytest.raises(SourceRefused, match="answered 403"),
    ):
        source.vector("up", AT)
    assert [method for method, *_ in asked] == ["POST", "GET"]


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_within_the_same_origin_is_followed_with_the_question(status: int) -> None:
    def rule(_: str, path: str, __: dict[str, str]) -> tuple[int, dict[str, str]]:
        if path.startswith("/prometheus/"):
            return 200, {}
        return status, {"Location": f"/prometheus{path}"}

    with store(rule) as (url, asked), Source(url) as source:
        assert source.vector("up", AT) == []
    assert asked[-1][:2] == ("POST", "/prometheus/api/v1/query")
    assert asked[-1][2]["query"] == "up"


@pytest.mark.parametrize("status", [301, 302, 308])
def test_a_store_that_takes_get_alone_may_point_to_its_path_in_any_way(status: int) -> None:
    """A question in the address stays one, whichever of them it is."""

    def rule(method: str, path: str, _: dict[str, str]) -> tuple[int, dict[str, str]]:
        if method == "POST":
            return 405, {}
        place = {"Location": f"/prometheus{path}"}
        return (200, {}) if path.startswith("/prometheus/") else (status, place)

    with store(rule) as (url, asked), Source(url) as source:
        assert source.vector("up", AT) == []
    assert asked[-1][:2] == ("GET", "/prometheus/api/v1/query")
    assert asked[-1][2]["query"] == "up"


def test_a_redirect_to_a_login_is_not_followed() -> None:
    def rule(method: str, _: str, __: dict[str, str]) -> tuple[int, dict[str, str]]:
        return (405, {}) if method == "POST" else (302, {"Location": "/login?next=x"})

    with (
        store(rule) as (url, asked),
        Source(url) as source,
        pytest.raises(SourceRefused, match=r"points to .*/login") as caught,
    ):
        source.vector("up", AT)
    assert "login" in caught.value.cure
    assert len(asked) == 2


def test_a_redirect_elsewhere_is_not_followed_and_the_cure_names_the_address(
    tmp_path: Path,
) -> None:
    token = secret(tmp_path / "token", "geheim")
    with store(lambda *_: (200, {})) as (elsewhere, never):
        place = {"Location": f"{elsewhere}/api/v1/query?session=geheim"}
        with (
            store(lambda *_: (308, place)) as (url, _),
            Source(url, access=Access(token_file=token)) as source,
            pytest.raises(SourceRefused) as caught,
        ):
            source.vector("up", AT)
    assert never == []
    assert f"ACCOUNTING_PROMETHEUS__URL to {elsewhere}" in caught.value.cure
    assert "geheim" not in str(caught.value)


def test_a_redirect_that_does_not_end_is_given_up() -> None:
    def rule(_: str, path: str, __: dict[str, str]) -> tuple[int, dict[str, str]]:
        return 308, {"Location": path + "/"}

    with store(rule) as (url, asked), Source(url) as source, pytest.raises(SourceError):
        source.vector("up", AT)
    assert len(asked) == 3


def test_tenants_headers_and_parameters_go_with_every_question(tmp_path: Path) -> None:
    key = secret(tmp_path / "key", "geheim\n")

    def rule(_: str, __: str, headers: dict[str, str]) -> tuple[int, dict[str, str]]:
        return (200 if headers.get("x-scope-orgid") == "hub" else 401), {}

    access = Access(
        headers={"X-Scope-OrgID": "hub"},
        header_files={"X-Api-Key": key},
        parameters={"namespace": "hubns"},
    )
    with store(rule) as (url, asked), Source(url, access=access) as source:
        source.vector("up", AT)
        source.vector("down", AT)
    for _, _, params, headers in asked:
        assert params["namespace"] == "hubns"
        assert headers["x-api-key"] == "geheim"
    assert len(asked) == 2


def test_a_missing_tenant_is_named() -> None:
    """As Mimir and Loki say it, in plain text."""
    with (
        store(lambda *_: (401, {}), b"no org id\n") as (url, _),
        Source(url) as source,
        pytest.raises(SourceRefused, match="answered 401") as caught,
    ):
        source.vector("up", AT)
    assert "X-Scope-OrgID" in caught.value.cure


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def own(authority: Authority) -> Issued:
    return authority.issue("accounting.example.org", server=False)


@pytest.fixture(scope="module")
def demanding(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prometheus that demands user, password and a client's certificate."""
    folder = tmp_path_factory.mktemp("demanding")
    server = authority.issue("localhost", san=["127.0.0.1"])
    web = {
        "tls_server_config": {
            "cert_file": str(server.cert),
            "key_file": str(server.key),
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": str(authority.ca_file),
        },
        "basic_auth_users": {"accounting": HASHED},
    }
    (folder / "web.yml").write_text(json.dumps(web))
    port = free_port()
    with running(folder, port):
        yield f"https://127.0.0.1:{port}"


@contextmanager
def running(folder: Path, port: int) -> Iterator[None]:
    """Its own probe speaks no TLS: wait for the port."""
    (folder / "prometheus.yml").write_text("global: {}\n")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                find_program("prometheus"),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.config.file={folder}/web.yml",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        time.sleep(0.5)  # it listens before it answers
        yield
    finally:
        stop(process)


Given = Callable[..., Any]


@pytest.fixture
def given(demanding: str, tmp_path: Path, authority: Authority, own: Issued) -> Given:
    """Makes settings for the store, all right but for what is changed; None leaves a value out."""
    password = secret(tmp_path / "password", "geheim\n")
    prometheus = {
        "url": demanding,
        "namespace": "hubns",
        "ca_file": str(authority.ca_file),
        "user": "accounting",
        "password_file": str(password),
        "client_cert": str(own.cert),
        "client_key": str(own.key),
    }
    file = tmp_path / "settings.yaml"

    def make(**but: Any) -> Any:
        shown = {name: value for name, value in (prometheus | but).items() if value is not None}
        url = f"sqlite:///{tmp_path}/a.db"
        text = {"site_name": "SITE", "database_url": url, "prometheus": shown}
        file.write_text(json.dumps(text))
        return load(file)

    return make


def engine(settings: Any) -> Finding:
    return next(f for f in examine(settings, AT) if f.name in {"Prometheus", "metrics"})


def test_a_real_store_that_demands_user_password_and_certificate_gets_them(
    given: Given,
) -> None:
    settings = given()
    with source_of(settings) as source:
        assert source.vector("vector(1)", AT) == [({}, 1.0)]
    found = engine(settings)
    assert (found.state, "Prometheus 2" in found.what) == ("ok", True), found


@pytest.mark.parametrize(
    ("but", "said"),
    [
        ({"client_cert": None, "client_key": None}, "ACCOUNTING_PROMETHEUS__CLIENT_CERT"),
        ({"ca_file": None}, "ACCOUNTING_PROMETHEUS__CA_FILE"),
        ({"user": None, "password_file": None}, "ACCOUNTING_PROMETHEUS__USER"),
        ({"user": "somebody"}, "ACCOUNTING_PROMETHEUS__USER"),
    ],
)
def test_the_doctor_names_what_such_a_store_misses(
    given: Given, but: dict[str, Any], said: str
) -> None:
    found = engine(given(**but))
    assert found.state == "failed"
    assert said in found.cure
    assert "geheim" not in found.what + found.cure


def test_a_renewed_certificate_needs_no_restart(given: Given, tmp_path: Path, own: Issued) -> None:
    foreign = Authority.create(tmp_path / "foreign").issue("accounting.example.org", server=False)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(foreign.cert.read_bytes())
    key.write_bytes(foreign.key.read_bytes())
    settings = given(client_cert=str(cert), client_key=str(key))
    with source_of(settings) as source:
        with pytest.raises(SourceUnavailable):
            source.vector("vector(1)", AT)
        cert.write_bytes(own.cert.read_bytes())
        key.write_bytes(own.key.read_bytes())
        os.utime(cert, (AT, AT))
        assert source.vector("vector(1)", AT) == [({}, 1.0)]


def test_a_certificate_that_is_none_stops_at_start(given: Given, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for name in ("client_cert", "ca_file"):
        settings = given(**{name: str(broken)})
        with pytest.raises(SettingsError, match=f"ACCOUNTING_PROMETHEUS__{name.upper()}"):
            source_of(settings)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"user": "a"}, "PASSWORD_FILE belong together"),
        ({"client_key": "k"}, "needs ACCOUNTING_PROMETHEUS__CLIENT_CERT"),
        ({"headers": {"Authorization": "Bearer x"}}, "set by this program"),
        ({"headers": {"X-A": "a\nb"}}, "one line of plain text"),
        ({"headers": {"X A": "a"}}, "not the name of a header"),
        ({"matchers": "cluster=production"}, "not a list of matchers"),
        ({"matchers": 'cluster="a" or up'}, "not a list of matchers"),
        ({"matchers": 'namespace="b"'}, "has a setting of its own"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(json.dumps({"prometheus": changed}))
    with pytest.raises(SettingsError, match=said):
        load(file)


def test_matchers_are_kept_in_one_spelling(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    text = '{ cluster = "a,b" , region=~"eu-.*",}'
    file.write_text(json.dumps({"prometheus": {"matchers": text}}))
    assert load(file).prometheus.matchers == 'cluster="a,b",region=~"eu-.*"'


KUBERNETES = "::1/128,fd00::/8,[::1],10.0.0.0/8,.svc,.cluster.local,localhost"
KUBERNETES += ",[2001:db8::5]:9090,[2001:db8:1::]/48"


@pytest.mark.parametrize(
    ("url", "is_direct"),
    [
        ("http://[::1]:9090", True),
        ("http://[fd00::7]:9090", True),
        ("http://[fe80::7]:9090", False),
        ("http://10.1.2.3:9090", True),
        ("http://11.1.2.3:9090", False),
        ("http://prometheus.monitoring.svc:9090", True),
        ("http://svc.example.org", False),
        ("http://localhost:9090", True),
        ("http://[2001:db8::5]:9090", True),
        ("http://[2001:db8::5]:9091", False),
        ("http://prometheus.monitoring.svc.:9090", True),
        ("http://[::ffff:10.1.2.3]:9090", True),
        ("http://[2001:db8:1::5]:9090", True),
    ],
)
def test_no_proxy_has_networks_and_ipv6_addresses(url: str, is_direct: bool) -> None:
    proxies = {"http": "proxy.example.org:3128", "no": KUBERNETES}
    assert (proxy_of(url, proxies) is None) is is_direct


@pytest.mark.parametrize("entry", [*KUBERNETES.split(","), "*", " ", "[", "::/", ":"])
def test_no_entry_of_no_proxy_stops_a_poll(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    monkeypatch.setenv("NO_PROXY", f"{entry},127.0.0.0/8")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with store(lambda *_: (200, {})) as (url, _), Source(url) as source:
        assert source.vector("up", AT) == []


def test_a_proxy_is_used_where_nothing_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    with store(lambda *_: (200, {})) as (proxy, asked):
        monkeypatch.setenv("HTTP_PROXY", proxy.replace("//", "//hub:ge%40heim@"))
        monkeypatch.setenv("NO_PROXY", "")
        with Source("http://prometheus.example.org:9090") as source:
            assert source.vector("up", AT) == []
    ((_, path, _, headers),) = asked
    assert path.endswith("/api/v1/query")
    assert headers["host"] == "prometheus.example.org:9090"
    assert headers["proxy-authorization"] == f"Basic {b64encode(b'hub:ge@heim').decode()}"


def test_the_whole_way_to_a_store_with_tls_is_hidden_from_a_proxy(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tunnel() as (proxy, asked):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("NO_PROXY", "")
        with source_of(given()) as source:
            assert source.vector("vector(1)", AT) == [({}, 1.0)]
    ((first, _, rest),) = [head.partition(b"\r\n") for head in asked]
    assert first.startswith(b"CONNECT 127.0.0.1:")
    assert b"Authorization" not in rest


@contextmanager
def tunnel() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy for one connection, and what it was asked in plain text."""
    asked: list[bytes] = []

    def forward(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def serve() -> None:
        near, _ = listener.accept()
        asked.append(near.recv(65536))
        host, _, port = asked[0].split()[1].decode().rpartition(":")
        with near, socket.create_connection((host, int(port))) as far:
            near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = Thread(target=forward, args=(far, near))
            back.start()
            forward(near, far)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        thread.join()


def test_a_connection_that_was_long_idle_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall on the way may have forgotten it: the question would wait for its timeout."""
    opened = []

    def open_pool(*given: Any) -> HTTPConnectionPool:
        opened.append(pool.pool_of(*given))
        return opened[-1]

    monkeypatch.setattr(connection, "pool_of", open_pool)
    now = [1000.0]
    monkeypatch.setattr(connection, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with store(lambda *_: (200, {})) as (url, _), Source(url) as source:
        for pause in (0, 29, 29, 31):
            now[0] += pause
            assert source.vector("up", AT) == []
    assert len(opened) == 2
