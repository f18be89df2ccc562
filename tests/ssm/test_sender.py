import concurrent.futures
import dataclasses
import quopri
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dirq.QueueSimple import QueueSimple

from ssm.ams import AmsSettings
from ssm.certificate import HostCertificate
from ssm.errors import CertificateError, Refused, SpoolError, TooLarge, Unavailable
from ssm.sender import AmsSender, DirqSender, Sender
from ssm.smime import verify
from ssm.testing.authority import Authority, Issued
from ssm.testing.standin import AmsStandin

Openssl = Callable[..., bytes]

BODY = "APEL-cloud-message: v0.4\nVMUUID: 1\nSiteName: EXAMPLE\nGlobalUserName: Gündüz 名前\n%%\n"


def test_a_message_arrives_signed_by_the_host(
    settings: AmsSettings,
    host: Issued,
    standin: AmsStandin,
    authority: Authority,
    openssl: Openssl,
) -> None:
    sender: Sender = AmsSender(settings, *host)
    assert sender.name == f"ams://localhost:{standin.port}/accounting/eu-egi-cloud-accounting"
    assert sender.send(BODY, "0f/1") == "0"
    [message] = standin.log
    assert message.attributes == {"empaid": "0f/1"}
    text = openssl(
        "smime", "-verify", "-purpose", "any", "-CAfile", authority.ca_file, data=message.data
    )
    assert quopri.decodestring(text.replace(b"\r\n", b"\n").partition(b"\n\n")[2]).decode() == BODY


def test_a_message_is_encrypted_for_the_receiver_if_asked_for(
    settings: AmsSettings,
    host: Issued,
    standin: AmsStandin,
    authority: Authority,
    openssl: Openssl,
) -> None:
    receiver = authority.issue("receiver.example.org")
    AmsSender(settings, *host, receiver_cert_path=receiver.cert).send(BODY, "1")
    data = standin.log[0].data
    assert data.isascii()
    assert b"multipart/signed" not in data
    signed = openssl(
        "smime", "-decrypt", "-recip", receiver.cert, "-inkey", receiver.key, data=data
    )
    assert verify(signed, HostCertificate.load(*host).certificate) == BODY


def test_an_expired_or_missing_receiver_certificate_sends_nothing(
    settings: AmsSettings, host: Issued, standin: AmsStandin, authority: Authority, tmp_path: Path
) -> None:
    last_year = datetime.now(UTC) - timedelta(days=365)
    expired = authority.issue("receiver.example.org", not_before=last_year, days=30).cert
    for path, text in ((expired, "expired on"), (tmp_path / "none.pem", "cannot be read")):
        sender = AmsSender(settings, *host, receiver_cert_path=path)
        with pytest.raises(CertificateError, match=text):
            sender.send(BODY, "1")
        with pytest.raises(CertificateError, match=text):
            sender.check()
    assert standin.calls == ()


def test_a_renewed_certificate_signs_and_logs_in_from_the_next_message_on(
    settings: AmsSettings, authority: Authority, standin: AmsStandin, tmp_path: Path
) -> None:
    cert, key = tmp_path / "hostcert.pem", tmp_path / "hostkey.pem"
    sender = AmsSender(settings, cert, key)
    for number in range(2):
        issued = authority.issue("host.example.org", key="ec")
        issued.cert.replace(cert)
        issued.key.replace(key)
        sender.send(BODY, "1")
        signer = HostCertificate.load(cert, key).certificate
        assert verify(standin.log[number].data, signer) == BODY
    assert standin.calls == ("login", "publish") * 2


def test_the_last_day_of_a_certificate_sends_nothing(
    settings: AmsSettings, host: Issued, standin: AmsStandin
) -> None:
    end = HostCertificate.load(*host).not_after
    sender = AmsSender(settings, *host, clock=lambda: end - timedelta(hours=23))
    with pytest.raises(CertificateError, match="expires within 24 hours"):
        sender.send(BODY, "1")
    assert standin.calls == ()


def test_the_check_logs_in_sends_nothing_and_warns_before_expiry(
    settings: AmsSettings, host: Issued, standin: AmsStandin
) -> None:
    assert AmsSender(settings, *host).check() == ()
    end = HostCertificate.load(*host).not_after
    [warning] = AmsSender(settings, *host, clock=lambda: end - timedelta(days=7)).check()
    assert "expires in 7 days" in warning
    sender = AmsSender(settings, *host, clock=lambda: end - timedelta(days=7))
    assert sender.warnings() == (warning,)
    assert AmsSender(settings, host.cert, host.cert).warnings() == ()
    assert standin.calls == ("login", "login")
    standin.registered = set()
    with pytest.raises(Refused, match="GOCDB"):
        AmsSender(settings, *host).check()


def test_too_large_a_body_is_told_from_a_broker_that_is_down(
    settings: AmsSettings, host: Issued, standin: AmsStandin
) -> None:
    sender = AmsSender(settings, *host)
    with pytest.raises(TooLarge):
        sender.send("x" * 750_000, "1")
    standin.fail(503)
    with pytest.raises(Unavailable):
        sender.send(BODY, "1")
    assert sender.send(BODY, "1") == "0"
    sender.close()


def test_eight_threads_share_a_sender(
    settings: AmsSettings, host: Issued, standin: AmsStandin
) -> None:
    sender = AmsSender(settings, *host)
    certificate = HostCertificate.load(*host).certificate
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda n: sender.send(f"body {n}\n", f"m{n}"), range(24)))
    stored = {m.message_id: verify(m.data, certificate) for m in standin.log}
    assert [stored[i] for i in ids] == [f"body {n}\n" for n in range(24)]


def test_the_spool_gets_the_plain_body(tmp_path: Path) -> None:
    sender: Sender = DirqSender(tmp_path / "outgoing")
    assert sender.name == f"dirq://{tmp_path}/outgoing"
    assert sender.check() == ()
    name = sender.send("VMUUID: 1\n%%\n", "ignored")
    queue = QueueSimple(str(tmp_path / "outgoing"))
    assert list(queue) == [name]
    assert queue.lock(name)
    assert queue.get(name) == b"VMUUID: 1\n%%\n"


def test_the_spool_refuses_what_the_reference_sender_cannot_send(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="outside ASCII"):
        DirqSender(tmp_path).send(BODY, "1")
    assert list(QueueSimple(str(tmp_path))) == []
    name = DirqSender(tmp_path, allow_non_ascii=True).send(BODY, "1")
    assert (tmp_path / name).read_text(encoding="utf-8") == BODY


def test_a_spool_that_cannot_be_written_is_found_by_the_check(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sender = DirqSender(tmp_path / "file")
    with pytest.raises(SpoolError):
        sender.check()
    with pytest.raises(SpoolError):
        sender.send("a\n", "1")


def test_a_relative_spool_has_the_name_of_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert DirqSender(Path("outgoing")).name == f"dirq://{tmp_path}/outgoing"


def test_settings_are_values(settings: AmsSettings) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.host = "other"  # type: ignore[misc]
