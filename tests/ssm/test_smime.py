import quopri
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from ssm import der
from ssm.certificate import HostCertificate
from ssm.errors import CertificateError, SigningError
from ssm.smime import encrypt, load_receiver_certificate, sign, verify
from ssm.testing.authority import Authority, Issued, KeyKind

Openssl = Callable[..., bytes]

RECORD = (
    "VMUUID: 2b4c1d1e-4a5f-4c6b-9d7e-0123456789ab\nSiteName: EXAMPLE-SITE\n"
    "GlobalUserName: someone@example.org\nFQAN: /vo.example.org/Role=member\n%%\n"
)
BODIES = {
    "records": "APEL-cloud-message: v0.4\n" + RECORD * 3,
    "no line end": "APEL-cloud-message: v0.4",
    "umlauts": "GlobalUserName: Gündüz\n%%\n",
    "kanji": "GlobalUserName: 名前\n%%\n",
    "emoji and equals signs": "GlobalUserName: a=b 🧪 =C3\n%%\n",
    "long lines": "".join(f"ImageId: {'x' * length}\n" for length in range(1000, 1040)),
    "long line outside ASCII": "GlobalUserName: " + "ü" * 3000 + "\n",
    "mail words": "From someone\n.\n..\n.hidden\nSubject: x\n--\n--boundary\n%%\n",
    "mail words outside ASCII": "From ü\n.\n..\n.hidden\n--\n%%\n",
    "trailing white space": "a  \nb\t\nc \n\n\n%%\n",
    "trailing white space outside ASCII": "ü  \nb\t\nc \n\n\n%%\n",
    "leading blank lines": "\n\na\n",
    "a lone carriage return": "a\rb\n\r\r\nc\n",
    "characters that break lines": "a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\n",
    "control characters": "a\x00b\x01\x7f\n",
    "the word of an encrypted message": "application/pkcs7-mime application/x-pkcs7-mime\n",
    "header look-alike": "Content-Transfer-Encoding: base64\n\nbody\n",
    "empty": "",
}


def receive(message: bytes, openssl: Openssl, authority: Authority) -> str:
    """What the receiver makes of a message: openssl, then split at the blank line."""
    text = openssl(
        "smime", "-verify", "-purpose", "any", "-CAfile", authority.ca_file, data=message
    )
    header, _, body = text.replace(b"\r\n", b"\n").partition(b"\n\n")
    return (quopri.decodestring(body) if b"quoted-printable" in header else body).decode()


@pytest.mark.parametrize("kind", ["rsa", "ec"])
@pytest.mark.parametrize("name", BODIES)
def test_openssl_verifies_a_signed_body_and_gives_it_back(
    name: str,
    kind: KeyKind,
    hosts: dict[KeyKind, Issued],
    authority: Authority,
    openssl: Openssl,
) -> None:
    host = HostCertificate.load(*hosts[kind])
    message = sign(BODIES[name], host)
    assert message.isascii()
    assert b"application/pkcs7-mime" not in message
    assert b"application/x-pkcs7-mime" not in message
    assert receive(message, openssl, authority) == BODIES[name].replace("\r\n", "\n")
    assert verify(message, host.certificate) == BODIES[name].replace("\r\n", "\n")


def test_line_ends_of_either_kind_are_the_same_message(
    host: Issued, authority: Authority, openssl: Openssl
) -> None:
    body = BODIES["records"]
    message = sign(body.replace("\n", "\r\n"), HostCertificate.load(*host))
    assert receive(message, openssl, authority) == body


@settings(max_examples=150, deadline=None)
@given(body=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_from_our_own_verification(
    body: str, hosts: dict[KeyKind, Issued]
) -> None:
    host = HostCertificate.load(*hosts["ec"])
    assert verify(sign(body, host), host.certificate) == body.replace("\r\n", "\n")


def without_what_varies(message: bytes) -> bytes:
    message = re.sub(rb"=+[0-9a-f]{10,}=+", b"BOUNDARY", message)
    return re.sub(rb"(?s)(smime.p7s\"\r\n\r\n).*?(\r\n\r\n--)", rb"\1SIGNATURE\2", message)


@pytest.mark.parametrize("name", ["records", "no line end", "trailing white space", "mail words"])
def test_the_layout_is_that_of_the_accepted_form(name: str, host: Issued) -> None:
    loaded = HostCertificate.load(*host)
    accepted = (
        PKCS7SignatureBuilder()
        .set_data(BODIES[name].encode())
        .add_signer(loaded.certificate, loaded.key, SHA256())
        .sign(
            Encoding.SMIME,
            [PKCS7Options.Text, PKCS7Options.DetachedSignature, PKCS7Options.NoCapabilities],
        )
    )
    ours = sign(BODIES[name], loaded)
    assert without_what_varies(ours) == without_what_varies(accepted)
    assert verify(ours, loaded.certificate) == BODIES[name]


def test_text_outside_ascii_says_how_it_is_encoded(host: Issued) -> None:
    message = sign("GlobalUserName: Gündüz\n", HostCertificate.load(*host))
    assert (
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"GlobalUserName: G=C3=BCnd=C3=BCz\r\n"
    ) in message


def test_the_signature_carries_the_host_certificate_and_no_other(
    host: Issued, authority: Authority, openssl: Openssl, tmp_path: Path
) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_bytes(host.cert.read_bytes() + authority.ca_file.read_bytes())
    message = sign(BODIES["records"], HostCertificate.load(*Issued(chain, host.key)))
    signature = openssl("smime", "-pk7out", data=message)
    printed = openssl("pkcs7", "-print_certs", data=signature)
    assert x509.load_pem_x509_certificates(printed) == [HostCertificate.load(*host).certificate]


def test_a_lone_surrogate_cannot_be_signed(host: Issued) -> None:
    with pytest.raises(SigningError, match="lone surrogate"):
        sign("a\ud800", HostCertificate.load(*host))


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "a digit of the body": lambda m: m.replace(b"v0.4", b"v0.5"),
    "a line end": lambda m: m.replace(b"v0.4\r\n", b"v0.4\n"),
    "trailing space": lambda m: m.replace(b"v0.4\r\n", b"v0.4 \r\n"),
    "the text header": lambda m: m.replace(b"text/plain", b"text/html "),
    "the boundary": lambda m: m.replace(b"--\r\n", b"\r\n", 1),
    "cut short": lambda m: m[: len(m) // 2],
    "nothing": lambda _: b"",
    "another message": lambda _: b"Subject: x\r\n\r\ntext\r\n",
    "a byte that is not ASCII": lambda m: m.replace(b"This is an", b"This is \xfcn"),
    "a signature that is not base64": lambda m: m.replace(
        b'smime.p7s"\r\n\r\nM', b'smime.p7s"\r\n\r\n!'
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_changed_message_does_not_verify(
    change: str, kind: KeyKind, hosts: dict[KeyKind, Issued]
) -> None:
    host = HostCertificate.load(*hosts[kind])
    changed = CHANGES[change](sign(BODIES["records"], host))
    with pytest.raises(SigningError, match="Our own signature does not verify"):
        verify(changed, host.certificate)


def test_every_flipped_bit_of_the_signature_is_noticed_or_harmless(
    hosts: dict[KeyKind, Issued],
) -> None:
    host = HostCertificate.load(*hosts["ec"])
    message = sign("body\n", host)
    start = message.index(b'smime.p7s"\r\n\r\n', message.index(b"Disposition")) + 14
    unnoticed = 0
    for position in range(start, len(message) - 60):
        if message[position] not in b"\r\n":
            changed = bytearray(message)
            changed[position] ^= 1
            try:
                assert verify(bytes(changed), host.certificate) == "body\n"
                unnoticed += 1
            except SigningError:
                continue
    # Version numbers, algorithm identifiers and the like, which say nothing about the content.
    assert unnoticed < 60


def test_a_message_of_another_signer_does_not_verify(
    hosts: dict[KeyKind, Issued], authority: Authority
) -> None:
    message = sign("body\n", HostCertificate.load(*hosts["rsa"]))
    renewed = HostCertificate.load(*authority.issue("host.example.org", key="ec"))
    for other in (
        HostCertificate.load(*hosts["ec"]),
        HostCertificate.load(*hosts["rsa4096"]),
        renewed,
    ):
        with pytest.raises(SigningError):
            verify(message, other.certificate)


@pytest.mark.parametrize("data", ["30", "3005", "300501", "3080", "3085ffffffffff", "1f0100"])
def test_what_is_not_der_is_refused(data: str) -> None:
    with pytest.raises(der.MalformedDer):
        der.read_all(bytes.fromhex(data))
    with pytest.raises(der.MalformedDer):
        der.read_all(b"\x02\x01\x00")[0].expect(der.SEQUENCE)


@pytest.mark.parametrize("name", ["records", "umlauts", "long lines", "trailing white space"])
def test_openssl_decrypts_an_encrypted_message_and_verifies_what_is_in_it(
    name: str,
    hosts: dict[KeyKind, Issued],
    authority: Authority,
    openssl: Openssl,
) -> None:
    receiver = authority.issue("receiver.example.org")
    signed = sign(BODIES[name], HostCertificate.load(*hosts["ec"]))
    message = encrypt(signed, load_receiver_certificate(receiver.cert))
    assert message.isascii()
    assert b"application/pkcs7-mime" in message
    assert b"multipart/signed" not in message
    decrypted = openssl(
        "smime", "-decrypt", "-recip", receiver.cert, "-inkey", receiver.key, data=message
    )
    assert receive(decrypted, openssl, authority) == BODIES[name]


def test_an_elliptic_curve_receiver_is_refused_with_a_way_out(
    hosts: dict[KeyKind, Issued],
) -> None:
    with pytest.raises(CertificateError, match="Ask the receiver for an RSA certificate"):
        load_receiver_certificate(hosts["ec"].cert)
    with pytest.raises(CertificateError, match="not for an RSA key"):
        encrypt(b"signed", HostCertificate.load(*hosts["ec"]).certificate)


def test_a_missing_or_broken_receiver_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"nothing\.pem cannot be read"):
        load_receiver_certificate(tmp_path / "nothing.pem")
    (tmp_path / "broken.pem").write_text("not PEM")
    with pytest.raises(CertificateError, match=r"broken\.pem is not a PEM certificate"):
        load_receiver_certificate(tmp_path / "broken.pem")
