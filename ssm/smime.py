r"""S/MIME in the one form that the receiver accepts: sign, verify our own signature, encrypt.

A signed message is `multipart/signed` with a detached signature over the first part:

    Content-Type: text/plain            the part begins with its own header and a blank line:
    <blank line>                        the receiver splits there
    <body, lines ended by CRLF>

The signature carries the host certificate and no other (the receiver would take an added one for
the signer), SHA-256, RSA PKCS#1 v1.5 or ECDSA (the receiver refuses RSA-PSS). Everything on the
wire is ASCII: a body with anything else goes as quoted-printable UTF-8, and so does one with bytes
that a line-oriented reader would change (a lone CR, a form feed and the like).

`cryptography` signs in well under a millisecond, but spends 6 ms in `email` on laying out a
message of 255 kB; so it is asked for the bare signature, and the few fixed lines around it are
written here, in the same layout.
"""

import base64
import binascii
import quopri
import re
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import (
    PKCS7EnvelopeBuilder,
    PKCS7Options,
    PKCS7SignatureBuilder,
)

from ssm import der
from ssm.body import encode_body
from ssm.certificate import HostCertificate
from ssm.errors import CertificateError, SigningError

_PLAIN_HEADER = b"Content-Type: text/plain\r\n\r\n"
_QUOTED_HEADER = (
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
)
_OPTIONS = (PKCS7Options.DetachedSignature, PKCS7Options.Binary, PKCS7Options.NoCapabilities)

# Lines of printable ASCII and tabs travel as they are; deleting all of it and looking at the rest
# is ten times as fast as a regular expression.
_PLAIN = b"\t\n" + bytes(range(0x20, 0x7F))
# The receiver takes a message for an encrypted one if this word is anywhere in it.
_ENCRYPTED_MARK = b"pkcs7-mime"

_MESSAGE = re.compile(
    rb'MIME-Version: 1\.0\r\nContent-Type: multipart/signed; [^\r\n]*boundary="(=+[0-9a-f]+=+)"\r\n'
)

_ID_DATA = bytes.fromhex("2a864886f70d010701")
_ID_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_ID_CONTENT_TYPE = bytes.fromhex("2a864886f70d010903")
_ID_MESSAGE_DIGEST = bytes.fromhex("2a864886f70d010904")
_ID_SHA256 = bytes.fromhex("608648016503040201")

_SIGNING_CURE = "Check the host certificate and key; if they are right, report this as a bug."


def sign(body: str, host: HostCertificate) -> bytes:
    """Sign `body` (any text; CRLF counts as LF) with the host's key.

    Returns:
        The S/MIME message, pure ASCII, lines ended by CRLF. Two calls differ (time, boundary).

    Raises:
        SigningError: the text cannot be encoded, or the key cannot sign.
    """
    content = _content(body)
    try:
        signature = (
            PKCS7SignatureBuilder()
            .set_data(content)
            .add_signer(host.certificate, host.key, SHA256())
            # "Binary" because the content has its canonical line ends already.
            .sign(Encoding.DER, _OPTIONS)
        )
    except Exception as exc:  # whatever OpenSSL makes of a broken key
        raise SigningError("The message could not be signed", _SIGNING_CURE) from exc
    return _layout(content, signature)


def verify(message: bytes, certificate: x509.Certificate) -> str:
    """Verify a message of `sign` against the certificate that must have signed it.

    A check of our own work before sending, not a general S/MIME reader: it accepts exactly the
    form that `sign` writes, with exactly this one certificate in it. Dates and issuers are not
    looked at.

    Returns:
        The body, lines ended by LF.

    Raises:
        SigningError: another form, another signer, a changed body or signature.
    """
    try:
        content, signature = _parts(message)
        _verify_signed_data(signature, content, certificate)
        return _body(content)
    except (InvalidSignature, ValueError, LookupError) as exc:
        raise SigningError("Our own signature does not verify", _SIGNING_CURE) from exc


def encrypt(signed: bytes, receiver_certificate: x509.Certificate) -> bytes:
    """Encrypt a signed message (AES-256-CBC) for the receiver's RSA certificate.

    Raises:
        CertificateError: the certificate is for another kind of key.
        SigningError: encryption failed.
    """
    _require_rsa(receiver_certificate, "The receiver's certificate")
    try:
        return (
            PKCS7EnvelopeBuilder()
            .set_data(signed)
            .add_recipient(receiver_certificate)
            .set_content_encryption_algorithm(AES256)
            .encrypt(Encoding.SMIME, (PKCS7Options.Binary,))
        )
    except Exception as exc:  # whatever OpenSSL makes of an odd key
        raise SigningError(
            "The message could not be encrypted", "Check the receiver's certificate."
        ) from exc


def load_receiver_certificate(path: Path) -> x509.Certificate:
    """The receiver's certificate (PEM, the first in the file), fit to encrypt for.

    Raises:
        CertificateError: missing, unreadable, not PEM, or not for an RSA key. Dates are the
            caller's to check.
    """
    cure = "Get the receiver's certificate as PEM, or leave the setting out to send unencrypted."
    try:
        certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as exc:
        raise CertificateError(
            f"The receiver's certificate {path} cannot be read: {exc.strerror}", cure
        ) from exc
    except ValueError as exc:
        raise CertificateError(
            f"The receiver's certificate {path} is not a PEM certificate", cure
        ) from exc
    _require_rsa(certificate, f"The receiver's certificate {path}")
    return certificate


def _require_rsa(certificate: x509.Certificate, what: str) -> None:
    if not isinstance(certificate.public_key(), RSAPublicKey):
        raise CertificateError(
            f"{what} is not for an RSA key, and messages can be encrypted for RSA keys only",
            "Ask the receiver for an RSA certificate, or send unencrypted (signed only).",
        )


def _content(body: str) -> bytes:
    """The part that is signed: header, blank line and body in canonical line ends."""
    text = encode_body(body).replace(b"\r\n", b"\n")
    if not text.translate(None, _PLAIN) and _ENCRYPTED_MARK not in text:
        return _PLAIN_HEADER + text.replace(b"\n", b"\r\n")
    # A lone CR apart, because b2a_qp takes it for a part of a line end.
    quoted = b"=0D".join(map(binascii.b2a_qp, text.split(b"\r")))
    quoted = quoted.replace(_ENCRYPTED_MARK, _ENCRYPTED_MARK.replace(b"-", b"=2D"))
    return _QUOTED_HEADER + quoted.replace(b"\n", b"\r\n")


def _body(content: bytes) -> str:
    header, _, text = content.partition(b"\r\n\r\n")
    text = text.replace(b"\r\n", b"\n")
    if b"quoted-printable" in header:
        text = quopri.decodestring(text)
    return text.decode()


def _layout(content: bytes, signature: bytes) -> bytes:
    mark = b"===============" + secrets.token_hex(16).encode() + b"=="
    lines = base64.encodebytes(signature).replace(b"\n", b"\r\n")
    return b"".join(
        (
            b"MIME-Version: 1.0\r\n"
            b'Content-Type: multipart/signed; protocol="application/x-pkcs7-signature"; '
            b'micalg="sha-256"; boundary="%b"\r\n\r\n'
            b"This is an S/MIME signed message\r\n\r\n--%b\r\n" % (mark, mark),
            content,
            b"\r\n--%b\r\n"
            b'Content-Type: application/x-pkcs7-signature; name="smime.p7s"\r\n'
            b"Content-Transfer-Encoding: base64\r\n"
            b'Content-Disposition: attachment; filename="smime.p7s"\r\n\r\n' % mark,
            lines,
            b"\r\n--%b--\r\n" % mark,
        )
    )


def _parts(message: bytes) -> tuple[bytes, bytes]:
    """The signed content and the DER signature of a message of `_layout`."""
    head = _MESSAGE.match(message)
    if head is None:
        raise ValueError("not a multipart/signed message of ours")
    if not message.isascii():
        raise ValueError("bytes on the wire that are not ASCII")
    preamble, content, signature, end = message.split(b"--%b" % head[1])
    if not preamble.endswith(b"\r\n\r\n") or end != b"--\r\n":
        raise ValueError("the parts are not where they should be")
    if not (content.startswith(b"\r\n") and content.endswith(b"\r\n")):
        raise ValueError("the signed part is not between its boundaries")
    lines = signature.partition(b"\r\n\r\n")[2]
    return content[2:-2], base64.b64decode(lines.replace(b"\r\n", b""), validate=True)


def _verify_signed_data(signature: bytes, content: bytes, certificate: x509.Certificate) -> None:
    """Check a detached CMS SignedData (RFC 5652, section 5) of exactly one signer."""
    (info,) = der.read_all(signature)
    kind, wrapped = info.expect(der.SEQUENCE).children()
    (signed_data,) = wrapped.expect(der.CONTEXT_0).children()
    _version, _digests, encapsulated, certificates, signers = signed_data.children()
    if kind.value != _ID_SIGNED_DATA or encapsulated.children()[0].value != _ID_DATA:
        raise ValueError("not signed data")
    if len(encapsulated.children()) > 1:
        raise ValueError("the signature is not detached")
    if certificates.expect(der.CONTEXT_0).value != certificate.public_bytes(Encoding.DER):
        raise ValueError("not exactly the signer's certificate")
    (signer,) = signers.expect(der.SET).children()
    _verify_signer(signer, content, certificate)


def _verify_signer(signer: der.Element, content: bytes, certificate: x509.Certificate) -> None:
    _version, identity, digest, attributes, _algorithm, value = signer.children()
    issuer, serial = identity.children()
    if issuer.raw != certificate.issuer.public_bytes() or (
        int.from_bytes(serial.expect(der.INTEGER).value, signed=True) != certificate.serial_number
    ):
        raise ValueError("signed by another certificate")
    if digest.children()[0].value != _ID_SHA256:
        raise ValueError("another digest than SHA-256")
    said = {}
    for attribute in attributes.expect(der.CONTEXT_0).children():
        name, values = attribute.children()
        (said[name.value],) = values.expect(der.SET).children()
    if said[_ID_CONTENT_TYPE].value != _ID_DATA or said[_ID_MESSAGE_DIGEST].value != _sha256(
        content
    ):
        raise ValueError("the content is not what was signed")
    # The attributes are signed under the tag of a SET, not under the one they travel with.
    signed = bytes([der.SET]) + attributes.raw[1:]
    public = certificate.public_key()
    signature = value.expect(der.OCTET_STRING).value
    if isinstance(public, RSAPublicKey):
        public.verify(signature, signed, PKCS1v15(), SHA256())
    elif isinstance(public, EllipticCurvePublicKey):
        public.verify(signature, signed, ECDSA(SHA256()))
    else:
        raise ValueError("a key of another kind")  # noqa: TRY004 - data, not a caller's type


def _sha256(data: bytes) -> bytes:
    digest = Hash(SHA256())
    digest.update(data)
    return digest.finalize()
