"""The host certificate and its key: read when used, checked, and named as the receiver names it."""

import os
import ssl
import stat
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from ssm.errors import CertificateError

HostKey = RSAPrivateKey | EllipticCurvePrivateKey

# The reference sender refuses a certificate in its last day, so that no message is still on its
# way to the receiver when the signature stops being accepted.
LAST_DAY = timedelta(hours=24)
RENEWAL_NOTICE = timedelta(days=30)

# RFC 3820, and the draft of it that Globus 3 wrote.
_PROXY_EXTENSIONS = (
    ObjectIdentifier("1.3.6.1.5.5.7.1.14"),
    ObjectIdentifier("1.3.6.1.4.1.3536.1.222"),
)
_CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
_PLAIN_SUBJECT = "Request one whose subject is plain text (UTF8String or PrintableString)."
# Before RFC 3820 a proxy was known by its last common name only.
_LEGACY_PROXY_NAMES = ("proxy", "limited proxy")


def distinguished_name(certificate: x509.Certificate) -> str:
    """The subject as the receiver reads it, e.g. `/DC=org/DC=example/CN=host.example.org`.

    This is what must stand in GOCDB. It is what PyOpenSSL's components give, each after a slash:
    OpenSSL's short names, values as they are in the certificate, in its order, the attributes of a
    part with several one after the other. Nothing is escaped: a slash in a value, as in
    `/CN=host/host.example.org`, stays as it is. So `openssl -nameopt compat`, which escapes some
    signs and joins such parts with `+`, does not always print it.
    """
    return "".join(
        f"/{_short_name(attribute.oid)}={_value(attribute)}" for attribute in certificate.subject
    )


def _short_name(oid: ObjectIdentifier) -> str:
    """OpenSSL's; there is no public way to ask for it."""
    try:
        return str(ssl._ASN1Object(oid.dotted_string).shortname)  # noqa: SLF001 - no public way
    except ValueError:
        return "UNDEF"


def _value(attribute: x509.NameAttribute[str | bytes]) -> str:
    """The bytes of the certificate, read as UTF-8 whatever they are, as the receiver does."""
    value = attribute.value
    if isinstance(value, str):
        value = value.encode(_ENCODINGS.get(attribute._type, "utf-8"))  # noqa: SLF001 - no public way
    return value.decode("utf-8", "replace")


# Of the kinds of text that are not UTF-8 in a certificate.
_ENCODINGS = {_ASN1Type.BMPString: "utf-16-be", _ASN1Type.UniversalString: "utf-32-be"}


@dataclass(frozen=True)
class HostCertificate:
    """A host certificate with its key, as the two files held them when they were read.

    Args:
        certificate: the first certificate of the certificate file; the rest of a chain is not
            kept, because the receiver would take an added certificate for the signer.
        key: its RSA or elliptic-curve private key.
        cert_path: where it came from, for texts.
    """

    certificate: x509.Certificate
    key: HostKey = field(repr=False)
    cert_path: Path

    @classmethod
    def load(cls, cert_path: Path, key_path: Path) -> "HostCertificate":
        """Read both files now; call again for every use, so that a renewal needs no restart.

        Raises:
            CertificateError: a file is missing, unreadable, not PEM; the subject is no text; the
                key is encrypted,
                readable by others, of another kind, or not this certificate's; the certificate
                is a proxy. Dates are left to `check`.
        """
        certificates = _read_certificates(cert_path)
        _refuse_unreadable(certificates[0], cert_path)
        _refuse_proxy(certificates[0], cert_path)
        key = _read_key(key_path)
        _refuse_mismatch(certificates, key, cert_path, key_path)
        return cls(certificate=certificates[0], key=key, cert_path=cert_path)

    @property
    def dn(self) -> str:
        """The subject as the receiver reads it; must be the host DN of the GOCDB endpoint."""
        return distinguished_name(self.certificate)

    @property
    def may_log_in(self) -> bool:
        """Whether it may be shown by a TLS client, as the login at the broker does.

        Public authorities leave the usage clientAuth out since 2026.
        """
        try:
            usage = self.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        except x509.ExtensionNotFound:
            return True
        return any(purpose in _CLIENT for purpose in usage.value)

    @property
    def may_sign(self) -> bool:
        """Whether its key may sign: at the broker's login, and messages."""
        try:
            usage = self.certificate.extensions.get_extension_for_class(x509.KeyUsage)
        except x509.ExtensionNotFound:
            return True
        return usage.value.digital_signature

    @property
    def not_before(self) -> datetime:
        """Begin of validity, aware UTC."""
        return self.certificate.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """End of validity, aware UTC."""
        return self.certificate.not_valid_after_utc

    def days_left(self, now: datetime) -> float:
        """Days from `now` (aware) until the end of validity; negative when expired."""
        return (self.not_after - now) / timedelta(days=1)

    def check(self, now: datetime) -> None:
        """Refuse a certificate that is not valid at `now` (aware) or ends within 24 hours.

        Raises:
            CertificateError: with the date, and what to do.
        """
        where = f"The host certificate {self.cert_path}"
        renew = "Renew it and put the new files in the same place; no restart is needed."
        if now < self.not_before:
            raise CertificateError(
                f"{where} is not valid before {self.not_before:%Y-%m-%d %H:%M} UTC",
                "Check this machine's clock, or wait until then.",
            )
        if now >= self.not_after:
            raise CertificateError(f"{where} expired on {self.not_after:%Y-%m-%d %H:%M} UTC", renew)
        if self.not_after - now < LAST_DAY:
            raise CertificateError(
                f"{where} expires within 24 hours, on {self.not_after:%Y-%m-%d %H:%M} UTC", renew
            )

    @property
    def unfit(self) -> CertificateError | None:
        """What keeps the broker or the receiver from taking it; None: nothing."""
        if not self.may_log_in:
            return CertificateError(
                f"The host certificate {self.cert_path} is not made for TLS clients"
                " (its extended key usage lacks clientAuth), so the broker refuses the login",
                "Request one with clientAuth and serverAuth, as the authorities of IGTF issue; "
                "public authorities leave clientAuth out.",
            )
        if not self.may_sign:
            return CertificateError(
                f"The host certificate {self.cert_path} is not made for signing"
                " (its key usage lacks digitalSignature), so no message of it is accepted",
                "Request one with digitalSignature, as the authorities of IGTF issue.",
            )
        if not self.dn.isprintable():
            return CertificateError(
                f"The subject of the host certificate {self.cert_path} has a value that the"
                " receiver cannot read as text (such as a BMPString)",
                _PLAIN_SUBJECT,
            )
        return None

    def warnings(self, now: datetime) -> tuple[str, ...]:
        """What the operator should know at `now` (aware) though sending still works."""
        left = self.not_after - now
        if left >= RENEWAL_NOTICE:
            return ()
        text = (
            f"The host certificate {self.cert_path} expires in {max(0, left.days)} days, on "
            f"{self.not_after:%Y-%m-%d}. Renew it; it is refused in its last 24 hours."
        )
        return (text,)


def _read_certificates(path: Path) -> list[x509.Certificate]:
    data = _read(path, "host certificate")
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as exc:
        raise CertificateError(
            f"The host certificate {path} is not a PEM certificate",
            "Convert it, e.g. `openssl x509 -inform DER -in FILE -out hostcert.pem`, or from a "
            "PKCS#12 file with `openssl pkcs12 -in FILE -clcerts -nokeys -out hostcert.pem`.",
        ) from exc


def _read_key(path: Path) -> HostKey:
    data = _read(path, "host key")
    _refuse_readable_by_others(path)
    try:
        # Not validated here (that takes 40 ms for RSA-2048, 260 ms for RSA-4096, every time): a
        # broken key shows when its signature is verified, before anything is sent.
        key = load_pem_private_key(data, password=None, unsafe_skip_rsa_key_validation=True)
    except TypeError as exc:
        raise CertificateError(
            f"The host key {path} is encrypted",
            "Write it without a passphrase: `openssl pkey -in FILE -out hostkey.pem`, then "
            "`chmod 400 hostkey.pem`.",
        ) from exc
    except Exception as exc:  # ValueError, UnsupportedAlgorithm, OpenSSL's own: never with data
        raise CertificateError(
            f"The host key {path} is not a PEM private key",
            "Check that certificate and key were not exchanged; convert with `openssl pkey`.",
        ) from exc
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        raise CertificateError(
            f"The host key {path} is neither an RSA nor an elliptic-curve key",
            "Request a host certificate for an RSA or P-256 key.",
        )
    return key


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise CertificateError(
            f"There is no {what} at {path}", "Put it there, or correct the setting's path."
        ) from exc
    except OSError as exc:
        raise CertificateError(
            f"The {what} {path} cannot be read: {exc.strerror}",
            "Let the user that this service runs as read it.",
        ) from exc


def _refuse_readable_by_others(path: Path) -> None:
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    # A key of another owner that we read through our group is how Kubernetes mounts a secret
    # into a pod that is not root (fsGroup turns 0400 into 0440); our own key is ours alone.
    forbidden = 0o077 if status.st_uid == os.geteuid() else 0o037
    if mode & forbidden:
        raise CertificateError(
            f"The host key {path} is open to others (mode {mode:04o})",
            f"Close it: `chmod 400 {path}`. If it may have been read, renew the certificate.",
        )


def _refuse_unreadable(certificate: x509.Certificate, path: Path) -> None:
    try:
        _ = certificate.subject
    except ValueError as exc:  # T61String in Latin-1, as authorities wrote it long ago
        raise CertificateError(
            f"The subject of the host certificate {path} has a value that is no text"
            " (such as a TeletexString in Latin-1)",
            _PLAIN_SUBJECT,
        ) from exc


def _refuse_proxy(certificate: x509.Certificate, path: Path) -> None:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    last = names[-1].value if names else ""
    known = {extension.oid for extension in certificate.extensions}
    if last in _LEGACY_PROXY_NAMES or not known.isdisjoint(_PROXY_EXTENSIONS):
        raise CertificateError(
            f"{path} is a proxy certificate ({distinguished_name(certificate)})",
            "Use the host certificate itself: the receiver knows signers by their host DN.",
        )


def _refuse_mismatch(
    certificates: list[x509.Certificate], key: HostKey, cert_path: Path, key_path: Path
) -> None:
    public = key.public_key()
    if certificates[0].public_key() == public:
        return
    if any(other.public_key() == public for other in certificates[1:]):
        cure = "The file holds a chain: put the host's own certificate first."
    else:
        cure = "Put the certificate and the key of one request there (during a renewal: retry)."
    raise CertificateError(
        f"The host key {key_path} does not belong to the certificate {cert_path}", cure
    )
