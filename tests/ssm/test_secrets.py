"""No key, token or body in logs, errors or tracebacks, whatever goes wrong."""

import base64
import logging
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ssm.ams import AmsSettings
from ssm.certificate import HostCertificate
from ssm.errors import SsmError
from ssm.sender import AmsSender, DirqSender
from ssm.testing.authority import Authority, Issued
from ssm.testing.fault import Fault
from ssm.testing.standin import AmsStandin

LOG = logging.getLogger(__name__)
PRIVATE = "GlobalUserName: a-private-person"
BODY = f"APEL-cloud-message: v0.4\nVMUUID: 1\n{PRIVATE}\n%%\n"


@pytest.fixture
def tokens(standin: AmsStandin, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    given: list[str] = []
    new_token = standin.new_token

    def remember() -> str:
        given.append(new_token())
        return given[-1]

    monkeypatch.setattr(standin, "new_token", remember)
    return given


@pytest.fixture
def attempt(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[Callable[[], object]], None]]:
    """Call, expect an error of ours, and log it in every way that a service would."""
    caplog.set_level(logging.DEBUG)

    def run(call: Callable[[], object]) -> None:
        with pytest.raises(SsmError) as caught:
            call()
        error = caught.value
        LOG.error("failed: %s %r", error, error, exc_info=error)
        LOG.error("%r %r %r", error.args, error.__cause__, error.__context__)
        # The lines of the traceback with the chain, but without the tests' own source text.
        for line in traceback.TracebackException.from_exception(error).format():
            LOG.error("%s", line)

    yield run
    logging.captureWarnings(capture=False)


@pytest.fixture
def sender(settings: AmsSettings, host: Issued) -> AmsSender:
    return AmsSender(settings, *host)


@pytest.fixture
def shown(caplog: pytest.LogCaptureFixture, host: Issued) -> Callable[[], str]:
    """All that was logged, after a look for key and body."""

    def look() -> str:
        text = caplog.text
        for secret in (*host.key.read_text().splitlines()[1:-1], PRIVATE, "PRIVATE KEY"):
            assert secret not in text
        return text

    return look


def fragments(secret: bytes) -> Iterator[str]:
    """Pieces by which a secret would be known, plain and in base64 of any alignment."""
    for start in range(3):
        text = base64.b64encode(secret[start:]).decode()
        yield text[: min(24, len(text) - 4)]


Attempt = Callable[[Callable[[], object]], None]


def test_no_answer_of_a_broker_brings_a_key_a_token_or_a_body_to_light(
    sender: AmsSender,
    standin: AmsStandin,
    tokens: list[str],
    attempt: Attempt,
    shown: Callable[[], str],
) -> None:
    sender.send(BODY, "warm-up")
    statuses = (200, 302, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504)
    for fault in (Fault.STATUS, Fault.EMPTY_ERROR, Fault.ODD_JSON, Fault.HTML, Fault.ECHO):
        for status in statuses:
            standin.fail(fault, status=status, calls=2)
            attempt(lambda: sender.send(BODY, "1"))
            standin.faults.clear()
            standin.fail(fault, status=status, on="login")
            attempt(sender.check)
            standin.faults.clear()
    for fault in (Fault.EMPTY_OK, Fault.CLOSE, Fault.DROP_ANSWER):
        standin.fail(fault)
        attempt(lambda: sender.send(BODY, "1"))
        standin.fail(fault, on="login")
        attempt(sender.check)

    text = shown()
    assert len(tokens) > len(statuses)
    for secret in (*tokens, *fragments(PRIVATE.encode())):
        assert secret not in text
    for message in standin.log:
        assert base64.b64encode(message.data).decode()[:40] not in text


def test_nothing_of_ours_that_is_wrong_brings_a_key_or_a_body_to_light(
    sender: AmsSender,
    doomed_senders: list[AmsSender | DirqSender],
    attempt: Attempt,
    shown: Callable[[], str],
    tmp_path: Path,
) -> None:
    for doomed in doomed_senders:
        attempt(lambda doomed=doomed: doomed.send(BODY, "1"))  # type: ignore[misc]
    attempt(lambda: sender.send(BODY, 'bad"id'))
    attempt(lambda: sender.send(BODY + "\ud800", "1"))
    attempt(lambda: DirqSender(tmp_path).send(BODY + "ü", "1"))
    attempt(lambda: DirqSender(tmp_path, allow_non_ascii=True).send(BODY + "\ud800", "1"))
    attempt(lambda: sender.send(BODY + "x" * 1_000_000, "1"))
    assert "failed: " in shown()


@pytest.fixture
def doomed_senders(
    settings: AmsSettings, host: Issued, authority: Authority, tmp_path: Path
) -> list[AmsSender | DirqSender]:
    """Senders that cannot work, each for a reason of its own."""
    other = authority.issue("other.example.org")
    joined = tmp_path / "joined.pem"
    joined.touch(0o600)
    joined.write_bytes(host.key.read_bytes() + host.cert.read_bytes())
    open_key = tmp_path / "open.key"
    open_key.write_bytes(host.key.read_bytes())
    open_key.chmod(0o644)
    broken = tmp_path / "broken.key"
    broken.touch(0o600)
    broken.write_text(host.key.read_text().replace("\n", "\n!", 3))
    late = HostCertificate.load(*host).not_after + timedelta(days=1)
    (tmp_path / "file").touch()
    return [
        AmsSender(settings, host.cert, other.key),
        AmsSender(settings, host.key, joined),
        AmsSender(settings, host.cert, open_key),
        AmsSender(settings, host.cert, broken),
        AmsSender(settings, *host, clock=lambda: late),
        AmsSender(settings, *host, clock=lambda: datetime(2000, 1, 1, tzinfo=UTC)),
        AmsSender(settings, *host, receiver_cert_path=host.key),
        DirqSender(tmp_path / "file"),
    ]
