import concurrent.futures
import dataclasses
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ssm import ams
from ssm.ams import AmsSettings, AmsTransport
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
from ssm.testing.authority import Authority, Issued
from ssm.testing.broker import Broker
from ssm.testing.fault import Fault
from ssm.testing.standin import AmsStandin

DN = "/DC=org/DC=example/O=Example/CN=host.example.org"


@pytest.fixture
def transport(settings: AmsSettings, host: Issued) -> AmsTransport:
    return AmsTransport(settings, *host)


def failure(call: Callable[[], object]) -> SsmError:
    with pytest.raises(SsmError) as caught:
        call()
    assert caught.value.cure.endswith(".")
    assert str(caught.value) == f"{caught.value.message}. {caught.value.cure}"
    return caught.value


def test_a_message_is_stored_as_it_is_with_its_id_as_empaid(
    transport: AmsTransport, standin: AmsStandin
) -> None:
    assert transport.publish(b"\x00data\xff", "20261124/0a-1") == "0"
    assert transport.publish(b"more", "20261124/0a-2") == "1"
    [first, second] = standin.log
    assert (first.data, first.attributes) == (b"\x00data\xff", {"empaid": "20261124/0a-1"})
    assert (second.data, second.attributes) == (b"more", {"empaid": "20261124/0a-2"})
    assert standin.calls == ("login", "publish", "publish")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("a\0b", "a?b"),
        ("\ud800x\udfff", "?x?"),
        ("x" * 900_000, "x" * 255),
        ("\0" * 150_000, "?" * 255),
        ("7\r\nSet-Cookie: a\u2028é", "7??Set-Cookie:?a??"),
        (10**4000, "1" + "0" * 254),
    ],
    ids=["zero byte", "surrogates", "900 kB", "zero bytes that take 900 kB", "lines", "number"],
)
def test_whatever_the_broker_calls_a_message_can_be_kept_and_shown(
    said: str | int,
    kept: str,
    transport: AmsTransport,
    standin: AmsStandin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def publish(*_: object) -> list[str | int]:
        return [said]

    monkeypatch.setattr(Broker, "publish", publish)
    assert transport.publish(b"a", "1") == kept
    assert standin.calls == ("login", "publish")


@pytest.mark.parametrize(
    "said", [[], ["1", "2"], [None], [1.5], [["1"]], {"0": "1"}, "1", ["x" * 6_000_000]]
)
def test_an_answer_that_names_no_message_is_none(
    said: object, transport: AmsTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is tried again; the receiver keeps one row of it."""

    def publish(*_: object) -> object:
        return said

    monkeypatch.setattr(Broker, "publish", publish)
    assert type(failure(lambda: transport.publish(b"a", "1"))) is Unavailable


def test_an_expired_token_is_renewed_once_and_the_message_goes_out(
    transport: AmsTransport, standin: AmsStandin
) -> None:
    transport.publish(b"a", "1")
    standin.expire_tokens()
    assert transport.publish(b"b", "2") == "1"
    assert standin.calls == ("login", "publish", "publish", "login", "publish")


def test_a_token_refused_after_a_fresh_login_is_token_expired_and_retried_later(
    transport: AmsTransport, standin: AmsStandin
) -> None:
    standin.fail(401, calls=2)
    error = failure(lambda: transport.publish(b"a", "1"))
    assert type(error) is TokenExpired
    assert isinstance(error, Unavailable)
    assert standin.calls == ("login", "publish", "login", "publish")
    assert transport.publish(b"a", "1") == "0"


def test_a_failing_login_after_a_401_says_so(transport: AmsTransport, standin: AmsStandin) -> None:
    transport.publish(b"a", "1")
    standin.fail(401)
    standin.fail(503, on="login")
    error = failure(lambda: transport.publish(b"b", "2"))
    assert type(error) is Unavailable
    assert error.message == (
        f"the login at localhost:{standin.authn_port} failed (HTTP 503: Service Unavailable)"
    )
    assert len(standin.log) == 1


PUBLISH_STATUSES: list[tuple[int, type[TransportError]]] = [
    (400, Rejected),
    (403, Refused),
    (404, Refused),
    (413, TooLarge),
    (408, Unavailable),
    (409, Refused),
    (418, Refused),
    (429, Unavailable),
    (500, Unavailable),
    (502, Unavailable),
    (503, Unavailable),
    (504, Unavailable),
    (507, Unavailable),
    (302, Unavailable),
    (204, Unavailable),
]
BODIES = [Fault.STATUS, Fault.EMPTY_ERROR, Fault.ODD_JSON, Fault.HTML, Fault.ECHO]


@pytest.mark.parametrize("fault", BODIES)
@pytest.mark.parametrize(("status", "expected"), PUBLISH_STATUSES)
def test_the_status_decides_whatever_the_body_says(
    transport: AmsTransport,
    standin: AmsStandin,
    fault: Fault,
    status: int,
    expected: type[TransportError],
) -> None:
    standin.fail(fault, status=status)
    error = failure(lambda: transport.publish(b"a", "1"))
    assert type(error) is expected
    assert str(status) in error.message
    assert error.__cause__ is not None
    assert standin.calls == ("login", "publish")
    assert transport.publish(b"a", "1") == "0"


@pytest.mark.parametrize("fault", BODIES)
def test_a_401_of_any_shape_is_answered_with_a_login(
    transport: AmsTransport, standin: AmsStandin, fault: Fault
) -> None:
    standin.fail(fault, status=401)
    assert transport.publish(b"a", "1") == "0"
    assert standin.calls == ("login", "publish", "login", "publish")


LOGIN_STATUSES: list[tuple[int, type[TransportError]]] = [
    (400, Refused),
    (401, Refused),
    (403, Refused),
    (404, Refused),
    (408, Unavailable),
    (429, Unavailable),
    (500, Unavailable),
    (502, Unavailable),
    (504, Unavailable),
]


@pytest.mark.parametrize("fault", BODIES)
@pytest.mark.parametrize(("status", "expected"), LOGIN_STATUSES)
def test_the_status_of_a_login_decides_too(
    transport: AmsTransport,
    standin: AmsStandin,
    fault: Fault,
    status: int,
    expected: type[TransportError],
) -> None:
    standin.fail(fault, status=status, on="login")
    assert type(failure(transport.login)) is expected
    transport.login()
    assert standin.calls == ("login", "login")


@pytest.mark.parametrize("fault", [Fault.EMPTY_OK, Fault.ODD_JSON, Fault.HTML, Fault.CLOSE])
def test_an_answer_without_its_content_is_unavailable(
    transport: AmsTransport, standin: AmsStandin, fault: Fault
) -> None:
    standin.fail(fault, status=200, on="login")
    standin.fail(fault, status=200)
    assert type(failure(lambda: transport.publish(b"a", "1"))) is Unavailable
    assert standin.calls == ("login",)
    assert type(failure(lambda: transport.publish(b"a", "1"))) is Unavailable
    assert standin.log == ()
    assert transport.publish(b"a", "1") == "0"


def test_a_dn_that_is_not_registered_is_refused_with_the_dn_to_register(
    transport: AmsTransport, standin: AmsStandin
) -> None:
    standin.registered = {"/DC=org/DC=example/O=Example/CN=other.example.org"}
    error = failure(lambda: transport.publish(b"a", "1"))
    assert type(error) is Refused
    assert error.message == (
        f"the login at localhost:{standin.authn_port} was refused for {DN} "
        "(HTTP 404: Binding was not found)"
    )
    assert "GOCDB" in error.cure
    standin.registered.add(DN)
    assert transport.publish(b"a", "1") == "0"


def test_a_wrong_topic_or_project_is_refused_with_the_setting(
    settings: AmsSettings, host: Issued, standin: AmsStandin
) -> None:
    wrong = AmsTransport(dataclasses.replace(settings, topic="eu-egi-storage-accounting"), *host)
    error = failure(lambda: wrong.publish(b"a", "1"))
    assert error.message == (
        f"publishing to ams://localhost:{standin.port}/accounting/eu-egi-storage-accounting "
        "was refused (HTTP 404: Topic doesn't exist)"
    )
    assert "topic 'eu-egi-storage-accounting'" in error.cure


def test_too_large_a_message_is_not_even_sent(
    settings: AmsSettings, host: Issued, standin: AmsStandin
) -> None:
    transport = AmsTransport(dataclasses.replace(settings, max_bytes=400), *host)
    error = failure(lambda: transport.publish(b"x" * 301, "1"))
    assert type(error) is TooLarge
    assert error.message == "The message has 404 bytes (base64), the limit is 400"
    assert standin.calls == ()
    assert transport.publish(b"x" * 300, "1") == "0"
    assert AmsSettings(host="h", project="p", topic="t").max_bytes == 1_000_000


def test_a_server_error_on_a_large_message_means_too_large(
    settings: AmsSettings, host: Issued, standin: AmsStandin
) -> None:
    transport = AmsTransport(dataclasses.replace(settings, suspect_bytes=400), *host)
    for status, kind in ((500, TooLarge), (502, Unavailable)):
        standin.fail(status, calls=2)
        assert type(failure(lambda: transport.publish(b"x" * 301, "1"))) is kind
        assert type(failure(lambda: transport.publish(b"x" * 300, "1"))) is Unavailable


@pytest.mark.parametrize("message_id", ["", 'a"b', "a\\b", "a\nb", "a b", "ü", "x" * 129])
def test_an_id_that_would_poison_the_topic_is_refused_unsent(
    transport: AmsTransport, standin: AmsStandin, message_id: str
) -> None:
    assert type(failure(lambda: transport.publish(b"a", message_id))) is Refused
    assert standin.calls == ()


@pytest.mark.parametrize("where", ["login", "publish"])
def test_a_hanging_broker_is_left_after_the_timeout(
    settings: AmsSettings, host: Issued, standin: AmsStandin, where: str
) -> None:
    transport = AmsTransport(dataclasses.replace(settings, timeout_seconds=0.3), *host)
    standin.fail(Fault.HANG, on="login" if where == "login" else "publish", seconds=30)
    start = time.monotonic()
    error = failure(lambda: transport.publish(b"a", "1"))
    assert time.monotonic() - start < 20  # the broker hangs for 30 s
    assert type(error) is Unavailable
    assert "no answer within 0.3 s" in error.message


@pytest.mark.parametrize("where", ["login", "publish"])
def test_an_answer_that_trickles_in_is_cut_off(
    settings: AmsSettings, host: Issued, standin: AmsStandin, where: str
) -> None:
    limits = dataclasses.replace(settings, timeout_seconds=5, total_seconds=0.5)
    standin.fail(Fault.TRICKLE, on="login" if where == "login" else "publish", seconds=2)
    start = time.monotonic()
    error = failure(lambda: AmsTransport(limits, *host).publish(b"a", "1"))
    assert time.monotonic() - start < 20  # whole, it would take longer than 40 s
    assert type(error) is Unavailable
    assert "an answer that does not end" in error.message


def test_an_answer_that_is_far_too_long_is_cut_off(
    settings: AmsSettings, host: Issued, standin: AmsStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ams, "_ANSWER_BYTES", 40)
    standin.fail(Fault.HTML, status=200)
    error = failure(lambda: AmsTransport(settings, *host).publish(b"a", "1"))
    assert type(error) is Unavailable
    assert "an answer that does not end (HTTP 200)" in error.message


def test_a_port_that_accepts_and_says_nothing_is_left_after_the_timeout(
    settings: AmsSettings, host: Issued
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport = AmsTransport(
            dataclasses.replace(settings, authn_port=silent.getsockname()[1], timeout_seconds=0.3),
            *host,
        )
        start = time.monotonic()
        assert type(failure(transport.login)) is Unavailable
        assert time.monotonic() - start < 20  # it would wait for ever


def test_a_closed_port_and_an_unknown_host_are_unavailable(
    settings: AmsSettings, host: Issued
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        closed = reserved.getsockname()[1]
    for wrong in (
        dataclasses.replace(settings, authn_port=closed),
        dataclasses.replace(settings, host="nowhere.invalid"),
    ):
        error = failure(AmsTransport(wrong, *host).login)
        assert type(error) is Unavailable
        assert "check host, ports" in error.cure


def test_a_broker_of_another_ca_is_not_trusted(
    settings: AmsSettings, host: Issued, tmp_path: Path, standin: AmsStandin
) -> None:
    other = Authority.create(tmp_path)
    transport = AmsTransport(dataclasses.replace(settings, ca_file=other.ca_file), *host)
    error = failure(transport.login)
    assert type(error) is Unavailable
    assert "no trusted TLS connection" in error.message
    assert "CA file" in error.cure
    assert standin.calls == ()


def test_a_missing_ca_file_is_unavailable_and_named_as_a_thing_to_check(
    settings: AmsSettings, host: Issued, tmp_path: Path
) -> None:
    transport = AmsTransport(dataclasses.replace(settings, ca_file=tmp_path / "none.pem"), *host)
    error = failure(transport.login)
    assert type(error) is Unavailable
    assert "CA file" in error.cure


def test_a_certificate_that_the_broker_does_not_trust_is_unavailable(
    settings: AmsSettings, tmp_path: Path, standin: AmsStandin
) -> None:
    stranger = Authority.create(tmp_path).issue("host.example.org", key="ec")
    assert type(failure(AmsTransport(settings, *stranger).login)) is Unavailable
    assert standin.calls == ()


@pytest.mark.parametrize(
    ("lacking", "usage"),
    [("client", "clientAuth"), ("signs", "digitalSignature")],
)
def test_a_tls_failure_names_a_certificate_that_no_client_may_show(
    settings: AmsSettings,
    authority: Authority,
    standin: AmsStandin,
    lacking: str,
    usage: str,
) -> None:
    """cases.md, 20."""
    issued = authority.issue(
        "host.example.org", key="ec", client=lacking != "client", signs=lacking != "signs"
    )
    error = failure(AmsTransport(settings, *issued).login)
    assert type(error) is CertificateError
    assert usage in error.message
    assert usage in error.cure
    assert standin.calls == ()


def test_an_answer_lost_after_storing_is_unavailable_and_a_retry_stores_again(
    transport: AmsTransport, standin: AmsStandin
) -> None:
    standin.fail(Fault.DROP_ANSWER)
    assert type(failure(lambda: transport.publish(b"a", "1"))) is Unavailable
    assert transport.publish(b"a", "1") == "1"
    assert [m.data for m in standin.log] == [b"a", b"a"]


def test_an_unusable_certificate_stops_before_any_call(
    settings: AmsSettings, host: Issued, standin: AmsStandin
) -> None:
    late = datetime.now(UTC) + timedelta(days=365)
    transport = AmsTransport(settings, *host, clock=lambda: late)
    assert type(failure(lambda: transport.publish(b"a", "1"))) is CertificateError
    assert standin.calls == ()


def test_a_renewed_certificate_logs_in_afresh(
    settings: AmsSettings, authority: Authority, standin: AmsStandin, tmp_path: Path
) -> None:
    cert, key = tmp_path / "hostcert.pem", tmp_path / "hostkey.pem"
    transport = AmsTransport(settings, cert, key)
    for _ in range(2):
        issued = authority.issue("host.example.org", key="ec")
        issued.cert.replace(cert)
        issued.key.replace(key)
        transport.publish(b"a", "1")
        transport.publish(b"b", "2")
    assert standin.calls == ("login", "publish", "publish") * 2


def test_eight_threads_share_a_transport_and_one_login_each_time(
    transport: AmsTransport, standin: AmsStandin
) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda n: transport.publish(b"%d" % n, f"m{n}"), range(32)))
        assert standin.calls.count("login") == 1
        standin.expire_tokens()
        ids += pool.map(lambda n: transport.publish(b"%d" % n, f"m{n}"), range(32, 64))
    assert standin.calls.count("login") == 2
    assert sorted(map(int, ids)) == list(range(64))
    stored = {m.message_id: (m.data, m.attributes["empaid"]) for m in standin.log}
    assert [stored[i] for i in ids] == [(b"%d" % n, f"m{n}") for n in range(64)]


def test_a_closed_transport_logs_in_again_when_used(
    transport: AmsTransport, standin: AmsStandin
) -> None:
    transport.login()
    transport.close()
    transport.publish(b"a", "1")
    assert standin.calls == ("login", "login", "publish")


@pytest.mark.parametrize("field", ["host", "project", "topic"])
@pytest.mark.parametrize("value", ["", "https://x", "a/b", "a:1", "a b", "ü"])
def test_settings_that_cannot_be_part_of_an_address_are_refused(field: str, value: str) -> None:
    with pytest.raises(ValueError, match=field):
        AmsSettings(**({"host": "h", "project": "p", "topic": "t"} | {field: value}))  # type: ignore[arg-type]


def test_the_destination_names_the_port_only_if_it_is_unusual() -> None:
    settings = AmsSettings(host="msg.example.org", project="p", topic="t")
    assert settings.destination == "ams://msg.example.org/p/t"
    assert dataclasses.replace(settings, port=8).destination == "ams://msg.example.org:8/p/t"
