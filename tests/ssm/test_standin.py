"""The stand-in against the real client of the service it stands in for."""

import concurrent.futures
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from argo_ams_library import (
    AmsConnectionException,
    AmsException,
    AmsMessage,
    AmsServiceException,
    AmsTimeoutException,
    ArgoMessagingService,
)
from argo_ams_library.amsexceptions import AmsBalancerException

from ssm.testing.authority import Authority, Issued
from ssm.testing.fault import Fault, Operation
from ssm.testing.standin import AmsStandin

TOPIC = "eu-egi-cloud-accounting"
DN = "/DC=org/DC=example/O=Example/CN=host.example.org"


@pytest.fixture(autouse=True)
def _trust(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    # The client's login has no choice of CA of its own.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.ca_file))


def log_in(standin: AmsStandin, host: Issued | tuple[str, str]) -> ArgoMessagingService:
    client = ArgoMessagingService(
        endpoint=standin.host,
        project="accounting",
        cert=str(host[0]),
        key=str(host[1]),
        authn_port=standin.authn_port,
    )
    client.endpoint = f"{standin.host}:{standin.port}"  # the client logs in to a bare host only
    return client


def publish(client: ArgoMessagingService, data: bytes, **attributes: str) -> Any:
    return client.publish(TOPIC, AmsMessage(data=data, attributes=attributes), timeout=5)


def test_the_real_client_logs_in_publishes_pulls_and_acknowledges(
    standin: AmsStandin, host: Issued
) -> None:
    client = log_in(standin, host)
    before = datetime.now(UTC)
    assert publish(client, b"first", empaid="a/1") == {"messageIds": ["0"]}
    assert publish(client, b"second", empaid="a/2") == {"messageIds": ["1"]}

    [(ack_id, message)] = client.pull_sub("receiver")
    assert ack_id == "projects/accounting/subscriptions/receiver:0"
    assert message.get_data() == b"first"
    assert message.get_attr() == {"empaid": "a/1"}
    assert message.get_msgid() == "0"
    assert datetime.fromisoformat(message.get_publishtime()) >= before

    assert [m.get_data() for _, m in client.pull_sub("receiver", num=5)] == [b"first", b"second"]
    assert client.ack_sub("receiver", [ack_id])
    [(ack_id, message)] = client.pull_sub("receiver", num=5)
    assert message.get_data() == b"second"
    assert client.ack_sub("receiver", [ack_id])
    assert client.pull_sub("receiver", return_immediately=True) == []

    assert [(m.message_id, m.data, m.attributes) for m in standin.log] == [
        ("0", b"first", {"empaid": "a/1"}),
        ("1", b"second", {"empaid": "a/2"}),
    ]
    assert standin.calls[:3] == ("login", "publish", "publish")


def test_what_is_not_acknowledged_comes_again(standin: AmsStandin, host: Issued) -> None:
    client = log_in(standin, host)
    publish(client, b"again")
    for _ in range(3):
        assert [m.get_data() for _, m in client.pull_sub("receiver")] == [b"again"]


def test_a_pull_waits_for_a_message(standin: AmsStandin, host: Issued) -> None:
    client = log_in(standin, host)
    later = threading.Timer(0.2, publish, (client, b"late"))
    later.start()
    assert [m.get_data() for _, m in log_in(standin, host).pull_sub("receiver")] == [b"late"]
    later.join()


def test_the_highest_acknowledged_message_counts(standin: AmsStandin, host: Issued) -> None:
    client = log_in(standin, host)
    for number in range(4):
        publish(client, b"%d" % number)
    ids = [ack_id for ack_id, _ in client.pull_sub("receiver", num=3)]
    client.ack_sub("receiver", [ids[2], ids[0]])
    assert [m.get_data() for _, m in client.pull_sub("receiver", num=9)] == [b"3"]


def test_acknowledgements_that_are_late_or_wrong_are_errors(
    standin: AmsStandin, host: Issued
) -> None:
    client = log_in(standin, host)
    publish(client, b"data")
    prefix = "projects/accounting/subscriptions/receiver:"
    for ack_id, code in ((prefix + "x", 400), ("receiver:0", 400)):
        with pytest.raises(AmsServiceException, match="Invalid ack id") as refused:
            client.ack_sub("receiver", [ack_id])
        assert refused.value.code == code
    with pytest.raises(AmsBalancerException, match="no ack pending"):
        client.ack_sub("receiver", [prefix + "0"])
    [(ack_id, _)] = client.pull_sub("receiver")
    with pytest.raises(AmsBalancerException, match="wrong ack"):
        client.ack_sub("receiver", [prefix + "7"])
    time.sleep(1.1)  # the stand-in of these tests has a deadline of one second
    with pytest.raises(AmsTimeoutException, match="ack timeout") as late:
        client.ack_sub("receiver", [ack_id])
    assert late.value.code == 408


def test_a_login_without_a_certificate_is_400(standin: AmsStandin) -> None:
    address = (
        f"https://localhost:{standin.authn_port}/v1/service-types/ams/hosts/localhost:authx509"
    )
    answer = requests.get(address, timeout=5)
    assert answer.status_code == 400
    assert answer.json() == {
        "error": {
            "code": 400,
            "message": "No certificate provided",
            "status": "INVALID_ARGUMENT",
        }
    }


def test_a_login_with_a_dn_that_is_not_registered_is_404(
    authority: Authority, host: Issued
) -> None:
    with AmsStandin(authority, registered=[DN]) as standin:
        log_in(standin, host)
        other = authority.issue("other.example.org", key="ec")
        with pytest.raises(AmsServiceException, match="Binding was not found") as refused:
            log_in(standin, other)
        assert refused.value.code == 404
        standin.registered = None
        log_in(standin, other)


def test_a_certificate_of_a_strange_authority_is_refused_in_the_handshake(
    standin: AmsStandin, tmp_path: Path
) -> None:
    stranger = Authority.create(tmp_path).issue("host.example.org", key="ec")
    with pytest.raises(AmsConnectionException):
        log_in(standin, stranger)


def test_a_login_to_another_host_name_is_404(standin: AmsStandin, host: Issued) -> None:
    address = f"https://localhost:{standin.authn_port}/v1/service-types/ams/hosts/else:authx509"
    answer = requests.get(address, cert=(str(host.cert), str(host.key)), timeout=5)
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Host was not found")


def test_an_expired_token_is_401_until_the_next_login(authority: Authority, host: Issued) -> None:
    with AmsStandin(authority, token_seconds=0.3) as standin:
        client = log_in(standin, host)
        publish(client, b"in time")
        time.sleep(0.4)
        for _ in range(2):
            with pytest.raises(AmsServiceException, match="Unauthorized") as refused:
                publish(client, b"too late")
            assert refused.value.code == 401
        publish(log_in(standin, host), b"logged in again")
        assert [m.data for m in standin.log] == [b"in time", b"logged in again"]


def test_unknown_projects_topics_and_subscriptions_are_404(
    standin: AmsStandin, host: Issued
) -> None:
    client = log_in(standin, host)
    calls: list[Callable[[], Any]] = [
        lambda: client.publish("nothing", AmsMessage(data=b"x")),
        lambda: client.pull_sub("nothing"),
        lambda: client.ack_sub("nothing", ["projects/accounting/subscriptions/nothing:0"]),
    ]
    for call in calls:
        with pytest.raises(AmsServiceException, match="doesn't exist") as refused:
            call()
        assert refused.value.code == 404
    client.project = "nothing"
    with pytest.raises(AmsServiceException, match="doesn't exist"):
        client.pull_sub("receiver")


def test_bad_messages_are_400_and_those_before_them_stay_stored(
    standin: AmsStandin, host: Issued
) -> None:
    client = log_in(standin, host)
    for bad in ({"data": "!"}, {"data": 1}, {"data": "eA==", "attributes": {"n": 1}}, {}):
        with pytest.raises(AmsServiceException, match="Invalid Message Arguments") as refused:
            client.publish(TOPIC, [{"data": "eA=="}, bad])
        assert refused.value.code == 400
    with pytest.raises(AmsServiceException, match="Invalid Message Arguments"):
        client.publish(TOPIC, [])
    assert [m.data for m in standin.log] == [b"x"] * 4


def test_an_attribute_that_needs_escaping_poisons_the_topic(
    standin: AmsStandin, host: Issued
) -> None:
    client = log_in(standin, host)
    publish(client, b"data", empaid='a"b')
    for _ in range(2):
        with pytest.raises(AmsBalancerException):
            client.pull_sub("receiver")


def test_too_large_is_413_and_what_only_the_log_behind_refuses_is_500(
    authority: Authority, host: Issued
) -> None:
    with AmsStandin(authority, producer_limit=2000, log_limit=1000) as standin:
        client = log_in(standin, host)
        publish(client, b"x" * 750)
        with pytest.raises(AmsBalancerException) as refused:
            publish(client, b"x" * 751)
        assert refused.value.code == 500
        with pytest.raises(AmsServiceException, match="Message size is too large") as refused:
            publish(client, b"x" * 1501)
        assert refused.value.code == 413
        assert len(standin.log) == 1


STATUSES: list[tuple[int, type[AmsException]]] = [
    (400, AmsServiceException),
    (401, AmsServiceException),
    (403, AmsServiceException),
    (404, AmsServiceException),
    (413, AmsServiceException),
    (429, AmsServiceException),
    (408, AmsTimeoutException),
    (504, AmsTimeoutException),
    (500, AmsBalancerException),
    (502, AmsBalancerException),
    (503, AmsBalancerException),
]


@pytest.mark.parametrize(("status", "expected"), STATUSES)
def test_a_planned_status_is_the_real_clients_exception_once(
    standin: AmsStandin, host: Issued, status: int, expected: type[AmsException]
) -> None:
    client = log_in(standin, host)
    standin.fail(status)
    with pytest.raises(AmsException) as caught:
        publish(client, b"data")
    assert type(caught.value) is expected
    assert caught.value.code == status
    assert publish(client, b"data") == {"messageIds": ["0"]}


def test_planned_faults_come_in_order_for_their_operation_only(
    standin: AmsStandin, host: Issued
) -> None:
    client = log_in(standin, host)
    standin.fail(500, calls=2, on="pull")
    standin.fail(Fault.HTML, status=502)
    standin.fail(403, on="any")
    codes = []
    for _ in range(2):
        with pytest.raises(AmsServiceException) as caught:
            publish(client, b"data")
        codes.append(caught.value.code)
    assert codes == [502, 403]
    publish(client, b"data")
    standin.faults.clear()
    assert len(client.pull_sub("receiver")) == 1


def test_odd_answers_are_what_the_real_client_stumbles_over(
    standin: AmsStandin, host: Issued
) -> None:
    client = log_in(standin, host)
    for fault, error in (
        (Fault.EMPTY_ERROR, KeyError),
        (Fault.ODD_JSON, TypeError),
        (Fault.CLOSE, AmsConnectionException),
    ):
        standin.fail(fault)
        with pytest.raises(error):
            publish(client, b"data")
    standin.fail(Fault.EMPTY_OK)
    assert publish(client, b"data") == {}
    standin.fail(Fault.ECHO)
    with pytest.raises(AmsBalancerException, match=client.token):
        publish(client, b"data")
    assert standin.log == ()


def test_a_hanging_call_ends_with_the_clients_timeout(standin: AmsStandin, host: Issued) -> None:
    client = log_in(standin, host)
    standin.fail(Fault.HANG, seconds=30)
    start = time.monotonic()
    with pytest.raises(AmsConnectionException, match="ReadTimeout"):
        client.publish(TOPIC, AmsMessage(data=b"x"), timeout=0.2)
    assert time.monotonic() - start < 20  # it hangs for 30 s
    assert standin.log == ()


def test_a_slow_call_and_a_dropped_answer_are_stored(standin: AmsStandin, host: Issued) -> None:
    client = log_in(standin, host)
    standin.fail(Fault.SLOW, seconds=0.3)
    start = time.monotonic()
    assert publish(client, b"slow") == {"messageIds": ["0"]}
    assert time.monotonic() - start >= 0.3
    standin.fail(Fault.DROP_ANSWER)
    with pytest.raises(AmsConnectionException):
        publish(client, b"dropped")
    assert [m.data for m in standin.log] == [b"slow", b"dropped"]


@pytest.mark.parametrize("operation", ["login", "pull", "acknowledge"])
def test_every_operation_can_fail(standin: AmsStandin, host: Issued, operation: Operation) -> None:
    client = log_in(standin, host)
    publish(client, b"data")
    standin.fail(500, on=operation)
    [(ack_id, _)] = [(None, None)] if operation == "pull" else client.pull_sub("receiver")
    calls = {
        "login": lambda: log_in(standin, host),
        "pull": lambda: client.pull_sub("receiver"),
        "acknowledge": lambda: client.ack_sub("receiver", [ack_id]),
    }
    with pytest.raises(AmsServiceException):
        calls[operation]()
    calls[operation]()


def test_one_connection_serves_several_calls(standin: AmsStandin, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    connection = http.client.HTTPSConnection("localhost", standin.port, context=context, timeout=5)
    body = json.dumps({"messages": [{"data": "eA=="}]})
    headers = {"x-api-key": standin.new_token()}
    for number in range(3):
        connection.request("POST", f"/v1/projects/accounting/topics/{TOPIC}:publish", body, headers)
        answer = connection.getresponse()
        assert json.loads(answer.read()) == {"messageIds": [str(number)]}
        if number == 0:
            opened = connection.sock
        assert connection.sock is opened
    for bad in ("no json", "[]"):
        connection.request("POST", f"/v1/projects/accounting/topics/{TOPIC}:publish", bad, headers)
        answer = connection.getresponse()
        assert answer.status == 400
        assert json.loads(answer.read())["error"]["message"] == "Invalid JSON"
    connection.close()


def test_eight_threads_publish_at_once(standin: AmsStandin, host: Issued) -> None:
    client = log_in(standin, host)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: publish(client, b"%d" % n), range(40)))
    ids = sorted(int(answer["messageIds"][0]) for answer in answers)
    assert ids == list(range(40))
    assert sorted(int(m.data) for m in standin.log) == list(range(40))


def test_a_journal_brings_the_messages_back(
    authority: Authority, host: Issued, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.jsonl"
    with AmsStandin(authority, journal=journal) as standin:
        client = log_in(standin, host)
        publish(client, "Gündüz".encode(), empaid="a")
        publish(client, b"second", empaid="b")
        stored = standin.log
    with journal.open("ab") as file:
        file.write(b'{"messageId": "2", "cut sho')
    with AmsStandin(authority, journal=journal) as standin:
        assert standin.log == stored
        assert publish(log_in(standin, host), b"third") == {"messageIds": ["2"]}
    assert [json.loads(line)["messageId"] for line in journal.read_text().splitlines()] == list(
        "012"
    )


def test_nothing_is_left_after_stopping(authority: Authority, host: Issued) -> None:
    threads = threading.active_count()
    with AmsStandin(authority) as standin:
        client = log_in(standin, host)
        standin.fail(Fault.HANG, seconds=60)
        silent = socket.create_connection(("127.0.0.1", standin.port))
        hanging = threading.Thread(target=pytest.raises, args=(AmsException, publish, client, b"x"))
        hanging.start()
        while "publish" not in standin.calls:
            time.sleep(0.01)
    hanging.join()
    silent.close()
    assert threading.active_count() == threads
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", standin.port))


def test_a_taken_port_is_an_error_that_leaves_nothing_open(authority: Authority) -> None:
    with AmsStandin(authority) as standin, pytest.raises(OSError, match="in use"):
        AmsStandin(authority, authn_port=standin.port)
